/* What a certificate says about itself. */
#include "keyfile/cert.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "keyfile/certinfo.h"
#include "keyfile/ossl.h"
#include "keyfile/pem.h"

#define SAN_MAX 1000 /* names; the largest public CAs stop at 100 to 250 */

void kf_cert_info_fini(struct kf_cert_info *info)
{
    json_decref(info->san);
    *info = (struct kf_cert_info){0};
}

static int time_ms(const ASN1_TIME *t, int64_t *ret, struct cm_err *err)
{
    struct tm tm = {0};
    if (!t || !ASN1_TIME_to_tm(t, &tm))
        return kf_ossl_fail(err, CM_EMALF, "certificate has a malformed date");
    *ret = (int64_t)timegm(&tm) * 1000;
    return 0;
}

/* Issuer's CN, else O, else "". */
static void issuer_name(const X509 *cert, char out[256])
{
    const X509_NAME *name = X509_get_issuer_name(cert);
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0)
        at = X509_NAME_get_index_by_NID(name, NID_organizationName, -1);
    out[0] = '\0';
    unsigned char *utf8 = NULL;
    int len = at < 0 ? -1
                     : ASN1_STRING_to_UTF8(&utf8,
                                           X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (len >= 0 && memchr(utf8, 0, (size_t)len) == NULL) {
        cm_strcpy(out, 256, (const char *)utf8);
        cm_utf8_trim(out);
        cm_utf8_fix(out);
    }
    OPENSSL_free(utf8);
}

/* A dNSName in lower case, or NULL when it is not printable ASCII (NUL inside, for one). */
static json_t *dns_name(const ASN1_IA5STRING *name)
{
    char text[256];
    int len = ASN1_STRING_length(name);
    const unsigned char *data = ASN1_STRING_get0_data(name);
    if (len < 1 || len >= (int)sizeof(text))
        return NULL;
    for (int i = 0; i < len; i++) {
        if (data[i] <= ' ' || data[i] >= 0x7f)
            return NULL;
        text[i] = (char)(data[i] >= 'A' && data[i] <= 'Z' ? data[i] + ('a' - 'A') : data[i]);
    }
    return json_stringn(text, (size_t)len);
}

/* An iPAddress in canonical text, or NULL when it is neither IPv4 nor IPv6. */
static json_t *ip_name(const ASN1_OCTET_STRING *name)
{
    char text[INET6_ADDRSTRLEN];
    int len = ASN1_STRING_length(name);
    int family = len == (int)sizeof(struct in_addr)    ? AF_INET
                 : len == (int)sizeof(struct in6_addr) ? AF_INET6
                                                       : 0;
    if (family == 0 || !inet_ntop(family, ASN1_STRING_get0_data(name), text, sizeof(text)))
        return NULL;
    return json_string(text);
}

static int read_san(X509 *cert, json_t **ret, struct cm_err *err)
{
    int crit = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &crit, NULL);
    *ret = json_array();
    if (!names && crit != -1)
        return kf_ossl_fail(err, CM_EMALF, "certificate has a malformed list of names");
    int rc = 0;
    if (names && sk_GENERAL_NAME_num(names) > SAN_MAX)
        rc = cm_fail(err, CM_ELIMIT, "certificate has more than %d names", SAN_MAX);
    for (int i = 0; rc == 0 && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD)
            continue;
        json_t *text =
            name->type == GEN_DNS ? dns_name(name->d.dNSName) : ip_name(name->d.iPAddress);
        if (!text || json_array_append_new(*ret, text) < 0)
            rc = cm_fail(err, CM_EMALF, "certificate has a malformed DNS name or address");
    }
    GENERAL_NAMES_free(names);
    return rc;
}

bool kf_x509_other_names(X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool other = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type = sk_GENERAL_NAME_value(names, i)->type;
        other |= type != GEN_DNS && type != GEN_IPADD;
    }
    GENERAL_NAMES_free(names);
    return other;
}

/* SHA-256 of the certificate's and of the public key's DER. */
static int hashes(X509 *cert, struct kf_cert_info *ret, struct cm_err *err)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    if (len <= 0)
        return kf_ossl_fail(err, CM_EMALF, "certificate cannot be encoded");
    cm_sha256_hex(der, (size_t)len, ret->fingerprint);
    OPENSSL_free(der);
    der = NULL;
    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (len <= 0)
        return kf_ossl_fail(err, CM_EMALF, "public key of a certificate cannot be encoded");
    cm_sha256_hex(der, (size_t)len, ret->public_key_sha256);
    OPENSSL_free(der);
    return 0;
}

int kf_x509_info(X509 *cert, struct kf_cert_info *ret, struct cm_err *err)
{
    *ret = (struct kf_cert_info){0};
    int rc = hashes(cert, ret, err);
    if (rc == 0)
        rc = time_ms(X509_get0_notBefore(cert), &ret->not_before_ms, err);
    if (rc == 0)
        rc = time_ms(X509_get0_notAfter(cert), &ret->not_after_ms, err);
    if (rc == 0)
        rc = read_san(cert, &ret->san, err);
    if (rc == 0)
        issuer_name(cert, ret->issuer);
    else
        kf_cert_info_fini(ret);
    return rc;
}

int kf_cert_info(const char *pem, struct kf_cert_info *ret, struct cm_err *err)
{
    *ret = (struct kf_cert_info){0};
    KF_AUTO(x509_stack) STACK_OF(X509) *certs = NULL;
    int rc = kf_pem_certs(pem, strlen(pem), KF_CHAIN_MAX, &certs, err);
    return rc < 0 ? rc : kf_x509_info(sk_X509_value(certs, 0), ret, err);
}
