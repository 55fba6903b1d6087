/*
 * Pushing: our own documents of the types marked up, since the checkpoint; the peer says which
 * revisions it lacks, those are sent, the peer's answer is durable.  Woken by the store's changes.
 *
 * A document that the peer refuses is counted and left: it would be refused again, and the next
 * version of it is pushed like any other.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/told.h"
#include "certstore/schema.h"
#include "replicator/job.h"
#include "replicator/seq.h"

#define BYTES_MAX      (1u << 20)  /* documents of one _bulk_docs, but at least one */
#define BYTES_MIN      (32u << 10) /* … over a link that takes no more before time is up */
#define PAGES_PER_TURN 8           /* pages of the store's feed looked at in one go */
#define NOTE_EVERY     10000       /* sequences without one to push until the checkpoint moves */

#define DOUBT_MAX 1000 /* documents that are looked at one by one */

struct item {
    char *id, *rev;
};

struct rp_push {
    int64_t since;  /* pushed up to here */
    int64_t cursor; /* looked at up to here */
    int64_t noted;  /* of the checkpoint */
    size_t looked_at;
    json_t *offer;      /* id -> array of revisions: what this batch has */
    struct item *lacks; /* what the peer lacks of it */
    size_t lack_count, at;
    size_t first, next, sent; /* the request: its first document's place, the place behind it, its
                                 documents (fewer than places: some were gone) */
    size_t bytes;             /* budget of one request … */
    size_t budget;            /* … unless one of its documents is too large */
    bool sending;             /* one is under way, or failed */
    bool idle;                /* nothing to do until a change wakes us */
    int64_t scanned_at;
    int64_t held;     /* before the first document that the peer could not store; -1 = none */
    int64_t again_ms; /* backoff until those are sent once more */
    struct cm_err why;
    struct cm_told told; /* refusals in the log */
    bool audit;          /* the hub had what we never sent: all of it is compared in the end */
};

static void scan(struct rp_job *job);
static void send_some(struct rp_job *job);

static bool push_wants(const struct rp_job *job, const char *id)
{
    if (job->client->lab)
        return id[0] != '_';
    const struct cs_type *type = cs_type_of(id);
    return type && (job->give_back || (job->client->manager ? type->down : type->up));
}

static void forget_lacks(struct rp_push *push)
{
    for (size_t i = 0; i < push->lack_count; i++) {
        cm_free(push->lacks[i].id);
        cm_free(push->lacks[i].rev);
    }
    cm_free(push->lacks);
    push->lacks = NULL;
    push->lack_count = push->at = push->next = push->sent = 0;
}

/* ---- the end of a batch ------------------------------------------------------------------- */

static void note(struct rp_job *job)
{
    struct cs_store *store = job->client->store;
    char text[RP_SEQ_TEXT];
    const struct rp_push *push = job->pusher;
    rp_seq_format(push->held >= 0 ? push->held : push->since, cs_epoch(store), text);
    job->pusher->noted = job->pusher->since;
    rp_save_note(job, json_string(text));
}

static void batch_done(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    push->since = push->cursor;
    forget_lacks(push);
    if (push->held < 0)
        rp_job_success(job);
    note(job);
    scan(job);
}

/* ---- what the peer could not store just now ----------------------------------------------- */

/* A node of the peer is down, or was too slow: the others of the batch go on, this one comes again
 * when they are through. */
static void hold(struct rp_job *job, const json_t *row)
{
    struct rp_push *push = job->pusher;
    if (push->held >= 0)
        return;
    push->held = push->since;
    cm_err_fini(&push->why);
    cm_fail(&push->why, CM_EPEER, "the peer could not store %s: %s (%s)",
            cm_json_str_or(row, "id", ""), cm_json_str_or(row, "reason", ""),
            cm_json_str_or(row, "error", ""));
}

static void come_again(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    uint32_t random;
    cm_random(&random, sizeof(random));
    push->cursor = push->since = push->held;
    push->held = -1;
    rp_job_pause(job, &push->why, rp_wait_ms(push->again_ms, 0, random), scan);
    push->again_ms = rp_backoff_next(push->again_ms);
}

/* ---- sending ------------------------------------------------------------------------------ */

/* A peer that refuses everything does not fill the log. */
static void tell_refused(struct rp_job *job, const char *id, const char *reason, const char *error)
{
    int64_t left_out;
    bool tell = cm_told_more(&job->pusher->told, &left_out);
    if (left_out > 0)
        cm_log(CM_LOG_WARN, "replicator", job->client->url, "the peer refused %lld more documents",
               (long long)left_out);
    if (tell && error)
        cm_log(CM_LOG_WARN, "replicator", id, "the peer refused it: %s (%s)", reason, error);
    else if (tell)
        cm_log(CM_LOG_WARN, "replicator", id, "the peer refused it: %s", reason);
}

/* Those that were not stored, for good or just now. */
static size_t count_refusals(struct rp_job *job, const json_t *rows)
{
    size_t count = 0, held = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *error = cm_json_str(row, "error");
        if (!error)
            continue;
        if (!rp_row_final(error)) {
            hold(job, row);
            held++;
            continue;
        }
        count++;
        tell_refused(job, cm_json_str_or(row, "id", ""), cm_json_str_or(row, "reason", ""), error);
    }
    job->refused += (int64_t)count;
    job->save.session.write_failures += (int64_t)count;
    return count + held;
}

static void on_bulk_docs(struct rp_job *job, const struct http_result *res)
{
    struct rp_push *push = job->pusher;
    if (res->status == 413) {
        push->sending = false;
        if (push->sent > 1) {
            push->bytes /= 2;
        } else {
            tell_refused(job, push->lacks[push->first].id, "too large", NULL);
            job->refused++;
            push->at = push->next;
            push->bytes = push->budget; /* it was this one: the others go together again */
        }
        send_some(job);
        return;
    }
    if (res->status != 200 && res->status != 201 && res->status != 202) {
        rp_job_fail_status(job, res, "sending documents to");
        return;
    }
    CM_AUTO_JSON rows = rp_reply_json(res);
    if (!json_is_array(rows)) { /* it may name what was not stored */
        rp_job_fail_status(job, res, "sending documents to");
        return;
    }
    size_t refused = count_refusals(job, rows);
    int64_t taken = refused < push->sent ? (int64_t)(push->sent - refused) : 0;
    rp_job_count(job, (size_t)taken);
    job->save.session.docs_written += taken;
    push->at = push->next;
    push->sending = false;
    send_some(job);
}

/* Documents from `at` on, as many as fit; what is gone since the feed was read is left out. */
static json_t *next_docs(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    json_t *docs = json_array();
    size_t bytes = 0, i = push->at;
    for (; i < push->lack_count && i - push->at < RP_BATCH; i++) {
        json_t *doc = NULL;
        if (cs_read_rev(job->client->store, push->lacks[i].id, push->lacks[i].rev, true, false,
                        &doc, NULL) < 0)
            continue;
        size_t len = json_dumpb(doc, NULL, 0, JSON_COMPACT);
        if (json_array_size(docs) > 0 && bytes + len > push->bytes) {
            json_decref(doc);
            break;
        }
        if (json_array_size(docs) == 0)
            push->first = i;
        bytes += len;
        json_array_append_new(docs, doc);
    }
    push->next = i;
    push->sent = json_array_size(docs);
    return docs;
}

static void send_some(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    while (push->at < push->lack_count) {
        CM_AUTO_JSON body = json_object();
        json_t *docs = next_docs(job);
        cm_json_set_bool(body, "new_edits", false);
        cm_json_set(body, "docs", docs);
        if (json_array_size(docs) > 0) {
            push->sending = true;
            rp_job_call(
                job, &(struct rp_call_spec){.method = "POST", .path = "/_bulk_docs", .body = body},
                on_bulk_docs);
            return;
        }
        push->at = push->next;
    }
    batch_done(job);
}

/* ---- what the peer lacks ------------------------------------------------------------------ */

/* Only what was offered counts: the peer must not be able to ask for anything else. */
static void add_lack(struct rp_push *push, const char *id, const char *rev)
{
    const json_t *offered = json_object_get(push->offer, id);
    if (!rev || !cm_json_has_str(offered, rev))
        return;
    push->lacks[push->lack_count++] = (struct item){.id = cm_strdup(id), .rev = cm_strdup(rev)};
}

static size_t offer_size(const json_t *offer)
{
    size_t count = 0;
    const char *id;
    json_t *revs;
    json_object_foreach((json_t *)(uintptr_t)offer, id, revs) count += json_array_size(revs);
    return count;
}

/* A hub that has a version already which it did not get from us just now may have any text under
 * that name: in an empty one everybody can be the first. */
static void doubt(struct rp_job *job, const json_t *missing)
{
    struct rp_push *push = job->pusher;
    const char *id;
    json_t *revs;
    if (!job->client->heal || push->lack_count == offer_size(push->offer))
        return;
    json_object_foreach(push->offer, id, revs)
    {
        const json_t *lacks = cm_json_arr(cm_json_obj(missing, id), "missing");
        if (json_array_size(lacks) >= json_array_size(revs))
            continue;
        if (rp_heal_waits(job->client) < DOUBT_MAX)
            rp_heal_note(job->client, id);
        else
            push->audit = true;
    }
}

static void on_revs_diff(struct rp_job *job, const struct http_result *res)
{
    struct rp_push *push = job->pusher;
    CM_AUTO_JSON reply = res->status == 200 ? rp_reply_json(res) : NULL;
    if (!json_is_object(reply)) {
        rp_job_fail_status(job, res, "comparing revisions with");
        return;
    }
    size_t room = offer_size(push->offer);
    forget_lacks(push);
    push->lacks = cm_calloc(room, sizeof(*push->lacks));
    const char *id;
    json_t *entry;
    json_object_foreach(reply, id, entry)
    {
        const json_t *missing = cm_json_arr(entry, "missing");
        for (size_t i = 0; i < json_array_size(missing) && push->lack_count < room; i++)
            add_lack(push, id, json_string_value(json_array_get(missing, i)));
    }
    doubt(job, reply);
    job->save.session.missing_checked += (int64_t)room;
    job->save.session.missing_found += (int64_t)push->lack_count;
    send_some(job);
}

/* ---- our own feed ------------------------------------------------------------------------- */

static int collect(void *arg, const struct cs_change *change)
{
    struct rp_job *job = arg;
    struct rp_push *push = job->pusher;
    push->cursor = change->seq;
    push->looked_at++;
    if (!push_wants(job, change->id))
        return 0;
    json_t *revs = json_array();
    for (size_t i = 0; i < change->leaf_count; i++)
        json_array_append_new(revs, json_string(change->leaf_rev[i]));
    cm_json_set(push->offer, change->id, revs);
    return 0;
}

/* ---- giving back to an upstream that was restored ---------------------------------------- */

static void rest(struct rp_job *job);

static void on_gave_back(struct rp_job *job, const struct http_result *res)
{
    if (res->status != 200 && res->status != 201) {
        rp_job_fail_status(job, res, "giving everything back to");
        return;
    }
    cm_log(CM_LOG_INFO, "replicator", job->client->url,
           "the upstream has everything back that is held here");
    job->give_back = false;
    rest(job);
}

/* The trust root goes first: the signers of the others may be known from it only.  Returns false
 * when there is none. */
static bool offer_trust(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    json_t *leaves = NULL;
    if (cs_read_leaves(job->client->store, "trust:root", false, &leaves, NULL) < 0)
        return false;
    json_t *revs = json_array();
    for (size_t i = 0; i < json_array_size(leaves); i++)
        json_array_append(revs, json_object_get(json_array_get(leaves, i), "_rev"));
    json_decref(leaves);
    json_decref(push->offer);
    push->offer = json_object();
    cm_json_set(push->offer, "trust:root", revs);
    rp_job_call(
        job, &(struct rp_call_spec){.method = "POST", .path = "/_revs_diff", .body = push->offer},
        on_revs_diff);
    return true;
}

static void rest(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    push->since = push->cursor;
    push->bytes = push->budget = BYTES_MAX;
    push->idle = true;
    push->again_ms = RP_BACKOFF_MIN_MS;
    rp_job_state(job, RP_LIVE);
    rp_job_success(job);
    if (push->audit)
        rp_audit_begin(job->client);
    push->audit = false;
    if (push->since - push->noted >= NOTE_EVERY)
        note(job);
}

static void scan(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    struct cm_err err = CM_ERR_INIT;
    int rc = 0;
    push->idle = false;
    push->scanned_at = cm_mono_ms();
    rp_job_state(job, RP_REPLICATING);
    json_decref(push->offer);
    push->offer = json_object();
    for (int page = 0; page < PAGES_PER_TURN && json_object_size(push->offer) == 0; page++) {
        push->looked_at = 0;
        rc = cs_changes(job->client->store, push->cursor, RP_BATCH, collect, job, &err);
        if (rc < 0 || push->looked_at < RP_BATCH)
            break;
    }
    if (rc < 0)
        rp_job_fail(job, &err);
    else if (json_object_size(push->offer) > 0)
        rp_job_call(
            job,
            &(struct rp_call_spec){.method = "POST", .path = "/_revs_diff", .body = push->offer},
            on_revs_diff);
    else if (push->looked_at == RP_BATCH)
        rp_job_after(job, 0, scan);
    else if (push->held >= 0)
        come_again(job);
    else if (job->give_back)
        rp_job_call(job, &(struct rp_call_spec){.method = "POST", .path = "/_gave_back"},
                    on_gave_back);
    else
        rest(job);
    cm_err_fini(&err);
}

void rp_push_wake(struct rp_job *job, const char *id)
{
    if (!job->pusher || !job->pusher->idle || job->state != RP_LIVE || !push_wants(job, id))
        return;
    job->pusher->idle = false;
    rp_job_state(job, RP_REPLICATING); /* the peer lacks it from now on, not from the look on */
    int64_t wait = job->pusher->scanned_at + RP_GATHER_PUSH_MS - cm_mono_ms();
    rp_job_after(job, wait > 0 ? wait : 0, scan); /* after all changes of this commit */
}

int64_t rp_push_behind(const struct rp_job *job)
{
    /* What was looked at and is not delivered yet counts, too: a peer that is away lacks it. */
    int64_t behind = job->pusher ? cs_seq(job->client->store) - job->pusher->since : -1;
    return job->state == RP_LIVE ? 0 : behind;
}

/* ---- life --------------------------------------------------------------------------------- */

/* What did not get through is tried in halves: over a slow link the whole of it never would. */
static size_t next_budget(const struct rp_push *before)
{
    size_t bytes = before ? before->bytes : BYTES_MAX;
    if (before && before->sending)
        bytes = bytes / 2 > BYTES_MIN ? bytes / 2 : BYTES_MIN;
    return bytes;
}

void rp_push_start(struct rp_job *job, const json_t *since)
{
    struct cs_store *store = job->client->store;
    size_t bytes = next_budget(job->pusher);
    rp_push_free(job);
    job->pusher = cm_calloc(1, sizeof(*job->pusher));
    struct rp_push *push = job->pusher;
    push->bytes = push->budget = bytes;
    push->held = -1;
    push->again_ms = RP_BACKOFF_MIN_MS;
    if (json_is_string(since) &&
        rp_seq_parse(json_string_value(since), cs_epoch(store), cs_seq(store), &push->since) < 0)
        push->since = 0;
    push->audit = push->since == 0;
    push->cursor = push->noted = push->since;
    if (!job->give_back || !offer_trust(job))
        scan(job);
}

void rp_push_free(struct rp_job *job)
{
    struct rp_push *push = job->pusher;
    if (!push)
        return;
    forget_lacks(push);
    json_decref(push->offer);
    cm_err_fini(&push->why);
    cm_free(push);
    job->pusher = NULL;
}
