/*
 * Inside of the deployer: one place per configured target, one run per place at a time.
 *
 * A run has at most one call under way (agent, hook, wire look, receipt) or one timer.  Agent and
 * hooks cannot be cancelled: a run whose deployer went away is freed by the answer.
 */
#pragma once

#include "certmgr/engine/deploy.h"
#include "certmgr/engine/internal.h"

#define DEP_LOOK_FIRST_MS 50 /* nginx reloads in about as long */
#define DEP_LOOK_MAX_MS   2000
#define DEP_STAGE_MAX     128 /* bytes of the agent's stage id */

struct dep_run;

/* One configured target. */
struct dep_place {
    struct deployer *deployer;
    char *name, *check;
    bool has_test, has_reload;
    json_t *queue; /* {ulid: true} in order */
    struct dep_run *run;
};

struct deployer {
    struct eng_env env;
    struct engine *engine;
    struct eng_ear *ear;
    struct dep_hooks hooks;
    struct dep_wire wire;
    struct dep_place *place;
    size_t place_count;
    json_t *inbox; /* {ulid: true} changed documents to look at */
    json_t *retry; /* {ulid: wall clock ms} */
    json_t *holds; /* dep_hold.h */
    struct cm_timer *inbox_timer, *retry_timer;
};

enum dep_step {
    DEP_STAGE,
    DEP_SWAP,
    DEP_TEST,
    DEP_RELOAD,
    DEP_LOOK,
    DEP_COMMIT,
    DEP_ROLLBACK,     /* after a failure: the former files ... */
    DEP_RELOAD_AGAIN, /* ... and the service reads them again */
    DEP_RECEIPT,
};

struct dep_run {
    struct dep_place *place; /* NULL = the deployer is gone */
    char ulid[CM_ULID_TEXT];
    json_t *document; /* keyfile: */
    json_t *receipt;  /* the present one, or NULL */
    enum dep_step step;
    bool waiting; /* an answer is due that cannot be cancelled */
    bool swapped, reloaded;
    char stage[DEP_STAGE_MAX];
    unsigned looks;
    struct cm_timer *timer;
    struct cm_err err; /* why it failed */
};

/* Starts a run; dep_run_over() follows.  document and receipt are taken. */
void dep_run_start(struct dep_place *place, const char *ulid, json_t *take_document,
                   json_t *take_receipt);
/* The deployer goes away. */
void dep_run_drop(struct dep_run *run);
/* retry_ms: wall clock of the next attempt, 0 = none. */
void dep_run_over(struct dep_place *place, const char *ulid, int64_t retry_ms);

/* dep_receipt.c: what this server reports. */
/* The state that a complete deployment to this place ends in. */
const char *dep_goal(const struct dep_place *place);
/* Does the receipt say that this document is deployed as well as it can be? */
bool dep_receipt_good(const struct dep_place *place, const json_t *receipt, const json_t *document);
struct dep_report {
    const char *state;
    const char *target;
    const json_t *document;
    struct cm_err *err; /* with state "failed": attempts and next time are filled in */
};
/* Publishes when anything but the time changed.  done as cs_published_fn, never from inside. */
void dep_report(struct deployer *deployer, const char *ulid, struct dep_report *report,
                cs_published_fn done, void *arg);
