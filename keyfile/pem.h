/* Strict PEM of certificates (RFC 7468 section 2, RFC 8555 9.1): CERTIFICATE blocks and nothing
 * else. */
#pragma once

#include <openssl/x509.h>

#include "base/core/err.h"

/* 1..max certificates out of text: no explanatory text, no other label, blank lines only between
 * blocks, DER without trailing bytes.  The caller frees *ret with its members. */
int kf_pem_certs(const char *pem, size_t len, size_t max, STACK_OF(X509) * *ret,
                 struct cm_err *err);
/* The same in a library context. */
int kf_pem_certs_in(OSSL_LIB_CTX *context, const char *pem, size_t len, size_t max,
                    STACK_OF(X509) * *ret, struct cm_err *err);
/* PEM of certificates [from, to) of the stack in our own even form (cm_free); "" for none. */
int kf_pem_write(STACK_OF(X509) * certs, int from, int to, char **ret, struct cm_err *err);
