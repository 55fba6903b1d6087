/* Keys through EVP. */
#include "keyfile/pkey.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"

static const struct {
    const char *name;
    const char *group; /* of EC keys */
    size_t bits;       /* of RSA keys */
} key_types[] = {
    [KF_KEY_P256] = {"P-256", "P-256", 0},       [KF_KEY_P384] = {"P-384", "P-384", 0},
    [KF_KEY_RSA2048] = {"RSA-2048", NULL, 2048}, [KF_KEY_RSA3072] = {"RSA-3072", NULL, 3072},
    [KF_KEY_RSA4096] = {"RSA-4096", NULL, 4096},
};

/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING (0 unused) 04 … } */
static const uint8_t p256_prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

/* SEQUENCE { 0, SEQUENCE { id-ecPublicKey, prime256v1 }, OCTET STRING { SEQUENCE { 1, OCTET STRING
 * (the private number), [1] { BIT STRING (0 unused: the point) } } } } */
static const uint8_t p256_pkcs8_head[] = {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06,
                                          0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                          0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
                                          0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20};
static const uint8_t p256_pkcs8_mid[] = {0xa1, 0x44, 0x03, 0x42, 0x00};

#define P256_SCALAR_SIZE 32u
#define P256_PKCS8_SIZE                                                                            \
    (sizeof(p256_pkcs8_head) + P256_SCALAR_SIZE + sizeof(p256_pkcs8_mid) + KF_P256_POINT_SIZE)
#define PEM_LINE_BYTES 48u /* 64 characters (RFC 7468 section 2) */

int kf_key_type_parse(const char *text, enum kf_key_type *ret, struct cm_err *err)
{
    for (size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++) {
        if (strcmp(text, key_types[i].name) == 0) {
            *ret = (enum kf_key_type)i;
            return 0;
        }
    }
    return cm_fail(err, CM_EINVAL,
                   "unknown key type \"%.32s\"; use P-256, P-384, RSA-2048, RSA-3072 or RSA-4096",
                   text);
}

const char *kf_key_type_name(enum kf_key_type type)
{
    return key_types[type].name;
}

int kf_pkey_type(const EVP_PKEY *key, enum kf_key_type *ret, struct cm_err *err)
{
    char group[32] = "";
    size_t len = 0;
    bool rsa = EVP_PKEY_is_a(key, "RSA");
    size_t bits = (size_t)EVP_PKEY_get_bits(key);
    if (EVP_PKEY_is_a(key, "EC"))
        (void)EVP_PKEY_get_group_name(key, group, sizeof(group), &len);
    for (size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++) {
        if (key_types[i].group ? OBJ_txt2nid(group) != NID_undef &&
                                     EC_curve_nist2nid(key_types[i].group) == OBJ_txt2nid(group)
                               : rsa && key_types[i].bits == bits) {
            *ret = (enum kf_key_type)i;
            return 0;
        }
    }
    return cm_fail(
        err, CM_EINVAL,
        "the private key (%s, %zu bits) is of no kind that is served here: P-256, P-384, "
        "RSA-2048, RSA-3072 or RSA-4096",
        *group ? group : EVP_PKEY_get0_type_name(key), bits);
}

int kf_pkey_generate(enum kf_key_type type, EVP_PKEY **ret, struct cm_err *err)
{
    *ret = key_types[type].group ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", key_types[type].group)
                                 : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", key_types[type].bits);
    return *ret ? 0
                : kf_ossl_fail(err, CM_ECRYPTO, "cannot generate a %s key", key_types[type].name);
}

/* The private number of a P-256 key, big-endian. */
static bool p256_scalar(const EVP_PKEY *key, uint8_t out[P256_SCALAR_SIZE])
{
    uint8_t native[P256_SCALAR_SIZE];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, sizeof(native)),
        OSSL_PARAM_construct_end(),
    };
    BIGNUM *n = EVP_PKEY_get_params(key, params) == 1 && OSSL_PARAM_modified(params)
                    ? BN_native2bn(native, sizeof(native), BN_secure_new())
                    : NULL;
    bool ok = n && BN_bn2binpad(n, out, P256_SCALAR_SIZE) == P256_SCALAR_SIZE;
    BN_clear_free(n);
    cm_wipe(native, sizeof(native));
    return ok;
}

/* PKCS#8 of a P-256 key (RFC 5915 in RFC 5208), as OpenSSL writes it: its encoder chain costs more
 * than making the key. */
static int p256_to_pem(const EVP_PKEY *key, const uint8_t point[KF_P256_POINT_SIZE],
                       struct kf_secret *ret, struct cm_err *err)
{
    static const char head[] = "-----BEGIN PRIVATE KEY-----\n";
    static const char tail[] = "-----END PRIVATE KEY-----\n";
    KF_AUTO_SECRET der = {0};
    int rc = kf_secret_new(P256_PKCS8_SIZE, &der, err);
    if (rc < 0)
        return rc;
    uint8_t *at = (uint8_t *)der.data;
    memcpy(at, p256_pkcs8_head, sizeof(p256_pkcs8_head));
    at += sizeof(p256_pkcs8_head);
    if (!p256_scalar(key, at))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot write a private key as PEM");
    at += P256_SCALAR_SIZE;
    memcpy(at, p256_pkcs8_mid, sizeof(p256_pkcs8_mid));
    memcpy(at + sizeof(p256_pkcs8_mid), point, KF_P256_POINT_SIZE);
    /* EVP_EncodeBlock() writes a NUL behind: room for the last line's comes with the secret. */
    size_t lines = (P256_PKCS8_SIZE + PEM_LINE_BYTES - 1) / PEM_LINE_BYTES;
    size_t base64 = (P256_PKCS8_SIZE + 2) / 3 * 4;
    rc = kf_secret_new(sizeof(head) - 1 + base64 + lines + sizeof(tail) - 1, ret, err);
    if (rc < 0)
        return rc;
    char *out = ret->data;
    memcpy(out, head, sizeof(head) - 1);
    out += sizeof(head) - 1;
    for (size_t done = 0; done < P256_PKCS8_SIZE; done += PEM_LINE_BYTES) {
        size_t left = P256_PKCS8_SIZE - done;
        int take = (int)(left < PEM_LINE_BYTES ? left : PEM_LINE_BYTES);
        out += EVP_EncodeBlock((uint8_t *)out, (uint8_t *)der.data + done, take);
        *out++ = '\n';
    }
    memcpy(out, tail, sizeof(tail) - 1);
    return 0;
}

int kf_pkey_to_pem(const EVP_PKEY *key, struct kf_secret *ret, struct cm_err *err)
{
    *ret = (struct kf_secret){0};
    uint8_t point[KF_P256_POINT_SIZE];
    if (kf_p256_point(key, point))
        return p256_to_pem(key, point, ret, err);
    KF_AUTO(bio) BIO *bio = BIO_new(BIO_s_secmem());
    char *data;
    if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot write a private key as PEM");
    long len = BIO_get_mem_data(bio, &data);
    int rc = kf_secret_new((size_t)len, ret, err);
    if (rc == 0)
        memcpy(ret->data, data, (size_t)len);
    return rc;
}

int kf_pkey_from_pem(const char *pem, size_t len, EVP_PKEY **ret, struct cm_err *err)
{
    *ret = NULL;
    if (len > KF_SECRET_MAX)
        return cm_fail(err, CM_ELIMIT, "private key is longer than %u bytes", KF_SECRET_MAX);
    KF_AUTO(bio) BIO *bio = BIO_new_mem_buf(pem, (int)len);
    /* The empty passphrase keeps an encrypted key from asking on the terminal. */
    char none[] = "";
    *ret = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, none) : NULL;
    return *ret ? 0 : kf_ossl_fail(err, CM_EMALF, "private key is not readable PKCS#8 PEM");
}

bool kf_p256_point(const EVP_PKEY *key, uint8_t out[KF_P256_POINT_SIZE])
{
    char group[32];
    size_t len = 0;
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) == 256 &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
           strcmp(group, "prime256v1") == 0 &&
           EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out, KF_P256_POINT_SIZE,
                                           &len) == 1 &&
           len == KF_P256_POINT_SIZE && out[0] == POINT_CONVERSION_UNCOMPRESSED;
}

bool kf_p256_spki(const EVP_PKEY *key, uint8_t out[KF_P256_SPKI_SIZE])
{
    memcpy(out, p256_prefix, sizeof(p256_prefix));
    return kf_p256_point(key, out + KF_P256_SPKI_SIZE - KF_P256_POINT_SIZE);
}

int kf_spki(const EVP_PKEY *key, uint8_t **ret, size_t *ret_len, struct cm_err *err)
{
    /* The encoder chain of OpenSSL 3.0 costs as much as making the key. */
    uint8_t known[KF_P256_SPKI_SIZE];
    if (kf_p256_spki(key, known)) {
        *ret = cm_memdup(known, sizeof(known));
        *ret_len = sizeof(known);
        return 0;
    }
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    *ret = NULL;
    if (len <= 0)
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot encode a public key");
    *ret = cm_memdup(der, (size_t)len);
    *ret_len = (size_t)len;
    OPENSSL_free(der);
    return 0;
}

int kf_spki_hex(const EVP_PKEY *key, char out[65], struct cm_err *err)
{
    uint8_t *der = NULL;
    size_t len = 0;
    int rc = kf_spki(key, &der, &len, err);
    if (rc < 0)
        return rc;
    cm_sha256_hex(der, len, out);
    cm_free(der);
    return 0;
}

int kf_spki_b64(const EVP_PKEY *key, char **ret, struct cm_err *err)
{
    uint8_t *der = NULL;
    size_t len = 0;
    *ret = NULL;
    int rc = kf_spki(key, &der, &len, err);
    if (rc < 0)
        return rc;
    *ret = cm_b64(der, len);
    cm_free(der);
    return 0;
}

void kf_key_id(const uint8_t *spki, size_t len, char out[33])
{
    char hex[CM_SHA256_HEX];
    cm_sha256_hex(spki, len, hex);
    memcpy(out, hex, 32);
    out[32] = '\0';
}

bool kf_p256_spki_ok(const uint8_t *der, size_t len)
{
    return len == KF_P256_SPKI_SIZE && memcmp(der, p256_prefix, sizeof(p256_prefix)) == 0;
}

int kf_p256_from_spki(const uint8_t *der, size_t len, EVP_PKEY **ret, struct cm_err *err)
{
    *ret = NULL;
    if (!kf_p256_spki_ok(der, len))
        return cm_fail(err, CM_EMALF, "not a P-256 public key (SubjectPublicKeyInfo)");
    /* By parameters, not by d2i_PUBKEY: the decoder chain of OpenSSL 3.0 costs ten times more. */
    char group[] = "P-256";
    uint8_t point[65];
    memcpy(point, der + KF_P256_SPKI_SIZE - sizeof(point), sizeof(point));
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
        OSSL_PARAM_construct_end(),
    };
    KF_AUTO(pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        return kf_ossl_fail(err, CM_EMALF, "P-256 public key is not a point of the curve");
    return 0;
}

int kf_p256_spki_b64(const char *text, uint8_t out[KF_P256_SPKI_SIZE], struct cm_err *err)
{
    uint8_t *der = NULL;
    size_t len = 0;
    size_t text_len = strlen(text);
    if (text_len > KF_SPKI_MAX || cm_b64_decode(text, text_len, &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "public key is not base64");
    bool ok = kf_p256_spki_ok(der, len);
    if (ok)
        memcpy(out, der, KF_P256_SPKI_SIZE);
    cm_free(der);
    return ok ? 0 : cm_fail(err, CM_EMALF, "not a P-256 public key (SubjectPublicKeyInfo)");
}
