/*
 * The sweep of the journal, at the start and every hour: takes away what belongs to no order under
 * way (reference/acme.md D5).
 */
#include "certmgr/engine/dns_work.h"

#include <stdio.h>
#include <string.h>

/* Is an order under way, or soon again, that this value is for? */
static bool is_wanted(struct engine *engine, const char *owner, const json_t *entry)
{
    if (!cm_ulid_ok(owner))
        return cm_json_bool(cm_json_obj(engine->dns->tests, cm_json_str_or(entry, "account", "")),
                            "running", false);
    if (sched_job(engine, owner))
        return true;
    CM_AUTO_JSON order = cs_kv_get(engine->env.store, "order", owner);
    CM_AUTO_STR id = cm_asprintf("credential:%s", owner);
    CM_AUTO_JSON credential = cs_peek_body(engine->env.store, id);
    if (eng_trial_asked(credential))
        return true;
    if (!eng_order_open(order))
        return false;
    struct plan plan = eng_plan(credential, order, cm_now_ms());
    return credential && (plan.action == PLAN_ISSUE || plan.action == PLAN_RENEW) &&
           plan.when_ms <= cm_now_ms() + DNS_KEEP_MS;
}

void dns_sweep(void *arg)
{
    struct engine *engine = arg;
    CM_AUTO_JSON all = dns_journal(engine, NULL);
    int64_t now = cm_now_ms(), next = now + DNS_SWEEP_MS;
    const char *key;
    json_t *entry;
    json_object_foreach(all, key, entry)
    {
        char owner[DNS_KEY_MAX];
        snprintf(owner, sizeof(owner), "%.*s", (int)strcspn(key, "/"), key);
        if (!dns_journal_is(entry, "removing") && is_wanted(engine, owner, entry))
            continue;
        int64_t due = cm_json_time(entry, "next_at", 0);
        if (due > now)
            next = due < next ? due : next;
        else
            dns_work_remove(engine, key, entry, NULL, NULL, NULL);
    }
    cm_timer_start(engine->dns->sweep, next - now);
}
