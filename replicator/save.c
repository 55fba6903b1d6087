/*
 * Keeping a job's checkpoint: reading it when the job opens, writing it now and then.
 *
 * Target first: a source that is ahead of the target would skip documents after a crash.  Pulling,
 * the target is our own table "local"; pushing, it is the peer.  Writing runs beside the job's
 * loop and never holds it up; a lost checkpoint costs a repeated comparison, never a document.
 *
 * Pulling, our side keeps in `acked` what the peer has confirmed: an upstream that does not know it
 * any more runs from an older copy, and is given back what it lacks (upstream.c).
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "replicator/job.h"

#define TABLE         "local"
#define CONFLICTS_MAX 3 /* of one checkpoint, in a row: then it is left */

static void path_of(const struct rp_job *job, char out[64])
{
    snprintf(out, 64, "/_local/%s", job->id);
}

static void forget(struct rp_save *save)
{
    json_decref(save->local);
    json_decref(save->remote);
    json_decref(save->history);
    json_decref(save->seq);
    json_decref(save->acked);
    json_decref(save->stored);
    json_decref(save->doc);
    save->local = save->remote = save->history = save->seq = save->doc = NULL;
    save->acked = save->stored = NULL;
}

/* ---- opening ------------------------------------------------------------------------------ */

static void new_session(struct rp_save *save)
{
    uint8_t random[(RP_JOB_ID - 1) / 2];
    cm_random(random, sizeof(random));
    cm_hex(random, sizeof(random), save->session.id);
    save->session.started_ms = cm_now_ms();
}

static void start(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    const json_t *history = NULL;
    const json_t *seq =
        rp_checkpoint_compare(save->local, save->remote, &history, &save->history_from);
    save->history = json_incref((json_t *)(uintptr_t)history);
    save->stored = json_incref((json_t *)(uintptr_t)seq); /* and not whatever lies there now */
    json_decref(save->session.start_seq);
    save->session.start_seq = json_incref((json_t *)(uintptr_t)seq);
    if (job->push)
        rp_push_start(job, job->give_back ? NULL : seq);
    else
        rp_pull_start(job, job->again ? NULL : seq);
}

/* The upstream knows now that it runs from an older copy, and wants back what it lacks.  From here
 * on the two copies are told apart by the session. */
static void on_take_back(struct rp_job *job, const struct http_result *res)
{
    struct rp_save *save = &job->save;
    if (res->status != 200 && res->status != 201) {
        rp_job_fail_status(job, res, "telling what it has forgotten to");
        return;
    }
    json_decref(save->acked);
    save->acked = NULL;
    json_object_del(save->local, "acked");
    if (save->local)
        (void)cs_kv_put(job->client->store, TABLE, job->id, save->local, NULL); /* or told again */
    new_session(save);
    rp_push_anew(job->client);
    start(job);
}

static void tell_forgotten(struct rp_job *job, struct cm_err *err)
{
    cm_log_err(CM_LOG_ERROR, "replicator", err);
    cm_err_fini(&job->last_err);
    cm_err_copy(&job->last_err, err);
    job->last_err_ms = cm_now_ms();
    rp_job_call(job, &(struct rp_call_spec){.method = "POST", .path = "/_take_back"}, on_take_back);
}

static void on_remote(struct rp_job *job, const struct http_result *res)
{
    struct rp_save *save = &job->save;
    if (res->status != 200 && res->status != 404) {
        rp_job_fail_status(job, res, "reading the checkpoint of");
        return;
    }
    if (res->status == 200)
        save->remote = rp_reply_json(res);
    cm_strcpy(save->remote_rev, sizeof(save->remote_rev), cm_json_str_or(save->remote, "_rev", ""));
    struct cm_err err = CM_ERR_INIT;
    if (rp_upstream_forgot(job, save->remote, &err))
        tell_forgotten(job, &err);
    else
        start(job);
    cm_err_fini(&err);
}

void rp_save_open(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    char path[64];
    rp_save_stop(job);
    forget(save);
    if (save->session.id[0] == '\0')
        new_session(save);
    save->dirty = save->off = false;
    save->conflicts = 0;
    save->local = cs_kv_get(job->client->store, TABLE, job->id);
    save->acked = json_incref(cm_json_obj(save->local, "acked"));
    path_of(job, path);
    rp_job_call(job, &(struct rp_call_spec){.method = "GET", .path = path}, on_remote);
}

/* ---- writing ------------------------------------------------------------------------------ */

static void write_remote(struct rp_job *job);

static void arm(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    bool running = save->call || save->ticket || cm_timer_active(save->timer);
    if (!save->dirty || save->off || running)
        return;
    int64_t wait = save->saved_at + RP_CHECKPOINT_MS - cm_mono_ms();
    cm_timer_start(save->timer, save->saved_at == 0 || wait < 0 ? 0 : wait);
}

static void done(struct rp_job *job)
{
    json_decref(job->save.doc);
    job->save.doc = NULL;
    arm(job);
}

/* Our own side.  0 or the store's refusal (logged). */
static int write_local(struct rp_job *job)
{
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_kv_put(job->client->store, TABLE, job->id, job->save.doc, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_WARN, "replicator", &err);
    cm_err_fini(&err);
    return rc;
}

/* Pulling from one of ours: what our side is to remember of the peer's.  Where the pull went back
 * to the beginning, both sides do. */
static void add_acked(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    if (save->acked &&
        rp_seq_number(save->seq) < rp_seq_number(json_object_get(save->acked, "seq")))
        json_object_set(save->acked, "seq", save->seq);
    if (save->acked)
        json_object_set(save->doc, "acked", save->acked);
}

static void note_acked(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    if (job->epoch[0] == '\0')
        return;
    json_decref(save->acked);
    save->acked = json_object();
    cm_json_set_str(save->acked, "session_id", save->session.id);
    json_object_set(save->acked, "seq", json_object_get(save->doc, "source_last_seq"));
    add_acked(job);
    (void)write_local(job);
}

static void on_local_durable(struct rp_job *job)
{
    write_remote(job);
}

/* The peer has it in another revision.  Ours, when the answer to our last one was lost or only
 * some nodes of a cluster had taken it: then we go on from that.  Somebody else's: the next opening
 * compares anew; until then we go on without. */
static void on_again(void *arg, const struct http_result *res)
{
    struct rp_job *job = arg;
    struct rp_save *save = &job->save;
    save->call = NULL;
    CM_AUTO_JSON doc = res->status == 200 ? rp_reply_json(res) : NULL;
    const char *id = cm_json_str_or(doc, "session_id", "");
    const char *opened = cm_json_str_or(save->remote, "session_id", "-");
    bool ours = strcmp(id, save->session.id) == 0 || strcmp(id, opened) == 0;
    save->off = save->conflicts > CONFLICTS_MAX || (res->status == 200 && !ours);
    save->dirty = !save->off;
    cm_strcpy(save->remote_rev, sizeof(save->remote_rev), cm_json_str_or(doc, "_rev", ""));
    done(job);
}

/* False when that cannot even begin. */
static bool read_again(struct rp_job *job)
{
    struct cm_err err = CM_ERR_INIT;
    char path[64];
    path_of(job, path);
    job->save.conflicts++;
    job->save.call = rp_start_call(
        job->client, &(struct rp_call_spec){.method = "GET", .path = path}, on_again, job, &err);
    cm_err_fini(&err);
    return job->save.call != NULL;
}

static void on_written(void *arg, const struct http_result *res)
{
    struct rp_job *job = arg;
    struct rp_save *save = &job->save;
    save->call = NULL;
    if (res->status == 200 || res->status == 201 || res->status == 202) {
        CM_AUTO_JSON reply = rp_reply_json(res);
        cm_strcpy(save->remote_rev, sizeof(save->remote_rev), cm_json_str_or(reply, "rev", ""));
        if (job->push)
            write_local(job);
        else
            note_acked(job);
        json_decref(save->stored);
        save->stored = json_incref(json_object_get(save->doc, "source_last_seq"));
        save->conflicts = 0;
    } else if (res->status == 409) {
        if (read_again(job))
            return;
    } else if (res->status >= 400 && res->status < 500 && res->status != 408 &&
               res->status != 429) {
        cm_log(
            CM_LOG_WARN, "replicator", job->client->url,
            "the peer takes no checkpoint (HTTP %d): after a restart everything is compared again",
            res->status);
        save->off = true;
    } else { /* no answer, or a moment's trouble: without haste once more */
        save->dirty = true;
        save->saved_at = cm_mono_ms() + RP_BACKOFF_MAX_MS - RP_CHECKPOINT_MS;
    }
    done(job);
}

static void put_checkpoint(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    struct cm_err err = CM_ERR_INIT;
    char path[64];
    CM_AUTO_JSON doc = json_copy(save->doc);
    json_object_del(doc, "acked");
    path_of(job, path);
    if (save->remote_rev[0])
        cm_json_set_str(doc, "_rev", save->remote_rev);
    save->call = rp_start_call(job->client,
                               &(struct rp_call_spec){.method = "PUT", .path = path, .body = doc},
                               on_written, job, &err);
    cm_err_fini(&err);
    if (!save->call)
        done(job);
}

static void on_full_commit(void *arg, const struct http_result *res)
{
    struct rp_job *job = arg;
    (void)res; /* peers that do not know it commit before they answer */
    job->save.call = NULL;
    put_checkpoint(job);
}

/* The peer's side: what it has taken must be on its disk before both remember it. */
static void write_remote(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    struct cm_err err = CM_ERR_INIT;
    if (!job->push) {
        put_checkpoint(job);
        return;
    }
    const struct rp_call_spec spec = {.method = "POST", .path = "/_ensure_full_commit"};
    save->call = rp_start_call(job->client, &spec, on_full_commit, job, &err);
    cm_err_fini(&err);
    if (!save->call)
        done(job);
}

static void on_ticket(void *arg, int code, const struct cm_err *err)
{
    struct rp_ticket *ticket = arg;
    struct rp_job *job = ticket->job;
    (void)err; /* the job itself meets a failing store */
    if (job) {
        job->save.ticket = NULL;
        if (code == 0)
            ticket->fn(job);
        else
            done(job);
    }
    cm_free(ticket);
}

static void on_timer(void *arg)
{
    struct rp_job *job = arg;
    struct rp_save *save = &job->save;
    if (!save->dirty || save->off)
        return;
    save->dirty = false;
    save->saved_at = cm_mono_ms();
    save->doc = rp_checkpoint_make(&save->session, save->seq, save->stored, save->history,
                                   save->history_from);
    if (job->push) {
        write_remote(job);
        return;
    }
    add_acked(job);
    if (write_local(job) == 0) {
        save->ticket = rp_ticket_new(job, on_local_durable);
        cs_after_commit(job->client->store, on_ticket, save->ticket);
    } else {
        done(job);
    }
}

void rp_save_note(struct rp_job *job, json_t *take_seq)
{
    struct rp_save *save = &job->save;
    json_decref(save->seq);
    save->seq = take_seq;
    save->dirty = true;
    if (!save->timer)
        save->timer = cm_timer_new(job->client->loop, on_timer, job);
    arm(job);
}

bool rp_save_clean(const struct rp_job *job)
{
    const struct rp_save *save = &job->save;
    return save->off || (!save->dirty && !save->doc);
}

void rp_save_stop(struct rp_job *job)
{
    struct rp_save *save = &job->save;
    if (save->call)
        http_call_cancel(save->call);
    save->call = NULL;
    rp_ticket_drop(&save->ticket);
    if (save->timer)
        cm_timer_stop(save->timer);
    json_decref(save->doc);
    save->doc = NULL;
}

void rp_save_free(struct rp_job *job)
{
    rp_save_stop(job);
    forget(&job->save);
    json_decref(job->save.session.start_seq);
    cm_timer_free(job->save.timer);
}
