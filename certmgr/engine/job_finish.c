/*
 * The good end: the chain is checked against key and names, then credential, keyfile and the
 * emptied challenge are written; only when all three are durable the saved order goes.  Killed in
 * between, the next job finds the order still valid at the CA, downloads the chain again and
 * writes the same.
 */
#include "certmgr/engine/job.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/engine/activation.h"
#include "certmgr/engine/ari.h"
#include "certmgr/engine/dns.h"
#include "certmgr/engine/former.h"
#include "certmgr/engine/issued.h"
#include "certmgr/engine/life.h"
#include "keyfile/cert.h"

/* What the credential takes over from the order and the chain. */
static json_t *outcome(const struct job *job, const struct kf_chain *chain, json_t *activation)
{
    json_t *out = eng_issued(job->order, chain, activation, cm_now_ms());
    cm_json_set(out, "issued_by",
                json_pack("{s:s,s:s}", "account", job->account->name, "directory",
                          cm_json_str_or(job->account->body, "directory", "")));
    cm_json_set(out, "ari", eng_ari_left(job->order, cm_now_ms()));
    return out;
}

static json_t *keyfile_members(const struct job *job, const struct kf_chain *chain,
                               const json_t *activation)
{
    return eng_issued_keyfile(job->ulid, job->order, json_object_get(job->order, "names"), chain,
                              activation);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static int edit_credential(void *arg, json_t *body, struct cm_err *err)
{
    struct job_call *call = arg;
    (void)err;
    if (!call->job)
        return 1;
    bool outdated = job_is_outdated(call->job, body);
    bool new_key = outdated && !cm_json_str(body, "csr");
    eng_issued_clear(body); /* with `fallback`: the next renewal begins with the first account */
    if (!eng_trial_asked(body))
        json_object_del(body, "trial");
    json_object_update(body, call->value);
    int64_t next = eng_plan_renewal(body);
    if (outdated) {
        /* This certificate serves; what was asked for in the meantime comes next. */
        cm_json_set_str(body, "status", "renew");
        next = cm_now_ms();
    } else if (cm_json_bool(body, "paused", false)) {
        next = cm_json_time(body, "not_after", 0);
    }
    if (new_key)
        json_object_del(body, "csr");
    cm_json_set_time(body, "next_action_at", next);
    if (strcmp(cm_json_str_or(cm_json_obj(body, "rollover"), "public_key_sha256", ""),
               cm_json_str_or(body, "public_key_sha256", "")) != 0)
        json_object_del(body, "rollover"); /* it stands in the archive now */
    return 0;
}

static int edit_keyfile(void *arg, json_t *body, struct cm_err *err)
{
    struct job_call *call = arg;
    (void)err;
    if (!call->job)
        return 1;
    if (strcmp(cm_json_str_or(body, "fingerprint", ""),
               cm_json_str_or(call->value, "fingerprint", "")) == 0)
        return 1; /* written before a crash */
    CM_AUTO_JSON credential = cs_peek_body(call->job->engine->env.store, call->job->id);
    json_object_del(body, "root");
    json_object_del(body, "serve_from");
    json_object_update(body, call->value);
    eng_place_take(body, credential); /* it may have been changed since the job began */
    return 0;
}

static void all_written(struct job *job)
{
    struct engine *engine = job->engine;
    struct cm_err err = CM_ERR_INIT;
    if (job->err.code != 0) {
        cm_err_copy(&err, &job->err);
        if (!job_wait_for_agent(job, &err)) {
            cm_wrap(&err, CM_EIO, "The certificate was issued but could not be stored");
            job_fail(job, &err);
        }
        cm_err_fini(&err);
        return;
    }
    if (cs_kv_del(engine->env.store, "order", job->ulid, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* the next start writes the same end again */
    cm_err_fini(&err);
    job_over(job);
}

static void on_written(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    job_call_free(call);
    if (!job)
        return;
    if (err && job->err.code == 0)
        cm_err_copy(&job->err, err);
    if (--job->writes == 0)
        all_written(job);
}

static struct job_call *write_call(struct job *job, json_t *take_value)
{
    struct job_call *call = job_call_new(job);
    call->value = take_value;
    job->writes++;
    return call;
}

static void write_all(struct job *job, const struct kf_chain *chain)
{
    CM_AUTO_STR keyfile = cm_asprintf("keyfile:%s", job->ulid);
    CM_AUTO_JSON activation =
        eng_activation_of(job->account->body, job->credential, chain, cm_now_ms());
    if (activation)
        eng_step(job->engine, job->ulid, CM_LOG_INFO, "In force from %s%s; servers wait till then",
                 cm_json_str_or(activation, "from", ""),
                 strcmp(cm_json_str_or(activation, "by", ""), "ocsp") == 0
                     ? " at the latest, or when the CA's OCSP responder says good"
                     : "");
    job->ending = true;
    /* All calls are counted before the first answer can come (none comes from inside). */
    eng_edit(job->engine, job->id, "credential", edit_credential, on_written,
             write_call(job, outcome(job, chain, activation)));
    eng_edit(job->engine, keyfile, "keyfile", edit_keyfile, on_written,
             write_call(job, keyfile_members(job, chain, activation)));
    const char *old = cm_json_str(job->credential, "fingerprint");
    if (old && cm_json_str(job->credential, "chain") && strcmp(old, chain->info.fingerprint) != 0)
        eng_archive_former(job->engine, job->ulid, job->credential, on_written,
                           write_call(job, NULL));
    job_challenge_empty(job, on_written, write_call(job, NULL));
    job_dns_drop(job);
    eng_dns_release(job->engine, job->ulid);
}

/* ---- what is to be revoked ----------------------------------------------------------------------
 */

static void on_former_kept(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    CM_AUTO_JSON answer = json_incref(call->value);
    (void)doc;
    job_call_free(call);
    if (!job)
        return;
    if (!err) {
        job->former_kept = true;
        job_finish(job, answer);
        return;
    }
    struct cm_err why = CM_ERR_INIT;
    cm_err_copy(&why, err);
    if (!job_wait_for_agent(job, &why)) {
        cm_wrap(&why, CM_EIO, "The certificate was issued but could not be stored");
        job_fail(job, &why);
    }
    cm_err_fini(&why);
}

/* The wish to have the former certificate revoked is durable before the credential forgets it. */
static bool keeps_former(struct job *job, const json_t *answer)
{
    const char *why =
        eng_former_why(job->credential, cm_json_str_or(job->order, "public_key_sha256", ""));
    if (!why || job->former_kept)
        return false;
    struct job_call *call = job_call_new(job);
    call->value = json_deep_copy(answer);
    job->ending = true;
    eng_archive(job->engine, job->ulid, job->credential, why, on_former_kept, call);
    return true;
}

void job_finish(struct job *job, const json_t *answer)
{
    struct engine *engine = job->engine;
    const char *pem = cm_json_str_or(answer, "chain", "");
    struct kf_chain chain = {0};
    struct cm_err err = CM_ERR_INIT;
    if (!job->trial)
        job_budget_issued(job);
    int rc = kf_chain_check(pem, strlen(pem), cm_json_arr(job->order, "names"),
                            cm_json_str(job->order, "public_key_sha256"), eng_roots(engine),
                            cm_now_ms(), &chain, &err);
    if (rc != 0) {
        /* This order has given what it had: the next attempt makes another.  That costs another
         * certificate of the CA's limits, so it is not made in a minute. */
        json_object_del(job->order, "acme");
        cm_wrap(&err, rc, "The CA's certificate cannot be used");
        if (err.retry == CM_RETRY_NONE)
            err.retry = CM_RETRY_CONFIGURATION;
        if (!err.hint[0])
            cm_err_hint(&err, "It was not stored; what serves now stays. Operator: tell the CA, "
                              "then start again, or choose another CA.");
        job_fail(job, &err);
        cm_err_fini(&err);
        return;
    }
    if (job->trial) {
        job_trial_passed(job, &chain);
        kf_chain_fini(&chain);
        return;
    }
    if (keeps_former(job, answer)) {
        kf_chain_fini(&chain);
        return;
    }
    char not_after[CM_TIME_TEXT];
    cm_time_format(chain.info.not_after_ms, not_after);
    eng_step(engine, job->ulid, CM_LOG_INFO, "Certificate issued by %s, valid until %s%s",
             chain.info.issuer, not_after, chain.root ? "" : " (root certificate not found)");
    job_budget_over(job, NULL);
    write_all(job, &chain);
    kf_chain_fini(&chain);
}
