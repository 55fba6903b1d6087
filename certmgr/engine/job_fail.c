/*
 * The bad end: the error object, the attempt and the time of the next one are written to the
 * credential.  A failure never takes away the certificate that is still serving: chain, key and
 * dates stay as they are.
 */
#include "certmgr/engine/job.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/acme/problem.h"
#include "certmgr/acme/retry.h"
#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/dns.h"

static void write_failure(struct job *job, const struct cm_err *unused);

static json_t *health_after(const json_t *body)
{
    int64_t not_after = cm_json_time(body, "not_after", 0);
    bool serving =
        cm_json_str(body, "chain") && not_after > cm_now_ms() && !cm_json_obj(body, "revocation");
    char text[160], date[CM_TIME_TEXT];
    cm_time_format(not_after, date);
    if (serving)
        snprintf(text, sizeof(text), "the renewal failed; the present certificate serves until %s",
                 date);
    else if (cm_json_str(body, "chain"))
        snprintf(text, sizeof(text), "the renewal failed and the certificate expired at %s", date);
    else
        snprintf(text, sizeof(text), "no certificate could be issued yet");
    json_t *health = json_object(), *causes = json_array();
    cm_json_set_str(health, "color", serving ? "yellow" : "red");
    json_array_append_new(causes, json_string(text));
    cm_json_set(health, "causes", causes);
    return health;
}

/* A short-lived certificate cannot wait for the usual pauses; what the CA asked for stands. */
static int64_t next_attempt(const struct job *job, const json_t *body, const struct cm_err *why)
{
    int64_t now = cm_now_ms();
    int64_t next = acme_next_attempt_ms(now, why->attempts, why->retry, eng_seed(job->ulid), 0);
    int64_t most =
        eng_plan_retry_max(cm_json_time(body, "not_before", 0), cm_json_time(body, "not_after", 0));
    if (job_is_outdated(job, body) || job_is_asked_again(job, body))
        next = now; /* corrected, or asked for, in the meantime */
    else if (next - now > most)
        next = now + most;
    return next < job->floor_ms ? job->floor_ms : next;
}

static int edit_failed(void *arg, json_t *body, struct cm_err *err)
{
    struct job_call *call = arg;
    (void)err;
    if (!call->job)
        return 1;
    struct cm_err *why = call->err;
    why->attempts = (unsigned)cm_json_int(body, "attempts", 0) + 1;
    bool trial = call->job->trial;
    /* Another CA is asked soon: what this one asked for is not meant for it. */
    if (eng_turn_failed(body, why->retry) && !job_is_outdated(call->job, body) &&
        !job_is_asked_again(call->job, body))
        why->next_attempt_ms =
            acme_next_attempt_ms(cm_now_ms(), 1, CM_RETRY_TRANSIENT, eng_seed(call->job->ulid), 0);
    else
        why->next_attempt_ms = next_attempt(call->job, body, why);
    cm_json_set_str(body, "status", "error");
    json_object_del(body, "waits_for");
    cm_json_set_int(body, "attempts", why->attempts);
    cm_json_set_time(body, "next_action_at", why->next_attempt_ms);
    cm_json_set(body, "error", cm_err_to_json(why));
    cm_json_set(body, "health", health_after(body));
    if (!trial)
        eng_staging_first(call->job->engine, body, why);
    return 0;
}

/* The CA may still fetch tokens of an order that the next attempt goes on with. */
static bool keeps_order(const struct job *job)
{
    return cm_json_str(cm_json_obj(job->order, "acme"), "order_url") != NULL;
}

static void on_failed(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    if (!job) {
        job_call_free(call);
        return;
    }
    struct engine *engine = job->engine;
    if (err) {
        /* The failure itself could not be written (agent away, disk full): without it the job would
         * be due at once, so it keeps its place and tries to write again. */
        cm_log_err(CM_LOG_ERROR, "engine", err);
        cm_err_fini(&job->err);
        cm_err_copy(&job->err, call->err);
        job_call_free(call);
        job_later(job, ENG_AGENT_AWAY_MS, write_failure);
        return;
    }
    char next[CM_TIME_TEXT] = "";
    cm_time_format(call->err->next_attempt_ms, next);
    eng_step(engine, job->ulid, CM_LOG_ERROR, "Failed: %s%s%s (attempt %u, next at %s)",
             call->err->what, call->err->cause_count ? ": " : "",
             call->err->cause_count ? call->err->cause[call->err->cause_count - 1] : "",
             call->err->attempts, next);
    /* The CA may still ask for values of an order that goes on soon. */
    if (!keeps_order(job) || call->err->next_attempt_ms > cm_now_ms() + DNS_KEEP_MS)
        eng_dns_release(engine, job->ulid);
    job_call_free(call);
    eng_left(job);
    job_over(job);
}

static void write_failure(struct job *job, const struct cm_err *unused)
{
    (void)unused;
    struct job_call *call = job_call_new(job);
    call->err = cm_err_dup(&job->err);
    cm_err_fini(&job->err);
    eng_edit(job->engine, job->id, "credential", edit_failed, on_failed, call);
}

void job_fail(struct job *job, const struct cm_err *err)
{
    struct cm_err why, saved = CM_ERR_INIT;
    cm_err_copy(&why, err); /* err may be job->err */
    acme_order_free(job->acme);
    job->acme = NULL;
    job_dns_drop(job);
    job_caa_drop(job);
    job->ending = true;
    if (!why.object[0])
        cm_err_object(&why, "%s", job->id);
    if (why.retry == CM_RETRY_NONE)
        why.retry = why.code == CM_EHUMAN ? CM_RETRY_CONFIGURATION : CM_RETRY_TRANSIENT;
    job->floor_ms = why.next_attempt_ms;
    if (job->account && acme_problem_is(why.problem, "userActionRequired"))
        eng_account_new_terms(job->engine, job->account->name, why.problem);
    if (job->account)
        eng_account_refused(job->engine, job->account, &why);
    job_budget_over(job, &why);
    if (job->trial && job_trial_failed(job, &why)) {
        cm_err_fini(&why);
        return;
    }
    if (job->trial)
        cm_wrap(&why, why.code, "The dry run at the CA's staging has failed");
    if (!keeps_order(job))
        job_challenge_empty(job, NULL, NULL);
    if (json_object_size(job->order) > 0 && !job->trial && job_save(job, &saved) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &saved);
    cm_err_fini(&saved);
    cm_err_fini(&job->err);
    job->err = why;
    if (!job_caa_explain(job))
        write_failure(job, NULL);
}

void job_fail_write(struct job *job)
{
    write_failure(job, NULL);
}
