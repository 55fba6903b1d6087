/* How ACME names a certificate: its DER (RFC 8555 7.6), its certID (RFC 9773 4.1). */
#pragma once

#include <stddef.h>

#include "base/core/err.h"

#define KF_CERTID_MAX 256

/* base64url of the first certificate of a PEM text (owned), NULL when there is none. */
char *kf_leaf_b64url(const char *pem, size_t len);
/* base64url(AKI keyIdentifier) "." base64url(serial's content octets, a leading zero kept) of the
 * first certificate.  CM_ENOENT: it has no authority key identifier, so no renewal information. */
int kf_ari_id(const char *pem, size_t len, char out[KF_CERTID_MAX], struct cm_err *err);
