/* Inside of kf_roots, for chain.c. */
#pragma once

#include "keyfile/ossl.h"
#include "keyfile/roots.h"

#define KF_TAILS_MAX 16 /* intermediates in use at a time; the one kept longest goes */

/* What follows a leaf, checked: each certificate signed by the next, ending below `root`. */
struct kf_tail {
    char *text; /* exactly as the CA sent it */
    X509 *issuer;
    char *intermediates, *root; /* PEM */
};

/* The trusted issuer of `top` (or top itself): a new reference, or NULL. */
X509 *kf_roots_search(const struct kf_roots *roots, X509 *top);
/* NULL = not seen before. */
const struct kf_tail *kf_roots_tail(const struct kf_roots *roots, const char *text, size_t len);
void kf_roots_keep(struct kf_roots *roots, const char *text, size_t len, X509 *issuer,
                   const char *intermediates, const char *root);
/* Did `issuer` sign `cert`, by name, key usage and signature? */
bool kf_x509_signed_by(X509 *cert, X509 *issuer);
