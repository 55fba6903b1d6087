/* An ACME account on its way into the store: what was typed, and what comes of it. */
#pragma once

#include "certmgr/engine/internal.h"

struct account_put {
    struct engine *engine;
    char *name;
    json_t *members; /* of the document, as given */
    json_t *key;     /* agent's answer, or NULL = the present key stays */
    char *who;
    bool agreed;
    char *terms_known; /* URL of what a person agreed to elsewhere, or NULL */
    char *terms;       /* URL of the terms in the CA's directory, when it could be read */
    char *new_account;
    bool registered; /* the CA knows the present key */
    bool bound;      /* a binding for it is stored */
    bool rebind;     /* another key takes the place of the present one */
    char *eab_kid, *eab_hmac, *eab_alg;
    json_t *binding; /* the agent's answer, or NULL */
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

/* Checks what was typed (as of eng_account_put()) and takes it into members, agreed, terms_known,
 * registered, bound, eab_kid, eab_hmac and eab_alg.  Returns 0 or CM_EINVAL, told in put->err,
 * whose text begins with the field. */
int eng_account_check(struct account_put *put, const json_t *fields);
/* What was typed for a binding, into put: blanks around the key identifier go.  Returns 0 or
 * CM_EINVAL as above. */
int eng_account_take_binding(struct account_put *put, const char *kid, const char *hmac,
                             const char *alg);
