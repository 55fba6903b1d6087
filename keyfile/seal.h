/*
 * Sealing: CMS AuthEnvelopedData for servers' seal keys under the profile of docs/sealing.md.
 *
 * Recipients are certificates only because libcrypto's CMS asks for them; they carry the public key
 * and its subject key identifier, and nothing ever verifies them.
 */
#pragma once

#include <openssl/x509.h>
#include <stdint.h>

#include "base/core/err.h"
#include "keyfile/envelope.h"
#include "keyfile/secret.h"

/* A self-signed certificate of a seal key; its subject key identifier is the first 20 octets of the
 * SHA-256 of the key's SPKI; its dates say nothing. */
int kf_seal_cert(const char *name, EVP_PKEY *seal, X509 **ret, struct cm_err *err);
/* The recipient for a public key (DER SPKI, P-256).  Costs a key generation: keep it. */
int kf_recipient(const uint8_t *spki, size_t len, X509 **ret, struct cm_err *err);

/* Seals plaintext for 1..KF_RECIPIENTS_MAX recipients with a fresh content key and nonce; the DER
 * of *ret (cm_free) has passed kf_envelope_check(). */
int kf_seal(const void *plain, size_t len, X509 *const *recipients, size_t count, uint8_t **ret,
            size_t *ret_len, struct cm_err *err);
/* Checks the profile, finds our key among the recipients (CM_EDENIED "not a recipient" otherwise)
 * and opens.  `cert` is the key's kf_seal_cert(). */
int kf_open(const uint8_t *der, size_t len, EVP_PKEY *seal, X509 *cert, struct kf_secret *ret,
            struct cm_err *err);
