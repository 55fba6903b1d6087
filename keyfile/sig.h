/* Raw signatures as JOSE wants them (RFC 7518 3.3, 3.4): r || s for EC keys, PKCS#1 v1.5 for RSA.
 */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

#include "base/core/buf.h"
#include "base/core/err.h"

#define KF_SIG_MAX   1024 /* RSA-8192; ours are at most 512 */
#define KF_SIG_ES256 64

/* The JWS algorithm of a key: "ES256", "ES384", "ES512", "RS256"; NULL when we have none for it. */
const char *kf_sig_alg(const EVP_PKEY *key);
int kf_sig_sign(EVP_PKEY *key, const void *data, size_t len, uint8_t out[KF_SIG_MAX],
                size_t *ret_len, struct cm_err *err);
/* 0, or CM_EDENIED when the signature does not fit. */
int kf_sig_verify(EVP_PKEY *key, const void *data, size_t len, const uint8_t *sig, size_t sig_len,
                  struct cm_err *err);

/* Many signatures on one thread, mostly by one key: what OpenSSL looks up for each is kept from one
 * to the next.  Begins as {0}. */
struct kf_verifier {
    EVP_PKEY *key; /* the last one; a reference */
    EVP_PKEY_CTX *ctx;
    EVP_MD *digest;
    size_t coord;
    /* Of the last document, for docsig.c; the memory serves the next one. */
    struct cm_buf signed_bytes;
    size_t mark;
};
/* As kf_sig_verify(). */
int kf_verifier_check(struct kf_verifier *v, EVP_PKEY *key, const void *data, size_t len,
                      const uint8_t *sig, size_t sig_len, struct cm_err *err);
void kf_verifier_fini(struct kf_verifier *v);
