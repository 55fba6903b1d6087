/*
 * Revocation (RFC 8555 7.6): the certificate in a JWS of the account, or of its own key when the
 * CA does not accept the account.
 *
 * The certificate's key is in the hands of the servers with access alone: when the manager is none
 * of them, the credential itself is the order (`revocation` names the holder), signed as every
 * document; the holder's agent signs exactly this revocation, its front sends it and reports in a
 * request: document (holder.c).  One holder after the other is asked.
 */
#include <stdio.h>
#include <string.h>

#include "certmgr/acme/presets.h"
#include "certmgr/acme/retry.h"
#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/job.h"
#include "certmgr/engine/life.h"
#include "keyfile/certid.h"

static void fail(struct job *job, const struct cm_err *err);

/* ---- what is sent -----------------------------------------------------------------------------
 */

/* {"certificate": the leaf's DER, "reason"} as text (owned), NULL = no certificate. */
char *eng_revoke_payload(const json_t *credential)
{
    const json_t *revocation = cm_json_obj(credential, "revocation");
    const char *chain = cm_json_str_or(credential, "chain", "");
    CM_AUTO_STR der = kf_leaf_b64url(chain, strlen(chain));
    if (!der)
        return NULL;
    CM_AUTO_JSON payload = json_object();
    cm_json_set_str(payload, "certificate", der);
    int64_t reason = cm_json_int(revocation, "reason", 0);
    if (reason != 0) /* RFC 5280 5.3.1: "unspecified" is said by leaving it out */
        cm_json_set_int(payload, "reason", reason);
    return cm_json_dump(payload, NULL);
}

/* The order to the holder's agent (docs/agent-protocol.md, revoke.sign). */
json_t *eng_revoke_signer(const json_t *credential)
{
    json_t *verb = json_object();
    cm_json_set_str(verb, "op", "revoke.sign");
    json_object_set(verb, "document", (json_t *)(uintptr_t)credential);
    return verb;
}

bool eng_revoke_by_key(const json_t *credential)
{
    const json_t *revocation = cm_json_obj(credential, "revocation");
    return strcmp(cm_json_str_or(revocation, "signer", ""), "key") == 0;
}

/* ---- the good end -------------------------------------------------------------------------------
 */

static void over(struct job *job, const struct cm_err *err)
{
    (void)err;
    job_over(job);
}

/* What follows a write of this job: the next turn finds what the document says. */
static void on_written(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    job_call_free(call);
    if (job) /* not written (agent away): it is still due in a moment */
        job_later(job, err ? ENG_AGENT_AWAY_MS : 0, over);
}

static int edit_revoked(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    return call->job ? eng_revoked(body, cm_now_ms()) : 1;
}

static void succeed(struct job *job, const char *how)
{
    eng_step(job->engine, job->ulid, CM_LOG_INFO, "The certificate is revoked%s", how);
    eng_edit(job->engine, job->id, "credential", edit_revoked, on_written, job_call_new(job));
}

/* ---- the bad end --------------------------------------------------------------------------------
 */

static int edit_failed(void *arg, json_t *body, struct cm_err *err)
{
    struct job_call *call = arg;
    struct cm_err *why = call->err;
    (void)err;
    if (!call->job || strcmp(cm_json_str_or(body, "status", ""), "revoke_pending") != 0)
        return 1;
    int64_t now = cm_now_ms();
    why->attempts = (unsigned)cm_json_int(body, "attempts", 0) + 1;
    if (job_is_asked_again(call->job, body))
        why->next_attempt_ms = why->next_attempt_ms > now ? why->next_attempt_ms : now;
    else
        why->next_attempt_ms = acme_next_attempt_ms(
            now, why->attempts, why->retry, eng_seed(call->job->ulid), why->next_attempt_ms);
    cm_json_set_int(body, "attempts", why->attempts);
    cm_json_set_time(body, "next_action_at", why->next_attempt_ms);
    cm_json_set(body, "error", cm_err_to_json(why));
    return 0;
}

static void fail(struct job *job, const struct cm_err *err)
{
    struct job_call *call = job_call_new(job);
    struct cm_err *why = call->err = cm_err_dup(err);
    if (!why->object[0])
        cm_err_object(why, "%s", job->id);
    if (why->retry == CM_RETRY_NONE || why->retry == CM_RETRY_REPAIR)
        why->retry = why->code == CM_EHUMAN ? CM_RETRY_CONFIGURATION : CM_RETRY_TRANSIENT;
    eng_step(job->engine, job->ulid, CM_LOG_ERROR, "The revocation failed: %s", why->what);
    eng_edit(job->engine, job->id, "credential", edit_failed, on_written, call);
}

/* ---- by the certificate's key ------------------------------------------------------------------
 */

/* The account is no way: the certificate's own key is. */
static int edit_signer(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    const json_t *present = cm_json_obj(body, "revocation");
    if (!call->job || !present || eng_revoke_by_key(body))
        return 1;
    json_t *revocation = json_copy((json_t *)(uintptr_t)present);
    cm_json_set_str(revocation, "signer", "key");
    cm_json_set(body, "revocation", revocation);
    cm_json_set_time(body, "next_action_at", cm_now_ms());
    return 0;
}

static bool wants_key(const struct acme_op_reply *reply, const struct cm_err *err)
{
    return acme_problem_is(reply->json, "accountDoesNotExist") ||
           acme_problem_is(reply->json, "unauthorized") ||
           (reply->status == 0 && err->code == CM_EHUMAN); /* not registered at the CA */
}

static void on_reply(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct job *job = arg;
    job->op = NULL; /* gone when this returns */
    bool by_key = eng_revoke_by_key(job->credential);
    if (!err)
        succeed(job, by_key ? " (by its own key)" : "");
    else if (acme_problem_is(reply->json, "alreadyRevoked"))
        succeed(job, "; the CA knew of it already");
    else if (err->code == CM_EBUSY || err->code == CM_ECLOSED)
        job_later(job, ENG_AGENT_AWAY_MS, over); /* the agent is away: not an attempt */
    else if (!by_key && wants_key(reply, err)) {
        eng_step(job->engine, job->ulid, CM_LOG_WARN,
                 "The CA does not revoke by this account (%s): the certificate's own key signs",
                 err->what);
        eng_edit(job->engine, job->id, "credential", edit_signer, on_written, job_call_new(job));
    } else {
        fail(job, err);
    }
}

/* The next holder's turn; with no answer in time, the one after it is asked. */
static int edit_holder(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    const json_t *present = cm_json_obj(body, "revocation");
    const json_t *servers = cm_json_arr(body, "servers");
    (void)err;
    if (!call->job || !present || json_array_size(servers) == 0)
        return 1;
    int64_t asked = cm_json_int(present, "asked", 0);
    json_t *revocation = json_copy((json_t *)(uintptr_t)present);
    json_object_set(revocation, "holder",
                    json_array_get(servers, (size_t)asked % json_array_size(servers)));
    cm_json_set_int(revocation, "asked", asked + 1);
    cm_json_set(body, "revocation", revocation);
    cm_json_set_time(body, "next_action_at", cm_now_ms() + REVOKE_HOLDER_MS);
    eng_step(call->job->engine, call->job->ulid, CM_LOG_INFO,
             "Server %s is asked to sign the revocation with the certificate's key",
             cm_json_str_or(revocation, "holder", ""));
    return 0;
}

static bool start(struct job *job, enum acme_op_kind kind, struct cm_err *err)
{
    CM_AUTO_STR payload = eng_revoke_payload(job->credential);
    CM_AUTO_JSON verb = kind == ACME_OP_JWK ? eng_revoke_signer(job->credential) : NULL;
    struct eng_op_spec spec = {
        .account = eng_issuer_account(job->credential),
        .credential = job->ulid,
        .request = {.kind = kind,
                    .member = "revokeCert",
                    .payload = payload,
                    .what = "the revocation",
                    .about = ACME_ABOUT_REVOCATION},
        .sign_with = verb,
    };
    if (!payload)
        cm_fail(err, CM_EMALF, "The credential holds no certificate that could be revoked");
    else
        job->op = eng_op_new(job->engine, &spec, on_reply, job, err);
    return job->op != NULL;
}

void job_revoke(struct job *job)
{
    struct cm_err err = CM_ERR_INIT;
    const json_t *servers = cm_json_arr(job->credential, "servers");
    bool by_key = eng_revoke_by_key(job->credential);
    /* An order for a certificate that nobody wants any more. */
    if (cs_kv_del(job->engine->env.store, "order", job->ulid, &err) != 0)
        cm_err_fini(&err);
    if (by_key && !cm_json_has_str(servers, job->engine->env.self))
        eng_edit(job->engine, job->id, "credential", edit_holder, on_written, job_call_new(job));
    else if (!start(job, by_key ? ACME_OP_JWK : ACME_OP_KID, &err))
        fail(job, &err);
    cm_err_fini(&err);
}
