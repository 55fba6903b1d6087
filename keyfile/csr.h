/* Certificate signing requests (PKCS#10, RFC 2986) as ACME wants them (RFC 8555 7.4). */
#pragma once

#include <jansson.h>
#include <openssl/evp.h>
#include <stdint.h>

#include "base/core/err.h"

#define KF_NAMES_MAX 100

/* DER of a request (cm_free) for exactly these names (array of 1..KF_NAMES_MAX distinct strings):
 * empty subject, SAN, SHA-256.  No CN: it holds at most 64 characters and CAs copy from the SAN. */
int kf_csr(EVP_PKEY *key, const json_t *names, uint8_t **ret, size_t *ret_len, struct cm_err *err);
/* The names alone: ASCII host names as they may stand in a certificate, lower-case labels of 1-63
 * letters, digits and hyphens (not at the ends), at most 253 in all; "*." may stand in front. Or
 * addresses in canonical text (RFC 5952), which become iPAddress entries (RFC 8738 3). */
int kf_csr_names_check(const json_t *names, struct cm_err *err);
/* PEM (RFC 7468 7) of a request that is stored as base64url; owned, NULL when it is not one. */
char *kf_csr_pem(const char *b64url);
