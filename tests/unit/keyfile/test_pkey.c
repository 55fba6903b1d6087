/* Keys through EVP, and the memory they lie in. */
#include "support.h"

static struct cm_err err;

static void key_types(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int id, bits;
    } rows[] = {{"P-256", EVP_PKEY_EC, 256},
                {"P-384", EVP_PKEY_EC, 384},
                {"RSA-2048", EVP_PKEY_RSA, 2048},
                {"RSA-3072", EVP_PKEY_RSA, 3072}};
    enum kf_key_type type;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EVP_PKEY *key, *again;
        struct kf_secret pem;
        char one[KF_SPKI_HEX], two[KF_SPKI_HEX];
        OK(kf_key_type_parse(rows[i].name, &type, &err), err);
        OK(kf_pkey_generate(type, &key, &err), err);
        assert_int_equal(EVP_PKEY_get_base_id(key), rows[i].id);
        assert_int_equal(EVP_PKEY_get_bits(key), rows[i].bits);
        OK(kf_pkey_to_pem(key, &pem, &err), err);
        assert_int_equal(strncmp(pem.data, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
        OK(kf_pkey_from_pem(pem.data, pem.len, &again, &err), err);
        OK(kf_spki_hex(key, one, &err), err);
        OK(kf_spki_hex(again, two, &err), err);
        assert_string_equal(one, two);
        kf_secret_fini(&pem);
        EVP_PKEY_free(key);
        EVP_PKEY_free(again);
    }
    OK(kf_key_type_parse("RSA-4096", &type, &err), err);
    REFUSED(kf_key_type_parse("RSA-1024", &type, &err), CM_EINVAL, "RSA-1024", err);
    REFUSED(kf_key_type_parse("p-256", &type, &err), CM_EINVAL, "p-256", err);
}

/* Written by hand: the very text that OpenSSL writes, also when the number begins with zeros. */
static void p256_pem_is_openssl_s(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        EVP_PKEY *key;
        struct kf_secret pem;
        char *data;
        OK(kf_pkey_generate(KF_KEY_P256, &key, &err), err);
        OK(kf_pkey_to_pem(key, &pem, &err), err);
        BIO *bio = BIO_new(BIO_s_mem());
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        assert_int_equal(BIO_get_mem_data(bio, &data), pem.len);
        assert_memory_equal(data, pem.data, pem.len);
        assert_int_equal(pem.data[pem.len], 0);
        BIO_free(bio);
        kf_secret_fini(&pem);
        EVP_PKEY_free(key);
    }
}

static void public_keys_have_no_private_pem(void **state)
{
    (void)state;
    EVP_PKEY *key, *half;
    uint8_t *spki;
    size_t len;
    struct kf_secret pem;
    OK(kf_pkey_generate(KF_KEY_P256, &key, &err), err);
    OK(kf_spki(key, &spki, &len, &err), err);
    OK(kf_p256_from_spki(spki, len, &half, &err), err);
    REFUSED(kf_pkey_to_pem(half, &pem, &err), CM_ECRYPTO, "PEM", err);
    assert_null(pem.data);
    cm_free(spki);
    EVP_PKEY_free(key);
    EVP_PKEY_free(half);
}

static void refuses_other_pem(void **state)
{
    (void)state;
    EVP_PKEY *key;
    static const char *const texts[] = {
        "",
        "hello",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        /* encrypted: must not ask for a passphrase */
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMBAGCSqGSIb3DQEFDTADBgEA\n"
         "-----END ENCRYPTED PRIVATE KEY-----\n"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        REFUSED(kf_pkey_from_pem(texts[i], strlen(texts[i]), &key, &err), CM_EMALF, "PKCS#8", err);
}

static void p256_public_keys(void **state)
{
    (void)state;
    EVP_PKEY *key, *other, *again;
    uint8_t *spki, out[KF_P256_SPKI_SIZE];
    size_t len;
    char id[KF_KEY_ID_TEXT], hex[KF_SPKI_HEX];
    OK(kf_pkey_generate(KF_KEY_P256, &key, &err), err);
    OK(kf_spki(key, &spki, &len, &err), err);
    assert_int_equal(len, KF_P256_SPKI_SIZE);
    assert_true(kf_p256_spki_ok(spki, len));
    OK(kf_p256_from_spki(spki, len, &again, &err), err);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    kf_key_id(spki, len, id);
    OK(kf_spki_hex(key, hex, &err), err);
    assert_int_equal(strlen(id), 32);
    assert_memory_equal(id, hex, 32);
    spki[40] ^= 1;
    REFUSED(kf_p256_from_spki(spki, len, &other, &err), CM_EMALF, "point", err);
    REFUSED(kf_p256_from_spki(spki, len - 1, &other, &err), CM_EMALF, "not a P-256", err);
    spki[4] ^= 1;
    REFUSED(kf_p256_from_spki(spki, len, &other, &err), CM_EMALF, "not a P-256", err);
    cm_free(spki);
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);

    OK(kf_pkey_generate(KF_KEY_P384, &key, &err), err);
    char *b64;
    OK(kf_spki_b64(key, &b64, &err), err);
    REFUSED(kf_p256_spki_b64(b64, out, &err), CM_EMALF, "not a P-256", err);
    REFUSED(kf_p256_spki_b64("%%%", out, &err), CM_EMALF, "base64", err);
    cm_free(b64);
    EVP_PKEY_free(key);
}

static void secrets(void **state)
{
    (void)state;
    struct kf_secret s;
    kf_secret_heap_init();
    kf_secret_heap_init(); /* twice is once */
    assert_true(CRYPTO_secure_malloc_initialized());
    OK(kf_secret_new(10, &s, &err), err);
    assert_true(CRYPTO_secure_allocated(s.data));
    assert_int_equal(s.data[9], 0);
    assert_int_equal(s.data[10], 0);
    kf_secret_fini(&s);
    assert_null(s.data);
    kf_secret_fini(&s);
    REFUSED(kf_secret_new(KF_SECRET_MAX + 1, &s, &err), CM_ELIMIT, "limit", err);
    /* Used up: an error, not a crash, and everything comes back. */
    struct kf_secret many[64];
    size_t n = 0;
    while (n < 64 && kf_secret_new(KF_SECRET_MAX, &many[n], NULL) == 0)
        n++;
    assert_in_range(n, 4, 16);
    while (n > 0)
        kf_secret_fini(&many[--n]);
    OK(kf_secret_new(KF_SECRET_MAX, &s, &err), err);
    kf_secret_fini(&s);
    assert_int_equal(CRYPTO_secure_used(), 0);
}

/* A private key's PEM and its numbers lie in the locked heap. */
static void private_keys_lie_in_the_secure_heap(void **state)
{
    (void)state;
    EVP_PKEY *key;
    struct kf_secret pem;
    kf_secret_heap_init();
    OK(kf_pkey_generate(KF_KEY_P256, &key, &err), err); /* the random generator's own state */
    EVP_PKEY_free(key);
    size_t before = CRYPTO_secure_used();
    OK(kf_pkey_generate(KF_KEY_P256, &key, &err), err);
    assert_true(CRYPTO_secure_used() > before);
    OK(kf_pkey_to_pem(key, &pem, &err), err);
    assert_true(CRYPTO_secure_allocated(pem.data));
    kf_secret_fini(&pem);
    EVP_PKEY_free(key);
    assert_int_equal(CRYPTO_secure_used(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets), /* first: the heap is still empty */
        cmocka_unit_test(private_keys_lie_in_the_secure_heap),
        cmocka_unit_test(key_types),
        cmocka_unit_test(p256_pem_is_openssl_s),
        cmocka_unit_test(public_keys_have_no_private_pem),
        cmocka_unit_test(refuses_other_pem),
        cmocka_unit_test(p256_public_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
