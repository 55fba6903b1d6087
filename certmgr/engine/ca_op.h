/*
 * A request to a CA outside an order, with a job's network, signatures and log: revocation, renewal
 * information, account operations.
 */
#pragma once

#include "certmgr/acme/op.h"
#include "certmgr/engine/internal.h"

/* Copied by eng_op_new(). */
struct eng_op_spec {
    const char *account;    /* name; also of the CA that is asked */
    const json_t *body;     /* of an account that is in no document, or NULL */
    const char *credential; /* ULID whose step log tells of it, or NULL = the server's log */
    struct acme_op_request request;
    /* The key agent's verb that signs instead of jws.sign, with all members but url, nonce and
     * kid; NULL = jws.sign with the account's key. */
    const json_t *sign_with;
};

struct eng_op;
/* done once, never from inside; the operation is gone when it returns.  NULL with err: the account
 * cannot be used (CM_EHUMAN), or the request is none. */
struct eng_op *eng_op_new(struct engine *engine, const struct eng_op_spec *spec, acme_op_fn done,
                          void *arg, struct cm_err *err);
/* account_act.c: ends what the engine's people asked of CAs. */
void eng_acts_stop(struct engine *engine);
/* Is something of this account under way at its CA? */
bool eng_account_busy(const struct engine *engine, const char *name);
/* account_move.c: ends look-ups of keys that were being imported. */
void eng_imports_stop(struct engine *engine);
/* account_resume.c: goes on with changes of account keys that did not end. */
void eng_resume_start(struct engine *engine);
void eng_resume_stop(struct engine *engine);
/* One has ended, or not: when the account's journal is still there, it is tried again later. */
void eng_resume_later(struct engine *engine, const char *account);
/* left.c: gives up the authorizations that the job's failed order has left open at the CA, later
 * and as far as it goes; nobody waits for it.  The job may go. */
struct job;
void eng_left(const struct job *job);
void eng_lefts_stop(struct engine *engine);
/* Ends it before its end: done is not called.  NULL allowed. */
void eng_op_free(struct eng_op *op);
