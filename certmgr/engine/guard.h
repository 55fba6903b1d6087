/*
 * The task's caution: when it holds back renewals that are due (a clock that cannot be believed, a
 * CA at which most of them fail), and orders that a CA's limit would refuse (budget.c).
 *
 * What people must hear of is in the local table "budget" under "alarm/…": {what, because?, hint,
 * since, severity}; the notices and the status page read it there.
 */
#pragma once

#include "certmgr/engine/breaker.h"
#include "certmgr/engine/bucket.h"
#include "certmgr/engine/clock_guard.h"
#include "certmgr/engine/internal.h"

#define GUARD_CAS_MAX  64    /* breakers kept; beyond, a CA has none */
#define GUARD_ASK_MS   60000 /* the CA is asked for the time so often while there is doubt */
#define GUARD_DATE_MS  60000 /* a reply's Date is looked at so often */
#define GUARD_AGAIN    2     /* identical issues without a person … */
#define GUARD_AGAIN_MS (INT64_C(7) * 86400000) /* … within this, or the life of the certificate */

struct eng_ca_guard {
    char *directory;
    struct eng_breaker breaker;
};

struct eng_guard {
    json_t *holds;    /* {key of a bucket: orders under way that will take from it} */
    json_t *promised; /* {key of a bucket: time promised to the last who waits} */
    struct eng_ca_guard ca[GUARD_CAS_MAX];
    size_t ca_count;
    struct clock_guard clock;
    int64_t date_boot_ms;       /* when a Date was looked at last */
    struct http_call *question; /* what time is it? */
    struct cm_timer *ask, *again;
    int64_t again_boot_ms; /* what `again` stands for; 0 = none */
    unsigned writes;       /* since the ledger was swept */
};

/* ---- guard.c ---- */
void eng_guard_start(struct engine *engine);
void eng_guard_stop(struct engine *engine);
/* May what the plan says begin now?  False: it is looked at again in time.  Only renewals that
 * nobody asked for, and the news that a certificate has run out, are held back. */
bool eng_guard_may(struct engine *engine, const json_t *credential, const struct plan *plan);
/* A sentence why it is held back, or NULL; changes nothing (static text). */
const char *eng_guard_why(struct engine *engine, const json_t *credential, const struct plan *plan);
/* A renewal at this CA ended. */
void eng_guard_ended(struct engine *engine, const char *directory, bool good);
/* A CA's reply. */
void eng_guard_reply(struct engine *engine, const char *headers);
/* [{key, what, …}] of the alarms (owned). */
json_t *eng_guard_alarms(struct engine *engine);

/* ---- budget.c: the ledger of the CAs' limits ---- */
#define BUDGET_TEXT_MAX 400
#define BUDGET_ROWS_MAX 500 /* shown of an account */

struct eng_wish {
    const char *account, *directory;
    const json_t *names; /* ASCII */
    bool same_set;       /* renews a certificate of exactly these names */
    bool ari;            /* at the time the CA proposed: exempt */
};
/* When may this order begin?  now or earlier: at once; else text says what it waits for. */
int64_t eng_budget_ask(struct engine *engine, const struct eng_wish *wish,
                       char text[BUDGET_TEXT_MAX]);
/* As eng_budget_ask(), for an order that will come at that time: whoever asks next waits longer. */
int64_t eng_budget_promise(struct engine *engine, const struct eng_wish *wish,
                           char text[BUDGET_TEXT_MAX]);
/* An order begins (fresh: newOrder is about to be sent) or goes on: what it will take is held.
 * Owned; for eng_budget_end(). */
json_t *eng_budget_begin(struct engine *engine, const struct eng_wish *wish, bool fresh);
/* It ended; issued: what was held is taken. */
void eng_budget_end(struct engine *engine, json_t *take_held, bool issued);
/* The CA's check of a name failed. */
void eng_budget_failed(struct engine *engine, const char *account, const char *directory,
                       const char *name);
void eng_budget_sweep(struct engine *engine);

/* The CA's Retry-After for the whole account outlives this process, whatever it was an answer to.
 */
void eng_budget_keep_floor(struct engine *engine, const struct eng_account *account);
/* The CA's Retry-After that was kept (job_budget.c) counts again after a restart. */
void eng_budget_floor(struct engine *engine, const char *account, const char *directory,
                      struct acme_ca *ca);
/* The names one after the other in order: the same text for the same set (owned). */
char *eng_names_sorted(const json_t *names);

/* ---- again.c ---- */
/* Was this very certificate issued so often of late, without a person, that another would be a
 * loop?  names: of the order. */
bool eng_again_loops(struct engine *engine, const json_t *credential, const json_t *names);
/* The CA issued it; order: its URL, so that it counts once. */
void eng_again_note(struct engine *engine, const json_t *credential, const json_t *names,
                    const char *order);
