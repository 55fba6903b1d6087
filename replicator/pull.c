/*
 * Pulling: changes of the peer since the checkpoint, compared with what is known here, fetched,
 * put, committed; then the next batch, or the parked feed when there is none.  A batch is put in
 * several loop turns, each with its own commit: when one of them fails, so does the job, and begins
 * anew from the checkpoint before the batch.  A row that is
 * compared before the commit of the batch before is at worst fetched twice.  While the last
 * documents of a batch are checked and put, the rows of the next one come in (ahead).
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/rev.h"
#include "certstore/schema.h"
#include "replicator/pull.h"

#define TOLD_MAX      20 /* lines about refused documents in a minute */
#define PAGE_MIN      10
#define EMPTY_FEED_MS 1000 /* a feed that ends sooner with nothing is asked again after so long */

static void next_batch(struct rp_job *job);
static void batch_done(struct rp_job *job);

bool rp_pull_wants(const struct rp_job *job, const char *id)
{
    size_t len = strlen(id);
    if (len == 0 || len > CS_ID_MAX)
        return false;
    if (job->client->lab)
        return id[0] != '_'; /* design documents do not travel */
    /* The manager reads all of a hub: what others write, and what has become of its own. */
    const struct cs_type *type = cs_type_of(id);
    return type && (job->client->manager || type->down);
}

static void fail_reply(struct rp_job *job, const char *what)
{
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EPEER, "%s", what);
    rp_job_fail(job, &err);
    cm_err_fini(&err);
}

/* ---- the end of a batch ------------------------------------------------------------------- */

/* Live means: listening, and everything heard so far is durable here. */
static void show_state(struct rp_job *job)
{
    const struct rp_pull *pull = job->pull;
    bool rests = pull->live && !pull->gathering && !pull->open && !job->ticket;
    rp_job_state(job, rests ? RP_LIVE : RP_REPLICATING);
    if (rests && job->again) {
        job->again = false;
        rp_again_over(job->client->store);
    }
}

static void batch_durable(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    struct rp_client *client = job->client;
    size_t put = pull->committing_put;
    rp_job_count(job, put);
    rp_job_success(job);
    if (pull->committing && !pull->hold)
        rp_save_note(job, json_incref(pull->committing));
    json_decref(pull->committing);
    pull->committing = NULL;
    pull->committing_put = 0;
    show_state(job);
    if (pull->ended)
        batch_done(job);
    if (put > 0 && client->on_batch) /* last: it may retarget the client */
        client->on_batch(client->arg, put);
}

/* The next batch is asked for at once, so that the peer works while we commit; the checkpoint, and
 * a batch that overtakes, wait for the commit. */
static void batch_done(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    pull->ended = job->ticket != NULL;
    if (pull->ended)
        return;
    json_decref(pull->since);
    pull->since = pull->next;
    pull->next = NULL;
    pull->committing = pull->rows ? json_incref(pull->since) : NULL;
    pull->committing_put = pull->put;
    if (pull->put > 0)
        rp_job_after_commit(job, batch_durable);
    else
        batch_durable(job);
    pull->open = false;
    if (pull->ahead) {
        CM_AUTO_JSON reply = pull->ahead;
        pull->ahead = NULL;
        rp_pull_take(job, reply);
        return;
    }
    if (pull->asked_ahead) /* its reply goes on */
        return;
    int64_t wait = pull->live && pull->rows ? pull->asked_at + RP_GATHER_PULL_MS - cm_mono_ms() : 0;
    pull->gathering = wait > 0;
    if (!pull->gathering) {
        next_batch(job);
        return;
    }
    show_state(job);
    rp_job_after(job, wait, next_batch);
}

/* ---- putting ------------------------------------------------------------------------------ */

/* Some lines a minute: the list of refused documents has them all. */
void rp_pull_tell(struct rp_job *job, const char *id, const char *why)
{
    int64_t minute = cm_mono_ms() / 60000;
    if (minute != job->told_minute)
        job->told = 0;
    job->told_minute = minute;
    if (++job->told < TOLD_MAX)
        cm_log(CM_LOG_WARN, "replicator", id, "refused: %s", why);
    else if (job->told == TOLD_MAX)
        cm_log(CM_LOG_WARN, "replicator", job->client->url,
               "more is refused; see \"certmgr replication refused\"");
}

/* The manager alone writes these: what it did not write itself comes from another manager. */
static void look_for_author(struct rp_job *job, const char *id)
{
    const struct rp_client *client = job->client;
    const struct cs_type *type = client->manager ? cs_type_of(id) : NULL;
    if (type && type->by_manager && client->on_foreign)
        client->on_foreign(client->arg, id);
}

/* One document of a reply; negative when the store failed. */
static int put_doc(struct rp_job *job, const struct rp_item *item, struct cm_err *err)
{
    struct rp_session *session = &job->save.session;
    const char *id = cm_json_str(cs_ready_body(item->ready), "_id");
    session->docs_read++;
    if (!id || !rp_pull_wants(job, id)) {
        session->write_failures++;
        job->refused++;
        cm_log(CM_LOG_WARN, "replicator", job->client->url,
               "the peer sent a document not asked for");
        return 0;
    }
    if (item->mark) {
        rp_heal_note(job->client, id); /* it may lie below a version that counts */
        return 0;
    }
    struct cs_result res = {0};
    int rc = cs_put_ready(job->client->store, item->ready, job->client->peer, &res, err);
    if (rc < 0)
        return rc;
    rp_job_put(job); /* also of what was refused: the list of those is stored */
    if (res.code != 0) {
        session->write_failures++;
        job->refused++;
        rp_pull_tell(job, id, res.reason);
        rp_heal_note(job->client, id);
        return 0;
    }
    session->docs_written++;
    job->pull->put += res.changed;
    if (res.changed)
        look_for_author(job, id);
    return 0;
}

int rp_pull_put(struct rp_job *job, const struct rp_reading *reading, struct cm_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < reading->count && rc == 0; i++) {
        const struct rp_item *item = &reading->item[i];
        if (item->ready)
            rc = put_doc(job, item, err);
        else
            rp_pull_later(job, item->error);
    }
    return rc;
}

void rp_pull_refuse(struct rp_job *job, const char *id, const char *rev, const char *why)
{
    struct rp_client *client = job->client;
    struct cm_err err = CM_ERR_INIT;
    rp_pull_tell(job, id, why);
    job->refused++;
    job->save.session.write_failures++;
    if (!client->lab && cs_quarantine_note(client->store, id, rev, client->peer, why, &err) < 0)
        cm_log_err(CM_LOG_WARN, "replicator", &err); /* the store's failure is met elsewhere, too */
    cm_err_fini(&err);
    rp_job_put(job);
    rp_heal_note(client, id);
}

void rp_pull_leave_out(struct rp_job *job, const json_t *entry)
{
    rp_pull_refuse(job, cm_json_str_or(entry, "id", ""), cm_json_str_or(entry, "rev", ""),
                   "left out: the peer's copy is too large or does not parse");
}

/* ---- fetching ----------------------------------------------------------------------------- */

static void fetch(struct rp_job *job);

static void fetched(struct rp_job *job)
{
    if (!rp_later_ask(job, fetch))
        batch_done(job);
}

static void fetch(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    if (pull->at >= json_array_size(pull->missing))
        batch_done(job);
    else if (pull->no_bulk_get)
        rp_gets_start(job, fetched);
    else
        rp_bulk_start(job, fetched);
}

/* ---- the feed ----------------------------------------------------------------------------- */

/* Adds the leaves of one row that are not known here. */
static void diff_row(struct rp_job *job, const json_t *row)
{
    const char *id = cm_json_str(row, "id");
    const json_t *changes = cm_json_arr(row, "changes");
    if (!id || !rp_pull_wants(job, id))
        return;
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const char *rev = cm_json_str(json_array_get(changes, i), "rev");
        struct cs_rev parsed;
        if (!rev || cs_rev_parse(rev, &parsed) < 0) {
            rp_pull_refuse(job, id, rev ? rev : "", "its revision is none that can be stored");
            continue;
        }
        job->save.session.missing_checked++;
        if (cs_has_rev(job->client->store, id, rev))
            continue;
        /* Many leaves are an attack on a hub; what was refused once is not fetched at each change.
         */
        if (json_array_size(changes) > CS_LEAVES_MAX && cs_is_refused(job->client->store, id, rev))
            continue;
        job->save.session.missing_found++;
        json_t *entry = json_object();
        cm_json_set_str(entry, "id", id);
        cm_json_set_str(entry, "rev", rev);
        json_array_append_new(job->pull->missing, entry);
    }
}

static bool seq_ok(const json_t *seq)
{
    return json_is_integer(seq) || (json_is_string(seq) && json_string_length(seq) <= RP_SEQ_MAX);
}

/* How many changes lie behind these rows: as the peer says, or by its newest number. */
static void note_behind(struct rp_job *job, const json_t *reply, const json_t *last)
{
    int64_t at = rp_seq_number(last);
    int64_t behind = job->peer_seq > at ? job->peer_seq - at : 0;
    job->behind = cm_json_int(reply, "pending", at >= 0 ? behind : -1);
}

void rp_pull_take(struct rp_job *job, const json_t *reply)
{
    struct rp_pull *pull = job->pull;
    const json_t *rows = cm_json_arr(reply, "results");
    json_t *last = json_object_get(reply, "last_seq");
    size_t count = json_array_size(rows);
    if (!rows || !seq_ok(last)) {
        fail_reply(job, pull->cut ? "the peer's changes feed ended in the middle"
                                  : "the peer's changes feed does not parse");
        return;
    }
    if (rp_upstream_moved(job, last)) {
        fail_reply(job, "the peer has become another incarnation");
        return;
    }
    if (count > 0 && pull->since && json_equal(last, pull->since)) {
        fail_reply(job, "the peer's changes feed does not move on");
        return;
    }
    int64_t took = cm_mono_ms() - pull->asked_at;
    bool idle = pull->live && count == 0 && took < EMPTY_FEED_MS;
    if (pull->winners && count > 0)
        rp_pull_refuse(job, cm_json_str_or(json_array_get(rows, 0), "id", ""), "",
                       "it has more versions than can be read; only the first is looked at");
    pull->live = count < pull->page;
    pull->winners = false;
    if (pull->live)
        pull->page_max = RP_BATCH;
    if (pull->page == 0)
        pull->page = 1;
    else
        pull->page = 2 * pull->page < pull->page_max ? 2 * pull->page : pull->page_max;
    note_behind(job, reply, last);
    pull->rows = count > 0;
    json_decref(pull->next);
    pull->next = json_incref(last);
    json_decref(pull->missing);
    pull->missing = json_array();
    pull->at = pull->put = 0;
    pull->tries = 0;
    pull->open = true;
    pull->asked_ahead = false;
    if (count > 0)
        show_state(job);
    for (size_t i = 0; i < count; i++)
        diff_row(job, json_array_get(rows, i));
    if (idle)
        rp_job_after(job, EMPTY_FEED_MS, batch_done);
    else
        fetch(job);
}

static void next_batch(struct rp_job *job)
{
    job->pull->gathering = false;
    show_state(job);
    rp_pull_ask(job, job->pull->since);
}

void rp_pull_ahead(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    if (pull->live || pull->asked_ahead || job->call)
        return;
    pull->asked_ahead = true;
    rp_pull_ask(job, pull->next);
}

/* ---- life --------------------------------------------------------------------------------- */

/* Rows to ask for.  Where an answer broke off (a worker of a cluster was too slow, or the link),
 * the same question would end alike. */
static size_t next_page(const struct rp_pull *before)
{
    if (!before)
        return RP_BATCH;
    if (before->live || before->feed.len == 0)
        return before->page_max;
    return before->page / 2 > PAGE_MIN ? before->page / 2 : PAGE_MIN;
}

void rp_pull_start(struct rp_job *job, const json_t *since)
{
    bool no_bulk_get = job->pull && job->pull->no_bulk_get;
    size_t page_max = next_page(job->pull);
    rp_pull_free(job);
    job->pull = cm_calloc(1, sizeof(*job->pull));
    job->pull->since = seq_ok(since) ? json_incref((json_t *)(uintptr_t)since) : NULL;
    job->pull->no_bulk_get = no_bulk_get;
    job->pull->page = job->pull->page_max = page_max;
    next_batch(job);
}

void rp_pull_halt(struct rp_job *job)
{
    if (!job->pull)
        return;
    rp_gets_cancel(job);
    rp_bulk_cancel(job);
}

void rp_pull_free(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    if (!pull)
        return;
    rp_pull_halt(job);
    json_decref(pull->since);
    json_decref(pull->next);
    json_decref(pull->missing);
    json_decref(pull->later);
    json_decref(pull->committing);
    json_decref(pull->ahead);
    cm_buf_fini(&pull->feed);
    cm_free(pull);
    job->pull = NULL;
}
