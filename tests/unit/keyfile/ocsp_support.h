/* An OCSP responder's answers (RFC 6960), made in memory. */
#pragma once

#include "tests/unit/keyfile/support.h"

#include <openssl/ocsp.h>

struct ocsp_say {
    int status;        /* V_OCSP_CERTSTATUS_… */
    X509 *about;       /* NULL = the leaf */
    X509 *signer;      /* NULL = the issuer */
    EVP_PKEY *key;     /* its key */
    long from_s, to_s; /* around now; to_s 0 = without end */
};

static inline X509 *ocsp_cert(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

/* DER of *size bytes (OPENSSL_free). */
static inline unsigned char *ocsp_answer(X509 *leaf, X509 *issuer, EVP_PKEY *issuer_key,
                                         const struct ocsp_say *say, size_t *size)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), say->about ? say->about : leaf, issuer);
    ASN1_TIME *from = X509_gmtime_adj(NULL, say->from_s), *revoked = X509_gmtime_adj(NULL, -10);
    ASN1_TIME *to = say->to_s ? X509_gmtime_adj(NULL, say->to_s) : NULL;
    unsigned char *der = NULL;
    assert_non_null(OCSP_basic_add1_status(basic, id, say->status, 0, revoked, from, to));
    assert_int_equal(OCSP_basic_sign(basic, say->signer ? say->signer : issuer,
                                     say->key ? say->key : issuer_key, EVP_sha256(), NULL, 0),
                     1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int len = i2d_OCSP_RESPONSE(response, &der);
    assert_true(len > 0);
    *size = (size_t)len;
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_TIME_free(revoked);
    return der;
}

/* Names a responder in a certificate that was signed already. */
static inline void ocsp_name(X509 *leaf, const char *url, EVP_PKEY *issuer_key)
{
    CM_AUTO_STR access = cm_asprintf("OCSP;URI:%s", url);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_info_access, access);
    assert_non_null(ext);
    X509_add_ext(leaf, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(leaf, issuer_key, EVP_sha256()) > 0);
}
