/* A job's life: what it reads, where it begins, how it ends.  See job.h. */
#include "certmgr/engine/job.h"

#include "certmgr/engine/manual.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/engine/ca_op.h"
#include "certmgr/engine/dns.h"
#include "certmgr/engine/guard.h"

/* ---- calls ---------------------------------------------------------------------------------- */

struct job_call *job_call_new(struct job *job)
{
    struct job_call *call = cm_calloc(1, sizeof(*call));
    call->job = job;
    call->next = job->calls;
    job->calls = call;
    return call;
}

static void unlink_call(struct job_call *call)
{
    if (!call->job)
        return;
    for (struct job_call **at = &call->job->calls; *at; at = &(*at)->next) {
        if (*at == call) {
            *at = call->next;
            return;
        }
    }
}

void job_call_free(struct job_call *call)
{
    unlink_call(call);
    cm_timer_free(call->timer);
    json_decref(call->value);
    cm_err_free(call->err);
    cm_free(call);
}

/* Ends what can be ended; agent and store answer later and find no job. */
static void drop_calls(struct job *job)
{
    while (job->calls) {
        struct job_call *call = job->calls;
        if (call->http)
            http_call_cancel(call->http);
        if (call->check)
            ch_check_cancel(call->check);
        if (call->find)
            dns_place_cancel(call->find);
        if (call->http || call->check || call->find || call->timer) {
            job_call_free(call);
            continue;
        }
        unlink_call(call);
        call->job = NULL;
    }
}

static void on_later(void *arg)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    void (*fn)(struct job *, const struct cm_err *) = call->fn.job;
    job_call_free(call);
    fn(job, NULL);
}

void job_later(struct job *job, int64_t ms, void (*fn)(struct job *job, const struct cm_err *err))
{
    struct job_call *call = job_call_new(job);
    call->fn.job = fn;
    call->timer = cm_timer_new(job->engine->env.loop, on_later, call);
    cm_timer_start(call->timer, ms);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void drop_work(struct job *job)
{
    acme_order_free(job->acme);
    job->acme = NULL;
    eng_op_free(job->op);
    job->op = NULL;
    job_dns_drop(job);
    job_caa_drop(job);
    drop_calls(job);
    eng_account_unref(job->account);
    json_decref(job->credential);
    json_decref(job->order);
    json_decref(job->places);
    job->places = NULL;
    eng_budget_end(job->engine, job->held, false);
    job->held = NULL;
    job->account = NULL;
    job->credential = job->order = NULL;
    job->writes = 0;
    job->ending = job->trial = job->former_kept = false;
    cm_err_fini(&job->err);
}

static void begin_again(struct job *job, const struct cm_err *err)
{
    (void)err;
    job_begin(job);
}

struct job *job_new(struct engine *engine, const char *ulid)
{
    struct job *job = cm_calloc(1, sizeof(*job));
    job->engine = engine;
    (void)cm_strcpy(job->ulid, sizeof(job->ulid), ulid);
    snprintf(job->id, sizeof(job->id), "credential:%s", ulid);
    return job;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    drop_work(job);
    json_decref(job->sign_with);
    cm_free(job);
}

void job_over(struct job *job)
{
    sched_job_over(job->engine, job);
}

const char *job_step(const struct job *job)
{
    return job->acme ? acme_order_step(job->acme) : NULL;
}

int job_save(struct job *job, struct cm_err *err)
{
    char key[ENG_TRIAL_KEY];
    eng_trial_key(job->ulid, key);
    return cs_kv_put(job->engine->env.store, "order", job->trial ? key : job->ulid, job->order,
                     err);
}

bool job_has_old_key(const struct job *job, const json_t *body)
{
    const char *key = cm_json_str(body, "public_key_sha256");
    return key && !cm_json_str(body, "csr") &&
           strcmp(key, cm_json_str_or(job->order, "public_key_sha256", "")) == 0;
}

bool job_is_outdated(const struct job *job, const json_t *body)
{
    return eng_order_differs(body, job->credential) || job_has_old_key(job, body);
}

bool job_is_asked_again(const struct job *job, const json_t *body)
{
    int64_t due = cm_json_time(body, "next_action_at", 0);
    return strcmp(cm_json_str_or(body, "request", ""),
                  cm_json_str_or(job->credential, "request", "")) != 0 &&
           due != cm_json_time(job->credential, "next_action_at", 0) && due <= cm_now_ms();
}

bool job_wait_for_agent(struct job *job, const struct cm_err *err)
{
    /* A time to come back at is the CA's (Retry-After), not the agent's. */
    if ((err->code != CM_EBUSY && err->code != CM_ECLOSED) || err->next_attempt_ms != 0)
        return false;
    eng_step(job->engine, job->ulid, CM_LOG_WARN,
             "The key agent does not answer; going on in %d s (%s)", ENG_AGENT_AWAY_MS / 1000,
             err->what);
    drop_work(job);
    job_later(job, ENG_AGENT_AWAY_MS, begin_again);
    return true;
}

/* ---- begin ------------------------------------------------------------------------------------
 */

static int edit_expired(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    if (!call->job)
        return 1;
    cm_json_set_str(body, "status", "expired");
    if (cm_json_bool(body, "paused", false) || eng_csr_waits(body) ||
        (!eng_is_manual(body) && strcmp(cm_json_str_or(body, "provider", ""), "acme") != 0))
        json_object_del(body, "next_action_at"); /* else: the attempts to renew it go on */
    json_t *health = json_object();
    cm_json_set_str(health, "color", "red");
    json_t *causes = json_array();
    json_array_append_new(causes, json_string("the certificate has expired"));
    cm_json_set(health, "causes", causes);
    cm_json_set(body, "health", health);
    return 0;
}

static void over_now(struct job *job, const struct cm_err *err)
{
    (void)err;
    job_over(job);
}

static void on_expired(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    job_call_free(call);
    if (job) /* not written (agent away): a moment later it is still due */
        job_later(job, err ? ENG_AGENT_AWAY_MS : 0, over_now);
}

/* A milestone people wait for; nothing depends on it, so the job does not wait for the write.  A
 * job that is over sooner than people look never writes it: a document less for every server. */
static int edit_running(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    const char *wanted = cm_json_str(body, "chain") ? "renew" : "waiting";
    if (!call->job || call->job->ending || call->job->trial ||
        strcmp(cm_json_str_or(body, "status", ""), wanted) == 0)
        return 1;
    cm_json_set_str(body, "status", wanted);
    return 0;
}

static void on_running(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    (void)err; /* the end of the job writes the status again */
    job_call_free(arg);
}

static void tell_running(struct job *job, const struct cm_err *err)
{
    (void)err;
    eng_edit(job->engine, job->id, "credential", edit_running, on_running, job_call_new(job));
}

void job_begin(struct job *job)
{
    struct engine *engine = job->engine;
    struct cm_err err = CM_ERR_INIT;
    job->credential = cs_get_body(engine->env.store, job->id);
    job->order = cs_kv_get(engine->env.store, "order", job->ulid);
    struct plan plan = job->only_end ? eng_plan_held(job->credential)
                                     : eng_plan(job->credential, job->order, cm_now_ms());
    if (!job->credential || plan.action == PLAN_NOTHING || plan.when_ms > cm_now_ms()) {
        job_over(job);
        return;
    }
    if (plan.action == PLAN_EXPIRE) {
        eng_step(engine, job->ulid, CM_LOG_ERROR, "The certificate has expired");
        eng_edit(engine, job->id, "credential", edit_expired, on_expired, job_call_new(job));
        return;
    }
    if (plan.action == PLAN_REVOKE) {
        job_revoke(job);
        return;
    }
    if (plan.action == PLAN_TRIAL) {
        job_trial(job);
        return;
    }
    if (eng_import_moves(job->credential)) {
        job_rewrap(job);
        return;
    }
    if (!job->order)
        job->order = json_object();
    job->renewal = cm_json_str(job->credential, "chain") != NULL;
    eng_steps_trim(engine, job->ulid);
    if (eng_is_manual(job->credential)) {
        json_object_del(job->order, "acme"); /* begun before people were asked */
        job_key(job);
        return;
    }
    const char *turn = eng_turn_account(job->credential);
    if (strcmp(cm_json_str_or(job->order, "account", turn), turn) != 0)
        json_object_del(job->order, "acme"); /* begun at another CA, which has failed */
    if (strcmp(cm_json_str_or(job->credential, "account", ""), turn) != 0)
        eng_step(engine, job->ulid, CM_LOG_WARN, "This attempt is made by the account \"%s\"",
                 turn);
    if (eng_order_open(job->order))
        eng_step(engine, job->ulid, CM_LOG_INFO, "Going on with the open order");
    else if (job->renewal)
        eng_step(engine, job->ulid, CM_LOG_INFO, "Renewal (%s)", plan.why);
    if (eng_account_get(engine, turn, &job->account, &err) != 0) {
        job_fail(job, &err);
        cm_err_fini(&err);
        return;
    }
    job_later(job, ENG_RUNNING_MS, tell_running);
    job_key(job);
}

/* ---- order --------------------------------------------------------------------------------------
 */

static void on_order(void *arg, const json_t *chain, const struct cm_err *err)
{
    struct job *job = arg;
    if (!err)
        job_finish(job, chain);
    else if (!job_wait_for_agent(job, err))
        job_fail(job, err);
}

void job_order_start(struct job *job)
{
    struct acme_account account = eng_account_acme(job->account);
    struct acme_ports ports = job_ports(job);
    struct cm_err err = CM_ERR_INIT;
    cm_json_set_str(job->order, "account", job->account->name); /* saved with the order's state */
    job->acme = acme_order_new(job->account->ca, &account, cm_json_arr(job->order, "names"),
                               cm_json_obj(job->order, "acme"), job->engine->env.lab_http, &ports,
                               on_order, job, &err);
    struct acme_order_wish wish = {.profile = cm_json_str(job->credential, "profile"),
                                   .profile_required =
                                       cm_json_bool(job->credential, "profile_required", false),
                                   .replaces = cm_json_str(job->order, "replaces")};
    if (job->acme)
        acme_order_wish(job->acme, &wish);
    else
        job_fail(job, &err);
    cm_err_fini(&err);
}
