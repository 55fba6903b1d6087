/*
 * Between the key and the order: a run that the CA would refuse, or that would only repeat what was
 * issued already, does not begin.  It waits in its credential ("waits_for") until the limit has
 * refilled, and burns nothing.
 */
#include <string.h>

#include "certmgr/acme/ca.h"
#include "certmgr/engine/guard.h"
#include "certmgr/engine/job.h"

#define FLOOR_SHORT_MS 5000 /* a shorter pause is waited for inside the run */

static void write_wait(struct job *job, const struct cm_err *unused);

static bool is_same_set(const struct job *job)
{
    const json_t *san = cm_json_arr(job->credential, "san");
    if (!job->renewal || !san)
        return false;
    CM_AUTO_STR had = eng_names_sorted(san);
    CM_AUTO_STR wanted = eng_names_sorted(cm_json_arr(job->order, "names"));
    return strcmp(had, wanted) == 0;
}

static struct eng_wish wish_of(const struct job *job)
{
    return (struct eng_wish){
        .account = job->account->name,
        .directory = cm_json_str_or(job->account->body, "directory", ""),
        .names = cm_json_arr(job->order, "names"),
        .same_set = is_same_set(job),
        .ari = cm_json_bool(job->order, "ari_led", false),
    };
}

/* ---- waiting ------------------------------------------------------------------------------------
 */

static int edit_wait(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    if (!call->job)
        return 1;
    cm_json_set_str(body, "status", cm_json_str(body, "chain") ? "renew" : "waiting");
    cm_json_set_time(body, "next_action_at", cm_json_time(call->value, "until", 0));
    json_object_set(body, "waits_for", call->value);
    return 0;
}

static void on_waiting(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    if (!job || !err) {
        job_call_free(call);
        if (job)
            job_over(job);
        return;
    }
    job->places = json_incref(call->value); /* freed with the job */
    job_call_free(call);
    job_later(job, ENG_AGENT_AWAY_MS, write_wait);
}

static void write_wait(struct job *job, const struct cm_err *unused)
{
    (void)unused;
    struct job_call *call = job_call_new(job);
    call->value = job->places;
    job->places = NULL;
    eng_edit(job->engine, job->id, "credential", edit_wait, on_waiting, call);
}

static void wait_until(struct job *job, int64_t until_ms, const char *text)
{
    char until[CM_TIME_TEXT];
    json_t *waits = json_object();
    cm_time_format(until_ms, until);
    cm_json_set_str(waits, "text", text);
    cm_json_set_str(waits, "until", until);
    eng_step(job->engine, job->ulid, CM_LOG_WARN, "Waits for the CA's limit until %s: %s", until,
             text);
    /* What is left of an earlier order is no order: an open one would be gone on with at once. */
    struct cm_err err = CM_ERR_INIT;
    json_object_del(job->order, "acme");
    if (job_save(job, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
    job->ending = true;
    json_decref(job->places);
    job->places = waits;
    write_wait(job, NULL);
}

/* Who has waited already keeps the time that was promised; a person who asks again comes no
 * sooner, and nobody is put back. */
static int64_t when(struct job *job, const struct eng_wish *wish, char text[BUDGET_TEXT_MAX])
{
    int64_t now = cm_now_ms(), until = eng_budget_ask(job->engine, wish, text);
    int64_t promised = cm_json_time(cm_json_obj(job->credential, "waits_for"), "until", 0);
    if (until <= now)
        return 0;
    if (promised > now)
        return promised > until ? promised : until;
    return eng_budget_promise(job->engine, wish, text);
}

/* ---- begin --------------------------------------------------------------------------------------
 */

static void refuse_loop(struct job *job)
{
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EHUMAN,
            "This certificate was issued %d times within a week without anybody asking for it: "
            "another would be the next round of a loop",
            GUARD_AGAIN);
    cm_err_hint(&err, "Operator: look in the steps why the certificate does not stay (deployment, "
                      "names, dates), then \"Retry\" or \"Renew\"; that is done once, whatever "
                      "was before.");
    err.retry = CM_RETRY_CONFIGURATION;
    job_fail(job, &err);
    cm_err_fini(&err);
}

static void refuse_trial(struct job *job, int64_t until_ms, const char *text)
{
    struct cm_err err = CM_ERR_INIT;
    char until[CM_TIME_TEXT];
    cm_time_format(until_ms, until);
    cm_fail(&err, CM_EBUSY, "The CA's staging takes no order before %s: %s", until, text);
    err.retry = CM_RETRY_TRANSIENT;
    job_fail(job, &err);
    cm_err_fini(&err);
}

bool job_budget(struct job *job)
{
    const json_t *acme = cm_json_obj(job->order, "acme");
    struct eng_wish wish = wish_of(job);
    char text[BUDGET_TEXT_MAX];
    bool begun = cm_json_str(acme, "order_url") || cm_json_str(acme, "ordering_at");
    if (!begun && !wish.ari && !job->trial &&
        eng_again_loops(job->engine, job->credential, wish.names)) {
        refuse_loop(job);
        return false;
    }
    int64_t until = begun ? 0 : when(job, &wish, text);
    int64_t floor = begun ? 0 : job->account->ca->floor_ms;
    if (floor > cm_now_ms() + FLOOR_SHORT_MS && floor > until) {
        until = floor;
        (void)cm_strcpy(text, sizeof(text), "the CA asked not to be called before (Retry-After)");
    }
    if (until != 0 && job->trial) {
        refuse_trial(job, until, text);
        return false;
    }
    if (until != 0) {
        wait_until(job, until, text);
        return false;
    }
    eng_budget_end(job->engine, job->held, false);
    job->held = eng_budget_begin(job->engine, &wish, !begun);
    return true;
}

/* ---- end ----------------------------------------------------------------------------------------
 */

void job_budget_issued(struct job *job)
{
    const json_t *acme = cm_json_obj(job->order, "acme");
    eng_again_note(job->engine, job->credential, cm_json_arr(job->order, "names"),
                   cm_json_str(acme, "order_url"));
    eng_budget_end(job->engine, job->held, true);
    job->held = NULL;
}

/* The CA's check of a name failed (acme/validate.c names it), unlike a refused request. */
static const char *failed_name(const struct cm_err *why)
{
    return why->problem && why->code == CM_EPEER && strncmp(why->object, "host ", 5) == 0
               ? why->object + 5
               : NULL;
}

void eng_budget_keep_floor(struct engine *engine, const struct eng_account *account)
{
    int64_t floor = account->ca->floor_ms;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR key = cm_asprintf("floor/%s", account->name);
    CM_AUTO_JSON old = cs_kv_get(engine->env.store, "budget", key);
    if (floor <= cm_now_ms() || cm_json_time(old, "until", 0) == floor)
        return;
    CM_AUTO_JSON row = json_object();
    cm_json_set_time(row, "until", floor);
    cm_json_set_str(row, "directory", cm_json_str(account->body, "directory"));
    if (cs_kv_put(engine->env.store, "budget", key, row, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}

void job_budget_over(struct job *job, const struct cm_err *why)
{
    if (!job->account)
        return;
    const char *directory = cm_json_str(job->account->body, "directory");
    /* One credential that fails again and again says nothing about its CA: its first failure counts
     * for all until it is issued. */
    bool again = why && cm_json_int(job->credential, "attempts", 0) > 0;
    if (job->renewal && !again)
        eng_guard_ended(job->engine, directory, why == NULL);
    if (!why)
        return;
    const char *name = failed_name(why);
    if (name)
        eng_budget_failed(job->engine, job->account->name, directory, name);
    eng_budget_keep_floor(job->engine, job->account);
}

void eng_budget_floor(struct engine *engine, const char *account, const char *directory,
                      struct acme_ca *ca)
{
    CM_AUTO_STR key = cm_asprintf("floor/%s", account);
    CM_AUTO_JSON row = cs_kv_get(engine->env.store, "budget", key);
    int64_t until = cm_json_time(row, "until", 0);
    if (until > cm_now_ms() && strcmp(cm_json_str_or(row, "directory", ""), directory) == 0)
        acme_ca_pause(ca, until);
}
