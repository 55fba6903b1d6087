/* RS256 (RFC 7518 3.3) for tokens that a DNS provider wants signed. */
#pragma once

#include "base/core/err.h"

/* key_pem: PKCS#8 or PKCS#1 text, line ends also as "\n" of two characters (as JSON key files hold
 * it).  *ret: base64url, cm_free.  Returns 0, CM_EINVAL (no RSA key of 2048 to 8192 bits) or
 * CM_ECRYPTO. */
int sign_rs256(const char *key_pem, const char *text, char **ret, struct cm_err *err);
