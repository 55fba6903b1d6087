/* The pure plan: what one credential needs next, when, and why in a person's words. */
#include "certmgr/engine/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"

#define DAY_MS           INT64_C(86400000)
#define RENEW_DAYS_USUAL 30

enum rule {
    RULE_NONE,
    RULE_ORDER, /* an order is wanted or under way */
    RULE_ERROR,
    RULE_VALID, /* a certificate serves */
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
    {"error", RULE_ERROR, NULL},
    {"issued", RULE_VALID, NULL},
    {"update_servers", RULE_NONE, "the list of servers is being changed"},
    {"revoke_pending", RULE_NONE, "the certificate is being revoked"},
    {"revoked", RULE_NONE, "the certificate was revoked"},
    {"expired", RULE_NONE, "the certificate has expired"},
    {"archived", RULE_NONE, "archived"},
};

bool eng_order_open(const json_t *order)
{
    return cm_json_obj(order, "acme") != NULL;
}

bool eng_is_refused(const json_t *credential)
{
    /* An accepted request counts its attempts from 0 (intake.c). */
    return strcmp(cm_json_str_or(credential, "status", ""), "error") == 0 &&
           !json_object_get(credential, "attempts");
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
    int64_t slack = life / 60;
    int64_t earlier =
        slack > 0 ? (int64_t)(spread(cm_json_str_or(credential, "_id", "")) % (uint64_t)slack) : 0;
    return cm_json_time(credential, "not_after", 0) - lead - earlier;
}

static struct plan plan_valid(const json_t *credential, bool automatic, int64_t now_ms)
{
    int64_t not_after = cm_json_time(credential, "not_after", 0);
    if (not_after == 0)
        return make(PLAN_NOTHING, 0, "the certificate has no dates");
    if (!automatic)
        return make(PLAN_EXPIRE, not_after, "not renewed by itself");
    struct plan plan = make(PLAN_RENEW, cm_json_time(credential, "next_action_at", 0), "");
    if (plan.when_ms == 0)
        plan.when_ms = eng_plan_renewal(credential);
    int64_t left = not_after - plan.when_ms;
    if (left >= 2 * DAY_MS)
        snprintf(plan.why, sizeof(plan.why), "%" PRId64 " days before expiry", left / DAY_MS);
    else
        snprintf(plan.why, sizeof(plan.why), "%" PRId64 " hours before expiry",
                 left > 0 ? left / 3600000 : 0);
    (void)now_ms;
    return plan;
}

struct plan eng_plan(const json_t *credential, const json_t *order, int64_t now_ms)
{
    const char *status = cm_json_str_or(credential, "status", "");
    bool paused = cm_json_bool(credential, "paused", false);
    bool acme = strcmp(cm_json_str_or(credential, "provider", ""), "acme") == 0;
    int64_t next = cm_json_time(credential, "next_action_at", 0);
    enum rule rule = RULE_NONE;
    const char *why = "unknown status";
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].status, status) == 0) {
            rule = rules[i].rule;
            why = rules[i].why;
        }
    }
    if (rule == RULE_NONE)
        return make(PLAN_NOTHING, 0, why);
    if (rule == RULE_VALID && !eng_order_open(order))
        return plan_valid(credential, acme && !paused, now_ms);
    if (paused)
        return make(PLAN_NOTHING, 0, "paused");
    if (!acme)
        return make(PLAN_NOTHING, 0, "waits for a person");
    if (rule == RULE_ERROR) {
        if (next == 0)
            return make(PLAN_NOTHING, 0, "refused: waits for a corrected request");
        return make(PLAN_ISSUE, next, "next attempt after the failure");
    }
    /* What was begun is finished first: never a second order while one is open. */
    if (eng_order_open(order))
        return make(PLAN_ISSUE, now_ms, "goes on with the open order");
    return make(PLAN_ISSUE, next ? next : now_ms, "the request is waiting for its turn");
}
