/* plan(document, policy, now) -> {action, when, why}: pure, no clock, no store. */
#pragma once

#include <jansson.h>
#include <stdint.h>

enum plan_action {
    PLAN_NOTHING, /* final or paused */
    PLAN_ISSUE,   /* run (or resume) an order */
    PLAN_RENEW,   /* renewal point reached or in the future */
    PLAN_EXPIRE,  /* mark as expired */
};

struct plan {
    enum plan_action action;
    int64_t when_ms;  /* <= now: act now; 0 with PLAN_NOTHING */
    char why[200];    /* for people: "30 days before expiry" */
};

/* credential: document body; order: saved order state or NULL; now_ms: wall clock. Renewal point =
 * the later start of: not_after - renew_days, but never later than a third of the life left
 * (reference/acme.md N1). After a failure: next_action_at. */
struct plan eng_plan(const json_t *credential, const json_t *order, int64_t now_ms);
