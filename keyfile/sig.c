/* Raw signatures. */
#include "keyfile/sig.h"

#include <openssl/err.h>
#include <string.h>

#include "keyfile/ossl.h"

struct alg {
    const char *name;
    const char *digest;
    int bits;     /* of EC keys */
    size_t coord; /* octets of r and of s; 0 = RSA */
};

static const struct alg algs[] = {
    {"ES256", "SHA256", 256, 32},
    {"ES384", "SHA384", 384, 48},
    {"ES512", "SHA512", 521, 66},
    {"RS256", "SHA256", 0, 0},
};

static const struct alg *alg_of(const EVP_PKEY *key)
{
    bool ec = EVP_PKEY_is_a(key, "EC");
    if (!ec && !EVP_PKEY_is_a(key, "RSA"))
        return NULL;
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        if (ec ? algs[i].bits == EVP_PKEY_get_bits(key) : algs[i].coord == 0)
            return &algs[i];
    }
    return NULL;
}

const char *kf_sig_alg(const EVP_PKEY *key)
{
    const struct alg *alg = alg_of(key);
    return alg ? alg->name : NULL;
}

/* DER ECDSA-Sig-Value to r || s of fixed width. */
static bool der_to_raw(const uint8_t *der, size_t len, size_t coord, uint8_t *out)
{
    const unsigned char *at = der;
    KF_AUTO(ecdsa_sig) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    return sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)coord) == (int)coord &&
           BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + coord, (int)coord) == (int)coord;
}

int kf_sig_sign(EVP_PKEY *key, const void *data, size_t len, uint8_t out[KF_SIG_MAX],
                size_t *ret_len, struct cm_err *err)
{
    const struct alg *alg = alg_of(key);
    if (!alg)
        return cm_fail(err, CM_EINVAL, "no signature algorithm for this kind of key");
    uint8_t sig[KF_SIG_MAX];
    size_t sig_len = sizeof(sig);
    KF_AUTO(md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit_ex(ctx, NULL, alg->digest, NULL, NULL, key, NULL) <= 0 ||
        EVP_DigestSign(ctx, sig, &sig_len, data, len) <= 0)
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot sign with the %s key", alg->name);
    if (alg->coord == 0) {
        memcpy(out, sig, sig_len);
        *ret_len = sig_len;
        return 0;
    }
    if (!der_to_raw(sig, sig_len, alg->coord, out))
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot encode the %s signature", alg->name);
    *ret_len = 2 * alg->coord;
    return 0;
}

/* r || s to DER in out; returns its length or 0. */
static size_t raw_to_der(const uint8_t *raw, size_t coord, uint8_t out[KF_SIG_MAX])
{
    KF_AUTO(ecdsa_sig) ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)coord, NULL);
    BIGNUM *s = BN_bin2bn(raw + coord, (int)coord, NULL);
    if (!sig || !r || !s || !ECDSA_SIG_set0(sig, r, s)) {
        BN_free(r);
        BN_free(s);
        return 0;
    }
    unsigned char *at = out; /* at most 2 * (66 + 3) + 3 octets */
    int len = i2d_ECDSA_SIG(sig, &at);
    return len > 0 ? (size_t)len : 0;
}

int kf_sig_verify(EVP_PKEY *key, const void *data, size_t len, const uint8_t *sig, size_t sig_len,
                  struct cm_err *err)
{
    const struct alg *alg = alg_of(key);
    if (!alg)
        return cm_fail(err, CM_EINVAL, "no signature algorithm for this kind of key");
    uint8_t der[KF_SIG_MAX];
    const uint8_t *use = sig;
    size_t use_len = sig_len;
    if (alg->coord) {
        if (sig_len != 2 * alg->coord || (use_len = raw_to_der(sig, alg->coord, der)) == 0)
            return cm_fail(err, CM_EDENIED, "signature is not %zu octets of r and s",
                           2 * alg->coord);
        use = der;
    }
    KF_AUTO(md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestVerifyInit_ex(ctx, NULL, alg->digest, NULL, NULL, key, NULL) <= 0)
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot verify with the %s key", alg->name);
    if (EVP_DigestVerify(ctx, use, use_len, data, len) != 1) {
        ERR_clear_error();
        return cm_fail(err, CM_EDENIED, "signature does not verify");
    }
    return 0;
}
