/*
 * External account binding (RFC 8555 7.3.4): the proof that the holder of an account key also knows
 * a key that the CA gave to a customer.
 */
#pragma once

#include <jansson.h>

#include "base/core/err.h"

#define KF_EAB_KID_MAX 255
#define KF_EAB_KEY_MAX                                                                             \
    1024 /* characters of the MAC key as typed, blanks and line ends left out                      \
          */

struct kf_eab {
    json_t *jws;    /* flattened, no nonce (json_decref) */
    json_t *other;  /* the same by the key as it is when it was encoded twice, or NULL */
    size_t key_len; /* bytes of the MAC key of jws */
};

/* kid: the CA's key identifier.  key_text: the MAC key as base64url or base64, padded or not, in
 * one line or several, between quotation marks or not.  alg: "HS256", "HS384" or "HS512".  url: the
 * CA's newAccount.  jwk: the account's public key.
 *
 * A key that is text of base64 again may have been encoded twice (as some portals hand it out) or
 * be such a text: nobody but the CA can tell, so both are signed.  CM_EINVAL with "eab_kid: …",
 * "eab_hmac: …" or "eab_alg: …" for what a person has to correct. */
int kf_eab_sign(const char *kid, const char *key_text, const char *alg, const char *url,
                const json_t *jwk, struct kf_eab *ret, struct cm_err *err);
