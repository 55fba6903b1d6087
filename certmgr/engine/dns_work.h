/*
 * Operations on TXT values and the calls to providers that carry them out: between dns_work.c (who
 * wishes), dns_turn.c (whose turn it is), dns_op.c (one operation) and dns_call.c (one call).
 */
#pragma once

#include "certmgr/engine/dns.h"

struct dns_wish;

/* One value is to be set or taken away. */
struct dns_op {
    struct dns_op *next;
    struct dns_wish *wish;
    struct engine *engine;
    bool adding;
    bool journalled;       /* may run */
    bool alone;            /* was refused together with others */
    struct dns_call *call; /* that it is part of, NULL = waits */
    char key[DNS_KEY_MAX];
    char owner[CM_ULID_TEXT + 80];
    json_t *entry;
    const char *name, *zone, *fqdn, *value; /* inside of the entry; name: the account's */
    struct eng_dns_account *account;        /* as it was last seen, or NULL */
    dnsp_trace_fn trace;
    eng_done_fn done;
    void *arg;
    int64_t since_ms;
};

/* One call to a provider: the operations of one message, or one. */
struct dns_call {
    struct engine *engine;
    struct eng_dns_account *account; /* a reference */
    struct dnsp_call *dnsp;          /* NULL = has answered */
    struct dns_op *ops[DNSP_TOGETHER_MAX];
    size_t count;
};

/* ---- dns_op.c ---- */
/* At the end of the queue; the entry is shared. */
struct dns_op *dns_op_new(struct engine *engine, const char *key, json_t *entry, bool adding);
void dns_op_take(struct dns_op *op, json_t *entry); /* a newer state of its entry; shared */
/* The provider's word on it: journal, steps, whoever waits.  Frees it. */
void dns_op_answer(struct dns_op *op, const json_t *record, const struct cm_err *err);
/* It never came to a call: a removal comes again later.  Frees it. */
void dns_op_fail(struct dns_op *op, const struct cm_err *err);
/* Tells who waits, and frees it.  Whoever is told may end others, but none that has a call. */
void dns_op_end(struct dns_op *op, const struct cm_err *err);

/* ---- dns_call.c ---- */
/* Can it go together with others of the same account and zone?  Its account must be
 * known. */
bool dns_call_takes(const struct dns_op *op);
/* Starts the call of this operation and of others that wait for the same. */
void dns_call_start(struct dns_op *op);
/* Its operations wait again. */
void dns_call_cancel(struct dns_call *call);

/* ---- dns_turn.c ---- */
/* May this one run now, as far as others for the same account and name go?  call: what runs with
 * it, in order; NULL = it runs alone. */
bool dns_turn_blocked(const struct dns_op *op, const struct dns_call *call);
/* Is its removal still to be made?  Takes the newest entry. */
bool dns_turn_wanted(struct dns_op *op);
void dns_turn(void *engine); /* starts what can be started */

/* ---- dns_sweep.c ---- */
void dns_sweep(void *engine); /* queues what belongs to nobody; sets the next time */

/* ---- dns_work.c ---- */
void dns_wish_end(struct dns_wish *wish); /* its operation is over */
/* The entry is to go: says so in the journal and queues the removal, once. */
void dns_work_remove(struct engine *engine, const char *key, json_t *entry, dnsp_trace_fn trace,
                     eng_done_fn done, void *arg);
