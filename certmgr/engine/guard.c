/*
 * Mass actions held back.  What is held back stays where it is in the indexes; nothing is written
 * for it, and when the reason has gone the indexes are walked from the beginning.
 */
#include "certmgr/engine/guard.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ASK_TIMEOUT_MS 10000
#define CLOCK_ALARM    "alarm/clock"

/* ---- alarms -------------------------------------------------------------------------------------
 */

static void raise_alarm(struct engine *engine, const char *key, json_t *take)
{
    struct cm_err err = CM_ERR_INIT;
    cm_log(CM_LOG_ERROR, "engine", key, "%s", cm_json_str_or(take, "what", ""));
    if (cs_kv_put(engine->env.store, "budget", key, take, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
    json_decref(take);
}

static void end_alarm(struct engine *engine, const char *key, const char *what)
{
    struct cm_err err = CM_ERR_INIT;
    cm_log(CM_LOG_INFO, "engine", key, "%s", what);
    if (cs_kv_del(engine->env.store, "budget", key, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}

static int on_alarm(void *arg, const char *key, const json_t *value)
{
    json_t *one = json_copy((json_t *)(uintptr_t)value);
    cm_json_set_str(one, "key", key);
    json_array_append_new(arg, one);
    return 0;
}

json_t *eng_guard_alarms(struct engine *engine)
{
    json_t *list = json_array();
    cs_kv_each(engine->env.store, "budget", "alarm/", on_alarm, list);
    return list;
}

/* ---- looking again ----------------------------------------------------------------------------
 */

static void on_again(void *arg)
{
    struct engine *engine = arg;
    engine->guard->again_boot_ms = 0;
    sched_again(engine);
}

static void look_again(struct engine *engine, int64_t boot_ms)
{
    struct eng_guard *guard = engine->guard;
    if (guard->again_boot_ms != 0 && guard->again_boot_ms <= boot_ms)
        return;
    int64_t pause = boot_ms - cm_boot_ms();
    guard->again_boot_ms = boot_ms;
    cm_timer_start(guard->again, pause > 0 ? pause : 0);
}

/* ---- the clock ----------------------------------------------------------------------------------
 */

static void ask_the_time(struct engine *engine);

static void clock_news(struct engine *engine)
{
    const struct clock_guard *clock = &engine->guard->clock;
    if (!clock->doubt) {
        end_alarm(engine, CLOCK_ALARM, "A CA confirms the clock: renewals go on");
        look_again(engine, cm_boot_ms());
        return;
    }
    json_t *alarm = json_object();
    int64_t minutes = (clock->off_ms < 0 ? -clock->off_ms : clock->off_ms) / 60000;
    CM_AUTO_STR what = cm_asprintf(
        "This server's clock %s %" PRId64 " minutes %s: renewals that nobody asked for wait",
        clock->by_ca ? "is" : "jumped", minutes,
        clock->off_ms > 0 ? (clock->by_ca ? "ahead of the CA's" : "ahead")
                          : (clock->by_ca ? "behind the CA's" : "back"));
    cm_json_set_str(alarm, "kind", "clock");
    cm_json_set_str(alarm, "what", what);
    cm_json_set_str(alarm, "hint",
                    "Set the clock of this server right (timedatectl status; chronyc tracking). "
                    "When a CA confirms the time, the renewals go on by themselves.");
    cm_json_set_time(alarm, "since", clock->since_ms);
    raise_alarm(engine, CLOCK_ALARM, alarm);
    ask_the_time(engine);
}

static void on_time(void *arg, const struct http_result *res)
{
    struct engine *engine = arg;
    struct eng_guard *guard = engine->guard;
    guard->question = NULL;
    int64_t date = res->status != 0 ? http_date(res->headers, cm_now_ms()) : 0;
    if (date != 0 && clock_guard_date(&guard->clock, cm_now_ms(), date))
        clock_news(engine);
    if (guard->clock.doubt)
        cm_timer_start(guard->ask, GUARD_ASK_MS);
}

static int on_account(void *arg, const char *key, const char *id)
{
    (void)key;
    (void)cm_strcpy(arg, CS_ID_MAX + 1, id);
    return 1;
}

/* Any CA will do: its directory is asked for, and only the Date of the answer counts. */
static void ask_the_time(struct engine *engine)
{
    struct eng_guard *guard = engine->guard;
    char id[CS_ID_MAX + 1] = "";
    struct cm_err err = CM_ERR_INIT;
    if (guard->question)
        return;
    cs_each(engine->env.store, CS_BY_TYPE, "account", NULL, NULL, on_account, id);
    CM_AUTO_JSON account = id[0] ? cs_get_body(engine->env.store, id) : NULL;
    struct http_call_opts opts = {
        .url = cm_json_str(account, "directory"),
        .timeout_ms = ASK_TIMEOUT_MS,
        .allow_http = engine->env.lab_http,
        .no_keep = true,
        .ca_pem = cm_json_str(account, "ca_pem"),
    };
    if (opts.url)
        guard->question = http_call(engine->env.http, &opts, on_time, engine, &err);
    if (!guard->question)
        cm_timer_start(guard->ask, GUARD_ASK_MS);
    cm_err_fini(&err);
}

static void on_ask(void *arg)
{
    ask_the_time(arg);
}

static void look_at_clock(struct engine *engine)
{
    if (clock_guard_look(&engine->guard->clock, cm_now_ms(), cm_boot_ms()))
        clock_news(engine);
}

void eng_guard_reply(struct engine *engine, const char *headers)
{
    struct eng_guard *guard = engine->guard;
    int64_t boot = cm_boot_ms();
    if (!guard || !headers ||
        (guard->date_boot_ms != 0 && boot - guard->date_boot_ms < GUARD_DATE_MS &&
         !guard->clock.doubt))
        return;
    int64_t date = http_date(headers, cm_now_ms());
    guard->date_boot_ms = boot > 0 ? boot : 1;
    if (date != 0 && clock_guard_date(&guard->clock, cm_now_ms(), date))
        clock_news(engine);
}

/* ---- CAs ----------------------------------------------------------------------------------------
 */

static struct eng_ca_guard *ca_of(struct eng_guard *guard, const char *directory, bool make)
{
    for (size_t i = 0; i < guard->ca_count; i++)
        if (strcmp(guard->ca[i].directory, directory) == 0)
            return &guard->ca[i];
    if (!make || guard->ca_count == GUARD_CAS_MAX)
        return NULL;
    struct eng_ca_guard *ca = &guard->ca[guard->ca_count++];
    *ca = (struct eng_ca_guard){.directory = cm_strdup(directory)};
    return ca;
}

static void ca_key(const char *directory, char out[CM_SHA256_HEX + 16])
{
    char hex[CM_SHA256_HEX];
    cm_sha256_hex(directory, strlen(directory), hex);
    snprintf(out, CM_SHA256_HEX + 16, "alarm/ca/%.32s", hex);
}

static void ca_news(struct engine *engine, const struct eng_ca_guard *ca)
{
    char key[CM_SHA256_HEX + 16];
    unsigned bad, all;
    ca_key(ca->directory, key);
    if (ca->breaker.open_ms == 0) {
        end_alarm(engine, key, "A renewal succeeded again: the others at this CA go on");
        look_again(engine, cm_boot_ms());
        return;
    }
    eng_breaker_count(&ca->breaker, cm_boot_ms(), &bad, &all);
    json_t *alarm = json_object();
    CM_AUTO_STR what = cm_asprintf("%u of %u renewals at %.300s failed within an hour: the others "
                                   "wait, one is tried every %d minutes",
                                   bad, all, ca->directory, BREAKER_CANARY_MS / 60000);
    cm_json_set_str(alarm, "kind", "ca");
    cm_json_set_str(alarm, "directory", ca->directory);
    cm_json_set_str(alarm, "what", what);
    cm_json_set_str(alarm, "hint",
                    "Look at the errors of the credentials and at the CA's own status page. What a "
                    "person asks for (retry, renew) is not held back.");
    cm_json_set_time(alarm, "since", cm_now_ms());
    raise_alarm(engine, key, alarm);
    look_again(engine, ca->breaker.canary_ms + BREAKER_CANARY_MS);
}

void eng_guard_ended(struct engine *engine, const char *directory, bool good)
{
    if (!engine->guard || !directory)
        return;
    struct eng_ca_guard *ca = ca_of(engine->guard, directory, true);
    if (ca && eng_breaker_note(&ca->breaker, cm_boot_ms(), good))
        ca_news(engine, ca);
}

/* ---- what is held back ------------------------------------------------------------------------
 */

/* Due by itself, not asked for by a person (whose request makes it "renew" or "pending"). */
static bool by_itself(const json_t *credential, const struct plan *plan)
{
    const char *status = cm_json_str_or(credential, "status", "");
    if (plan->action == PLAN_RENEW || plan->action == PLAN_EXPIRE)
        return true;
    return plan->action == PLAN_ISSUE && cm_json_str(credential, "chain") &&
           (strcmp(status, "error") == 0 || strcmp(status, "expired") == 0);
}

static struct eng_ca_guard *open_breaker(struct engine *engine, const json_t *credential)
{
    struct eng_guard *guard = engine->guard;
    bool any = false;
    for (size_t i = 0; i < guard->ca_count; i++)
        any = any || guard->ca[i].breaker.open_ms != 0;
    if (!any)
        return NULL;
    CM_AUTO_STR id = cm_asprintf("account:%s", eng_turn_account(credential));
    CM_AUTO_JSON account = cs_peek_body(engine->env.store, id);
    struct eng_ca_guard *ca = ca_of(guard, cm_json_str_or(account, "directory", ""), false);
    return ca && ca->breaker.open_ms != 0 ? ca : NULL;
}

bool eng_guard_may(struct engine *engine, const json_t *credential, const struct plan *plan)
{
    struct eng_guard *guard = engine->guard;
    if (!guard || !by_itself(credential, plan))
        return true;
    look_at_clock(engine);
    if (guard->clock.doubt)
        return false;
    struct eng_ca_guard *ca = plan->action == PLAN_EXPIRE ? NULL : open_breaker(engine, credential);
    int64_t again = ca ? eng_breaker_ask(&ca->breaker, cm_boot_ms()) : 0;
    if (again != 0)
        look_again(engine, again);
    return again == 0;
}

const char *eng_guard_why(struct engine *engine, const json_t *credential, const struct plan *plan)
{
    if (!engine->guard || !by_itself(credential, plan))
        return NULL;
    if (engine->guard->clock.doubt)
        return "this server's clock cannot be believed";
    if (plan->action != PLAN_EXPIRE && open_breaker(engine, credential))
        return "many renewals at this CA fail; one is tried every 10 minutes";
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------
 */

/* What was held back before a restart still is; a clock is looked at anew. */
static int on_kept(void *arg, const char *key, const json_t *value)
{
    struct eng_guard *guard = arg;
    const char *directory = cm_json_str(value, "directory");
    struct eng_ca_guard *ca = directory ? ca_of(guard, directory, true) : NULL;
    (void)key;
    if (ca) {
        ca->breaker.open_ms = cm_boot_ms() > 0 ? cm_boot_ms() : 1;
        ca->breaker.canary_ms = ca->breaker.open_ms - BREAKER_CANARY_MS;
    }
    return 0;
}

void eng_guard_start(struct engine *engine)
{
    struct eng_guard *guard = cm_calloc(1, sizeof(*guard));
    struct cm_err err = CM_ERR_INIT;
    engine->guard = guard;
    guard->holds = json_object();
    guard->promised = json_object();
    guard->ask = cm_timer_new(engine->env.loop, on_ask, engine);
    guard->again = cm_timer_new(engine->env.loop, on_again, engine);
    CM_AUTO_JSON clock = cs_kv_get(engine->env.store, "budget", CLOCK_ALARM);
    if (clock && cs_kv_del(engine->env.store, "budget", CLOCK_ALARM, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
    cs_kv_each(engine->env.store, "budget", "alarm/ca/", on_kept, guard);
    eng_budget_sweep(engine);
}

void eng_guard_stop(struct engine *engine)
{
    struct eng_guard *guard = engine->guard;
    if (!guard)
        return;
    if (guard->question)
        http_call_cancel(guard->question);
    cm_timer_free(guard->ask);
    cm_timer_free(guard->again);
    for (size_t i = 0; i < guard->ca_count; i++)
        cm_free(guard->ca[i].directory);
    json_decref(guard->holds);
    json_decref(guard->promised);
    cm_free(guard);
    engine->guard = NULL;
}
