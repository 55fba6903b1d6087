/* Names of certificates at a CA.  See certid.h. */
#include "keyfile/certid.h"

#include <openssl/x509v3.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/cert.h"
#include "keyfile/ossl.h"
#include "keyfile/pem.h"

#define PART_MAX 80 /* octets of a key identifier or a serial number (RFC 5280: 20) */

static int first(const char *pem, size_t len, STACK_OF(X509) * *ret, struct cm_err *err)
{
    return kf_pem_certs(pem, len, KF_CHAIN_MAX, ret, err);
}

char *kf_leaf_b64url(const char *pem, size_t len)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    unsigned char *der = NULL;
    if (first(pem, len, &certs, NULL) != 0)
        return NULL;
    int size = i2d_X509(sk_X509_value(certs, 0), &der);
    char *text = size > 0 ? cm_b64url(der, (size_t)size) : NULL;
    OPENSSL_free(der);
    return text;
}

/* i2d_ASN1_INTEGER writes tag, length and the content octets as they stand in the certificate: a
 * serial whose first bit is set has a zero octet before it. */
static char *serial_text(const X509 *cert)
{
    unsigned char *der = NULL;
    int size = i2d_ASN1_INTEGER((ASN1_INTEGER *)(uintptr_t)X509_get0_serialNumber(cert), &der);
    char *text = size > 2 && size <= PART_MAX + 2 ? cm_b64url(der + 2, (size_t)size - 2) : NULL;
    OPENSSL_free(der);
    return text;
}

int kf_ari_id(const char *pem, size_t len, char out[KF_CERTID_MAX], struct cm_err *err)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    int rc = first(pem, len, &certs, err);
    if (rc != 0)
        return rc;
    X509 *leaf = sk_X509_value(certs, 0);
    const ASN1_OCTET_STRING *aki = X509_get0_authority_key_id(leaf);
    int size = aki ? ASN1_STRING_length(aki) : 0;
    if (size < 1 || size > PART_MAX)
        return cm_fail(err, CM_ENOENT, "The certificate does not say which key issued it");
    CM_AUTO_STR key = cm_b64url(ASN1_STRING_get0_data(aki), (size_t)size);
    CM_AUTO_STR serial = serial_text(leaf);
    if (!serial)
        return cm_fail(err, CM_EMALF, "The certificate has no usable serial number");
    CM_AUTO_STR text = cm_asprintf("%s.%s", key, serial);
    return cm_strcpy(out, KF_CERTID_MAX, text) == 0
               ? 0
               : cm_fail(err, CM_ELIMIT, "The certificate's name is too long");
}
