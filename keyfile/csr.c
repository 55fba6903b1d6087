/* Certificate signing requests. */
#include "keyfile/csr.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"

#define NAME_MAX_LEN 253 /* RFC 1035 2.3.4, as text */
#define LABEL_MAX    63
#define PEM_LINE     64 /* characters of base64 (RFC 7468 2) */

/* Length of an address in its canonical text (RFC 8738 3, RFC 5952), 0 = not one. */
static size_t ip_bytes(const char *name, unsigned char out[sizeof(struct in6_addr)])
{
    char text[INET6_ADDRSTRLEN];
    int family = strchr(name, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, name, out) != 1 || !inet_ntop(family, out, text, sizeof(text)) ||
        strcmp(text, name) != 0)
        return 0;
    return family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
}

static bool name_ok(const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    size_t total = strlen(name);
    if (total == 0 || total > NAME_MAX_LEN)
        return false;
    if (ip_bytes(name, address) > 0)
        return true;
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    for (;;) {
        size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
        if (len == 0 || len > LABEL_MAX || name[0] == '-' || name[len - 1] == '-')
            return false;
        if (name[len] == '\0')
            return true;
        if (name[len] != '.')
            return false;
        name += len + 1;
    }
}

int kf_csr_names_check(const json_t *names, struct cm_err *err)
{
    size_t count = json_array_size(names);
    if (count < 1 || count > KF_NAMES_MAX)
        return cm_fail(err, CM_EINVAL, "a request names 1 to %d hosts, not %zu", KF_NAMES_MAX,
                       count);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !name_ok(name))
            return cm_fail(err, CM_EINVAL,
                           "\"%.255s\" is neither an ASCII host name in lower case nor an address",
                           name ? name : "?");
        for (size_t k = 0; k < i; k++) {
            if (strcmp(name, json_string_value(json_array_get(names, k))) == 0)
                return cm_fail(err, CM_EINVAL, "host %.255s is named twice", name);
        }
    }
    return 0;
}

static bool add_name(GENERAL_NAMES *list, const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    size_t len = ip_bytes(text, address);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(len > 0 ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (name && value &&
        (len > 0 ? ASN1_STRING_set(value, address, (int)len) : ASN1_STRING_set(value, text, -1))) {
        GENERAL_NAME_set0_value(name, len > 0 ? GEN_IPADD : GEN_DNS, value);
        if (sk_GENERAL_NAME_push(list, name) > 0)
            return true;
        value = NULL;
    }
    GENERAL_NAME_free(name);
    ASN1_STRING_free(value);
    return false;
}

static bool add_san(X509_REQ *req, const json_t *names)
{
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    STACK_OF(X509_EXTENSION) *exts = NULL;
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < json_array_size(names); i++)
        ok = add_name(list, json_string_value(json_array_get(names, i)));
    ok = ok && X509V3_add1_i2d(&exts, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1 &&
         X509_REQ_add_extensions(req, exts);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    GENERAL_NAMES_free(list);
    return ok;
}

/* A P-256 key as it stands in the SPKI, past OpenSSL 3.0's encoder chain; others through it. */
static bool set_key(X509_REQ *req, EVP_PKEY *key)
{
    uint8_t point[KF_P256_POINT_SIZE];
    if (!kf_p256_point(key, point))
        return X509_REQ_set_pubkey(req, key) == 1;
    unsigned char *copy = OPENSSL_memdup(point, sizeof(point));
    if (copy && X509_PUBKEY_set0_param(X509_REQ_get_X509_PUBKEY(req),
                                       OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT,
                                       OBJ_nid2obj(NID_X9_62_prime256v1), copy, sizeof(point)) == 1)
        return true;
    OPENSSL_free(copy);
    return false;
}

int kf_csr(EVP_PKEY *key, const json_t *names, uint8_t **ret, size_t *ret_len, struct cm_err *err)
{
    *ret = NULL;
    int rc = kf_csr_names_check(names, err);
    if (rc < 0)
        return rc;
    KF_AUTO(x509_req) X509_REQ *req = X509_REQ_new();
    unsigned char *der = NULL;
    int len = 0;
    if (!req || !X509_REQ_set_version(req, X509_REQ_VERSION_1) || !set_key(req, key) ||
        !add_san(req, names) || X509_REQ_sign(req, key, EVP_sha256()) <= 0 ||
        (len = i2d_X509_REQ(req, &der)) <= 0)
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot make the certificate signing request");
    *ret = cm_memdup(der, (size_t)len);
    *ret_len = (size_t)len;
    OPENSSL_free(der);
    return 0;
}

char *kf_csr_pem(const char *b64url)
{
    uint8_t *der = NULL;
    size_t len = 0;
    struct cm_buf out;
    if (!b64url || cm_b64url_decode(b64url, strlen(b64url), &der, &len) != 0)
        return NULL;
    CM_AUTO_STR text = cm_b64(der, len);
    cm_free(der);
    cm_buf_init(&out, strlen(text) * 2 + 200);
    cm_buf_puts(&out, "-----BEGIN CERTIFICATE REQUEST-----\n");
    for (const char *at = text; *at; at += strnlen(at, PEM_LINE))
        cm_buf_printf(&out, "%.*s\n", PEM_LINE, at);
    cm_buf_puts(&out, "-----END CERTIFICATE REQUEST-----\n");
    return cm_buf_take(&out, NULL);
}
