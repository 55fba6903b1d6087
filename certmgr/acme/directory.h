/*
 * The directory of a CA (RFC 8555 7.1.1): the only URL a person configures leads to all others.
 */
#pragma once

#include "base/core/err.h"
#include <stdbool.h>

#define ACME_DIRECTORY_AGE_MS INT64_C(43200000) /* 12 h, then it is read again */

struct acme_directory {
    bool loaded;
    int64_t at_ms; /* monotonic */
    char *new_nonce, *new_account, *new_order;
    char *terms; /* meta.termsOfService, or NULL */
    bool eab_required;
};

/* Reads a directory object.  `meta` and each of its members may be absent or null; unknown members
 * are ignored; every URL is checked.  On failure *ret keeps what it held. */
int acme_directory_parse(const json_t *obj, bool lab_http, struct acme_directory *ret,
                         struct cm_err *err);
bool acme_directory_fresh(const struct acme_directory *dir);
/* Is this one of the URLs of the directory? */
bool acme_directory_has(const struct acme_directory *dir, const char *url);
void acme_directory_fini(struct acme_directory *dir);
