/* JOSE: the worked examples of RFC 7515, 7638 and 8555, and what ours look like. */
#include "support.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "keyfile/jws.h"
#include "keyfile/sig.h"

#define PAYLOAD                                                                                    \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "f"                                                                                            \
    "Q"
#define TOKEN "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"

/* RFC 7515 A.3 */
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"

/* RFC 7638 3.1 */
#define RSA_N                                                                                      \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"      \
    "BJECPe"                                                                                       \
    "bWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"           \
    "FDW2QvzqY36"                                                                                  \
    "8QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"                       \
    "bFTWhAI4vMQFh6WeZu0fM4l"                                                                      \
    "Fd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"

/* RFC 7515 A.2 */
#define A2_N                                                                                       \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"                        \
    "4qPCJrcS2mJPMEzP1Pt0Bm4d"                                                                     \
    "4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"                      \
    "bSf63kpaSHSXndS5z5rexM"                                                                       \
    "dbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_"                 \
    "I5IhlJH7aGhyxXFvU"                                                                            \
    "K-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define A2_D                                                                                       \
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-"           \
    "7YwVol2NXOo"                                                                                  \
    "AJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_"     \
    "V51gf"                                                                                        \
    "pRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_"        \
    "jTj3ccPD"                                                                                     \
    "VZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ"
#define A2_SIGNATURE                                                                               \
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"        \
    "O8W2Fp5j"                                                                                     \
    "ujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"                                            \
    "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L"                                                 \
    "07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"                                                \
    "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEU"                                             \
    "ipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"

static struct cm_err err;

static BIGNUM *number(const char *b64url)
{
    uint8_t *bytes;
    size_t len;
    assert_int_equal(cm_b64url_decode(b64url, strlen(b64url), &bytes, &len), 0);
    BIGNUM *n = BN_bin2bn(bytes, (int)len, NULL);
    cm_free(bytes);
    return n;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build, int selection)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, selection, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *rsa_key(const char *n64, const char *d64)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *n = number(n64), *e = number("AQAB"), *d = d64 ? number(d64) : NULL;
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
    if (d)
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d);
    EVP_PKEY *key = from_params("RSA", build, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
    BN_free(n);
    BN_free(e);
    BN_free(d);
    return key;
}

static EVP_PKEY *ec_key(const char *group, const char *x64, const char *y64, size_t width,
                        const char *d64)
{
    uint8_t point[1 + 2 * 66] = {4};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *x = number(x64), *y = number(y64), *d = d64 ? number(d64) : NULL;
    BN_bn2binpad(x, point + 1, (int)width);
    BN_bn2binpad(y, point + 1 + width, (int)width);
    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width);
    if (d)
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, d);
    EVP_PKEY *key = from_params("EC", build, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
    BN_free(x);
    BN_free(y);
    BN_free(d);
    return key;
}

static int verify64(EVP_PKEY *key, const char *input, const char *sig64)
{
    uint8_t *sig;
    size_t len;
    assert_int_equal(cm_b64url_decode(sig64, strlen(sig64), &sig, &len), 0);
    int rc = kf_sig_verify(key, input, strlen(input), sig, len, NULL);
    cm_free(sig);
    return rc;
}

static void base64url_of_appendix_c(void **state)
{
    (void)state;
    static const uint8_t octets[] = {3, 236, 255, 224, 193};
    CM_AUTO_STR text = cm_b64url(octets, sizeof(octets));
    assert_string_equal(text, "A-z_4ME");
}

static void thumbprints(void **state)
{
    (void)state;
    char out[KF_THUMBPRINT_TEXT];
    json_t *jwk;
    EVP_PKEY *rsa = rsa_key(RSA_N, NULL), *ec = ec_key("P-256", EC_X, EC_Y, 32, NULL);
    OK(kf_jwk(rsa, &jwk, &err), err);
    assert_string_equal(cm_json_str(jwk, "n"), RSA_N);
    assert_string_equal(cm_json_str(jwk, "e"), "AQAB");
    OK(kf_jwk_thumbprint(jwk, out, &err), err);
    assert_string_equal(out, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    json_decref(jwk);
    OK(kf_jwk(ec, &jwk, &err), err);
    assert_string_equal(cm_json_str(jwk, "x"), EC_X);
    assert_string_equal(cm_json_str(jwk, "y"), EC_Y);
    OK(kf_jwk_thumbprint(jwk, out, &err), err);
    assert_string_equal(out, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    json_decref(jwk);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

/* Key authorizations and what becomes of them (RFC 8555 8.1, 8.4; RFC 8737 3). */
static void acme_values(void **state)
{
    (void)state;
    static const struct {
        const char *thumbprint, *txt, *extension;
    } rows[] = {
        {"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
         "ZTRx1Ckl1-tM05o5zaizTTA0yUy5AGereMgSNWC6Ll8",
         "0420653471d42925d7eb4cd39a39cda8b34d3034c94cb90067ab78c8123560ba2e5f"},
        {"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
         "ZaJgFtIV4WA0t2MzN7kbSk0sfRd2GZjaxRqaSTAK6lI",
         "042065a26016d215e16034b7633337b91b4a4d2c7d17761998dac51a9a49300aea52"},
    };
    for (size_t i = 0; i < 2; i++) {
        uint8_t hash[CM_SHA256_SIZE];
        char hex[2 * CM_SHA256_SIZE + 1];
        CM_AUTO_STR text = cm_asprintf(TOKEN ".%s", rows[i].thumbprint);
        cm_sha256(text, strlen(text), hash);
        CM_AUTO_STR txt = cm_b64url(hash, sizeof(hash));
        assert_string_equal(txt, rows[i].txt);
        cm_hex(hash, sizeof(hash), hex);
        assert_string_equal(hex, rows[i].extension + 4);
    }
}

static void hs256_of_a1(void **state)
{
    (void)state;
    static const char k[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hc"
                            "gUuTwjAzZr1Z9CAow";
    static const char input[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD;
    uint8_t *key, mac[CM_SHA256_SIZE];
    size_t len;
    assert_int_equal(cm_b64url_decode(k, strlen(k), &key, &len), 0);
    cm_hmac_sha256(key, len, input, strlen(input), mac);
    cm_free(key);
    CM_AUTO_STR text = cm_b64url(mac, sizeof(mac));
    assert_string_equal(text, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

/* RS256 is deterministic: our own signature equals the RFC's. */
static void rs256_of_a2(void **state)
{
    (void)state;
    static const char input[] = "eyJhbGciOiJSUzI1NiJ9." PAYLOAD;
    EVP_PKEY *key = rsa_key(A2_N, A2_D);
    uint8_t sig[KF_SIG_MAX];
    size_t len;
    assert_string_equal(kf_sig_alg(key), "RS256");
    OK(kf_sig_sign(key, input, strlen(input), sig, &len, &err), err);
    CM_AUTO_STR text = cm_b64url(sig, len);
    assert_string_equal(text, A2_SIGNATURE);
    assert_int_equal(verify64(key, input, A2_SIGNATURE), 0);
    assert_int_equal(verify64(key, "other", A2_SIGNATURE), CM_EDENIED);
    EVP_PKEY_free(key);
}

static void es256_of_a3(void **state)
{
    (void)state;
    static const char input[] = "eyJhbGciOiJFUzI1NiJ9." PAYLOAD;
    static const char sig[] = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQ"
                              "xfKTUJqPP3-Kg6NU1Q";
    EVP_PKEY *key = ec_key("P-256", EC_X, EC_Y, 32, EC_D);
    assert_int_equal(verify64(key, input, sig), 0);
    assert_int_equal(verify64(key, "other", sig), CM_EDENIED);
    uint8_t own[KF_SIG_MAX];
    size_t len;
    OK(kf_sig_sign(key, input, strlen(input), own, &len, &err), err);
    assert_int_equal(len, 64);
    OK(kf_sig_verify(key, input, strlen(input), own, len, &err), err);
    REFUSED(kf_sig_verify(key, input, strlen(input), own, 63, &err), CM_EDENIED, "64 octets", err);
    memset(own, 0, sizeof(own)); /* r = s = 0 */
    assert_int_equal(kf_sig_verify(key, input, strlen(input), own, 64, NULL), CM_EDENIED);
    EVP_PKEY_free(key);
}

static void other_curves_have_fixed_width(void **state)
{
    (void)state;
    static const struct {
        const char *group, *alg;
        size_t width;
    } rows[] = {{"P-256", "ES256", 32}, {"P-384", "ES384", 48}, {"P-521", "ES512", 66}};
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", rows[i].group);
        uint8_t sig[KF_SIG_MAX];
        size_t len;
        assert_string_equal(kf_sig_alg(key), rows[i].alg);
        OK(kf_sig_sign(key, "x", 1, sig, &len, &err), err);
        assert_int_equal(len, 2 * rows[i].width);
        OK(kf_sig_verify(key, "x", 1, sig, len, &err), err);
        EVP_PKEY_free(key);
    }
}

/* r and s of every length that DER gives them: until each began with a zero octet and with a set
 * bit. */
static void short_and_long_numbers_verify(void **state)
{
    (void)state;
    EVP_PKEY *key = ec_key("P-256", EC_X, EC_Y, 32, EC_D);
    struct kf_verifier v = {0};
    unsigned seen = 0;
    for (int i = 0; i < 20000 && seen != 15; i++) {
        uint8_t sig[KF_SIG_MAX];
        size_t len;
        OK(kf_sig_sign(key, &i, sizeof(i), sig, &len, &err), err);
        for (size_t at = 0; at < 2; at++)
            seen |= (sig[32 * at] == 0 ? 1u : sig[32 * at] > 0x7f ? 2u : 0u) << 2 * at;
        OK(kf_verifier_check(&v, key, &i, sizeof(i), sig, len, &err), err);
    }
    assert_int_equal(seen, 15);
    kf_verifier_fini(&v);
    EVP_PKEY_free(key);
}

/* What a verifier keeps belongs to the key; a bad signature leaves nothing behind. */
static void a_verifier_changes_keys(void **state)
{
    (void)state;
    static const char *const groups[] = {"P-256", "P-521", "P-384", "P-256"};
    EVP_PKEY *key[5];
    uint8_t sig[5][KF_SIG_MAX];
    size_t len[5];
    struct kf_verifier v = {0};
    for (size_t i = 0; i < 5; i++) {
        key[i] = i < 4 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[i])
                       : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
        OK(kf_sig_sign(key[i], "x", 1, sig[i], &len[i], &err), err);
    }
    for (size_t n = 0; n < 50; n++) {
        size_t i = n % 5, other = (i + 3) % 5; /* 3 after 0, 0 after 2 … */
        OK(kf_verifier_check(&v, key[i], "x", 1, sig[i], len[i], &err), err);
        assert_int_equal(kf_verifier_check(&v, key[i], "y", 1, sig[i], len[i], NULL), CM_EDENIED);
        OK(kf_verifier_check(&v, key[i], "x", 1, sig[i], len[i], &err), err);
        assert_int_equal(kf_verifier_check(&v, key[other], "x", 1, sig[i], len[i], NULL),
                         CM_EDENIED);
    }
    kf_verifier_fini(&v);
    for (size_t i = 0; i < 5; i++)
        EVP_PKEY_free(key[i]);
}

/* Keys until a coordinate begins with a zero octet: it must not be shortened (RFC 7518 6.2.1.2). */
static void leading_zero_octets_stay(void **state)
{
    (void)state;
    bool found = false;
    for (int i = 0; i < 20000 && !found; i++) {
        EVP_PKEY *key;
        json_t *jwk;
        uint8_t *x;
        size_t len;
        assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
        OK(kf_jwk(key, &jwk, &err), err);
        const char *text = cm_json_str(jwk, "x");
        assert_int_equal(cm_b64url_decode(text, strlen(text), &x, &len), 0);
        assert_int_equal(len, 32);
        found = x[0] == 0;
        cm_free(x);
        json_decref(jwk);
        EVP_PKEY_free(key);
    }
    assert_true(found);
}

static void flattened_json(void **state)
{
    (void)state;
    EVP_PKEY *key = ec_key("P-256", EC_X, EC_Y, 32, EC_D);
    json_t *jws;
    CM_AUTO_JSON head = json_pack("{s:s,s:s}", "nonce", "abc", "url", "https://ca.example/x");
    OK(kf_jws_sign(key, head, "", 0, &jws, &err), err);
    assert_int_equal(json_object_size(jws), 3);
    assert_string_equal(cm_json_str(jws, "payload"), "");
    CM_AUTO_STR input = cm_asprintf("%s.", cm_json_str(jws, "protected"));
    assert_int_equal(verify64(key, input, cm_json_str(jws, "signature")), 0);
    assert_string_equal(cm_json_str(head, "alg"), "ES256");
    json_decref(jws);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_of_appendix_c),
        cmocka_unit_test(thumbprints),
        cmocka_unit_test(acme_values),
        cmocka_unit_test(hs256_of_a1),
        cmocka_unit_test(rs256_of_a2),
        cmocka_unit_test(es256_of_a3),
        cmocka_unit_test(other_curves_have_fixed_width),
        cmocka_unit_test(short_and_long_numbers_verify),
        cmocka_unit_test(a_verifier_changes_keys),
        cmocka_unit_test(leading_zero_octets_stay),
        cmocka_unit_test(flattened_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
