/* JSON Web Keys and Signatures as ACME uses them (RFC 7515, 7517, 7518, 7638; RFC 8555 6.2). */
#pragma once

#include <jansson.h>
#include <openssl/evp.h>

#include "base/core/err.h"

#define KF_THUMBPRINT_TEXT 44 /* base64url of SHA-256 + NUL */

/* The public JWK of an EC or RSA key, with the required members only (owned by the caller).  EC
 * coordinates keep their leading zero octets (RFC 7518 6.2.1.2), RSA numbers have none (6.3.1). */
int kf_jwk(const EVP_PKEY *key, json_t **ret, struct cm_err *err);
/* RFC 7638 SHA-256 thumbprint; jwk holds the required members only. */
int kf_jwk_thumbprint(const json_t *jwk, char out[KF_THUMBPRINT_TEXT], struct cm_err *err);
/* Flattened JSON {"protected","payload","signature"}.  `protected_header` gets its "alg" from the
 * key. */
int kf_jws_sign(EVP_PKEY *key, json_t *protected_header, const char *payload, size_t len,
                json_t **ret, struct cm_err *err);
