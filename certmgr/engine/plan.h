/* plan(document, policy, now) -> {action, when, why}: pure, no clock, no store. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The longest Retry-After (acme/header.h) and a back-off.  Whoever was to try again later than this
 * was told so by a clock that has been set back since. */
#define PLAN_AHEAD_MS (367 * INT64_C(86400000))

enum plan_action {
    PLAN_NOTHING, /* final, refused or paused */
    PLAN_ISSUE,   /* run (or resume) an order */
    PLAN_RENEW,   /* renewal point reached or in the future */
    PLAN_TRIAL,   /* a dry run at the CA's staging (`trial`) */
    PLAN_REVOKE,  /* ask the CA to revoke the certificate */
    PLAN_EXPIRE,  /* tell that the certificate has run out; attempts go on as they were planned */
};

struct plan {
    enum plan_action action;
    int64_t when_ms; /* <= now: act now; 0 with PLAN_NOTHING */
    char why[200];   /* for people: "30 days before expiry" */
};

/* credential: document body; order: saved order state or NULL; now_ms: wall clock.
 * Order open: resume it.  Pending, failed or expired: at next_action_at.  Issued: at
 * next_action_at, which the engine sets to eng_plan_renewal().  A certificate that ends before
 * anything of that happens, or that nobody renews: PLAN_EXPIRE at its end, once. */
struct plan eng_plan(const json_t *credential, const json_t *order, int64_t now_ms);

/* What is left to do for a credential whose renewal is held back (engine/guard.h): PLAN_EXPIRE at
 * the end of a certificate whose end has not been told yet, else PLAN_NOTHING. */
struct plan eng_plan_held(const json_t *credential);

/* Renewal point: renew_days before not_after, but at the earliest when a third of the life is left
 * (a 6-day certificate with "30 days" would be renewed without end; reference/acme.md N1, 2.3),
 * and earlier than that by up to 1/60 of the life, a day at most, decided by the ULID, so that a
 * fleet's renewals spread; and when the CA proposes (`ari`.`renew_at`, RFC 9773), if that comes
 * first.  0 without dates. */
int64_t eng_plan_renewal(const json_t *credential);
/* The longest pause before another attempt that a certificate of this life can afford: a twelfth of
 * it (5 s of a minute, 12 h of 6 days).  No dates: no limit. */
int64_t eng_plan_retry_max(int64_t from_ms, int64_t to_ms);

/* Is a dry run to be made, because somebody asked for it, or because of failures at the live CA? */
/* An imported key is to be given to other servers. */
bool eng_import_moves(const json_t *credential);
bool eng_trial_asked(const json_t *credential);
bool eng_trial_first(const json_t *credential);

/* A request that was never accepted: shown with its error, holds no names, nothing is planned. */
bool eng_is_refused(const json_t *credential);
/* Is an ACME order saved here that has not been finished? */
bool eng_order_open(const json_t *order);
