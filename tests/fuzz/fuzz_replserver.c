/*
 * What a peer sends to the replication server: _bulk_docs, _revs_diff, _bulk_get, _changes, _local
 * and everything else its routes take.
 *
 * Input: requests separated by NUL bytes.  A request is "WHO METHOD TARGET", a newline, and the
 * body; WHO is l (a server without policy), p (a peer), m (the manager) or x (nobody known).  The
 * HTTP exchange is this file's own, so that no socket is between the bytes and the routes.
 */
#include <stdint.h>
#include <string.h>

#include "base/core/log.h"
#include "base/net/http_server.h"
#include "replicator/replicator.h"
#include "tests/fuzz/scratch_store.h"

#define REQUESTS_MAX 8
#define TURNS        6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct http_exchange {
    struct http_request request;
    char who;
    int status;
    bool streams, ended;
    struct cm_buf out;
    cm_fn on_close;
    void *close_arg;
};

static struct cm_loop *loop;
static struct rp_server *server[SCRATCH_COUNT];
static struct cs_proof asked; /* of documents whose signatures are to be checked */

/* ---- the exchange ------------------------------------------------------------------------- */

const struct http_request *http_ex_request(const struct http_exchange *ex)
{
    return &ex->request;
}

void http_ex_header(struct http_exchange *ex, const char *name, const char *value)
{
    CM_BUG_ON(ex->ended || ex->streams || !name[0] || strpbrk(value, "\r\n"));
}

void http_ex_stream(struct http_exchange *ex, int status, const char *content_type)
{
    (void)content_type;
    CM_BUG_ON(ex->ended || ex->streams);
    ex->streams = true;
    ex->status = status;
}

int http_ex_write(struct http_exchange *ex, const void *data, size_t len)
{
    CM_BUG_ON(ex->ended || !ex->streams);
    cm_buf_add(&ex->out, data, len);
    return 0;
}

void http_ex_end(struct http_exchange *ex)
{
    CM_BUG_ON(ex->ended || !ex->streams);
    ex->ended = true;
}

void http_ex_reply(struct http_exchange *ex, int status, const char *content_type, const void *body,
                   size_t len)
{
    (void)content_type;
    CM_BUG_ON(ex->ended || ex->streams);
    ex->status = status;
    ex->ended = true;
    cm_buf_add(&ex->out, body, len);
}

char *http_ex_take_body(struct http_exchange *ex, size_t *ret_len)
{
    char *body = cm_memdup(ex->request.body, ex->request.body_len + 1);
    *ret_len = ex->request.body_len;
    ex->request.body = "";
    ex->request.body_len = 0;
    return body;
}

void http_ex_on_close(struct http_exchange *ex, cm_fn fn, void *arg)
{
    ex->on_close = fn;
    ex->close_arg = arg;
}

void http_ex_on_drain(struct http_exchange *ex, cm_fn fn, void *arg)
{
    (void)ex; /* a client that reads everything at once */
    (void)fn;
    (void)arg;
}

/* ---- one request -------------------------------------------------------------------------- */

static bool find_peer(void *arg, const struct http_request *request, struct rp_peer *ret)
{
    (void)arg;
    const struct http_exchange *ex =
        (const struct http_exchange *)((const char *)request -
                                       offsetof(struct http_exchange, request));
    *ret = (struct rp_peer){.name = ex->who == 'm' ? "manager" : "web1", .manager = ex->who == 'm'};
    return ex->who != 'x';
}

static void prove(void *arg, const struct cs_proof *docs)
{
    (void)arg;
    CM_BUG_ON(asked.done);
    asked = *docs;
}

/* As a worker would: every other signature is said to have been found good. */
static void run_proof(void)
{
    const struct cs_proof docs = asked;
    if (!docs.done)
        return;
    for (size_t i = 0; i < docs.count; i++) {
        bool there = docs.doc(docs.arg, i) != NULL;
        docs.also(docs.arg, i, there && i % 2 == 0, NULL, 0);
    }
    asked = (struct cs_proof){0};
    docs.done(docs.arg);
}

/* One JSON text, or lines of them when the feed is continuous; a feed cut off in the middle may end
 * anywhere. */
static void check_answer(const struct http_exchange *ex)
{
    json_t *body = NULL;
    CM_BUG_ON(ex->status < 200 || ex->status >= 500);
    if (!ex->ended || ex->out.len == 0 || strstr(ex->request.head.target, "feed="))
        return;
    CM_BUG_ON(ex->request.head.method != HTTP_HEAD &&
              cm_json_parse_lax(ex->out.data, ex->out.len, &body, NULL) < 0);
    json_decref(body);
}

static void answer(struct http_exchange *ex)
{
    int which = ex->who == 'l' ? SCRATCH_LAB : SCRATCH_POLICY;
    int64_t limit = rp_server_limit(server[which], &ex->request);
    CM_BUG_ON(limit < 0 && limit != -401);
    if (limit < 0 || (int64_t)ex->request.body_len > limit)
        return;
    rp_server_handle(server[which], ex);
    run_proof();
    CM_BUG_ON(cs_commit(scratch_store[which], NULL) < 0);
    for (int i = 0; i < TURNS && !ex->ended; i++)
        cm_loop_turn(loop, false);
    if (!ex->ended) { /* parked: the client goes away */
        CM_BUG_ON(!ex->on_close || !ex->streams);
        ex->on_close(ex->close_arg);
    }
    check_answer(ex);
}

static void one(const char *text, size_t len)
{
    const char *line_end = memchr(text, '\n', len);
    size_t line = line_end ? (size_t)(line_end - text) : len;
    size_t body = line_end ? line + 1 : len;
    struct http_exchange ex = {.who = text[0]};
    int status = 0;
    if (line < 3 || text[1] != ' ')
        return;
    CM_AUTO_STR body_text = cm_strndup(text + body, len - body);
    CM_AUTO_STR head = cm_asprintf("%.*s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                                   "Content-Length: %zu\r\n\r\n",
                                   (int)(line - 2), text + 2, len - body);
    if (http_head_parse(head, strlen(head), &ex.request.head, &status, NULL) == 0) {
        ex.request.body = body_text;
        ex.request.body_len = len - body;
        cm_buf_init(&ex.out, 64u << 20);
        answer(&ex);
        cm_buf_fini(&ex.out);
        http_head_fini(&ex.request.head);
    }
}

static void set_up(void)
{
    cm_log_init("fuzz", CM_LOG_ERROR);
    loop = cm_loop_new();
    scratch_open();
    for (int i = 0; i < SCRATCH_COUNT; i++)
        server[i] = rp_server_new(&(struct rp_server_opts){.loop = loop,
                                                           .store = scratch_store[i],
                                                           .db = "db",
                                                           .lab = i == SCRATCH_LAB,
                                                           .peer = find_peer,
                                                           .prove = prove});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    if (!loop)
        set_up();
    for (int i = 0; i < REQUESTS_MAX && at < end; i++) {
        const char *nul = memchr(at, 0, (size_t)(end - at));
        const char *stop = nul ? nul : end;
        one(at, (size_t)(stop - at));
        at = stop + 1;
    }
    return 0;
}
