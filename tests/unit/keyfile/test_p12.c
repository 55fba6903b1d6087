/* A key that leaves: openssl reads it, the password is a good one, nothing of it lies open. */
#include "support.h"

#include <openssl/pkcs12.h>

#include "keyfile/p12.h"
#include "keyfile/pem.h"
#include "keyfile/pile.h"

#define PASSWORD "correct horse battery"

static void write_and_read(void **state)
{
    (void)state;
    struct test_ca ca;
    struct cm_err err = CM_ERR_INIT;
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    KF_AUTO(x509_stack) STACK_OF(X509) *chain = NULL;
    uint8_t *der;
    size_t len;
    ca_init(&ca);
    OK(kf_pkey_generate(KF_KEY_P256, &key, &err), err);
    CM_AUTO_STR leaf = ca_leaf(&ca, key, "DNS:a.example");
    CM_AUTO_STR pem = cm_asprintf("%s%s", leaf, ca.root);
    OK(kf_pem_certs(pem, strlen(pem), 8, &chain, &err), err);
    OK(kf_p12_write(key, chain, "a.例え.jp", PASSWORD, &der, &len, &err), err);

    /* libcrypto's own reader. */
    const unsigned char *at = der;
    PKCS12 *file = d2i_PKCS12(NULL, &at, (long)len);
    EVP_PKEY *got = NULL;
    X509 *cert = NULL;
    STACK_OF(X509) *more = NULL;
    assert_int_equal(PKCS12_parse(file, PASSWORD, &got, &cert, &more), 1);
    assert_int_equal(EVP_PKEY_eq(got, key), 1);
    assert_int_equal(X509_cmp(cert, sk_X509_value(chain, 0)), 0);
    assert_int_equal(sk_X509_num(more), 1);
    sk_X509_pop_free(more, X509_free);
    X509_free(cert);
    EVP_PKEY_free(got);
    const ASN1_INTEGER *rounds;
    PKCS12_get0_mac(NULL, NULL, NULL, &rounds, file);
    assert_int_equal(ASN1_INTEGER_get(rounds), KF_P12_ROUNDS);
    PKCS12_free(file);
    /* PBES2, hmacWithSHA256, aes-256-cbc and its rounds, as they stand in the DER. */
    static const uint8_t hmac[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09};
    static const uint8_t aes[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a};
    static const uint8_t rounds_der[] = {0x02, 0x03, 0x09, 0x27, 0xc0};
    assert_non_null(memmem(der, len, hmac, sizeof(hmac)));
    assert_non_null(memmem(der, len, aes, sizeof(aes)));
    assert_non_null(memmem(der, len, rounds_der, sizeof(rounds_der)));

    /* And our own. */
    struct kf_pile pile;
    OK(kf_pile_read(der, len, PASSWORD, &pile, &err), err);
    assert_int_equal(EVP_PKEY_eq(pile.key, key), 1);
    kf_pile_fini(&pile);
    cm_free(der);
    ca_fini(&ca);
}

static void passwords(void **state)
{
    (void)state;
    static const struct {
        const char *password;
        int rc;
    } rows[] = {
        {"", CM_EINVAL},
        {"abcdefghijk", CM_EINVAL},
        {"abcdefghijkl", 0},
        {"aaaaaaaaaaaaaaaaaaaa", CM_EINVAL},
        {"abababababcdabababab", CM_EINVAL},
        {"abcdeabcdeabcde", CM_EINVAL},
        {"abcdefabcdef", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(kf_p12_password_check(rows[i].password, NULL), rows[i].rc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_and_read),
        cmocka_unit_test(passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
