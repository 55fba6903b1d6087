/* plan(document, policy, now) -> {action, when, why}: pure, no clock, no store. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum plan_action {
    PLAN_NOTHING, /* final, refused or paused */
    PLAN_ISSUE,   /* run (or resume) an order */
    PLAN_RENEW,   /* renewal point reached or in the future */
    PLAN_EXPIRE,  /* mark as expired */
};

struct plan {
    enum plan_action action;
    int64_t when_ms; /* <= now: act now; 0 with PLAN_NOTHING */
    char why[200];   /* for people: "30 days before expiry" */
};

/* credential: document body; order: saved order state or NULL; now_ms: wall clock.
 * Order open: resume it.  Pending, or failed: at next_action_at.  Issued: at next_action_at, which
 * the engine sets to eng_plan_renewal(). */
struct plan eng_plan(const json_t *credential, const json_t *order, int64_t now_ms);

/* Renewal point: renew_days before not_after, but never earlier than a third of the life before it
 * (a 6-day certificate with "30 days" would be renewed without end; reference/acme.md N1, 2.3),
 * and earlier by up to 1/60 of the life, decided by the ULID, so that a fleet's renewals spread.
 * 0 without dates. */
int64_t eng_plan_renewal(const json_t *credential);

/* A request that was never accepted: shown with its error, holds no names, nothing is planned. */
bool eng_is_refused(const json_t *credential);
/* Is an ACME order saved here that has not been finished? */
bool eng_order_open(const json_t *order);
