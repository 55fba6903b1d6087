/*
 * Publishing an order's challenges, each by its type: what servers answer themselves (http-01,
 * tls-alpn-01) goes into the challenge: document and is self-checked, TXT values go to their DNS
 * accounts (job_dns.c).  Only when all of it is live, the order goes on.
 */
#include "certmgr/engine/job.h"

#include <string.h>

#include "certmgr/acme/proof.h"

static bool is_dns(const json_t *token)
{
    return strcmp(cm_json_str_or(token, "type", ""), ACME_DNS01) == 0;
}

/* The tokens of call->value that go to DNS accounts, or the others (owned). */
static json_t *tokens_of(const struct job_call *call, bool dns)
{
    json_t *out = json_array();
    size_t i;
    json_t *token;
    json_array_foreach(call->value, i, token)
    {
        if (is_dns(token) == dns)
            json_array_append(out, token);
    }
    return out;
}

/* What the servers answer is live. */
static void servers_ready(struct job_call *call, const struct cm_err *err)
{
    CM_AUTO_JSON dns = err || !call->job ? NULL : tokens_of(call, true);
    if (json_array_size(dns) > 0)
        job_dns_publish(call->job, dns, call);
    else
        job_call_answer(call, err);
}

static void on_checked(void *arg, const struct cm_err *err)
{
    struct job_call *call = arg;
    call->check = NULL;
    if (!err)
        eng_step(call->job->engine, call->job->ulid, CM_LOG_INFO,
                 "Self-check: the challenges are served on every address");
    servers_ready(call, err);
}

static void on_challenge(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    if (err || !job || !cm_json_bool(job->account->body, "self_check", true)) {
        servers_ready(call, err);
        return;
    }
    struct eng_env *env = &job->engine->env;
    int port = (int)cm_json_int(job->account->body, "http_port", 80);
    CM_AUTO_JSON tokens = tokens_of(call, false);
    call->check = ch_self_check(env->loop, env->http, env->dns, tokens, port, ENG_SELF_CHECK_MS,
                                on_checked, call);
    ch_check_tls_port(call->check, (int)cm_json_int(job->account->body, "tls_port", 443));
}

static int edit_challenge(void *arg, json_t *body, struct cm_err *err)
{
    struct job_call *call = arg;
    (void)err;
    if (!call->job)
        return 1;
    cm_json_set_str(body, "credential", call->job->ulid);
    cm_json_set(body, "tokens", tokens_of(call, false));
    return 0;
}

void job_publish(void *arg, const json_t *tokens, acme_done_fn done, void *done_arg)
{
    struct job *job = arg;
    struct job_call *call = job_call_new(job);
    call->arg = done_arg;
    call->fn.done = done;
    call->value = json_deep_copy(tokens);
    CM_AUTO_JSON served = tokens_of(call, false);
    if (json_array_size(served) == 0) {
        servers_ready(call, NULL); /* job_dns_publish() answers later */
        return;
    }
    CM_AUTO_STR id = cm_asprintf("challenge:%s", job->ulid);
    eng_edit(job->engine, id, "challenge", edit_challenge, on_challenge, call);
}

static int edit_no_challenge(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    const json_t *tokens = cm_json_arr(body, "tokens");
    if (json_array_size(tokens) == 0)
        return 1;
    cm_json_set(body, "tokens", json_array());
    return 0;
}

void job_challenge_empty(struct job *job, cs_published_fn done, void *arg)
{
    CM_AUTO_STR id = cm_asprintf("challenge:%s", job->ulid);
    eng_edit(job->engine, id, "challenge", edit_no_challenge, done, arg);
}
