/*
 * What pages and API ask of the server about its own state: the hold after a restore, the scrub,
 * copies for backups, the recovery key.  Implemented by certmgr/app_care.c; members may be NULL.
 */
#pragma once

#include "base/core/err.h"

/* {…} (borrowed) or err; called exactly once, never from inside. */
typedef void (*web_care_fn)(void *arg, const json_t *result, const struct cm_err *err);

struct web_care {
    void *arg;
    /* hold_status() (owned), NULL = none. */
    json_t *(*hold)(void *arg);
    int (*release)(void *arg, const char *who, struct cm_err *err);
    /* Begins to read the whole store again. */
    void (*scrub)(void *arg);
    /* A copy of the store: {copy, about}; with the sealed identity also {sealed, recovery}. */
    void (*copy)(void *arg, bool identity, web_care_fn done, void *done_arg);
    /* Another recovery key for the fleet (SPKI, base64): {version}. */
    void (*recovery)(void *arg, const char *spki, web_care_fn done, void *done_arg);
};
