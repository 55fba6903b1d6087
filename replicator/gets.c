/*
 * Fetching documents one by one, a few at a time, from a peer without _bulk_get: GET with
 * open_revs as JSON (reference/replication.md 2).
 */
#include "base/core/json.h"
#include "base/net/url.h"
#include "certstore/store.h"
#include "replicator/pull.h"

#define PATH_SIZE (3 * (CS_ID_MAX + CS_REV_MAX) + 100)

static void start_more(struct rp_job *job);

static const json_t *entry_of(const struct rp_get *get)
{
    return json_array_get(get->job->pull->missing, get->entry);
}

/* Negative when the job has ended. */
static int take(struct rp_get *get, const struct http_result *res)
{
    struct rp_job *job = get->job;
    struct cm_err err = CM_ERR_INIT;
    if (res->err->code != 0 && res->err->code != CM_ELIMIT) {
        rp_job_fail(job, res->err);
        return CM_EPEER;
    }
    if (res->err->code == 0 && res->status == 404 && !rp_reply_no_database(res)) /* purged since */
        return 0;
    if (res->err->code == 0 && res->status != 200) {
        rp_job_fail_status(job, res, "fetching a document from");
        return CM_EPEER;
    }
    struct rp_reading *reading = rp_reading_new(job, res);
    int rc = 0;
    rp_reading_run(reading, false);
    if (res->err->code != 0 || !json_is_array(reading->reply))
        rp_pull_leave_out(job, entry_of(get));
    else
        rc = rp_pull_put(job, reading, &err);
    for (size_t i = 0; rc == 0 && i < json_array_size(reading->reply); i++)
        if (json_object_get(json_array_get(reading->reply, i), "missing"))
            rp_pull_later(job, entry_of(get));
    rp_reading_free(reading);
    if (rc < 0)
        rp_job_fail(job, &err);
    cm_err_fini(&err);
    return rc;
}

static void on_get(void *arg, const struct http_result *res)
{
    struct rp_get *get = arg;
    get->call = NULL;
    if (take(get, res) == 0)
        start_more(get->job);
}

static int start_one(struct rp_job *job, struct rp_get *get)
{
    struct rp_pull *pull = job->pull;
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf path;
    get->job = job;
    get->entry = pull->at++;
    cm_buf_init(&path, PATH_SIZE);
    cm_buf_putc(&path, '/');
    url_encode(&path, cm_json_str_or(entry_of(get), "id", ""));
    cm_buf_puts(&path, "?revs=true&latest=true&open_revs=%5B%22");
    url_encode(&path, cm_json_str_or(entry_of(get), "rev", ""));
    cm_buf_puts(&path, "%22%5D");
    const struct rp_call_spec spec = {.method = "GET", .path = cm_buf_str(&path)};
    get->call = rp_start_call(job->client, &spec, on_get, get, &err);
    cm_buf_fini(&path);
    if (!get->call)
        rp_job_fail(job, &err);
    cm_err_fini(&err);
    return get->call ? 0 : CM_EPEER;
}

static void start_more(struct rp_job *job)
{
    struct rp_pull *pull = job->pull;
    size_t active = 0;
    for (size_t i = 0; i < RP_GETS_MAX; i++) {
        struct rp_get *get = &pull->get[i];
        if (!get->call && pull->at < json_array_size(pull->missing) && start_one(job, get) < 0)
            return;
        active += get->call != NULL;
    }
    if (active == 0)
        pull->gets_done(job);
}

void rp_gets_start(struct rp_job *job, rp_job_fn done)
{
    job->pull->gets_done = done;
    start_more(job);
}

void rp_gets_cancel(struct rp_job *job)
{
    for (size_t i = 0; i < RP_GETS_MAX; i++) {
        struct rp_get *get = &job->pull->get[i];
        if (get->call)
            http_call_cancel(get->call);
        get->call = NULL;
    }
}
