/* Questions to OCSP responders and their answers.  See ocsp.h. */
#include "keyfile/ocsp.h"

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/core/mem.h"
#include "keyfile/cert.h"
#include "keyfile/ossl.h"
#include "keyfile/pem.h"

KF_CLEANUP(OCSP_REQUEST, ocsp_request, OCSP_REQUEST_free)
KF_CLEANUP(OCSP_RESPONSE, ocsp_response, OCSP_RESPONSE_free)
KF_CLEANUP(OCSP_BASICRESP, ocsp_basic, OCSP_BASICRESP_free)
KF_CLEANUP(OCSP_CERTID, ocsp_certid, OCSP_CERTID_free)
KF_CLEANUP(X509_STORE, x509_store, X509_STORE_free)

static bool usable(const char *url)
{
    size_t len = strlen(url);
    if (len == 0 || len >= KF_OCSP_URL_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (url[i] <= ' ' || url[i] >= 0x7f)
            return false;
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

int kf_ocsp_url(const char *pem, size_t len, char out[KF_OCSP_URL_MAX], struct cm_err *err)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    int rc = kf_pem_certs(pem, len, KF_CHAIN_MAX, &certs, err);
    if (rc != 0)
        return rc;
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(sk_X509_value(certs, 0));
    rc = CM_ENOENT;
    for (int i = 0; rc != 0 && i < sk_OPENSSL_STRING_num(urls); i++) {
        const char *url = sk_OPENSSL_STRING_value(urls, i);
        if (usable(url))
            rc = cm_strcpy(out, KF_OCSP_URL_MAX, url);
    }
    X509_email_free(urls);
    return rc == 0 ? 0
                   : cm_fail(err, CM_ENOENT, "The certificate names no OCSP responder to be asked");
}

/* The chain and the name of its leaf at the issuer; SHA-1 is what all responders take (RFC 5019
 * 2.1.1) and protects nothing here: the answer is signed. */
static int chain_id(const char *pem, size_t len, STACK_OF(X509) * *ret_certs, OCSP_CERTID **ret_id,
                    struct cm_err *err)
{
    int rc = kf_pem_certs(pem, len, KF_CHAIN_MAX, ret_certs, err);
    if (rc != 0)
        return rc;
    if (sk_X509_num(*ret_certs) < 2)
        return cm_fail(err, CM_EMALF, "The certificate of the issuer is not in the chain");
    *ret_id =
        OCSP_cert_to_id(EVP_sha1(), sk_X509_value(*ret_certs, 0), sk_X509_value(*ret_certs, 1));
    return *ret_id ? 0 : kf_ossl_fail(err, CM_ECRYPTO, "The certificate could not be named");
}

int kf_ocsp_request(const char *pem, size_t len, struct cm_buf *out, struct cm_err *err)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    KF_AUTO(ocsp_certid) OCSP_CERTID *id = NULL;
    KF_AUTO(ocsp_request) OCSP_REQUEST *request = OCSP_REQUEST_new();
    unsigned char *der = NULL;
    int rc = chain_id(pem, len, &certs, &id, err);
    if (rc != 0)
        return rc;
    if (!request || !OCSP_request_add0_id(request, id))
        return kf_ossl_fail(err, CM_ECRYPTO, "The question to the OCSP responder was not made");
    id = NULL; /* the request's */
    int size = i2d_OCSP_REQUEST(request, &der);
    if (size <= 0)
        return kf_ossl_fail(err, CM_ECRYPTO, "The question to the OCSP responder was not made");
    rc = cm_buf_add(out, der, (size_t)size);
    OPENSSL_free(der);
    return rc == 0 ? 0 : cm_fail(err, CM_ELIMIT, "The question to the OCSP responder is too long");
}

/* By the issuer itself, or by a certificate that it gave the right to (id-kp-OCSPSigning). */
static int check_signature(OCSP_BASICRESP *basic, STACK_OF(X509) * certs, int64_t now_ms,
                           struct cm_err *err)
{
    KF_AUTO(x509_store) X509_STORE *store = X509_STORE_new();
    X509 *issuer = sk_X509_value(certs, 1);
    STACK_OF(X509) *known = sk_X509_new_null();
    bool good = false;
    if (store && known && X509_STORE_add_cert(store, issuer) && sk_X509_push(known, issuer)) {
        X509_VERIFY_PARAM *param = X509_STORE_get0_param(store);
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
        X509_VERIFY_PARAM_set_time(param, (time_t)(now_ms / 1000));
        good = OCSP_basic_verify(basic, known, store, 0) == 1;
    }
    sk_X509_free(known); /* its member is the chain's */
    return good ? 0
                : kf_ossl_fail(err, CM_EPEER,
                               "The OCSP responder's answer is not signed by the issuer");
}

/* OCSP_check_validity() asks the system's clock; ours may be a test's. */
static bool is_fresh(const ASN1_GENERALIZEDTIME *from, const ASN1_GENERALIZEDTIME *to,
                     int64_t now_ms)
{
    time_t early = (time_t)(now_ms / 1000 + KF_OCSP_SKEW_S);
    time_t late = (time_t)(now_ms / 1000 - KF_OCSP_SKEW_S);
    return from && X509_cmp_time(from, &early) < 0 && (!to || X509_cmp_time(to, &late) > 0);
}

static int read_status(OCSP_BASICRESP *basic, OCSP_CERTID *id, int64_t now_ms, enum kf_ocsp *ret,
                       struct cm_err *err)
{
    int status = -1;
    ASN1_GENERALIZEDTIME *from = NULL, *to = NULL;
    if (!OCSP_resp_find_status(basic, id, &status, NULL, NULL, &from, &to))
        return kf_ossl_fail(err, CM_EMALF,
                            "The OCSP responder's answer is about another certificate");
    if (!is_fresh(from, to, now_ms))
        return kf_ossl_fail(err, CM_EMALF, "The OCSP responder's answer is out of date");
    *ret = status == V_OCSP_CERTSTATUS_GOOD      ? KF_OCSP_GOOD
           : status == V_OCSP_CERTSTATUS_REVOKED ? KF_OCSP_REVOKED
                                                 : KF_OCSP_UNKNOWN;
    return 0;
}

int kf_ocsp_read(const char *pem, size_t len, const void *der, size_t size, int64_t now_ms,
                 enum kf_ocsp *ret, struct cm_err *err)
{
    if (size > KF_OCSP_REPLY_MAX)
        return cm_fail(err, CM_ELIMIT, "The OCSP responder's answer is longer than %u bytes",
                       KF_OCSP_REPLY_MAX);
    const unsigned char *at = der;
    KF_AUTO(ocsp_response) OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)size);
    if (!response || at != (const unsigned char *)der + size)
        return kf_ossl_fail(err, CM_EMALF, "The OCSP responder's answer is none (RFC 6960)");
    if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        *ret = KF_OCSP_LATER;
        return 0;
    }
    KF_AUTO(ocsp_basic) OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    KF_AUTO(ocsp_certid) OCSP_CERTID *id = NULL;
    if (!basic)
        return kf_ossl_fail(err, CM_EMALF, "The OCSP responder's answer is none (RFC 6960)");
    int rc = chain_id(pem, len, &certs, &id, err);
    if (rc == 0)
        rc = check_signature(basic, certs, now_ms, err);
    return rc == 0 ? read_status(basic, id, now_ms, ret, err) : rc;
}
