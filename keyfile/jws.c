/* JSON Web Keys and Signatures. */
#include "keyfile/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/sig.h"

#define NUMBER_MAX 1024 /* octets: RSA-8192 */
#define JWK_MAX    4096

/* A number of the key as base64url with `width` octets (0 = as few as hold it). */
static bool set_number(json_t *jwk, const char *member, const EVP_PKEY *key, const char *param,
                       size_t width)
{
    BIGNUM *n = NULL;
    uint8_t octets[NUMBER_MAX];
    if (!EVP_PKEY_get_bn_param(key, param, &n))
        return false;
    size_t len = width ? width : (size_t)BN_num_bytes(n);
    bool ok = len <= sizeof(octets) && BN_bn2binpad(n, octets, (int)len) == (int)len;
    BN_free(n);
    if (!ok)
        return false;
    CM_AUTO_STR text = cm_b64url(octets, len);
    cm_json_set_str(jwk, member, text);
    return true;
}

int kf_jwk(const EVP_PKEY *key, json_t **ret, struct cm_err *err)
{
    static const struct {
        const char *alg, *crv;
        size_t width;
    } curves[] = {{"ES256", "P-256", 32}, {"ES384", "P-384", 48}, {"ES512", "P-521", 66}};
    const char *alg = kf_sig_alg(key);
    *ret = json_object();
    if (alg && strcmp(alg, "RS256") == 0) {
        cm_json_set_str(*ret, "kty", "RSA");
        if (set_number(*ret, "e", key, OSSL_PKEY_PARAM_RSA_E, 0) &&
            set_number(*ret, "n", key, OSSL_PKEY_PARAM_RSA_N, 0))
            return 0;
    }
    for (size_t i = 0; alg && i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(alg, curves[i].alg) != 0)
            continue;
        cm_json_set_str(*ret, "crv", curves[i].crv);
        cm_json_set_str(*ret, "kty", "EC");
        if (set_number(*ret, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].width) &&
            set_number(*ret, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].width))
            return 0;
    }
    cm_json_free(ret);
    return kf_ossl_fail(err, CM_ECRYPTO, "this kind of key has no JWK");
}

int kf_jwk_thumbprint(const json_t *jwk, char out[KF_THUMBPRINT_TEXT], struct cm_err *err)
{
    /* The members are ASCII, so RFC 8785's order is the order that RFC 7638 3.3 wants. */
    struct cm_buf buf;
    uint8_t hash[CM_SHA256_SIZE];
    cm_buf_init(&buf, JWK_MAX);
    int rc = cm_json_canonical(jwk, &buf, err);
    if (rc == 0) {
        cm_sha256(buf.data, buf.len, hash);
        CM_AUTO_STR text = cm_b64url(hash, sizeof(hash));
        cm_strcpy(out, KF_THUMBPRINT_TEXT, text);
    }
    cm_buf_fini(&buf);
    return rc;
}

int kf_jws_sign(EVP_PKEY *key, json_t *protected_header, const char *payload, size_t len,
                json_t **ret, struct cm_err *err)
{
    uint8_t sig[KF_SIG_MAX];
    size_t sig_len, head_len;
    *ret = NULL;
    cm_json_set_str(protected_header, "alg", kf_sig_alg(key));
    CM_AUTO_STR head = cm_json_dump(protected_header, &head_len);
    CM_AUTO_STR head64 = cm_b64url(head, head_len);
    CM_AUTO_STR body64 = cm_b64url(payload, len);
    CM_AUTO_STR input = cm_asprintf("%s.%s", head64, body64);
    int rc = kf_sig_sign(key, input, strlen(input), sig, &sig_len, err);
    if (rc < 0)
        return rc;
    CM_AUTO_STR sig64 = cm_b64url(sig, sig_len);
    *ret = json_object();
    cm_json_set_str(*ret, "protected", head64);
    cm_json_set_str(*ret, "payload", body64);
    cm_json_set_str(*ret, "signature", sig64);
    return 0;
}
