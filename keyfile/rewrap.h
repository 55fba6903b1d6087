/*
 * One recipient of an envelope in the place of another, the sealed content untouched: what a server
 * does with everything it can open when its seal key is replaced (docs/sealing.md).
 */
#pragma once

#include <openssl/x509.h>
#include <stdint.h>

#include "base/core/err.h"
#include "keyfile/envelope.h"

/* The envelope with `to` instead of `from`, whose key is `seal`: every other octet of it stays as
 * it was, the content key too.  CM_EDENIED when `from` is no recipient.  *ret is the caller's
 * (cm_free). */
int kf_rewrap(const uint8_t *der, size_t len, EVP_PKEY *seal, X509 *from, X509 *to, uint8_t **ret,
              size_t *ret_len, struct cm_err *err);

struct kf_octets {
    const uint8_t *data;
    size_t len;
};
/* Is `after` the same as `before` but for the recipient `from` (KF_SKI_SIZE octets), who was
 * replaced by `to`?  Needs no key: so the manager checks what a server sends.  CM_EDENIED with the
 * difference. */
int kf_rewrap_check(struct kf_octets before, struct kf_octets after, const uint8_t *from,
                    const uint8_t *to, struct cm_err *err);
/* The key identifier of a seal key (SPKI, base64), by which envelopes name it. */
int kf_seal_ski(const char *spki_b64, uint8_t out[KF_SKI_SIZE], struct cm_err *err);
