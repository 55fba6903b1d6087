/* Raw signatures as JOSE wants them (RFC 7518 3.3, 3.4): r || s for EC keys, PKCS#1 v1.5 for RSA.
 */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

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
