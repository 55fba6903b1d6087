/*
 * Fetching documents with _bulk_get, in requests of some hundred.  A reply is read by a worker
 * thread, then its signatures are checked by several, then the loop puts its documents: while one
 * is checked or put, the next comes in and is read; a third is not asked for before the first is
 * checked.
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

/* Puts and frees; false when the job has failed. */
static bool put_all(struct rp_job *job, struct rp_reading *take)
{
    struct cm_err err = CM_ERR_INIT;
    int rc = rp_pull_put(job, take, &err);
    rp_reading_drop(take, job->client->loop);
    if (rc < 0)
        rp_job_fail(job, &err);
    cm_err_fini(&err);
    return rc == 0;
}

static void on_proved(void *arg);

static const json_t *signed_at(void *arg, size_t at)
{
    const struct rp_reading *reading = arg;
    return json_array_get(reading->docs, at);
}

/* Begins to check the signatures of what a reply brought; false when they are too few for that. */
static bool begin_proof(struct rp_job *job, struct rp_reading *take)
{
    struct rp_pull *pull = job->pull;
    const struct rp_client *client = job->client;
    if (!client->prove || rp_reading_documents(take) < RP_PROVE_MIN)
        return false;
    pull->proving = take;
    const struct cs_proof proof = {.count = json_array_size(rp_reading_signed(take)),
                                   .doc = signed_at,
                                   .done = on_proved,
                                   .arg = take};
    client->prove(client->prove_arg, &proof);
    return true;
}

/* The workers get the next documents before these are put, so that neither waits for the other. */
static void on_proved(void *arg)
{
    struct rp_reading *proved = arg;
    struct rp_job *job = proved->job;
    if (!job) {
        rp_reading_free(proved);
        return;
    }
    struct rp_pull *pull = job->pull;
    struct rp_reading *held = pull->held;
    pull->proving = pull->held = NULL;
    bool begun = held && begin_proof(job, held);
    if (begun)
        ask(job);
    if (!put_all(job, proved)) {
        if (held && !begun)
            rp_reading_free(held);
        return;
    }
    if (begun || (held && !put_all(job, held)) || pull->reading)
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

static void take_reading(struct rp_job *job, struct rp_reading *take)
{
    struct rp_pull *pull = job->pull;
    if (!cm_json_arr(take->reply, "results")) {
        rp_reading_free(take);
        ask_for_less(job);
        return;
    }
    pull->at += pull->asked;
    pull->chunk = 2 * pull->chunk < CHUNK_MAX ? 2 * pull->chunk : CHUNK_MAX;
    if (pull->proving)
        pull->held = take;
    else if (begin_proof(job, take) || put_all(job, take))
        ask(job);
}

static void run_reading(void *arg)
{
    rp_reading_run(arg, true);
}

static void on_read(void *arg)
{
    struct rp_reading *reading = arg;
    struct rp_job *job = reading->job;
    if (!job) {
        rp_reading_free(reading);
        return;
    }
    job->pull->reading = NULL;
    take_reading(job, reading);
}

static void on_bulk_get(struct rp_job *job, const struct http_result *res)
{
    struct rp_pull *pull = job->pull;
    int status = res->err->code == CM_ELIMIT ? 413 : res->status;
    bool lacking = (status == 404 && !rp_reply_no_database(res)) || status == 405 ||
                   status == 400 || status == 501;
    if (lacking && !pull->proving) {
        pull->no_bulk_get = true;
        rp_gets_start(job, pull->fetched);
        return;
    }
    if (status != 200 && status != 413) {
        rp_job_fail_status(job, res, "fetching documents from");
        return;
    }
    if (status != 200) {
        ask_for_less(job);
        return;
    }
    struct rp_reading *reading = rp_reading_new(job, res);
    if (pull->asked < RP_PROVE_MIN) {
        rp_reading_run(reading, true);
        take_reading(job, reading);
        return;
    }
    pull->reading = reading;
    cm_loop_work(job->client->loop, run_reading, on_read, reading);
}

static void ask(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    size_t count = json_array_size(pull->missing);
    if (pull->at >= count) {
        if (pull->proving)
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
    if (pull->reading)
        pull->reading->job = NULL; /* on_read() frees it, */
    if (pull->proving)
        pull->proving->job = NULL; /* and on_proved() this one */
    if (pull->held)
        rp_reading_free(pull->held);
    pull->reading = pull->proving = pull->held = NULL;
}
