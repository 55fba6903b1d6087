/*
 * Fetching documents with _bulk_get, in requests of some hundred: while the signatures of one reply
 * are checked on worker threads, the next reply comes in; a third is not asked for before the first
 * is put.
 *
 * One poisoned document must not stop the others: a reply that is too large or does not parse is
 * asked for in smaller pieces, and a single document that still fails is left out (logged).
 */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/pull.h"

#define CHUNK_MAX (RP_BATCH / 4) /* entries of one request: two replies are in memory */

static void ask(struct rp_job *job);

/* ---- putting ------------------------------------------------------------------------------ */

/* False when the job has failed. */
static bool put_all(struct rp_job *job, const json_t *results)
{
    struct cm_err err = CM_ERR_INIT;
    int rc = 0;
    for (size_t i = 0; i < json_array_size(results) && rc == 0; i++)
        rc = rp_pull_put(job, cm_json_arr(json_array_get(results, i), "docs"), &err);
    if (rc < 0)
        rp_job_fail(job, &err);
    cm_err_fini(&err);
    return rc == 0;
}

static json_t *docs_of(const json_t *results)
{
    json_t *docs = json_array();
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *list = cm_json_arr(json_array_get(results, i), "docs");
        for (size_t j = 0; j < json_array_size(list); j++) {
            json_t *doc = cm_json_obj(json_array_get(list, j), "ok");
            if (doc)
                json_array_append(docs, doc);
        }
    }
    return docs;
}

static void on_proved(void *arg);

/* Begins to check the signatures of what a reply brought; false when they are too few for that. */
static bool begin_proof(struct rp_job *job, json_t *results)
{
    struct rp_pull *pull = job->pull;
    const struct rp_client *client = job->client;
    CM_AUTO_JSON docs = client->prove ? docs_of(results) : NULL;
    if (json_array_size(docs) < RP_PROVE_MIN)
        return false;
    pull->proving = json_incref(results);
    pull->proof = rp_ticket_new(job, NULL);
    client->prove(client->prove_arg, json_incref(docs), on_proved, pull->proof);
    return true;
}

/* The workers get the next documents before these are put, so that neither waits for the other. */
static void on_proved(void *arg)
{
    struct rp_ticket *ticket = arg;
    struct rp_job *job = ticket->job;
    cm_free(ticket);
    if (!job)
        return;
    struct rp_pull *pull = job->pull;
    CM_AUTO_JSON results = pull->proving;
    CM_AUTO_JSON held = pull->held;
    pull->proving = pull->held = NULL;
    pull->proof = NULL;
    bool begun = held && begin_proof(job, held);
    if (begun)
        ask(job);
    if (!put_all(job, results) || begun)
        return;
    if (held && !put_all(job, held))
        return;
    if (held || pull->at >= json_array_size(pull->missing))
        ask(job);
}

/* ---- asking ------------------------------------------------------------------------------- */

/* The reply was of no use: ask for fewer, or leave the one out. */
static void ask_for_less(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    if (pull->asked > 1) {
        pull->chunk = pull->asked / 2;
    } else {
        rp_pull_leave_out(job, json_array_get(pull->missing, pull->at));
        pull->at++;
    }
    ask(job);
}

static void on_bulk_get(struct rp_job *job, const struct http_result *res)
{
    struct rp_pull *pull = job->pull;
    int status = res->err->code == CM_ELIMIT ? 413 : res->status;
    bool lacking = status == 404 || status == 405 || status == 400 || status == 501;
    if (lacking && !pull->proof) {
        pull->no_bulk_get = true;
        rp_gets_start(job, pull->fetched);
        return;
    }
    if (status != 200 && status != 413) {
        rp_job_fail_status(job, res, "fetching documents from");
        return;
    }
    CM_AUTO_JSON reply = status == 200 ? rp_reply_json(res) : NULL;
    json_t *results = cm_json_arr(reply, "results");
    if (!results) {
        ask_for_less(job);
        return;
    }
    pull->at += pull->asked;
    pull->chunk = 2 * pull->chunk < CHUNK_MAX ? 2 * pull->chunk : CHUNK_MAX;
    if (pull->proof)
        pull->held = json_incref(results);
    else if (begin_proof(job, results) || put_all(job, results))
        ask(job);
}

static void ask(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    size_t count = json_array_size(pull->missing);
    if (pull->at >= count) {
        if (pull->proof)
            rp_pull_ahead(job);
        else
            pull->fetched(job);
        return;
    }
    CM_AUTO_JSON body = json_object();
    json_t *docs = json_array();
    for (size_t i = pull->at; i < count && json_array_size(docs) < pull->chunk; i++)
        json_array_append(docs, json_array_get(pull->missing, i));
    pull->asked = json_array_size(docs);
    cm_json_set(body, "docs", docs);
    rp_job_call(job,
                &(struct rp_call_spec){.method = "POST",
                                       .path = "/_bulk_get?revs=true&latest=true&attachments=false",
                                       .body = body,
                                       .limit_ok = true},
                on_bulk_get);
}

void rp_bulk_start(struct rp_job *job, rp_job_fn fetched)
{
    struct rp_pull *pull = job->pull;
    pull->fetched = fetched;
    if (pull->chunk == 0)
        pull->chunk = CHUNK_MAX;
    ask(job);
}

void rp_bulk_cancel(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    rp_ticket_drop(&pull->proof);
    json_decref(pull->proving);
    json_decref(pull->held);
    pull->proving = pull->held = NULL;
}
