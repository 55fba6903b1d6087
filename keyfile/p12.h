/* The one form in which a credential's key leaves the agent: PKCS #12 under a password. */
#pragma once

#include <openssl/x509.h>
#include <stdint.h>

#include "base/core/err.h"

#define KF_P12_PASSWORD_MIN  12     /* characters … */
#define KF_P12_PASSWORD_KIND 6      /* … of which so many are different */
#define KF_P12_ROUNDS        600000 /* of PBKDF2 (the key) and of the integrity check's derivation */

/* CM_EINVAL with what the password lacks. */
int kf_p12_password_check(const char *password, struct cm_err *err);
/* DER (cm_free): the key under PBES2 (PBKDF2 with HMAC-SHA-256, AES-256-CBC), the certificates in
 * the clear, a SHA-256 integrity check.  chain: the leaf first.  Takes about a second. */
int kf_p12_write(EVP_PKEY *key, STACK_OF(X509) * chain, const char *name, const char *password,
                 uint8_t **ret, size_t *ret_len, struct cm_err *err);
