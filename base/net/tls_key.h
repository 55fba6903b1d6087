/* The public key of a TLS identity as trust:root carries it. */
#pragma once

#include "base/core/err.h"

/* Base64 of the DER SubjectPublicKeyInfo of a PEM certificate file; *ret is the caller's (cm_free).
 */
int tls_public_key_of_file(const char *cert_file, char **ret_b64, struct cm_err *err);
