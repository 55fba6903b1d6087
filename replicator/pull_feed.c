/*
 * Pulling: the question for the peer's changes, and how its answer is read.  What the rows mean for
 * the batch is pull.c's.
 *
 * One poisoned row must not stop the others: an answer that is too long or does not parse is asked
 * for in fewer rows, and a single row that still fails is passed over (listed).
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "replicator/pull.h"
#include "replicator/rows.h"
#include "replicator/values.h"

#define PATH_MAX_LEN (3 * RP_SEQ_MAX + 512)

/* Something else than a feed begins otherwise: a login page, say, which no shorter feed ends. */
static bool is_page(const struct cm_buf *feed)
{
    const char *text = feed->data;
    size_t at = 0;
    while (at < feed->len && strchr(" \t\r\n", text[at]))
        at++;
    return at < feed->len && text[at] != '{';
}

/* The feed's bytes; heartbeats (newlines between head and rows) only show that the peer lives.
 * Everything else is a success when it was understood. */
static int on_feed_data(void *arg, const void *data, size_t len)
{
    struct rp_job *job = arg;
    const char *text = data;
    size_t blank = 0;
    while (blank < len && text[blank] == '\n')
        blank++;
    int rc = cm_buf_add(&job->pull->feed, text + blank, len - blank);
    if (blank == len && job->pull->live)
        job->success_ms = cm_now_ms();
    job->pull->over = rc < 0;
    return rc;
}

/* A document may have leaves without end, on a hub that lets anybody write: fewer rows, then one
 * without its leaves.  False when that was it, or something else is wrong: half of a row says
 * nothing about the row. */
static bool ask_for_fewer(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    if (!pull->over || pull->winners || (pull->cut && pull->page == 1))
        return false;
    pull->winners = pull->page == 1;
    pull->page = pull->page > 1 ? pull->page / 2 : 1;
    rp_pull_ask(job, pull->open ? pull->next : pull->since);
    return true;
}

/* The feed's text as JSON (owned), or NULL. */
static json_t *parse_feed(struct rp_pull *pull)
{
    json_t *reply = NULL;
    if (pull->over || pull->feed.len == 0)
        return NULL;
    rp_rows_mend(pull->feed.data, pull->feed.len);
    cm_json_parse_lax(pull->feed.data, pull->feed.len, &reply, NULL);
    return reply;
}

/* One whole row that cannot be read, whatever is asked: the feed goes on behind it.  The reply that
 * says so (owned), or NULL: its place is not to be seen. */
static json_t *pass_over_row(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    struct cm_err err = CM_ERR_INIT;
    static const char why[] = "a row of the feed cannot be read; it is passed over";
    json_t *seq = rp_rows_first_seq(cm_buf_str(&pull->feed), pull->feed.len);
    if (!seq || !pull->winners || pull->cut ||
        json_equal(seq, pull->open ? pull->next : pull->since)) {
        json_decref(seq);
        return NULL;
    }
    CM_AUTO_STR place = json_is_string(seq)
                            ? cm_strdup(json_string_value(seq))
                            : cm_asprintf("%lld", (long long)json_integer_value(seq));
    rp_pull_tell(job, "_changes", why);
    job->refused++;
    if (!job->client->lab &&
        cs_quarantine_note(job->client->store, "_changes", place, job->client->peer, why, &err) < 0)
        cm_log_err(CM_LOG_WARN, "replicator", &err);
    cm_err_fini(&err);
    pull->winners = false;
    pull->page = 0; /* there may be more behind it */
    return json_pack("{s:[],s:o}", "results", "last_seq", seq);
}

static void on_changes(struct rp_job *job, const struct http_result *res)
{
    struct rp_pull *pull = job->pull;
    bool ended = res->err->code == 0 && res->status == 200;
    if (ended && is_page(&pull->feed)) {
        rp_job_fail_status(job, res, "reading the changes of");
        return;
    }
    pull->over |= !rp_values_ok(cm_buf_str(&pull->feed), pull->feed.len);
    CM_AUTO_JSON reply = ended ? parse_feed(pull) : NULL;
    pull->cut =
        ended && !reply && !pull->over && !rp_rows_whole(cm_buf_str(&pull->feed), pull->feed.len);
    pull->over |= ended && !reply;
    if ((res->err->code != 0 || res->status == 200) && ask_for_fewer(job))
        return;
    if (!reply && pull->over)
        reply = pass_over_row(job);
    if (!reply && !ended) {
        rp_job_fail_status(job, res, "reading the changes of");
        return;
    }
    cm_buf_fini(&pull->feed);
    if (pull->open)
        pull->ahead = reply ? json_incref(reply) : json_null();
    else
        rp_pull_take(job, reply);
}

static void add_since(struct cm_buf *path, const json_t *since)
{
    if (json_is_integer(since))
        cm_buf_printf(path, "%lld", (long long)json_integer_value(since));
    else if (json_is_string(since))
        url_encode(path, json_string_value(since));
    else
        cm_buf_putc(path, '0');
}

void rp_pull_ask(struct rp_job *job, const json_t *since)
{
    struct rp_pull *pull = job->pull;
    struct cm_buf path;
    cm_buf_init(&path, PATH_MAX_LEN);
    cm_buf_printf(&path, "/_changes?%slimit=%zu", pull->winners ? "" : "style=all_docs&",
                  pull->page);
    if (pull->live)
        cm_buf_printf(&path, "&feed=longpoll&heartbeat=%d", RP_HEARTBEAT_MS);
    cm_buf_puts(&path, "&since=");
    add_since(&path, since);
    pull->asked_at = cm_mono_ms();
    cm_buf_fini(&pull->feed);
    cm_buf_init(&pull->feed, RP_BODY_MAX);
    pull->over = false;
    rp_job_call(job,
                &(struct rp_call_spec){.method = "GET",
                                       .path = cm_buf_str(&path),
                                       .feed = pull->live,
                                       .limit_ok = true,
                                       .on_data = on_feed_data},
                on_changes);
    cm_buf_fini(&path);
}
