/*
 * The directory of a CA (RFC 8555 7.1.1): the only URL a person configures leads to all others.
 */
#pragma once

#include "base/core/err.h"
#include <jansson.h>
#include <stdbool.h>

#define ACME_DIRECTORY_AGE_MS INT64_C(43200000) /* 12 h, then it is read again */

struct acme_directory {
    bool loaded;
    int64_t at_ms; /* monotonic */
    char *new_nonce, *new_account, *new_order;
    char *terms; /* meta.termsOfService, or NULL */
    bool eab_required;
    /* NULL when the CA has none (or none that may be used: plain http) */
    char *revoke_cert, *key_change, *renewal_info;
    char *website;
    json_t *profiles;       /* {name: description or URL}, or NULL (draft-ietf-acme-profiles) */
    json_t *caa_identities; /* ["letsencrypt.org"], or NULL */
};

/* Reads a directory object.  `meta` and each of its members may be absent or null; unknown members
 * are ignored; every URL is checked.  On failure *ret keeps what it held. */
int acme_directory_parse(const json_t *obj, bool lab_http, struct acme_directory *ret,
                         struct cm_err *err);
bool acme_directory_fresh(const struct acme_directory *dir);
/* Is this one of the URLs of the directory?  One below renewalInfo counts as well. */
bool acme_directory_has(const struct acme_directory *dir, const char *url);
/* "newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo": the URL, or NULL.
 */
const char *acme_directory_url(const struct acme_directory *dir, const char *member);
void acme_directory_fini(struct acme_directory *dir);
