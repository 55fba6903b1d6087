/*
 * External account binding (RFC 8555 7.3.4): the proof that the holder of an account key also knows
 * a key that the CA gave to a customer.
 */
#pragma once

#include <jansson.h>

#include "base/core/err.h"

#define KF_EAB_KID_MAX 255
#define KF_EAB_KEY_MAX 1024 /* characters of the MAC key as typed */

/* kid: the CA's key identifier.  key_text: the MAC key as base64url or base64, padded or not.  url:
 * the CA's newAccount.  jwk: the account's public key.  *ret: the flattened JWS (HS256, no nonce);
 * *ret_key_len: bytes of the MAC key.  CM_EINVAL with "eab_kid: …" or "eab_hmac: …" for what a
 * person has to correct: empty, not base64, encoded twice. */
int kf_eab_sign(const char *kid, const char *key_text, const char *url, const json_t *jwk,
                json_t **ret, size_t *ret_key_len, struct cm_err *err);
