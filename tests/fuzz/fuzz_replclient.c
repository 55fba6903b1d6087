/*
 * What an upstream answers to the replication client: its root, checkpoints, rows of _changes,
 * documents of _bulk_get, _revs_diff and outcomes of _bulk_docs.
 *
 * Input: replies separated by NUL bytes, given to the client's requests in the order they come.  A
 * reply is its status, a newline, and the body; status 0 is a broken connection, 1 a reply over its
 * limit.  The first byte says l (no policy) or p, the second > (push), < (pull) or = (both).
 */
#include <stdint.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/num.h"
#include "base/net/http_client.h"
#include "replicator/replicator.h"
#include "tests/fuzz/scratch_store.h"

#define REPLIES_MAX 24
#define CALLS_MAX   64 /* far above what two jobs have under way */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct http_call {
    http_done_fn done;
    void *arg;
    http_data_fn on_data;
    struct http_call *next;
};

static struct http_call *calls; /* oldest first */
static struct cm_loop *loop;
static struct cs_store *store;

/* ---- the HTTP client ---------------------------------------------------------------------- */

struct http_call *http_call(struct http_client *client, const struct http_call_opts *opts,
                            http_done_fn done, void *arg, struct cm_err *err)
{
    struct http_call *call = cm_calloc(1, sizeof(*call)), **end = &calls;
    unsigned count = 0;
    (void)client;
    (void)err;
    CM_BUG_ON(strncmp(opts->url, "http://up.example/", 18) != 0);
    CM_BUG_ON(strpbrk(opts->url, " \r\n\t\"") != NULL);
    *call = (struct http_call){.done = done, .arg = arg, .on_data = opts->on_data};
    for (; *end; end = &(*end)->next)
        CM_BUG_ON(++count > CALLS_MAX);
    *end = call;
    return call;
}

void http_call_cancel(struct http_call *call)
{
    struct http_call **at = &calls;
    while (*at && *at != call)
        at = &(*at)->next;
    CM_BUG_ON(!*at);
    *at = call->next;
    cm_free(call);
}

/* Ends the oldest call with this reply. */
static void reply(const char *text, size_t len)
{
    struct http_call *call = calls;
    struct cm_err err = CM_ERR_INIT;
    const char *line_end = memchr(text, '\n', len);
    size_t line = line_end ? (size_t)(line_end - text) : len;
    int64_t status = 0;
    CM_AUTO_STR number = cm_strndup(text, line);
    CM_AUTO_STR body = cm_strndup(line_end ? line_end + 1 : "", line_end ? len - line - 1 : 0);
    struct http_result result = {.headers = "HTTP/1.1 200\r\nRetry-After: 1\r\n\r\n",
                                 .body = body,
                                 .body_len = line_end ? len - line - 1 : 0,
                                 .remote_ip = "",
                                 .err = &err};
    if (cm_num_i64(number, 0, 599, &status) < 0)
        status = 200;
    result.status = (int)status;
    if (status < 100) {
        result.status = 0;
        cm_fail(&err, status == 1 ? CM_ELIMIT : CM_ENET, "no reply");
    }
    calls = call->next;
    if (call->on_data && status >= 200 && status < 300) {
        if (call->on_data(call->arg, body, result.body_len) < 0)
            cm_fail(&err, CM_ECLOSED, "aborted");
        result.body = "";
        result.body_len = 0;
    }
    call->done(call->arg, &result);
    cm_free(call);
    cm_err_fini(&err);
}

/* ---- one client --------------------------------------------------------------------------- */

/* Whatever came, the client's state can be shown. */
static void check_status(struct rp_client *client)
{
    CM_AUTO_JSON status = rp_client_status(client);
    CM_AUTO_STR text = cm_json_dump(status, NULL);
    CM_BUG_ON(!text);
}

static void run(struct rp_client *client, const char *at, const char *end)
{
    for (int i = 0; i < REPLIES_MAX && at < end; i++) {
        const char *nul = memchr(at, 0, (size_t)(end - at));
        const char *stop = nul ? nul : end;
        for (int turn = 0; turn < 3 && !calls; turn++)
            cm_loop_turn(loop, false);
        if (!calls) /* waiting: now, please */
            rp_client_retarget(client, "http://up.example/db", NULL);
        if (!calls)
            break;
        reply(at, (size_t)(stop - at));
        CM_BUG_ON(cs_commit(store, NULL) < 0);
        check_status(client);
        at = stop + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rp_client *client;
    if (!loop) {
        cm_log_init("fuzz", CM_LOG_ERROR);
        loop = cm_loop_new();
        scratch_open();
    }
    if (size < 3)
        return 0;
    bool lab = data[0] == 'l';
    store = scratch_store[lab ? SCRATCH_LAB : SCRATCH_POLICY];
    struct rp_client_opts opts = {.loop = loop,
                                  .store = store,
                                  .url = "http://up.example/db",
                                  .allow_http = true,
                                  .lab = lab,
                                  .push_only = data[1] == '>',
                                  .pull_only = data[1] == '<'};
    CM_BUG_ON(rp_client_new(&opts, &client, NULL) != 0);
    run(client, (const char *)data + 2, (const char *)data + size);
    cs_unlisten(store, client);
    CM_BUG_ON(cs_commit(store, NULL) < 0);
    rp_client_free(client);
    cm_loop_turn(loop, false);
    CM_BUG_ON(calls != NULL);
    return 0;
}
