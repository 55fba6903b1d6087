/* Account keys as other programs keep them, and the form in which ours leave the agent. */
#include "tests/unit/keyfile/support.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/key_text.h"

#define PASS "correct horse battery"

static EVP_PKEY *key_of(enum kf_key_type type)
{
    EVP_PKEY *key = NULL;
    assert_int_equal(kf_pkey_generate(type, &key, NULL), 0);
    return key;
}

/* The private JWK as certbot writes it (owned text). */
static char *jwk_of(const EVP_PKEY *key, const char *const (*members)[2], const char *head)
{
    CM_AUTO_JSON jwk = NULL;
    assert_int_equal(cm_json_parse(head, strlen(head), &jwk, NULL), 0);
    for (; (*members)[0]; members++) {
        BIGNUM *n = NULL;
        uint8_t octets[1024];
        assert_true(EVP_PKEY_get_bn_param(key, (*members)[1], &n));
        int len = BN_bn2bin(n, octets);
        CM_AUTO_STR text = cm_b64url(octets, (size_t)len);
        cm_json_set_str(jwk, (*members)[0], text);
        BN_clear_free(n);
    }
    return cm_json_dump(jwk, NULL);
}

static const char *const ec[][2] = {{"x", OSSL_PKEY_PARAM_EC_PUB_X},
                                    {"y", OSSL_PKEY_PARAM_EC_PUB_Y},
                                    {"d", OSSL_PKEY_PARAM_PRIV_KEY},
                                    {NULL, NULL}};
static const char *const rsa[][2] = {{"n", OSSL_PKEY_PARAM_RSA_N},
                                     {"e", OSSL_PKEY_PARAM_RSA_E},
                                     {"d", OSSL_PKEY_PARAM_RSA_D},
                                     {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
                                     {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
                                     {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
                                     {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
                                     {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
                                     {NULL, NULL}};

static void assert_same(const EVP_PKEY *key, const char *text, const char *passphrase)
{
    EVP_PKEY *again = NULL;
    struct cm_err err = CM_ERR_INIT;
    if (kf_key_from_text(text, passphrase, &again, &err) != 0)
        fail_msg("%s", err.what);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    EVP_PKEY_free(again);
}

static void jwks(void **state)
{
    (void)state;
    static const struct {
        enum kf_key_type type;
        const char *const (*members)[2];
        const char *head;
    } rows[] = {{KF_KEY_P256, ec, "{\"kty\":\"EC\",\"crv\":\"P-256\"}"},
                {KF_KEY_P384, ec, "{\"kty\":\"EC\",\"crv\":\"P-384\"}"},
                {KF_KEY_RSA2048, rsa, "{\"kty\":\"RSA\"}"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EVP_PKEY *key = key_of(rows[i].type);
        CM_AUTO_STR text = jwk_of(key, rows[i].members, rows[i].head);
        assert_same(key, text, "");
        EVP_PKEY_free(key);
    }
}

static void pems(void **state)
{
    (void)state;
    EVP_PKEY *key = key_of(KF_KEY_P256);
    struct kf_secret pem;
    assert_int_equal(kf_pkey_to_pem(key, &pem, NULL), 0);
    assert_same(key, pem.data, ""); /* PKCS #8 */
    kf_secret_fini(&pem);
    BIO *bio = BIO_new(BIO_s_mem()); /* SEC 1, as lego writes it */
    char *data;
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &data);
    CM_AUTO_STR text = cm_strndup(data, (size_t)len);
    BIO_free(bio);
    assert_non_null(strstr(text, "EC PRIVATE KEY"));
    assert_same(key, text, "");
    EVP_PKEY_free(key);
}

static void ours(void **state)
{
    (void)state;
    EVP_PKEY *key = key_of(KF_KEY_P256);
    CM_AUTO_STR pem = NULL;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(kf_key_to_encrypted_pem(key, "eleven char", &pem, &err), CM_EINVAL);
    assert_non_null(strstr(err.what, "passphrase"));
    cm_err_fini(&err);
    assert_int_equal(kf_key_to_encrypted_pem(key, PASS, &pem, NULL), 0);
    assert_int_equal(strncmp(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----", 37), 0);
    assert_same(key, pem, PASS);
    EVP_PKEY_free(key);
}

/* As openssl encrypts it: with fewer rounds than ours has (each try costs a second there). */
static void only_with_its_passphrase(void **state)
{
    (void)state;
    EVP_PKEY *key = key_of(KF_KEY_P256), *none = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), PASS,
                                                   (int)strlen(PASS), NULL, NULL),
                     1);
    long len = BIO_get_mem_data(bio, &data);
    CM_AUTO_STR pem = cm_strndup(data, (size_t)len);
    BIO_free(bio);
    assert_int_equal(strncmp(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----", 37), 0);
    assert_same(key, pem, PASS);
    assert_int_equal(kf_key_from_text(pem, "another one here", &none, &err), CM_EINVAL);
    assert_non_null(strstr(err.what, "is the passphrase right?"));
    cm_err_fini(&err);
    assert_int_equal(kf_key_from_text(pem, "", &none, NULL), CM_EINVAL);
    assert_null(none);
    EVP_PKEY_free(key);
}

static void what_is_no_account_key(void **state)
{
    (void)state;
    EVP_PKEY *a = key_of(KF_KEY_P256), *b = key_of(KF_KEY_P256), *none = NULL;
    CM_AUTO_STR one = jwk_of(a, ec, "{\"kty\":\"EC\",\"crv\":\"P-256\"}");
    CM_AUTO_STR two = jwk_of(b, ec, "{\"kty\":\"EC\",\"crv\":\"P-256\"}");
    CM_AUTO_JSON mixed = NULL;
    CM_AUTO_JSON other = NULL;
    assert_int_equal(cm_json_parse(one, strlen(one), &mixed, NULL), 0);
    assert_int_equal(cm_json_parse(two, strlen(two), &other, NULL), 0);
    json_object_set(mixed, "d", json_object_get(other, "d"));
    CM_AUTO_STR halves = cm_json_dump(mixed, NULL);
    json_object_del(other, "d");
    CM_AUTO_STR open = cm_json_dump(other, NULL);
    CM_AUTO_STR big = cm_asprintf("{%*s}", KF_KEY_TEXT_MAX, "");
    const char *const texts[] = {"",
                                 "hello",
                                 "{",
                                 "{}",
                                 "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
                                 halves,
                                 open,
                                 big,
                                 "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        assert_int_equal(kf_key_from_text(texts[i], "", &none, &err), CM_EINVAL);
        assert_null(none);
        assert_int_equal(strncmp(err.what, "key: ", 5), 0);
        cm_err_fini(&err);
    }
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct kf_secret pem;
    assert_int_equal(kf_pkey_to_pem(ed, &pem, NULL), 0);
    assert_int_equal(kf_key_from_text(pem.data, "", &none, NULL), CM_EINVAL);
    kf_secret_fini(&pem);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jwks), cmocka_unit_test(pems), cmocka_unit_test(ours),
        cmocka_unit_test(only_with_its_passphrase), cmocka_unit_test(what_is_no_account_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
