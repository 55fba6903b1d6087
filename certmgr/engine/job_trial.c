/*
 * A dry run: the whole order, with a key of its own, at the staging of the same CA.
 *
 * Nothing of it is kept but its outcome: no certificate, no key, no keyring file, no entry in the
 * ledger of the live CA; tokens and TXT values go as after any order.  A dry run that was asked for
 * is made once; one that comes first because of failures is repeated until it passes, but only what
 * the staging says about the names holds the live CA back: its own troubles do not.
 */
#include "certmgr/engine/job.h"

#include <string.h>

#include "certmgr/acme/presets.h"
#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/dns.h"
#include "keyfile/cert.h"

static void write_outcome(struct job *job, const struct cm_err *unused);

static void begin(struct job *job, const char *account)
{
    struct cm_err err = CM_ERR_INIT;
    if (eng_account_get(job->engine, account, &job->account, &err) == 0) {
        eng_step(job->engine, job->ulid, CM_LOG_INFO,
                 "Dry run at the CA's staging by the account \"%s\": nothing of it is kept",
                 account);
        job_key(job);
    } else {
        job_fail(job, &err);
    }
    cm_err_fini(&err);
}

static void on_made(void *arg, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    CM_AUTO_JSON name = json_incref(call->value);
    job_call_free(call);
    if (!job)
        return;
    struct cm_err why = CM_ERR_INIT;
    if (!err) {
        begin(job, json_string_value(name));
        return;
    }
    cm_err_copy(&why, err);
    cm_wrap(&why, CM_EHUMAN, "The account for dry runs could not be made");
    cm_err_hint(&why, "Operator: make the account \"%s\" yourself, then ask for the dry run again.",
                json_string_value(name));
    job_fail(job, &why);
    cm_err_fini(&why);
}

void job_trial(struct job *job)
{
    struct engine *engine = job->engine;
    struct cm_err err = CM_ERR_INIT;
    const struct acme_preset *make = NULL;
    char name[ENG_ACCOUNT_TEXT], key[ENG_TRIAL_KEY];
    job->trial = true;
    eng_trial_key(job->ulid, key);
    json_decref(job->order);
    job->order = cs_kv_get(engine->env.store, "order", key);
    if (!job->order)
        job->order = json_object();
    eng_steps_trim(engine, job->ulid);
    const char *turn = eng_turn_account(job->credential);
    if (eng_staging_find(engine, turn, name, &make, &err) != 0) {
        job_fail(job, &err);
    } else if (make) {
        eng_step(engine, job->ulid, CM_LOG_INFO, "Making the account \"%s\" at %s", name,
                 make->title);
        struct job_call *call = job_call_new(job);
        call->value = json_string(name);
        eng_staging_make(engine, turn, make, on_made, call);
    } else {
        begin(job, name);
    }
    cm_err_fini(&err);
}

/* ---- the outcome ------------------------------------------------------------------------------
 */

static int edit_outcome(void *arg, json_t *body, struct cm_err *err)
{
    struct job_call *call = arg;
    (void)err;
    if (!call->job || !cm_json_obj(body, "trial"))
        return 1;
    bool first = eng_trial_first(body);
    json_t *trial = json_copy(json_object_get(body, "trial"));
    json_object_update(trial, call->value);
    cm_json_set(body, "trial", trial);
    if (first) /* passed, or the staging could not tell: the live CA's turn */
        cm_json_set_time(body, "next_action_at", cm_now_ms());
    return 0;
}

static void on_written(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    if (job && err) { /* agent away, disk full: else it would be due at once */
        json_decref(job->places);
        job->places = json_incref(call->value); /* freed with the job */
        job_call_free(call);
        job_later(job, ENG_AGENT_AWAY_MS, write_outcome);
        return;
    }
    job_call_free(call);
    if (!job)
        return;
    eng_trial_forget(job->engine, job->ulid);
    eng_left(job);
    job_over(job);
}

static void write_outcome(struct job *job, const struct cm_err *unused)
{
    (void)unused;
    struct job_call *call = job_call_new(job);
    call->value = job->places;
    job->places = NULL;
    eng_edit(job->engine, job->id, "credential", edit_outcome, on_written, call);
}

/* Tokens and values go; what was staged was for nothing. */
static void clean(struct job *job)
{
    job_dns_drop(job);
    job_challenge_empty(job, NULL, NULL);
    eng_dns_release(job->engine, job->ulid);
}

static void end(struct job *job, const char *state, const struct cm_err *why)
{
    json_t *outcome = json_object();
    cm_json_set_str(outcome, "state", state);
    cm_json_set_time(outcome, "ended_at", cm_now_ms());
    cm_json_set_str(outcome, "account", job->account ? job->account->name : NULL);
    if (why)
        cm_json_set(outcome, "error", cm_err_to_json(why));
    job->ending = true;
    clean(job);
    json_t *acme = cm_json_obj(job->order, "acme");
    if (why && acme && !cm_json_arr(acme, "left")) /* eng_left() gives up what is pending */
        json_object_set(acme, "left", json_object_get(acme, "authorizations"));
    json_decref(job->places);
    job->places = outcome;
    write_outcome(job, NULL);
}

void job_trial_passed(struct job *job, const struct kf_chain *chain)
{
    eng_step(
        job->engine, job->ulid, CM_LOG_INFO,
        "The dry run has passed: %s has issued a certificate for %zu name%s, which is not kept",
        chain->info.issuer, json_array_size(chain->info.san),
        json_array_size(chain->info.san) == 1 ? "" : "s");
    end(job, "passed", NULL);
}

/* The staging has looked at the names and says no. */
static bool is_verdict(const struct cm_err *why)
{
    return why->problem &&
           (why->retry != CM_RETRY_TRANSIENT || strncmp(why->object, "host ", 5) == 0);
}

bool job_trial_failed(struct job *job, const struct cm_err *why)
{
    CM_AUTO_JSON now = cs_get_body(job->engine->env.store, job->id);
    bool first = eng_trial_first(now);
    bool verdict = is_verdict(why);
    eng_step(job->engine, job->ulid, first && !verdict ? CM_LOG_WARN : CM_LOG_ERROR,
             "The dry run has failed: %s%s%s%s", why->what, why->cause_count ? ": " : "",
             why->cause_count ? why->cause[why->cause_count - 1] : "",
             first && !verdict ? "; that says nothing about the names: the live CA is asked" : "");
    if (!first || !verdict) {
        end(job, "failed", why);
        return true;
    }
    clean(job);
    eng_trial_forget(job->engine, job->ulid);
    return false;
}
