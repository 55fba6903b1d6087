/*
 * One request to a CA outside an order: renewal information, revocation, account operations.
 *
 * Runs as an order's requests do: the CA's floor, its directory (read again when a URL of it is
 * gone), nonce, signature, badNonce and Retry-After, an account URL found again by its key.  An
 * account is never registered on the way.
 */
#pragma once

#include "certmgr/acme/ca.h"
#include "certmgr/acme/problem.h"

enum acme_op_kind {
    ACME_OP_DIRECTORY, /* the directory only (acme_ca_directory()) */
    ACME_OP_GET,       /* not signed: renewalInfo */
    ACME_OP_KID,       /* signed by the account, named by its URL */
    ACME_OP_JWK,       /* signed with the key embedded: newAccount, revocation by certificate key;
                        * which key is the sign port's choice (kid NULL) */
};

/* Copied by acme_op_new(). */
struct acme_op_request {
    enum acme_op_kind kind;
    const char *member;  /* of the directory ("renewalInfo"), or NULL */
    const char *url;     /* whole; with member: what follows its URL ("/" + certID), or NULL; with
                          * neither (ACME_OP_KID): the account's own URL */
    const char *payload; /* "" = POST-as-GET; not for ACME_OP_GET */
    const char *what;    /* "the revocation", for messages */
    enum acme_about about;
    bool once; /* not sent again after an unclear end */
};

struct acme_op_reply {
    int status;          /* 0 = none came */
    const char *url;     /* asked */
    const char *headers; /* raw block */
    const char *body;
    const json_t *json;  /* the body when it is an object, or NULL */
    int64_t retry_after; /* wall clock ms of Retry-After, 0 = none */
    bool unknown;        /* with once: it may or may not have been done */
};
/* err NULL = a 2xx reply (or the directory is there).  Otherwise reply holds what the CA sent, so
 * that a caller can take alreadyRevoked for success.  Called once, never from inside acme_op_new();
 * acme_op_free() is allowed in it. */
typedef void (*acme_op_fn)(void *arg, const struct acme_op_reply *reply, const struct cm_err *err);

struct acme_op;
/* Of the ports, send, sign, wait, log and save_account (an account URL that was found again) are
 * used.  NULL with err: CM_EINVAL or CM_EDENIED. */
struct acme_op *acme_op_new(struct acme_ca *ca, const struct acme_account *account,
                            const struct acme_op_request *request, bool lab_http,
                            const struct acme_ports *ports, acme_op_fn done, void *arg,
                            struct cm_err *err);
void acme_op_free(struct acme_op *op); /* done is not called; NULL allowed */
