/* Raw signatures. */
#include "keyfile/sig.h"

#include <openssl/err.h>
#include <string.h>

#include "base/core/bytes.h"
#include "keyfile/ossl.h"

#define KF_COORD_MAX 66 /* of P-521 */

struct alg {
    const char *name;
    const char *digest;
    int bits;     /* of EC keys */
    size_t coord; /* octets of r and of s, at most KF_COORD_MAX; 0 = RSA */
};

#define ES256 0 /* in the table */

static const struct alg algs[] = {
    [ES256] = {"ES256", "SHA256", 256, 32},
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

static bool sign_any(EVP_PKEY *key, const char *digest, const void *data, size_t len, uint8_t *sig,
                     size_t *sig_len)
{
    KF_AUTO(md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    return ctx && EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) > 0 &&
           EVP_DigestSign(ctx, sig, sig_len, data, len) > 0;
}

/* What a manager does most.  Digest and signature apart: EVP_DigestSign looks the digest up by name
 * twice for each. */
static bool sign_es256(EVP_PKEY *key, const void *data, size_t len, uint8_t *sig, size_t *sig_len)
{
    uint8_t hash[CM_SHA256_SIZE];
    cm_sha256(data, len, hash);
    KF_AUTO(pkey_ctx) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    return ctx && EVP_PKEY_sign_init(ctx) > 0 &&
           EVP_PKEY_sign(ctx, sig, sig_len, hash, sizeof(hash)) > 0;
}

int kf_sig_sign(EVP_PKEY *key, const void *data, size_t len, uint8_t out[KF_SIG_MAX],
                size_t *ret_len, struct cm_err *err)
{
    const struct alg *alg = alg_of(key);
    if (!alg)
        return cm_fail(err, CM_EINVAL, "no signature algorithm for this kind of key");
    uint8_t sig[KF_SIG_MAX];
    size_t sig_len = sizeof(sig);
    bool ok = alg == &algs[ES256] ? sign_es256(key, data, len, sig, &sig_len)
                                  : sign_any(key, alg->digest, data, len, sig, &sig_len);
    if (!ok)
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

/* DER INTEGER of an unsigned number of at most 66 octets. */
static size_t put_integer(const uint8_t *raw, size_t len, uint8_t *out)
{
    for (; len > 1 && raw[0] == 0; len--)
        raw++;
    size_t zero = raw[0] >> 7; /* else it would be negative */
    out[0] = 0x02;
    out[1] = (uint8_t)(zero + len);
    out[2] = 0;
    memcpy(out + 2 + zero, raw, len);
    return 2 + zero + len;
}

/* r || s to DER in out; returns its length. */
static size_t raw_to_der(const uint8_t *raw, size_t coord, uint8_t out[KF_SIG_MAX])
{
    uint8_t both[2 * (KF_COORD_MAX + 3)];
    size_t len = put_integer(raw, coord, both), at = 0;
    len += put_integer(raw + coord, coord, both + len);
    out[at++] = 0x30;
    if (len > 127)
        out[at++] = 0x81; /* X.690 8.1.3.5: one octet of length follows */
    out[at++] = (uint8_t)len;
    memcpy(out + at, both, len);
    return at + len;
}

static void forget_key(struct kf_verifier *v)
{
    EVP_PKEY_CTX_free(v->ctx);
    EVP_MD_free(v->digest);
    EVP_PKEY_free(v->key);
    v->ctx = NULL;
    v->digest = NULL;
    v->key = NULL;
}

void kf_verifier_fini(struct kf_verifier *v)
{
    forget_key(v);
    cm_buf_fini(&v->signed_bytes);
    *v = (struct kf_verifier){0};
}

/* Gets ready for this key; it mostly is the one before. */
static int verifier_use(struct kf_verifier *v, EVP_PKEY *key, struct cm_err *err)
{
    if (v->key == key)
        return 0;
    forget_key(v);
    const struct alg *alg = alg_of(key);
    if (!alg)
        return cm_fail(err, CM_EINVAL, "no signature algorithm for this kind of key");
    v->coord = alg->coord;
    v->digest = EVP_MD_fetch(NULL, alg->digest, NULL);
    v->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (!v->digest || !v->ctx || EVP_PKEY_verify_init(v->ctx) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(v->ctx, v->digest) <= 0 || EVP_PKEY_up_ref(key) != 1)
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot verify with the %s key", alg->name);
    v->key = key;
    return 0;
}

int kf_verifier_check(struct kf_verifier *v, EVP_PKEY *key, const void *data, size_t len,
                      const uint8_t *sig, size_t sig_len, struct cm_err *err)
{
    uint8_t der[KF_SIG_MAX], hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    int rc = verifier_use(v, key, err);
    if (rc < 0)
        return rc;
    if (v->coord) {
        if (sig_len != 2 * v->coord)
            return cm_fail(err, CM_EDENIED, "signature is not %zu octets of r and s", 2 * v->coord);
        sig_len = raw_to_der(sig, v->coord, der);
        sig = der;
    }
    if (EVP_Digest(data, len, hash, &hash_len, v->digest, NULL) != 1)
        return kf_ossl_fail(err, CM_ECRYPTO, "cannot hash what was signed");
    if (EVP_PKEY_verify(v->ctx, sig, sig_len, hash, hash_len) != 1) {
        ERR_clear_error();
        return cm_fail(err, CM_EDENIED, "signature does not verify");
    }
    return 0;
}

int kf_sig_verify(EVP_PKEY *key, const void *data, size_t len, const uint8_t *sig, size_t sig_len,
                  struct cm_err *err)
{
    struct kf_verifier once = {0};
    int rc = kf_verifier_check(&once, key, data, len, sig, sig_len, err);
    kf_verifier_fini(&once);
    return rc;
}
