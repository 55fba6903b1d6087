/* What people see of one credential and of the engine: UI, API and CLI show the same. */
#include "certmgr/engine/guard.h"
#include "certmgr/engine/job.h"
#include "certmgr/engine/life.h"
#include "certmgr/engine/manual.h"
#include "certmgr/engine/told.h"

#include <stdio.h>
#include <string.h>

#define RECEIPTS_MAX ENG_SERVERS_MAX

/* ---- next ----------------------------------------------------------------------------------- */

static json_t *next_of(struct engine *engine, const json_t *credential, const json_t *order,
                       const char *step, int64_t now_ms)
{
    struct plan plan = eng_plan(credential, order, now_ms);
    const char *held = plan.when_ms <= now_ms ? eng_guard_why(engine, credential, &plan) : NULL;
    const json_t *waits = cm_json_obj(credential, "waits_for");
    if (step)
        return eng_next_told(ENG_NEXT_WORKING, 0, step);
    if (waits && plan.action == PLAN_ISSUE && plan.when_ms > now_ms)
        return eng_next_told(ENG_NEXT_LIMIT, plan.when_ms, cm_json_str_or(waits, "text", ""));
    if (held)
        return eng_next_told(ENG_NEXT_HELD, 0, held);
    if (eng_is_refused(credential))
        return eng_next_told(ENG_NEXT_REFUSED, 0, NULL);
    bool now = plan.when_ms <= now_ms;
    switch (plan.action) {
    case PLAN_ISSUE:
        return now ? eng_next_told(ENG_NEXT_ORDER, 0, plan.why)
                   : eng_next_told(ENG_NEXT_ATTEMPT, plan.when_ms, plan.why);
    case PLAN_RENEW:
        return eng_next_told(ENG_NEXT_RENEWAL, plan.when_ms, plan.why);
    case PLAN_TRIAL:
        return eng_next_told(ENG_NEXT_TRIAL, plan.when_ms, plan.why);
    case PLAN_REVOKE:
        return now ? eng_next_told(ENG_NEXT_REVOKING, 0, NULL)
                   : eng_next_told(ENG_NEXT_REVOCATION, plan.when_ms, NULL);
    case PLAN_EXPIRE:
        return eng_next_told(ENG_NEXT_END, plan.when_ms, plan.why);
    case PLAN_NOTHING:
        break;
    }
    return eng_next_told(ENG_NEXT_NOTHING, 0, plan.why);
}

/* ---- parts ------------------------------------------------------------------------------------
 */

struct parts {
    struct engine *engine;
    json_t *request; /* newest */
    json_t *receipts;
    const char *wanted; /* request named by the credential, or NULL */
};

static int on_part(void *arg, const char *key, const char *id)
{
    struct parts *parts = arg;
    (void)key;
    const char *ulid = eng_id_name(id, "request:");
    if (ulid) {
        /* ULIDs sort by time: the last one is the newest. */
        const char *have = cm_json_str(parts->request, "_id");
        bool named = parts->wanted && strcmp(parts->wanted, ulid) == 0;
        bool have_named =
            have && parts->wanted && strcmp(have + strlen("request:"), parts->wanted) == 0;
        if (named || !have || (!have_named && strcmp(have, id) < 0)) {
            json_decref(parts->request);
            parts->request = cs_get_body(parts->engine->env.store, id);
        }
    } else if (eng_id_name(id, "receipt:") && json_array_size(parts->receipts) < RECEIPTS_MAX) {
        json_t *receipt = cs_get_body(parts->engine->env.store, id);
        if (receipt)
            json_array_append_new(parts->receipts, receipt);
    }
    return 0;
}

/* Before the manager has answered, the request is shown as what it asks for. */
static json_t *pending_view(const struct parts *parts, const char *ulid)
{
    json_t *view = json_deep_copy(cm_json_obj(parts->request, "fields"));
    if (!view)
        view = json_object();
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    cm_json_set_str(view, "_id", id);
    cm_json_set_str(view, "type", "credential");
    cm_json_set_str(view, "status", "pending");
    cm_json_set_str(view, "requested_by",
                    cm_json_str(json_object_get(parts->request, "by"), "who"));
    json_object_set(view, "requested_at", json_object_get(parts->request, "at"));
    CM_AUTO_JSON fields = NULL;
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    eng_check_for(parts->engine, ulid, cm_json_obj(parts->request, "fields"), &fields, &errors,
                  &notes);
    json_object_set(view, "host_names_ascii", json_object_get(fields, "host_names_ascii"));
    return view;
}

static json_t *challenge_hosts(struct engine *engine, const char *ulid)
{
    json_t *hosts = json_array();
    CM_AUTO_STR id = cm_asprintf("challenge:%s", ulid);
    CM_AUTO_JSON body = cs_get_body(engine->env.store, id);
    size_t i;
    json_t *token;
    json_array_foreach(cm_json_arr(body, "tokens"), i, token)
    {
        const char *host = cm_json_str(token, "host");
        if (host)
            json_array_append_new(hosts, json_string(host));
    }
    return hosts;
}

/* TXT records that people have to write. */
static void add_manual(json_t *view, const struct job *job)
{
    const char *problem;
    const json_t *values = job_dns_people(job, &problem);
    size_t i;
    json_t *value;
    json_t *out = values ? json_array() : NULL;
    json_array_foreach(values, i, value)
    {
        json_t *one = json_object();
        json_object_set(one, "fqdn", json_object_get(value, "fqdn"));
        json_object_set(one, "value", json_object_get(value, "value"));
        json_array_append_new(out, one);
    }
    cm_json_set(view, "manual", out);
    cm_json_set_str(view, "manual_problem", values ? problem : NULL);
}

/* A certificate that is to be renewed, and by its own settings cannot be. */
static void add_contradictions(struct engine *engine, const char *ulid, json_t *view,
                               const json_t *credential)
{
    static const char *const over[] = {"revoked", "revoke_pending", "archived"};
    const char *status = cm_json_str_or(credential, "status", "");
    for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++)
        if (strcmp(status, over[i]) == 0)
            return;
    json_t *rows = eng_contradictions(engine, ulid, credential);
    cm_json_set(view, "contradictions", json_array_size(rows) > 0 ? json_incref(rows) : NULL);
    json_decref(rows);
}

/* ---- the view ----------------------------------------------------------------------------------
 */

json_t *eng_view(struct engine *engine, const char *ulid)
{
    if (!cm_ulid_ok(ulid))
        return NULL;
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    json_t *credential = cs_get_body(engine->env.store, id);
    struct parts parts = {
        .engine = engine, .receipts = json_array(), .wanted = cm_json_str(credential, "request")};
    cs_each(engine->env.store, CS_BY_CREDENTIAL, ulid, NULL, NULL, on_part, &parts);
    if (!credential && (!parts.request || eng_is_gone(engine, ulid))) {
        json_decref(parts.request);
        json_decref(parts.receipts);
        return NULL;
    }
    bool accepted = credential != NULL;
    if (!credential)
        credential = pending_view(&parts, ulid);
    CM_AUTO_JSON order = cs_kv_get(engine->env.store, "order", ulid);
    struct job *job = engine->env.manager ? sched_job(engine, ulid) : NULL;
    json_t *next = accepted
                       ? next_of(engine, credential, order, job ? job_step(job) : NULL, cm_now_ms())
                       : eng_next_told(ENG_NEXT_MANAGER, 0, NULL);
    json_object_del(credential, "sealed_key");
    json_t *csr_out = eng_csr_out_view(credential);
    json_object_del(credential, "csr_out");
    cm_json_set(credential, "csr_out", csr_out);
    cm_json_set(credential, "health", eng_health(engine->env.store, ulid, credential));
    json_t *view = json_object();
    cm_json_set(view, "credential", credential);
    if (parts.request)
        json_object_del(parts.request, "key"); /* sealed, of an import */
    cm_json_set(view, "request", parts.request ? parts.request : json_object());
    cm_json_set(view, "receipts", parts.receipts);
    add_contradictions(engine, ulid, view, credential);
    cm_json_set(view, "steps", eng_steps(engine, ulid));
    cm_json_set(view, "challenge", challenge_hosts(engine, ulid));
    if (job)
        add_manual(view, job);
    cm_json_set_str(view, "next", cm_json_str(next, "text"));
    cm_json_set(view, "next_told", next);
    return view;
}

json_t *eng_status(struct engine *engine)
{
    json_t *status = json_object();
    cm_json_set_int(status, "jobs", (int64_t)engine->job_count);
    cm_json_set_int(status, "waiting",
                    engine->queue ? (int64_t)json_object_size(engine->queue) : 0);
    cm_json_set_time(status, "next_due_at", engine->armed_ms);
    json_t *alarms = eng_guard_alarms(engine);
    cm_json_set(status, "alarms", json_array_size(alarms) > 0 ? json_incref(alarms) : NULL);
    json_decref(alarms);
    cm_json_set(status, "hook", eng_task_view(engine));
    return status;
}
