/* Private keys from and to texts.  See key_text.h. */
#include "keyfile/key_text.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"

#define NUMBERS_MAX 8

struct member {
    const char *name, *param;
};

static const struct member rsa[NUMBERS_MAX] = {
    {"n", OSSL_PKEY_PARAM_RSA_N},          {"e", OSSL_PKEY_PARAM_RSA_E},
    {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
    {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
    {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};

/* ---- JWK (RFC 7517, 7518 6.2.2, 6.3.2) --------------------------------------------------------
 */

static int bad(struct cm_err *err, const char *what)
{
    return cm_fail(err, CM_EINVAL, "key: %s", what);
}

static BIGNUM *number(const json_t *jwk, const char *name)
{
    const char *text = cm_json_str(jwk, name);
    uint8_t *octets = NULL;
    size_t len = 0;
    if (!text || cm_b64url_decode(text, strlen(text), &octets, &len) != 0)
        return NULL;
    BIGNUM *n = len > 0 ? BN_bin2bn(octets, (int)len, NULL) : NULL;
    cm_wipe(octets, len);
    cm_free(octets);
    return n;
}

static bool push_numbers(OSSL_PARAM_BLD *build, const json_t *jwk, BIGNUM *n[NUMBERS_MAX])
{
    for (size_t i = 0; i < NUMBERS_MAX; i++) {
        n[i] = number(jwk, rsa[i].name);
        if (!n[i] || !OSSL_PARAM_BLD_push_BN(build, rsa[i].param, n[i]))
            return false;
    }
    return true;
}

static bool push_point(OSSL_PARAM_BLD *build, const json_t *jwk, const char *crv, size_t width,
                       uint8_t *point, BIGNUM **d)
{
    static const char *const axes[] = {"x", "y"};
    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    for (size_t i = 0; i < 2; i++) {
        BIGNUM *n = number(jwk, axes[i]);
        bool ok = n && BN_bn2binpad(n, point + 1 + i * width, (int)width) == (int)width;
        BN_free(n);
        if (!ok)
            return false;
    }
    *d = number(jwk, "d");
    return *d && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, crv, 0) &&
           OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width) &&
           OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, *d);
}

static EVP_PKEY *made(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static int from_jwk(const json_t *jwk, EVP_PKEY **ret, struct cm_err *err)
{
    const char *kty = cm_json_str_or(jwk, "kty", ""), *crv = cm_json_str_or(jwk, "crv", "");
    BIGNUM *n[NUMBERS_MAX] = {NULL};
    uint8_t point[1 + 2 * 48];
    bool is_rsa = strcmp(kty, "RSA") == 0, p384 = strcmp(crv, "P-384") == 0;
    if (!is_rsa && (strcmp(kty, "EC") != 0 || (!p384 && strcmp(crv, "P-256") != 0)))
        return bad(err, "the JWK is no RSA, P-256 or P-384 key");
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool ok = build && (is_rsa ? push_numbers(build, jwk, n)
                               : push_point(build, jwk, crv, p384 ? 48 : 32, point, &n[0]));
    *ret = ok ? made(is_rsa ? "RSA" : "EC", build) : NULL;
    OSSL_PARAM_BLD_free(build);
    for (size_t i = 0; i < NUMBERS_MAX; i++)
        BN_clear_free(n[i]);
    if (*ret)
        return 0;
    kf_ossl_fail(NULL, CM_EINVAL, "-");
    return bad(err, "the JWK is not a whole private key");
}

/* ---- PEM ----------------------------------------------------------------------------------------
 */

static int from_pem(const char *text, const char *passphrase, EVP_PKEY **ret, struct cm_err *err)
{
    char pass[KF_PASSPHRASE_MAX + 1];
    KF_AUTO(bio) BIO *bio = BIO_new_mem_buf(text, -1);
    /* Never NULL: libcrypto would ask on the terminal. */
    if (cm_strcpy(pass, sizeof(pass), passphrase) != 0)
        return bad(err, "the passphrase is too long");
    *ret = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, pass) : NULL;
    cm_wipe(pass, sizeof(pass));
    if (*ret)
        return 0;
    kf_ossl_fail(NULL, CM_EINVAL, "-");
    return bad(err, strstr(text, "ENCRYPTED")
                        ? "the private key cannot be opened: is the passphrase right?"
                        : "no private key in PEM, and no private JWK");
}

/* ---- any ----------------------------------------------------------------------------------------
 */

static int check(EVP_PKEY *key, struct cm_err *err)
{
    char group[32] = "";
    size_t len = 0;
    int bits = EVP_PKEY_get_bits(key);
    bool good = EVP_PKEY_is_a(key, "RSA")
                    ? bits >= KF_ACCOUNT_RSA_MIN && bits <= KF_ACCOUNT_RSA_MAX
                    : EVP_PKEY_is_a(key, "EC") &&
                          EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
                          (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0);
    if (!good)
        return bad(err, "an account key is P-256, P-384, or RSA of 2048 to 4096 bits");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool whole = ctx && EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (whole)
        return 0;
    kf_ossl_fail(NULL, CM_EINVAL, "-");
    return bad(err, "its private and public halves do not belong together");
}

int kf_key_from_text(const char *text, const char *passphrase, EVP_PKEY **ret, struct cm_err *err)
{
    json_t *jwk = NULL;
    size_t len = strnlen(text, KF_KEY_TEXT_MAX + 1);
    *ret = NULL;
    if (len > KF_KEY_TEXT_MAX)
        return bad(err, "the text is longer than any account key");
    const char *start = text + strspn(text, " \t\r\n");
    int rc = *start != '{' ? from_pem(text, passphrase, ret, err)
             : cm_json_parse_lax(start, strlen(start), &jwk, NULL) == 0
                 ? from_jwk(jwk, ret, err)
                 : bad(err, "the text is no JSON Web Key");
    json_decref(jwk);
    if (rc == 0)
        rc = check(*ret, err);
    if (rc != 0) {
        EVP_PKEY_free(*ret);
        *ret = NULL;
    }
    return rc;
}

int kf_key_to_encrypted_pem(const EVP_PKEY *key, const char *passphrase, char **ret,
                            struct cm_err *err)
{
    size_t len = strnlen(passphrase, KF_PASSPHRASE_MAX + 1);
    *ret = NULL;
    if (len < KF_PASSPHRASE_MIN || len > KF_PASSPHRASE_MAX)
        return cm_fail(err, CM_EINVAL, "passphrase: %d to %d characters", KF_PASSPHRASE_MIN,
                       KF_PASSPHRASE_MAX);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    X509_ALGOR *algorithm = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), KF_PASSPHRASE_ROUNDS, NULL, 0,
                                              NULL, NID_hmacWithSHA256);
    X509_SIG *sealed =
        info && algorithm ? PKCS8_set0_pbe(passphrase, (int)len, info, algorithm) : NULL;
    KF_AUTO(bio) BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    if (!sealed)
        X509_ALGOR_free(algorithm);
    bool ok = sealed && bio && PEM_write_bio_PKCS8(bio, sealed) == 1;
    if (ok) {
        long size = BIO_get_mem_data(bio, &data);
        *ret = cm_strndup(data, (size_t)size);
    }
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok ? 0 : kf_ossl_fail(err, CM_ECRYPTO, "the key cannot be encrypted");
}
