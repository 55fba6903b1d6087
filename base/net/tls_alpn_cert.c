/* The certificate of TLS-ALPN-01: made, and judged as a CA does (RFC 8737 3, RFC 8738 6). */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/net/tls.h"
#include "base/net/tls_alpn.h"

#define ACME_OID     "1.3.6.1.5.5.7.1.31" /* id-pe-acmeIdentifier */
#define VALID_S      (7 * 86400L)
#define BACK_S       3600L /* clocks of CA and server differ */
#define SUBJECT      "ACME challenge"
#define VALUE_LENGTH (2 + TLS_ALPN_DIGEST) /* OCTET STRING with its head */

const unsigned char tls_alpn_protocol[11] = {10, 'a', 'c', 'm', 'e', '-', 't', 'l', 's', '/', '1'};

struct tls_alpn_cert {
    X509 *cert;
    EVP_PKEY *key;
};

/* Length of an address, 0 = a host name. */
static size_t address_of(const char *name, uint8_t out[16])
{
    if (inet_pton(AF_INET, name, out) == 1)
        return 4;
    return inet_pton(AF_INET6, name, out) == 1 ? 16 : 0;
}

void tls_alpn_sni(const char *name, char out[TLS_ALPN_SNI_MAX])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    size_t len = address_of(name, bytes);
    if (len == 4) {
        snprintf(out, TLS_ALPN_SNI_MAX, "%u.%u.%u.%u.in-addr.arpa", bytes[3], bytes[2], bytes[1],
                 bytes[0]);
        return;
    }
    if (len == 0) {
        if (cm_strcpy(out, TLS_ALPN_SNI_MAX, name) < 0)
            out[0] = '\0';
        return;
    }
    for (size_t i = 0; i < 16; i++) {
        *out++ = digits[bytes[15 - i] & 15];
        *out++ = '.';
        *out++ = digits[bytes[15 - i] >> 4];
        *out++ = '.';
    }
    memcpy(out, "ip6.arpa", sizeof("ip6.arpa"));
}

/* ---- making --------------------------------------------------------------------------------- */

static bool add_san(X509 *cert, const char *name)
{
    uint8_t bytes[16];
    size_t len = address_of(name, bytes);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *entry = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(len > 0 ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    bool ok = names && entry && value &&
              (len > 0 ? ASN1_STRING_set(value, bytes, (int)len)
                       : ASN1_STRING_set(value, name, (int)strlen(name))) == 1;
    if (ok) {
        GENERAL_NAME_set0_value(entry, len > 0 ? GEN_IPADD : GEN_DNS, value);
        value = NULL;
        ok = sk_GENERAL_NAME_push(names, entry) > 0;
        if (ok)
            entry = NULL;
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_STRING_free(value);
    GENERAL_NAME_free(entry);
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_identifier(X509 *cert, const uint8_t digest[TLS_ALPN_DIGEST])
{
    uint8_t der[VALUE_LENGTH] = {V_ASN1_OCTET_STRING, TLS_ALPN_DIGEST};
    memcpy(der + 2, digest, TLS_ALPN_DIGEST);
    ASN1_OBJECT *oid = OBJ_txt2obj(ACME_OID, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *ext = NULL;
    bool ok = oid && value && ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1 &&
              (ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value)) != NULL &&
              X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return ok;
}

/* The subject is no name: a CN holds 64 characters only, and CAs read the SAN. */
static bool set_head(X509 *cert)
{
    uint8_t random[16];
    cm_random(random, sizeof(random));
    random[0] = (uint8_t)((random[0] & 0x7f) | 0x40); /* positive and never zero */
    BIGNUM *number = BN_bin2bn(random, sizeof(random), NULL);
    X509_NAME *subject = X509_get_subject_name(cert);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) &&
              X509_set_version(cert, X509_VERSION_3) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -BACK_S) &&
              X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) &&
              X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
                                         (const unsigned char *)SUBJECT, -1, -1, 0) == 1 &&
              X509_set_issuer_name(cert, subject) == 1;
    BN_free(number);
    return ok;
}

int tls_alpn_cert_new(const char *name, const uint8_t digest[TLS_ALPN_DIGEST],
                      struct tls_alpn_cert **ret, struct cm_err *err)
{
    size_t len = strlen(name);
    if (len == 0 || len >= HOSTNAME_MAX || strchr(name, '*'))
        return cm_fail(err, CM_EINVAL, "\"%.253s\" cannot be proved by tls-alpn-01", name);
    struct tls_alpn_cert *cert = cm_calloc(1, sizeof(*cert));
    cert->key = EVP_EC_gen("P-256");
    cert->cert = X509_new();
    if (cert->key && cert->cert && set_head(cert->cert) &&
        X509_set_pubkey(cert->cert, cert->key) == 1 && add_san(cert->cert, name) &&
        add_identifier(cert->cert, digest) && X509_sign(cert->cert, cert->key, EVP_sha256()) > 0) {
        *ret = cert;
        return 0;
    }
    tls_alpn_cert_free(cert);
    return tls_fail(err, CM_ECRYPTO, "OpenSSL cannot make the certificate of a challenge");
}

void tls_alpn_cert_free(struct tls_alpn_cert *cert)
{
    if (!cert)
        return;
    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
    cm_free(cert);
}

int tls_alpn_cert_der(const struct tls_alpn_cert *cert, uint8_t **ret, size_t *ret_len)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert->cert, &der);
    if (len <= 0)
        return CM_ECRYPTO;
    *ret = cm_memdup(der, (size_t)len);
    *ret_len = (size_t)len;
    OPENSSL_free(der);
    return 0;
}

bool tls_alpn_cert_use(const struct tls_alpn_cert *cert, SSL *ssl)
{
    return SSL_use_certificate(ssl, cert->cert) == 1 && SSL_use_PrivateKey(ssl, cert->key) == 1;
}

/* ---- judging -------------------------------------------------------------------------------- */

static bool same_san(const GENERAL_NAME *entry, const char *name)
{
    uint8_t bytes[16];
    size_t len = address_of(name, bytes);
    const ASN1_STRING *value = entry->type == GEN_DNS     ? entry->d.dNSName
                               : entry->type == GEN_IPADD ? entry->d.iPAddress
                                                          : NULL;
    if (!value || (len > 0) != (entry->type == GEN_IPADD))
        return false;
    size_t have = (size_t)ASN1_STRING_length(value);
    const unsigned char *data = ASN1_STRING_get0_data(value);
    return len > 0 ? have == len && memcmp(data, bytes, len) == 0
                   : have == strlen(name) && strncasecmp((const char *)data, name, have) == 0;
}

static int judge_san(X509 *cert, const char *name, struct cm_err *err)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int count = sk_GENERAL_NAME_num(names);
    bool same = count == 1 && same_san(sk_GENERAL_NAME_value(names, 0), name);
    GENERAL_NAMES_free(names);
    if (same)
        return 0;
    return cm_fail(err, CM_EPEER,
                   count == 1 ? "the challenge certificate shown is for another name"
                              : "the challenge certificate shown does not have exactly one name");
}

int tls_alpn_judge(X509 *cert, const char *name, const uint8_t digest[TLS_ALPN_DIGEST],
                   struct cm_err *err)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(ACME_OID, 1);
    int at = oid ? X509_get_ext_by_OBJ(cert, oid, -1) : -1;
    X509_EXTENSION *ext = at >= 0 ? X509_get_ext(cert, at) : NULL;
    const ASN1_OCTET_STRING *value = ext ? X509_EXTENSION_get_data(ext) : NULL;
    ASN1_OBJECT_free(oid);
    if (!value || X509_EXTENSION_get_critical(ext) != 1)
        return cm_fail(err, CM_EPEER,
                       "the certificate shown has no critical acmeIdentifier extension");
    int rc = judge_san(cert, name, err);
    if (rc < 0)
        return rc;
    const unsigned char *data = ASN1_STRING_get0_data(value);
    if (ASN1_STRING_length(value) != VALUE_LENGTH || data[0] != V_ASN1_OCTET_STRING ||
        data[1] != TLS_ALPN_DIGEST || memcmp(data + 2, digest, TLS_ALPN_DIGEST) != 0)
        return cm_fail(err, CM_EPEER,
                       "the challenge certificate shown is of another order or ACME account");
    return 0;
}
