/* Sealing (envelope_write.h), and opening through libcrypto's CMS. */
#include "keyfile/seal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/envelope_write.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"

#define CERT_SECONDS (100LL * 365 * 24 * 3600) /* dates of a recipient certificate say nothing */

static void key_identifier(const uint8_t *spki, size_t len, uint8_t out[KF_SKI_SIZE])
{
    uint8_t hash[CM_SHA256_SIZE];
    cm_sha256(spki, len, hash);
    memcpy(out, hash, KF_SKI_SIZE);
}

static bool add_ski(X509 *cert, EVP_PKEY *key)
{
    uint8_t *spki;
    size_t len;
    uint8_t ski[KF_SKI_SIZE];
    if (kf_spki(key, &spki, &len, NULL) < 0)
        return false;
    key_identifier(spki, len, ski);
    cm_free(spki);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    bool ok = value && ASN1_OCTET_STRING_set(value, ski, KF_SKI_SIZE) &&
              X509_add1_ext_i2d(cert, NID_subject_key_identifier, value, 0, 0) == 1;
    ASN1_OCTET_STRING_free(value);
    return ok;
}

static int build_cert(const char *name, EVP_PKEY *subject, EVP_PKEY *signer, X509 **ret,
                      struct cm_err *err)
{
    KF_AUTO(x509) X509 *cert = X509_new();
    X509_NAME *dn = cert ? X509_get_subject_name(cert) : NULL;
    *ret = NULL;
    if (!dn || !X509_set_version(cert, X509_VERSION_3) ||
        !ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) ||
        !X509_NAME_add_entry_by_NID(dn, NID_commonName, MBSTRING_UTF8, (const unsigned char *)name,
                                    -1, -1, 0) ||
        !X509_set_issuer_name(cert, dn) || !ASN1_TIME_set(X509_getm_notBefore(cert), 0) ||
        !ASN1_TIME_set(X509_getm_notAfter(cert), CERT_SECONDS) || !X509_set_pubkey(cert, subject) ||
        !add_ski(cert, subject) || !X509_sign(cert, signer, EVP_sha256()))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot make a recipient certificate");
    *ret = cert;
    cert = NULL;
    return 0;
}

int kf_seal_cert(const char *name, EVP_PKEY *seal, X509 **ret, struct cm_err *err)
{
    return build_cert(name, seal, seal, ret, err);
}

/* Everything SP 800-56A 5.6.2.3.3 asks for, once: sealing takes recipients as they are. */
static bool is_valid(EVP_PKEY *key)
{
    KF_AUTO(pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    return ctx && EVP_PKEY_public_check(ctx) > 0;
}

int kf_recipient(const uint8_t *spki, size_t len, X509 **ret, struct cm_err *err)
{
    *ret = NULL;
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    KF_AUTO(pkey) EVP_PKEY *signer = NULL; /* libcrypto encodes no certificate without signature */
    int rc = kf_p256_from_spki(spki, len, &key, err);
    if (rc == 0 && !is_valid(key))
        rc = kf_ossl_fail(err, CM_EMALF, "P-256 public key is not a point of the curve");
    if (rc == 0)
        rc = kf_pkey_generate(KF_KEY_P256, &signer, err);
    return rc < 0 ? rc : build_cert("recipient", key, signer, ret, err);
}

int kf_seal(const void *plain, size_t len, X509 *const *recipients, size_t count, uint8_t **ret,
            size_t *ret_len, struct cm_err *err)
{
    EVP_PKEY *key[KF_RECIPIENTS_MAX];
    *ret = NULL;
    if (count < 1 || count > KF_RECIPIENTS_MAX)
        return cm_fail(err, CM_ELIMIT, "an envelope has 1 to %d recipients, not %zu",
                       KF_RECIPIENTS_MAX, count);
    if (len > KF_SECRET_MAX)
        return cm_fail(err, CM_ELIMIT, "a sealed text has at most %u bytes", KF_SECRET_MAX);
    for (size_t i = 0; i < count; i++)
        key[i] = X509_get0_pubkey(recipients[i]);
    uint8_t *der;
    size_t der_len;
    int rc = kf_envelope_write(plain, len, key, count, &der, &der_len, err);
    if (rc < 0)
        return rc;
    /* What we write is what we would read. */
    struct kf_envelope envelope;
    rc = kf_envelope_check(der, der_len, &envelope, err);
    if (rc < 0) {
        cm_free(der);
        return rc;
    }
    *ret = der;
    *ret_len = der_len;
    return 0;
}

static int decrypt(const uint8_t *der, size_t len, EVP_PKEY *seal, X509 *cert,
                   struct kf_secret *ret, struct cm_err *err)
{
    const unsigned char *at = der;
    KF_AUTO(cms) CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)len);
    KF_AUTO(bio) BIO *out = BIO_new(BIO_s_secmem());
    if (!cms || !out || !CMS_decrypt_set1_pkey(cms, seal, cert) ||
        !CMS_decrypt(cms, NULL, NULL, NULL, out, CMS_BINARY))
        return kf_ossl_fail(err, CM_ECRYPTO,
                            "cannot open the envelope: it was damaged, or sealed "
                            "with another key of this server");
    char *data;
    long got = BIO_get_mem_data(out, &data);
    int rc = kf_secret_new((size_t)got, ret, err);
    if (rc == 0)
        memcpy(ret->data, data, (size_t)got);
    return rc;
}

int kf_open(const uint8_t *der, size_t len, EVP_PKEY *seal, X509 *cert, struct kf_secret *ret,
            struct cm_err *err)
{
    *ret = (struct kf_secret){0};
    struct kf_envelope envelope;
    int rc = kf_envelope_check(der, len, &envelope, err);
    if (rc < 0)
        return rc;
    const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(cert);
    if (!ski || ASN1_STRING_length(ski) != KF_SKI_SIZE)
        return kf_ossl_fail(err, CM_EINVAL, "seal certificate has no key identifier");
    if (!kf_envelope_lists(&envelope, ASN1_STRING_get0_data(ski)))
        return cm_fail(err, CM_EDENIED, "cannot open: not a recipient");
    return decrypt(der, len, seal, cert, ret, err);
}
