/*
 * What a request: document makes of its credential: the outcome, a refusal too, applied to the body
 * (intake.c finds the requests and writes what came of them).
 */
#pragma once

#include "certmgr/engine/internal.h"

/* What a request: document asks for (its `action`). */
enum intake_action {
    ACTION_ISSUE,     /* Submit Request: fields come along */
    ACTION_RETRY,     /* attempt now what failed or waits */
    ACTION_RENEW,     /* a new certificate now, whatever the date */
    ACTION_ROLL_OVER, /* the same with a new key */
    ACTION_DRY_RUN,   /* the order at the CA's staging; of new fields: they become a draft */
    ACTION_HANDED,    /* a person brings a certificate (manual.c) */
    ACTION_IMPORT,    /* … with its key (import.c) */
    ACTION_LIFE,      /* revoke, archive, delete and their like (life.c) */
    ACTION_COUNT
};

struct intake {
    struct engine *engine;
    char ulid[CM_ULID_TEXT]; /* of the request */
    char credential[CM_ULID_TEXT];
    json_t *request;
    enum intake_action action;
    const char *outcome; /* for the step log; static text */
    json_t *notes;
    json_t *former;           /* the credential before the certificate was handed in, or NULL */
    struct cm_err unwritable; /* why its outcome could not be written; code 0: it could */
};

/* The action of this name; ACTION_COUNT: there is none. */
enum intake_action intake_action_of(const char *name);
/* The outcome into the credential's body; arg: struct intake.  1 = nothing to write, < 0: the
 * answer cannot be given (CM_ENOENT: the credential is gone). */
int intake_answer(void *arg, json_t *body, struct cm_err *err);
/* The same when that document was refused (intake->unwritable): the fault, with nothing of what was
 * asked for. */
int intake_answer_unwritable(void *arg, json_t *body, struct cm_err *err);
