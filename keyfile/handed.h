/*
 * Certificates that people hand in, as CAs send them: text around them, any order, some missing,
 * some too many.  What comes out has passed kf_chain_check() like a chain of an ACME CA.
 */
#pragma once

#include "keyfile/cert.h"

#define KF_HANDED_MAX 64 /* blocks looked at */

struct kf_handed {
    const char *text;     /* PEM with anything around it: CERTIFICATE or PKCS7 blocks */
    size_t len;           /* at most KF_PEM_MAX */
    const json_t *names;  /* ASCII names that the certificate has to cover; NULL = any */
    const char *spki[2];  /* hex SHA-256 of the keys it may be for; NULL = none */
    const char *known[2]; /* strict PEM of certificates that may fill gaps (cross-check: signed by
                             the next all the same); NULL = none */
    struct kf_roots *roots;
    int64_t now_ms;
};

/* Sorted, completed and checked; root: the trusted one, else the self-signed end that was handed
 * in, which people vouch for.  *ret_notes (owned, never NULL on success): sentences about what was
 * done to the text.  CM_EINVAL: a sentence that says what is wrong with it and what to do. */
int kf_handed_check(const struct kf_handed *handed, struct kf_chain *ret, json_t **ret_notes,
                    struct cm_err *err);
