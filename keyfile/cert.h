/* X.509 chains as the front needs them: parse, compare, verify, describe.  No private keys here. */
#pragma once

#include "base/core/err.h"
#include "keyfile/roots.h"
#include <jansson.h>

#define KF_CHAIN_MAX 32 /* certificates (reference/acme.md 3.1) */
#define KF_PEM_MAX   (256u << 10)

/* What one leaf says about itself. */
struct kf_cert_info {
    char fingerprint[65];       /* hex SHA-256 of the DER */
    char public_key_sha256[65]; /* hex SHA-256 of the SPKI */
    char issuer[256];           /* issuer's CN or O */
    int64_t not_before_ms, not_after_ms;
    json_t *san; /* owned: dNSName SANs, lower case, as in the certificate */
};
void kf_cert_info_fini(struct kf_cert_info *info);

/* A downloaded chain, split and checked (RFC 8555 7.4.2): strict PEM, only CERTIFICATE blocks, no
 * explanatory text, 1..KF_CHAIN_MAX certificates, first = leaf, each signed by the next. */
struct kf_chain {
    char *leaf, *intermediates; /* PEM, owned; intermediates may be "" */
    char *root;                 /* PEM or NULL when no trusted root was found */
    struct kf_cert_info info;
};
void kf_chain_fini(struct kf_chain *chain);
/* names_ascii: exactly the SANs asked for (any order); spki: hex SHA-256 of our key; roots: trusted
 * roots (may be NULL) searched for the issuer of the topmost certificate, then the system's
 * ca-certificates.  A missing root is not an error (chain->root stays NULL). */
int kf_chain_check(const char *pem, size_t len, const json_t *names_ascii, const char *spki,
                   struct kf_roots *roots, int64_t now_ms, struct kf_chain *ret,
                   struct cm_err *err);
/* The name (CN, else O) of the root that a chain leads to: the issuer of its topmost certificate.
 */
int kf_chain_top(const char *pem, size_t len, char out[256], struct cm_err *err);
/* hex SHA-256 of the root that a chain leads to: the trusted (or system) one, else the self-signed
 * end that came with it.  CM_ENOENT: neither is there. */
int kf_chain_root(const char *pem, size_t len, const struct kf_roots *roots, char out[65],
                  struct cm_err *err);
int kf_cert_info(const char *pem, struct kf_cert_info *ret, struct cm_err *err);
