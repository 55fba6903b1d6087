/*
 * Order and authorization objects as a CA sends them (RFC 8555 7.1.3, 7.1.4).
 *
 * Arrays may come in any order, members may be absent: things are matched by identifier, never by
 * position.  Strings are borrowed from the JSON value.
 */
#pragma once

#include "base/core/err.h"
#include "certmgr/acme/proof.h"
#include "certmgr/acme/text.h"
#include <stdint.h>

#define ACME_AUTHZ_MAX 64 /* authorizations of one order */

enum acme_status {
    ACME_PENDING,
    ACME_READY,      /* orders */
    ACME_PROCESSING, /* orders, challenges */
    ACME_VALID,
    ACME_INVALID,
    ACME_DEACTIVATED, /* authorizations */
    ACME_EXPIRED,
    ACME_REVOKED,
};
const char *acme_status_name(enum acme_status status);
/* The member `status` of any ACME object. */
int acme_status_parse(const json_t *obj, enum acme_status *ret, struct cm_err *err);

struct acme_order_object {
    enum acme_status status;
    int64_t expires_ms;           /* 0 = not given */
    const json_t *authorizations; /* URLs, all checked; NULL when absent */
    const char *finalize;         /* checked, or NULL */
    const char *certificate;      /* checked, or NULL */
    const json_t *error;          /* problem object, or NULL */
};

/* names: what we asked for.  Identifiers, when given, must be exactly these. */
int acme_order_parse(const json_t *obj, const json_t *names, bool lab_http,
                     struct acme_order_object *ret, struct cm_err *err);
/* Are the identifiers exactly these names, in any order? */
bool acme_order_names(const json_t *obj, const json_t *names);

struct acme_authz {
    enum acme_status status;
    char name[256]; /* as in the order: "*." + base for a wildcard */
    int64_t expires_ms;
    /* The chosen challenge; url NULL when the CA does not offer it. */
    const char *type;
    const char *url;
    const char *token; /* checked */
    enum acme_status challenge_status;
    const json_t *error; /* problem of the first failed challenge, or NULL */
};

/* The identifier must be one of names.  choose (NULL = http-01 for all) tells which challenge its
 * name takes; a pending authorization without that one is refused. */
int acme_authz_parse(const json_t *obj, const json_t *names, bool lab_http,
                     acme_challenge_fn choose, void *choose_arg, struct acme_authz *ret,
                     struct cm_err *err);
