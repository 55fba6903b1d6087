/*
 * Writing an envelope of the profile (docs/sealing.md): CMS AuthEnvelopedData (RFC 5083, 5084) with
 * key agreement recipients (RFC 5753).
 *
 * libcrypto's CMS does the same at twice the price: it validates every recipient's key with a
 * multiplication by the group order at each sealing (kf_recipient() has done that once) and builds
 * each structure through its ASN.1 templates.  The form has no choices, so its octets stand here;
 * the primitives are libcrypto's.
 */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

#include "base/core/err.h"
#include "keyfile/envelope.h"

/* Seals len octets for count recipients (P-256 keys, 1..KF_RECIPIENTS_MAX) under a fresh content
 * key and nonce.  The keys are taken as they are: whoever made them has validated them.  *ret
 * (cm_free) is the DER.  CM_ELIMIT, or CM_ECRYPTO (also for a key that is not of P-256). */
int kf_envelope_write(const void *plain, size_t len, EVP_PKEY *const *recipients, size_t count,
                      uint8_t **ret, size_t *ret_len, struct cm_err *err);
