/* A new certificate of a known issuer, read and verified the short way. */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>

/* The one certificate in a PEM text, read without making its public key into a key: for what it
 * says, not for verifying with it.  NULL when it is not exactly one: kf_pem_certs() says why. */
X509 *kf_leaf_read(const char *pem, size_t len);
/* Did `issuer` sign a certificate of kf_leaf_read(), by name, key identifier, key usage and
 * signature?  True is certain; false means that kf_x509_signed_by() has to tell. */
bool kf_leaf_signed_by(X509 *leaf, X509 *issuer);
