/*
 * The strict reading of an envelope before libcrypto sees it (docs/sealing.md, RFC 5083, 5084,
 * 5753).
 *
 * libcrypto accepts tags of 4 octets, SHA-1 key derivation and much else that the profile forbids,
 * so this pass walks every octet of the DER and refuses what is not exactly the form that we write.
 * Pure: bytes in, verdict out.
 */
#pragma once

#include <stdint.h>

#include "base/core/err.h"

#define KF_ENVELOPE_MAX   (256u * 1000)
#define KF_RECIPIENTS_MAX 200
#define KF_SKI_SIZE       20

struct kf_envelope {
    size_t recipient_count;
    const uint8_t *ski[KF_RECIPIENTS_MAX]; /* KF_SKI_SIZE octets each, inside the DER */
    size_t content_len;                    /* octets of ciphertext */
};

/* 0 when der is an envelope of the profile; CM_EMALF or CM_ELIMIT with the rule that it breaks. */
int kf_envelope_check(const uint8_t *der, size_t len, struct kf_envelope *ret, struct cm_err *err);
/* The same of a sealed value as documents carry it (base64); *ret_der is what envelope points into,
 * cm_free, NULL when refused. */
int kf_envelope_read(const char *text, uint8_t **ret_der, struct kf_envelope *ret,
                     struct cm_err *err);
/* Is the key with this identifier one of the recipients? */
bool kf_envelope_lists(const struct kf_envelope *envelope, const uint8_t ski[KF_SKI_SIZE]);
