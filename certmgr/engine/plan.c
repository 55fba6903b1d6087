/* The pure plan: what one credential needs next, when, and why in a person's words. */
#include "certmgr/engine/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"

#define DAY_MS           INT64_C(86400000)
#define RENEW_DAYS_USUAL 30
#define RETRY_SHORT_MS   2000 /* no attempt follows sooner, however short the life */

enum rule {
    RULE_NONE,
    RULE_ORDER, /* an order is wanted or under way */
    RULE_AGAIN, /* failed, or expired: at next_action_at */
    RULE_VALID, /* a certificate serves */
    RULE_REVOKE,
};

/* design section 5: the states of a TLS Credentials document. */
static const struct {
    const char *status;
    enum rule rule;
    const char *why; /* of RULE_NONE */
} rules[] = {
    {"draft", RULE_NONE, "a draft waits to be submitted"},
    {"pending", RULE_ORDER, NULL},
    {"waiting", RULE_ORDER, NULL},
    {"renew", RULE_ORDER, NULL},
    {"error", RULE_AGAIN, "refused: waits for a corrected request"},
    {"issued", RULE_VALID, NULL},
    {"update_servers", RULE_NONE, "the list of servers is being changed"},
    {"revoke_pending", RULE_REVOKE, NULL},
    {"revoked", RULE_NONE, "the certificate was revoked"},
    {"expired", RULE_AGAIN, "the certificate has expired"},
    {"archived", RULE_NONE, "archived"},
};

bool eng_order_open(const json_t *order)
{
    return cm_json_obj(order, "acme") != NULL;
}

bool eng_is_refused(const json_t *credential)
{
    /* An accepted request counts its attempts from 0 (intake_answer.c). */
    return strcmp(cm_json_str_or(credential, "status", ""), "error") == 0 &&
           !json_object_get(credential, "attempts");
}

static bool trial_is(const json_t *credential, const char *reason)
{
    const json_t *trial = cm_json_obj(credential, "trial");
    return strcmp(cm_json_str_or(trial, "state", ""), "wanted") == 0 &&
           strcmp(cm_json_str_or(trial, "reason", ""), reason) == 0 &&
           strcmp(cm_json_str_or(credential, "provider", ""), "acme") == 0;
}

bool eng_import_moves(const json_t *credential)
{
    return strcmp(cm_json_str_or(credential, "status", ""), "update_servers") == 0 &&
           strcmp(cm_json_str_or(credential, "provider", ""), "import") == 0;
}

bool eng_trial_asked(const json_t *credential)
{
    return trial_is(credential, "asked");
}

bool eng_trial_first(const json_t *credential)
{
    return trial_is(credential, "failures");
}

static struct plan make(enum plan_action action, int64_t when_ms, const char *why)
{
    struct plan plan = {.action = action, .when_ms = action == PLAN_NOTHING ? 0 : when_ms};
    snprintf(plan.why, sizeof(plan.why), "%s", why);
    return plan;
}

/* FNV-1a: any spread will do, it only has to stay the same. */
static uint64_t spread(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

/* How long before not_after renewal begins, without the spread; *ret_life the certificate's life.
 */
static int64_t lead_ms(const json_t *credential, int64_t *ret_life)
{
    int64_t from = cm_json_time(credential, "not_before", 0);
    int64_t to = cm_json_time(credential, "not_after", 0);
    *ret_life = to > from ? to - from : 0;
    int64_t days = cm_json_int(credential, "renew_days", RENEW_DAYS_USUAL);
    if (days < 0 || days > 36500)
        days = RENEW_DAYS_USUAL;
    return days * DAY_MS < *ret_life / 3 ? days * DAY_MS : *ret_life / 3;
}

int64_t eng_plan_renewal(const json_t *credential)
{
    int64_t life, lead = lead_ms(credential, &life);
    if (life == 0)
        return 0;
    /* The CA spreads renewals itself; its time counts unless it is too late for this one. */
    int64_t last = cm_json_time(credential, "not_after", 0) - lead;
    int64_t proposed = cm_json_time(cm_json_obj(credential, "ari"), "renew_at", 0);
    if (proposed)
        return proposed < last ? proposed : last;
    int64_t slack = life / 60 < DAY_MS ? life / 60 : DAY_MS;
    int64_t earlier =
        slack > 0 ? (int64_t)(spread(cm_json_str_or(credential, "_id", "")) % (uint64_t)slack) : 0;
    return last - earlier;
}

int64_t eng_plan_retry_max(int64_t from_ms, int64_t to_ms)
{
    int64_t part = to_ms > from_ms ? (to_ms - from_ms) / 12 : INT64_MAX;
    return part > RETRY_SHORT_MS ? part : RETRY_SHORT_MS;
}

/* "30 days", "5 hours", "20 seconds" */
static void span(int64_t ms, char *out, size_t size)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{DAY_MS, "days"}, {3600000, "hours"}, {60000, "minutes"}, {1000, "seconds"}};
    size_t unit = 0;
    while (unit < 3 && ms < 2 * units[unit].ms)
        unit++;
    snprintf(out, size, "%" PRId64 " %s", ms > 0 ? ms / units[unit].ms : 0, units[unit].name);
}

static struct plan plan_valid(const json_t *credential)
{
    int64_t not_after = cm_json_time(credential, "not_after", 0);
    if (not_after == 0)
        return make(PLAN_NOTHING, 0, "the certificate has no dates");
    struct plan plan = make(PLAN_RENEW, cm_json_time(credential, "next_action_at", 0), "");
    if (plan.when_ms == 0)
        plan.when_ms = eng_plan_renewal(credential);
    if (plan.when_ms == cm_json_time(cm_json_obj(credential, "ari"), "renew_at", 0)) {
        snprintf(plan.why, sizeof(plan.why), "the time that the CA proposes");
        return plan;
    }
    char left[40];
    span(not_after - plan.when_ms, left, sizeof(left));
    snprintf(plan.why, sizeof(plan.why), "%s before expiry", left);
    return plan;
}

/* What brings the next certificate. */
static struct plan plan_order(const json_t *credential, const json_t *order, enum rule rule,
                              const char *why, int64_t now_ms)
{
    int64_t next = cm_json_time(credential, "next_action_at", 0);
    const char *provider = cm_json_str_or(credential, "provider", "");
    /* Of what people bring, the CSR is made in time (manual.h). */
    bool manual = strcmp(provider, "manual") == 0;
    const json_t *out = cm_json_obj(credential, "csr_out");
    if (rule == RULE_REVOKE) /* also of what is paused: a person asked for it */
        return make(PLAN_REVOKE, next && next <= now_ms + PLAN_AHEAD_MS ? next : now_ms,
                    "the certificate is to be revoked");
    if (strcmp(provider, "acme") != 0 && (!manual || cm_json_str(out, "csr")))
        return make(PLAN_NOTHING, 0, "waits for a person");
    if (cm_json_bool(credential, "paused", false))
        return make(PLAN_NOTHING, 0, "paused");
    if (next > now_ms + PLAN_AHEAD_MS)
        next = now_ms; /* nobody plans so far ahead: the clock has been set back since */
    if (rule == RULE_AGAIN && next == 0)
        return make(PLAN_NOTHING, 0, why);
    if (rule == RULE_AGAIN && eng_trial_first(credential))
        return make(PLAN_TRIAL, next, "the CA's staging is tried first after the failures");
    if (rule == RULE_AGAIN)
        return make(PLAN_ISSUE, next, "next attempt after the failure");
    /* What was begun is finished first: never a second order while one is open. */
    if (!manual && eng_order_open(order))
        return make(PLAN_ISSUE, now_ms, "goes on with the open order");
    if (rule == RULE_VALID)
        return plan_valid(credential);
    return make(PLAN_ISSUE, next ? next : now_ms, "the request is waiting for its turn");
}

/* A certificate whose end has not been told yet; 0 = there is none. */
static int64_t untold_end(const json_t *credential)
{
    const char *health = cm_json_str_or(cm_json_obj(credential, "health"), "color", "");
    const char *status = cm_json_str_or(credential, "status", "");
    bool told = strcmp(health, "red") == 0 || strcmp(status, "expired") == 0;
    return told ? 0 : cm_json_time(credential, "not_after", 0);
}

struct plan eng_plan_held(const json_t *credential)
{
    int64_t end = untold_end(credential);
    return end == 0 ? make(PLAN_NOTHING, 0, "held back")
                    : make(PLAN_EXPIRE, end, "its renewal is held back");
}

struct plan eng_plan(const json_t *credential, const json_t *order, int64_t now_ms)
{
    const char *status = cm_json_str_or(credential, "status", "");
    enum rule rule = RULE_NONE;
    const char *why = "unknown status";
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].status, status) == 0) {
            rule = rules[i].rule;
            why = rules[i].why;
        }
    }
    if (eng_trial_asked(credential) && rule != RULE_REVOKE && strcmp(status, "archived") != 0)
        return make(PLAN_TRIAL, now_ms, "a dry run was asked for");
    if (eng_import_moves(credential))
        return make(PLAN_ISSUE, now_ms, why);
    if (rule == RULE_NONE)
        return make(PLAN_NOTHING, 0, why);
    struct plan plan = plan_order(credential, order, rule, why, now_ms);
    /* Nobody is told that a certificate serves when it has run out; but what is due anyway goes
     * first: it may bring the next one. */
    int64_t end = untold_end(credential);
    bool due = plan.action != PLAN_NOTHING && plan.when_ms <= now_ms;
    if (end == 0 || due || (plan.action != PLAN_NOTHING && plan.when_ms <= end))
        return plan;
    struct plan expiry = make(PLAN_EXPIRE, end, "");
    snprintf(expiry.why, sizeof(expiry.why), "%.150s",
             plan.action == PLAN_NOTHING ? plan.why : "before the next attempt to renew it");
    return expiry;
}
