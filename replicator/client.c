/*
 * The replication client: life of its two jobs, their requests, errors and back-off.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "replicator/failure.h"
#include "replicator/job.h"
#include "replicator/values.h"

/* ---- requests ----------------------------------------------------------------------------- */

struct http_call *rp_start_call(struct rp_client *client, const struct rp_call_spec *spec,
                                http_done_fn done, void *arg, struct cm_err *err)
{
    const char *headers[4] = {0};
    size_t n = 0, len = 0;
    CM_AUTO_STR url =
        spec->path ? cm_asprintf("%s%s", client->url, spec->path) : cm_strdup(client->root);
    CM_AUTO_STR body = spec->body ? cm_json_dump(spec->body, &len) : NULL;
    headers[n++] = "Accept: application/json";
    if (strcmp(spec->method, "POST") == 0 || strcmp(spec->method, "PUT") == 0)
        headers[n++] = "Content-Type: application/json";
    char *authorization =
        client->authorization ? cm_asprintf("Authorization: %s", client->authorization) : NULL;
    if (authorization)
        headers[n++] = authorization;
    const struct http_call_opts opts = {
        .method = spec->method,
        .url = url,
        .headers = headers,
        .body = body,
        .body_len = len,
        .timeout_ms = spec->feed ? -1 : RP_CALL_MS,
        .connect_ms = RP_CONNECT_MS,
        .silence_ms = rp_silence_ms(spec->feed, client->hub, len),
        .reply_max = spec->reply_max ? spec->reply_max : RP_BODY_MAX,
        .allow_http = client->allow_http,
        .pin_spki = client->pin_spki,
        .cert_file = client->cert_file,
        .key_file = client->key_file,
        .cert_pem = client->cert_pem,
        .key_pem = client->key_pem,
        .ca_pem = client->ca_pem,
        .on_data = spec->on_data,
    };
    struct http_call *call = http_call(client->http, &opts, done, arg, err);
    if (authorization)
        cm_free_secret(authorization, strlen(authorization));
    return call;
}

static void on_done(void *arg, const struct http_result *res)
{
    struct rp_job *job = arg;
    job->call = NULL;
    int code = res->err->code;
    if (code != 0 && !(job->limit_ok && (code == CM_ELIMIT || code == CM_ECLOSED)))
        rp_job_fail(job, res->err);
    else
        job->on_reply(job, res);
}

void rp_job_call(struct rp_job *job, const struct rp_call_spec *spec, rp_reply_fn fn)
{
    struct cm_err err = CM_ERR_INIT;
    CM_BUG_ON(job->call);
    job->on_reply = fn;
    job->limit_ok = spec->limit_ok;
    job->call = rp_start_call(job->client, spec, on_done, job, &err);
    if (!job->call)
        rp_job_fail(job, &err);
    cm_err_fini(&err);
}

json_t *rp_reply_json(const struct http_result *res)
{
    json_t *body = NULL;
    if (!rp_values_ok(res->body, res->body_len) ||
        cm_json_parse_lax(res->body, res->body_len, &body, NULL) < 0)
        return NULL;
    return body;
}

/* ---- waiting ------------------------------------------------------------------------------ */

struct rp_ticket *rp_ticket_new(struct rp_job *job, rp_job_fn fn)
{
    struct rp_ticket *ticket = cm_malloc(sizeof(*ticket));
    *ticket = (struct rp_ticket){.job = job, .fn = fn};
    return ticket;
}

void rp_ticket_drop(struct rp_ticket **ticket)
{
    if (*ticket)
        (*ticket)->job = NULL; /* the store's callback frees it */
    *ticket = NULL;
}

static void on_commit(void *arg, int code, const struct cm_err *err)
{
    struct rp_ticket *ticket = arg;
    struct rp_job *job = ticket->job;
    rp_job_fn fn = ticket->fn;
    cm_free(ticket);
    if (!job)
        return;
    job->ticket = NULL;
    if (code < 0)
        rp_job_fail(job, err);
    else
        fn(job);
}

void rp_job_after_commit(struct rp_job *job, rp_job_fn fn)
{
    job->ticket = rp_ticket_new(job, fn);
    cs_after_commit(job->client->store, on_commit, job->ticket);
}

static void on_put_commit(void *arg, int code, const struct cm_err *err)
{
    struct rp_ticket *ticket = arg;
    struct rp_job *job = ticket->job;
    cm_free(ticket);
    if (!job)
        return;
    job->put = NULL;
    if (code < 0)
        rp_job_fail(job, err);
}

void rp_job_put(struct rp_job *job)
{
    if (job->put)
        return;
    job->put = rp_ticket_new(job, NULL);
    cs_after_commit(job->client->store, on_put_commit, job->put);
}

static void on_timer(void *arg)
{
    struct rp_job *job = arg;
    job->on_timer(job);
}

void rp_job_after(struct rp_job *job, int64_t ms, rp_job_fn fn)
{
    job->on_timer = fn;
    cm_timer_start(job->timer, ms);
}

static void job_halt(struct rp_job *job)
{
    if (job->call)
        http_call_cancel(job->call);
    job->call = NULL;
    rp_ticket_drop(&job->ticket);
    rp_ticket_drop(&job->put);
    cm_timer_stop(job->timer);
    rp_pull_halt(job);
    rp_save_stop(job);
}

/* ---- errors ------------------------------------------------------------------------------- */

static void job_open(struct rp_job *job);

static void fail_after(struct rp_job *job, const struct cm_err *err, int64_t floor_ms)
{
    job_halt(job);
    uint32_t random;
    cm_random(&random, sizeof(random));
    int64_t wait = rp_wait_ms(job->backoff_ms, cm_mono_ms() - job->opened_ms, random);
    if (wait < floor_ms)
        wait = floor_ms;
    job->backoff_ms = rp_backoff_next(job->backoff_ms);
    struct cm_err why = CM_ERR_INIT;
    cm_err_copy(&why, err);
    cm_wrap(&why, CM_EPEER, "replication (%s) with %s has stopped", job->push ? "push" : "pull",
            job->client->url);
    rp_job_pause(job, &why, wait, job_open);
    cm_err_fini(&why);
}

void rp_job_pause(struct rp_job *job, const struct cm_err *err, int64_t ms, rp_job_fn fn)
{
    unsigned attempts = job->err.attempts + 1;
    cm_err_fini(&job->err);
    cm_err_copy(&job->err, err);
    if (job->err.object[0] == '\0')
        cm_err_object(&job->err, "peer %s", job->client->url);
    if (job->err.retry == CM_RETRY_NONE)
        job->err.retry = CM_RETRY_TRANSIENT;
    job->err.attempts = attempts;
    job->err.next_attempt_ms = cm_now_ms() + ms;
    if (attempts == 1)
        cm_log_err(CM_LOG_WARN, "replicator", &job->err);
    cm_err_fini(&job->last_err);
    cm_err_copy(&job->last_err, &job->err);
    job->last_err_ms = cm_now_ms();
    rp_job_state(job, RP_WAITING);
    rp_job_after(job, ms, fn);
}

void rp_job_fail(struct rp_job *job, const struct cm_err *err)
{
    fail_after(job, err, 0);
}

void rp_job_fail_status(struct rp_job *job, const struct http_result *res, const char *what)
{
    struct cm_err err = CM_ERR_INIT;
    int64_t floor_ms = rp_failure_explain(res, job->client->hub, what, &err);
    fail_after(job, &err, floor_ms);
    cm_err_fini(&err);
}

void rp_job_success(struct rp_job *job)
{
    if (job->err.code != 0)
        cm_log(CM_LOG_INFO, "replicator", job->client->url, "replication (%s) works again",
               job->push ? "push" : "pull");
    cm_err_fini(&job->err);
    job->last_err.next_attempt_ms = 0; /* it is over: nothing is planned because of it */
    job->backoff_ms = RP_BACKOFF_MIN_MS;
    job->success_ms = cm_now_ms();
}

/* ---- opening ------------------------------------------------------------------------------ */

static void on_db(struct rp_job *job, const struct http_result *res)
{
    struct cm_err err = CM_ERR_INIT;
    struct rp_client *client = job->client;
    CM_AUTO_JSON db = res->status == 200 ? rp_reply_json(res) : NULL;
    bool give_back = !client->lab && !client->hub && cm_json_bool(db, "give_back", false);
    int rc = res->status == 200 ? rp_upstream_check(job, db, &err) : 0;
    job->give_back = job->push && give_back;
    job->peer_seq = rp_seq_number(json_object_get(db, "update_seq"));
    /* Whoever answers 200 to everything (a login page in between) is not taken for an empty hub. */
    if (!cm_json_str(db, "db_name") && !json_object_get(db, "update_seq"))
        rp_job_fail_status(job, res, "opening the database of");
    else if (rc < 0)
        rp_job_fail(job, &err);
    else
        rp_save_open(job);
    /* A push with nothing to do has no connection by which it would notice. */
    if (!job->push && client->job[1] && !client->job[1]->give_back && (give_back || rc == 1))
        job_open(client->job[1]);
    cm_err_fini(&err);
}

static void on_root(struct rp_job *job, const struct http_result *res)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON body = res->status == 200 ? rp_reply_json(res) : NULL;
    const char *uuid = cm_json_str(body, "uuid");
    struct rp_client *client = job->client;
    if (res->status == 401 || res->status == 403) {
        rp_job_fail_status(job, res, "connecting to");
        return;
    }
    /* Behind a proxy the root may say nothing: then the URL is the peer's name.  So it is of a hub:
     * the nodes of a cluster often have an id each (its manual asks for one), and who answers
     * changes; what both sides remember shows whether it is the same database. */
    if (client->hub || !uuid || cm_strcpy(job->peer_uuid, sizeof(job->peer_uuid), uuid) < 0)
        cm_strcpy(job->peer_uuid, sizeof(job->peer_uuid), client->peer);
    if (uuid && strcmp(uuid, cs_uuid(client->store)) == 0) {
        cm_fail(&err, CM_EPEER, "the peer has this store's own id");
        cm_err_hint(&err, "The upstream URL points to this server itself, or a store was copied: "
                          "set another upstream, or join the server anew.");
        rp_job_fail(job, &err);
        cm_err_fini(&err);
        return;
    }
    rp_job_id(cs_uuid(client->store), cs_epoch(client->store), job->peer_uuid, client->db,
              job->push, job->id);
    rp_job_call(job, &(struct rp_call_spec){.method = "GET", .path = "/"}, on_db);
}

static void job_open(struct rp_job *job)
{
    job_halt(job);
    if (!job->client->url) {
        rp_job_state(job, RP_STOPPED);
        return;
    }
    rp_job_state(job, RP_CONNECTING);
    job->opened_ms = cm_mono_ms();
    rp_job_call(job, &(struct rp_call_spec){.method = "GET"}, on_root);
}

void rp_push_anew(struct rp_client *client)
{
    if (client->job[1])
        job_open(client->job[1]);
}

/* ---- life --------------------------------------------------------------------------------- */

/* Splits and keeps the URL of the database; NULL or "" = no upstream. */
static int set_url(struct rp_client *client, const char *text, struct cm_err *err)
{
    struct url url;
    char origin[320];
    size_t len = text ? strlen(text) : 0;
    while (len > 0 && text[len - 1] == '/')
        len--;
    CM_AUTO_STR trimmed = cm_strndup(text ? text : "", len);
    if (len > 0) {
        int rc = url_parse(trimmed, &url, err);
        if (rc < 0)
            return cm_wrap(err, rc, "the upstream URL cannot be used");
        const char *db = strrchr(url.path, '/') + 1;
        if (*db == '\0' || strchr(url.path, '?'))
            return cm_fail(err, CM_EINVAL, "the upstream URL %s names no database", trimmed);
        url_origin(&url, origin, sizeof(origin));
    }
    cm_free(client->url);
    cm_free(client->root);
    cm_free(client->db);
    cm_free(client->peer);
    client->url = client->root = client->db = client->peer = NULL;
    if (len == 0)
        return 0;
    const char *db = strrchr(trimmed, '/') + 1;
    client->url = cm_strdup(trimmed);
    client->root = cm_strndup(trimmed, (size_t)(db - trimmed));
    client->db = cm_strdup(db);
    client->peer = cm_strdup(strstr(origin, "://") + 3);
    return 0;
}

static void on_change(void *arg, const char *id)
{
    struct rp_client *client = arg;
    if (client->job[1])
        rp_push_wake(client->job[1], id);
}

static struct rp_job *job_new(struct rp_client *client, bool push)
{
    struct rp_job *job = cm_calloc(1, sizeof(*job));
    job->client = client;
    job->push = push;
    job->backoff_ms = RP_BACKOFF_MIN_MS;
    job->behind = -1;
    job->again = !push && rp_again_noted(client->store);
    job->timer = cm_timer_new(client->loop, on_timer, job);
    return job;
}

static void job_free(struct rp_job *job)
{
    if (!job)
        return;
    job_halt(job);
    rp_save_free(job);
    if (job->push)
        rp_push_free(job);
    else
        rp_pull_free(job);
    cm_timer_free(job->timer);
    cm_err_fini(&job->err);
    cm_err_fini(&job->last_err);
    cm_free(job);
}

static char *copy_text(const char *text)
{
    return text ? cm_strdup(text) : NULL;
}

int rp_client_new(const struct rp_client_opts *opts, struct rp_client **ret, struct cm_err *err)
{
    struct rp_client *client = cm_calloc(1, sizeof(*client));
    int rc = set_url(client, opts->url, err);
    if (rc < 0) {
        cm_free(client);
        return rc;
    }
    client->loop = opts->loop;
    client->store = opts->store;
    client->http = opts->http;
    client->cert_file = copy_text(opts->cert_file);
    client->key_file = copy_text(opts->key_file);
    client->pin_spki = copy_text(opts->pin_spki);
    client->allow_http = opts->allow_http;
    client->lab = opts->lab;
    client->on_batch = opts->on_batch;
    client->on_foreign = opts->on_foreign;
    client->arg = opts->arg;
    client->hub = opts->hub;
    client->manager = opts->hub && opts->manager;
    client->authorization = copy_text(opts->authorization);
    client->cert_pem = copy_text(opts->cert_pem);
    client->key_pem = copy_text(opts->key_pem);
    client->ca_pem = copy_text(opts->ca_pem);
    client->prove = opts->prove;
    client->prove_arg = opts->prove_arg;
    if (!opts->push_only)
        client->job[0] = job_new(client, false);
    if (!opts->pull_only)
        client->job[1] = job_new(client, true);
    if (client->manager && opts->heal)
        rp_heal_new(client);
    rp_audit_new(client);
    cs_listen(client->store, on_change, client);
    for (size_t i = 0; i < 2; i++)
        if (client->job[i])
            job_open(client->job[i]);
    *ret = client;
    return 0;
}

static void free_secret(char *text)
{
    if (text)
        cm_free_secret(text, strlen(text));
}

void rp_client_free(struct rp_client *client)
{
    if (!client)
        return;
    rp_audit_free(client);
    rp_heal_free(client);
    for (size_t i = 0; i < 2; i++)
        job_free(client->job[i]);
    cm_free(client->url);
    cm_free(client->root);
    cm_free(client->db);
    cm_free(client->peer);
    cm_free(client->cert_file);
    cm_free(client->key_file);
    cm_free(client->pin_spki);
    free_secret(client->authorization);
    free_secret(client->key_pem);
    cm_free(client->cert_pem);
    cm_free(client->ca_pem);
    cm_free(client);
}

void rp_client_end(struct rp_client *client)
{
    if (client)
        cs_unlisten(client->store, client);
    rp_client_free(client);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

void rp_client_again(struct rp_client *client)
{
    struct rp_job *job = client->job[0];
    rp_again_note(client->store);
    if (!job)
        return;
    job->again = true;
    job_open(job);
}

void rp_client_retarget(struct rp_client *client, const char *url, const char *pin_spki)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR old_url = copy_text(client->url);
    if (set_url(client, url, &err) < 0) {
        cm_log_err(CM_LOG_ERROR, "replicator", &err);
        set_url(client, NULL, NULL);
    }
    cm_err_fini(&err);
    bool same = same_text(old_url, client->url) && same_text(client->pin_spki, pin_spki);
    char *pin = copy_text(pin_spki);
    cm_free(client->pin_spki);
    client->pin_spki = pin;
    for (size_t i = 0; i < 2; i++) {
        struct rp_job *job = client->job[i];
        if (!job || (same && job->state != RP_WAITING))
            continue;
        job->backoff_ms = RP_BACKOFF_MIN_MS;
        job_open(job);
    }
}
