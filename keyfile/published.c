/* Where a revocation is published.  See published.h. */
#include "keyfile/published.h"

#include <openssl/x509v3.h>

#include "keyfile/cert.h"
#include "keyfile/ossl.h"
#include "keyfile/pem.h"

unsigned kf_told(const char *pem, size_t len)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    if (kf_pem_certs(pem, len, KF_CHAIN_MAX, &certs, NULL) != 0)
        return 0;
    X509 *leaf = sk_X509_value(certs, 0);
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(leaf);
    unsigned told = sk_OPENSSL_STRING_num(urls) > 0 ? KF_TOLD_OCSP : 0;
    X509_email_free(urls);
    if (X509_get_ext_by_NID(leaf, NID_crl_distribution_points, -1) >= 0)
        told |= KF_TOLD_CRL;
    return told;
}
