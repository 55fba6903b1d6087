/*
 * The ports of an ACME order: network, signatures, saved state, challenge documents, timer, log.
 * Every port answers on a later turn of the loop, exactly once, unless the job went first.
 */
#include "certmgr/engine/guard.h"
#include "certmgr/engine/job.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/num.h"
#include "keyfile/cert.h"

#define SEND_MS 30000

static struct job_call *call_new(void *arg, void *done_arg)
{
    struct job_call *call = job_call_new(arg);
    call->arg = done_arg;
    return call;
}

/* ---- send ----------------------------------------------------------------------------------- */

static void on_reply(void *arg, const struct http_result *res)
{
    struct job_call *call = arg;
    acme_http_fn fn = call->fn.http;
    void *fn_arg = call->arg;
    bool dropped = !call->job;
    call->http = NULL;
    if (!dropped && res->status != 0)
        sched_reply(call->job->engine, cm_mono_ms() - call->begun_ms);
    if (!dropped && res->status != 0)
        eng_guard_reply(call->job->engine, res->headers);
    job_call_free(call);
    if (dropped)
        return;
    struct acme_http_res out = {.status = res->status,
                                .headers = res->headers,
                                .body = res->body,
                                .body_len = res->body_len,
                                .err = res->err};
    fn(fn_arg, &out);
}

static void on_send_refused(void *arg)
{
    struct job_call *call = arg;
    struct acme_http_res out = {.headers = "", .body = "", .err = call->err};
    if (call->job)
        call->fn.http(call->arg, &out);
    job_call_free(call);
}

static void send(void *arg, const struct acme_http_req *req, acme_http_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = call_new(arg, done_arg);
    call->fn.http = done;
    char accept[128];
    const char *headers[5] = {"User-Agent: certmgr/" CM_VERSION, "Accept-Language: en"};
    size_t count = 2;
    if (req->body)
        headers[count++] = "Content-Type: application/jose+json"; /* RFC 8555 6.2 */
    if (req->accept &&
        snprintf(accept, sizeof(accept), "Accept: %s", req->accept) < (int)sizeof(accept))
        headers[count++] = accept;
    struct http_call_opts opts = {
        .method = req->method,
        .url = req->url,
        .headers = headers,
        .body = req->body,
        .body_len = req->body ? strlen(req->body) : 0,
        .timeout_ms = SEND_MS,
        .allow_http = job->engine->env.lab_http,
        .once = req->body != NULL, /* its nonce is spent; what was done is asked, not repeated */
        .ca_pem = cm_json_str(job->account->body, "ca_pem"),
    };
    struct cm_err err = CM_ERR_INIT;
    call->begun_ms = cm_mono_ms();
    call->http = http_call(job->engine->env.http, &opts, on_reply, call, &err);
    if (!call->http) {
        call->err = cm_err_dup(&err);
        cm_loop_defer(job->engine->env.loop, on_send_refused, call);
    }
    cm_err_fini(&err);
}

/* ---- sign ----------------------------------------------------------------------------------- */

static void on_signed(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct cm_err why = CM_ERR_INIT;
    const json_t *jws = err ? NULL : cm_json_obj(reply, "jws");
    if (!jws && !err) {
        cm_fail(&why, CM_EMALF, "The key agent's answer to jws.sign is not complete");
        err = &why;
    }
    if (call->job)
        call->fn.json(call->arg, jws, err);
    job_call_free(call);
    cm_err_fini(&why);
}

/* The verb makes its payload itself: nothing else is ever signed by that key. */
static void sign_otherwise(struct job_call *call, const char *url, const char *nonce,
                           const char *kid)
{
    json_t *request = json_copy(call->job->sign_with);
    cm_json_set_str(request, "url", url);
    cm_json_set_str(request, "nonce", nonce);
    if (kid)
        cm_json_set_str(request, "kid", kid);
    struct kf_agent agent = call->job->engine->env.agent;
    agent.call(agent.arg, request, on_signed, call);
}

static void sign(void *arg, const char *url, const char *nonce, const char *payload,
                 const char *kid, acme_json_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = call_new(arg, done_arg);
    call->fn.json = done;
    const json_t *account = job->account->body;
    if (job->sign_with) {
        sign_otherwise(call, url, nonce, kid);
        return;
    }
    json_t *request = json_object();
    cm_json_set_str(request, "op", "jws.sign");
    cm_json_set_str(request, "account", job->account->name);
    cm_json_set_str(request, "directory", cm_json_str(account, "directory"));
    cm_json_set_str(request, "sealed_key", cm_json_str(account, "sealed_key"));
    cm_json_set_str(request, "url", url);
    cm_json_set_str(request, "nonce", nonce);
    cm_json_set_str(request, "payload", payload);
    cm_json_set(request, "kid", kid ? json_string(kid) : json_null());
    struct kf_agent agent = job->engine->env.agent;
    agent.call(agent.arg, request, on_signed, call);
}

/* ---- save ----------------------------------------------------------------------------------- */

void job_call_answer(struct job_call *call, const struct cm_err *err)
{
    acme_done_fn fn = call->fn.done;
    void *arg = call->arg;
    struct cm_err *copy = cm_err_dup(err); /* err may be the call's own */
    bool dropped = !call->job;
    job_call_free(call);
    if (!dropped)
        fn(arg, copy);
    cm_err_free(copy);
}

static void on_answer(void *arg)
{
    struct job_call *call = arg;
    job_call_answer(call, call->err);
}

static void on_committed(void *arg, int code, const struct cm_err *err)
{
    job_call_answer(arg, code != 0 ? err : NULL);
}

static void save(void *arg, const json_t *state, acme_done_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = call_new(arg, done_arg);
    call->fn.done = done;
    json_object_set(job->order, "acme", (json_t *)(uintptr_t)state); /* written at once */
    struct cm_err err = CM_ERR_INIT;
    if (job_save(job, &err) == 0) {
        cs_after_commit(job->engine->env.store, on_committed, call);
    } else {
        call->err = cm_err_dup(&err);
        cm_loop_defer(job->engine->env.loop, on_answer, call);
    }
    cm_err_fini(&err);
}

static int edit_account(void *arg, json_t *body, struct cm_err *err)
{
    struct job_call *call = arg;
    (void)err;
    if (!call->job)
        return 1;
    const char *kid = json_string_value(call->value);
    if (!json_equal(json_object_get(body, "thumbprint"),
                    json_object_get(call->job->account->body, "thumbprint")))
        return 1; /* it has got another key: this is not its URL */
    if (strcmp(cm_json_str_or(body, "kid", ""), kid) == 0 &&
        strcmp(cm_json_str_or(body, "status", ""), "valid") == 0)
        return 1; /* another order of the account was first */
    cm_json_set_str(body, "kid", kid);
    cm_json_set_str(body, "status", "valid");
    json_object_del(body, "error");
    if (cm_json_obj(body, "eab")) {
        json_t *eab = json_copy(json_object_get(body, "eab"));
        json_object_del(eab, "jws"); /* it has served its purpose */
        json_object_del(eab, "jws_other");
        cm_json_set(body, "eab", eab);
    }
    return 0;
}

static void on_published(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    job_call_answer(arg, err);
}

static void save_account(void *arg, const char *kid, acme_done_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = call_new(arg, done_arg);
    call->fn.done = done;
    call->value = json_string(kid);
    CM_AUTO_STR id = cm_asprintf("account:%s", job->account->name);
    eng_edit(job->engine, id, "account", edit_account, on_published, call);
}

/* ---- the rest -----------------------------------------------------------------------------------
 */

static void on_csr(void *arg)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    if (job) {
        json_t *value = json_object();
        json_object_set(value, "csr", json_object_get(job->order, "csr"));
        call->fn.json(call->arg, value, NULL);
        json_decref(value);
    }
    job_call_free(call);
}

static void csr(void *arg, acme_json_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = call_new(arg, done_arg);
    call->fn.json = done;
    cm_loop_defer(job->engine->env.loop, on_csr, call);
}

static void on_tick(void *arg)
{
    struct job_call *call = arg;
    acme_tick_fn fn = call->fn.tick;
    void *fn_arg = call->arg;
    job_call_free(call);
    fn(fn_arg);
}

static void wait(void *arg, int64_t ms, acme_tick_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = call_new(arg, done_arg);
    call->fn.tick = done;
    call->timer = cm_timer_new(job->engine->env.loop, on_tick, call);
    cm_timer_start(call->timer, ms);
}

/* The credential names the root of the chain that it wants, gives its fingerprint ("sha256:…") or
 * the chain's place in the CA's offer ("#1"); check.c has brought the last two into this form. */
static bool wanted(void *arg, const char *chain_pem, size_t index)
{
    struct job *job = arg;
    const char *wish = cm_json_str(job->credential, "alternate_chain");
    char root[256], fingerprint[CM_SHA256_HEX] = "";
    if (!wish || job->trial) /* the staging has other roots */
        return true;
    if (kf_chain_top(chain_pem, strlen(chain_pem), root, NULL) != 0)
        return false;
    bool known =
        kf_chain_root(chain_pem, strlen(chain_pem), eng_roots(job->engine), fingerprint, NULL) == 0;
    eng_step(job->engine, job->ulid, CM_LOG_INFO, "A chain of the CA leads to \"%s\" (#%zu, %s%s)",
             root, index, known ? ENG_CHAIN_SHA256 : "root certificate not found", fingerprint);
    if (strncmp(wish, ENG_CHAIN_SHA256, strlen(ENG_CHAIN_SHA256)) == 0)
        return known && strcmp(fingerprint, wish + strlen(ENG_CHAIN_SHA256)) == 0;
    int64_t number = 0;
    if (wish[0] == '#' && cm_num_i64(wish + 1, 0, ENG_CHAIN_LAST, &number) == 0)
        return index == (size_t)number;
    return strcasecmp(root, wish) == 0;
}

static void may_order(void *arg, const char *kid, acme_done_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = call_new(arg, done_arg);
    call->fn.done = done;
    if (!job_caa_first(job, kid, call))
        cm_loop_defer(job->engine->env.loop, on_answer, call);
}

static const char *challenge_type(void *arg, const char *name)
{
    return eng_challenge_type(arg, name);
}

static void log_line(void *arg, int level, const char *text)
{
    struct job *job = arg;
    eng_step(job->engine, job->ulid, level, "%s", text);
}

struct acme_ports job_ports(struct job *job)
{
    return (struct acme_ports){.arg = job,
                               .send = send,
                               .sign = sign,
                               .save = save,
                               .save_account = save_account,
                               .publish = job_publish,
                               .csr = csr,
                               .wait = wait,
                               .challenge_type = challenge_type,
                               .at_once = job_dns_at_once,
                               .wanted = wanted,
                               .may_order = may_order,
                               .log = log_line};
}
