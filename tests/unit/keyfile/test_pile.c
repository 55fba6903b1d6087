/* Files with a private key and its certificates: what is read, and what each refusal says. */
#include "support.h"

#include <openssl/pkcs12.h>

#include "base/core/buf.h"
#include "keyfile/pile.h"

#define PASSWORD "correct horse battery"

static struct {
    struct test_ca ca;
    EVP_PKEY *key, *other;
    struct kf_secret pem, other_pem;
    char *leaf;
    struct kf_pile pile;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.err = CM_ERR_INIT;
    ca_init(&f.ca);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &f.key, NULL), 0);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &f.other, NULL), 0);
    assert_int_equal(kf_pkey_to_pem(f.key, &f.pem, NULL), 0);
    assert_int_equal(kf_pkey_to_pem(f.other, &f.other_pem, NULL), 0);
    f.leaf = ca_leaf(&f.ca, f.key, "DNS:a.example");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ca_fini(&f.ca);
    EVP_PKEY_free(f.key);
    EVP_PKEY_free(f.other);
    kf_secret_fini(&f.pem);
    kf_secret_fini(&f.other_pem);
    cm_free(f.leaf);
    return 0;
}

static int read_text(const char *text, const char *password)
{
    kf_pile_fini(&f.pile);
    return kf_pile_read(text, strlen(text), password, &f.pile, &f.err);
}

static void good(const char *text, const char *password, int certs)
{
    OK(read_text(text, password), f.err);
    assert_int_equal(EVP_PKEY_eq(f.pile.key, f.key), 1);
    assert_int_equal(f.pile.type, KF_KEY_P256);
    assert_int_equal(sk_X509_num(f.pile.certs), certs);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(f.pile.leaf), f.key), 1);
    kf_pile_fini(&f.pile);
}

static char *written(int (*write)(BIO *out))
{
    KF_AUTO(bio) BIO *out = BIO_new(BIO_s_mem());
    char *data;
    assert_int_equal(write(out), 1);
    long len = BIO_get_mem_data(out, &data);
    return cm_strndup(data, (size_t)len);
}

static int write_pkcs8(BIO *out)
{
    return PEM_write_bio_PKCS8PrivateKey(out, f.key, EVP_aes_256_cbc(), PASSWORD,
                                         (int)strlen(PASSWORD), NULL, NULL);
}

static int write_old(BIO *out)
{
    return PEM_write_bio_PrivateKey_traditional(out, f.key, EVP_aes_128_cbc(),
                                                (const unsigned char *)PASSWORD,
                                                (int)strlen(PASSWORD), NULL, NULL);
}

static int write_sec1(BIO *out)
{
    return PEM_write_bio_PrivateKey_traditional(out, f.key, NULL, NULL, 0, NULL, NULL);
}

static void pem_in_any_order(void **state)
{
    (void)state;
    CM_AUTO_STR first = cm_asprintf("%s%s%s", f.pem.data, f.leaf, f.ca.root);
    CM_AUTO_STR last = cm_asprintf("Bag attributes\n%s\n%stext\n%s", f.ca.root, f.leaf, f.pem.data);
    CM_AUTO_STR twice = cm_asprintf("%s%s%s", f.pem.data, f.leaf, f.pem.data);
    good(first, "", 2);
    good(last, "not needed", 2);
    good(twice, "", 1);
}

static void keys_of_all_forms(void **state)
{
    (void)state;
    static int (*const writers[])(BIO *) = {write_pkcs8, write_old};
    for (size_t i = 0; i < 2; i++) {
        CM_AUTO_STR key = written(writers[i]);
        CM_AUTO_STR text = cm_asprintf("%s%s", key, f.leaf);
        good(text, PASSWORD, 1);
        REFUSED(read_text(text, ""), CM_EINVAL, "encrypted: give its password", f.err);
        REFUSED(read_text(text, "wrong password"), CM_EINVAL, "password is wrong", f.err);
    }
    CM_AUTO_STR key = written(write_sec1);
    CM_AUTO_STR text = cm_asprintf("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC "
                                   "PARAMETERS-----\n%s%s",
                                   key, f.leaf);
    assert_non_null(strstr(key, "EC PRIVATE KEY"));
    good(text, "", 1);
}

/* Once in 256 times the old encryption does not notice it: the key is none then. */
static void no_wrong_password_is_a_damaged_key(void **state)
{
    (void)state;
    CM_AUTO_STR key = written(write_old);
    CM_AUTO_STR text = cm_asprintf("%s%s", key, f.leaf);
    for (int i = 0; i < 1000; i++) {
        CM_AUTO_STR password = cm_asprintf("wrong password %d", i);
        REFUSED(read_text(text, password), CM_EINVAL, "password is wrong", f.err);
    }
}

static void each_lack_has_a_name(void **state)
{
    (void)state;
    CM_AUTO_STR wrong = cm_asprintf("%s%s", f.other_pem.data, f.leaf);
    CM_AUTO_STR none_fits = cm_asprintf("%s%s%s", f.other_pem.data, f.leaf, f.ca.root);
    CM_AUTO_STR two = cm_asprintf("%s%s%s", f.pem.data, f.other_pem.data, f.leaf);
    CM_AUTO_STR cut = cm_asprintf("%s%.200s", f.pem.data, f.leaf);
    REFUSED(read_text("", ""), CM_EINVAL, "is empty", f.err);
    REFUSED(read_text("hello", ""), CM_EINVAL, "no private key in the file", f.err);
    REFUSED(read_text(f.leaf, ""), CM_EINVAL, "no private key in the file", f.err);
    REFUSED(read_text(f.pem.data, ""), CM_EINVAL, "no certificate in the file", f.err);
    REFUSED(read_text(wrong, ""), CM_EINVAL, "made for another key", f.err);
    REFUSED(read_text(none_fits, ""), CM_EINVAL, "none of its 2 certificates", f.err);
    REFUSED(read_text(two, ""), CM_EINVAL, "more than one private key", f.err);
    REFUSED(read_text(cut, ""), CM_EINVAL, "Block 2 in the file is damaged", f.err);
    REFUSED(read_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ""),
            CM_EINVAL, "private key in the file is damaged", f.err);
    REFUSED(read_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ""),
            CM_EINVAL, "Certificate 1 in the file is damaged", f.err);
    REFUSED(read_text("-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n", ""),
            CM_EINVAL, "only RSA and EC", f.err);
    REFUSED(read_text("0abc", ""), CM_EINVAL, "neither PEM text nor", f.err);
    assert_null(f.pile.key);
}

static void kinds_that_are_not_served(void **state)
{
    (void)state;
    static const struct {
        const char *type, *group;
        size_t bits;
        const char *said;
    } rows[] = {{"EC", "P-521", 0, "secp521r1"},
                {"RSA", NULL, 1024, "1024 bits"},
                {"ED25519", NULL, 0, "ED25519"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        KF_AUTO(pkey)
        EVP_PKEY *key = rows[i].group  ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", rows[i].group)
                        : rows[i].bits ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", rows[i].bits)
                                       : EVP_PKEY_Q_keygen(NULL, NULL, rows[i].type);
        KF_AUTO_SECRET pem = {0};
        OK(kf_pkey_to_pem(key, &pem, &f.err), f.err);
        CM_AUTO_STR text = cm_asprintf("%s%s", pem.data, f.leaf);
        REFUSED(read_text(text, ""), CM_EINVAL, rows[i].said, f.err);
    }
}

static void limits(void **state)
{
    (void)state;
    struct cm_buf text;
    cm_buf_init(&text, 1u << 20);
    cm_buf_puts(&text, f.pem.data);
    for (int i = 0; i < KF_PILE_CERTS; i++)
        cm_buf_puts(&text, f.leaf);
    good(cm_buf_str(&text), "", KF_PILE_CERTS);
    cm_buf_puts(&text, f.leaf);
    REFUSED(read_text(cm_buf_str(&text), ""), CM_EINVAL, "more than 32 certificates", f.err);
    cm_buf_fini(&text);
    cm_buf_init(&text, 1u << 20);
    for (int i = 0; i < KF_PILE_BLOCKS + 1; i++)
        cm_buf_puts(&text, "-----BEGIN X-----\nAAAA\n-----END X-----\n");
    REFUSED(read_text(cm_buf_str(&text), ""), CM_EINVAL, "more than 64 blocks", f.err);
    cm_buf_fini(&text);
}

/* ---- PKCS #12 ---------------------------------------------------------------------------------
 */

struct wish {
    const char *password;
    int key_nid, cert_nid, rounds, mac_rounds;
    bool no_key;
};

static uint8_t *p12(const struct wish *wish, size_t *ret_len)
{
    uint8_t *der = NULL;
    X509 *leaf = NULL;
    KF_AUTO(bio) BIO *in = BIO_new_mem_buf(f.leaf, -1);
    leaf = PEM_read_bio_X509(in, NULL, NULL, NULL);
    PKCS12 *file = PKCS12_create(wish->password, "x", wish->no_key ? NULL : f.key, leaf, NULL,
                                 wish->key_nid, wish->cert_nid, wish->rounds, wish->mac_rounds, 0);
    assert_non_null(file);
    int len = i2d_PKCS12(file, &der);
    assert_true(len > 0);
    *ret_len = (size_t)len;
    PKCS12_free(file);
    X509_free(leaf);
    return der;
}

static int read_p12(const struct wish *wish, const char *password)
{
    size_t len;
    uint8_t *der = p12(wish, &len);
    kf_pile_fini(&f.pile);
    int rc = kf_pile_read(der, len, password, &f.pile, &f.err);
    OPENSSL_free(der);
    return rc;
}

static void pkcs12(void **state)
{
    (void)state;
    static const struct wish rows[] = {
        {PASSWORD, 0, 0, 10, 10, false}, /* as OpenSSL 3 does */
        {"", 0, 0, 10, 10, false},       /* no password */
        {PASSWORD, NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
         10, 10, false},
        {PASSWORD, -1, -1, 10, 10, false}, /* only the integrity check has a password */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        OK(read_p12(&rows[i], rows[i].password), f.err);
        assert_int_equal(EVP_PKEY_eq(f.pile.key, f.key), 1);
        assert_non_null(f.pile.leaf);
        kf_pile_fini(&f.pile);
    }
    REFUSED(read_p12(&rows[0], "wrong"), CM_EINVAL, "password is wrong", f.err);
    REFUSED(read_p12(&rows[0], ""), CM_EINVAL, "give its password", f.err);
    static const struct wish no_mac = {PASSWORD, 0, 0, 10, -1, false};
    REFUSED(read_p12(&no_mac, PASSWORD), CM_EINVAL, "no integrity check", f.err);
    static const struct wish no_key = {PASSWORD, 0, 0, 10, 10, true};
    REFUSED(read_p12(&no_key, PASSWORD), CM_EINVAL, "no private key in the file", f.err);
}

/* A file says itself what it costs to open it. */
static void pkcs12_of_many_rounds(void **state)
{
    (void)state;
    static const struct wish wish = {PASSWORD, 0, 0, 10, 10, false};
    static const uint8_t ten[] = {0x02, 0x01, 0x0a};
    size_t len;
    uint8_t *der = p12(&wish, &len);
    /* The integrity check's rounds stand at the end: 10 becomes -1, in place. */
    assert_memory_equal(der + len - sizeof(ten), ten, sizeof(ten));
    der[len - 1] = 0xff;
    REFUSED(kf_pile_read(der, len, PASSWORD, &f.pile, &f.err), CM_EINVAL, "rounds", f.err);
    OPENSSL_free(der);
}

static void pkcs12_cut_or_longer(void **state)
{
    (void)state;
    static const struct wish wish = {PASSWORD, 0, 0, 10, 10, false};
    size_t len;
    uint8_t *der = p12(&wish, &len);
    for (size_t cut = 1; cut < len; cut += 61)
        assert_int_equal(kf_pile_read(der, cut, PASSWORD, &f.pile, NULL), CM_EINVAL);
    uint8_t *longer = cm_calloc(1, len + 1);
    memcpy(longer, der, len);
    assert_int_equal(kf_pile_read(longer, len + 1, PASSWORD, &f.pile, NULL), CM_EINVAL);
    cm_free(longer);
    OPENSSL_free(der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pem_in_any_order),
        cmocka_unit_test(keys_of_all_forms),
        cmocka_unit_test(no_wrong_password_is_a_damaged_key),
        cmocka_unit_test(each_lack_has_a_name),
        cmocka_unit_test(kinds_that_are_not_served),
        cmocka_unit_test(limits),
        cmocka_unit_test(pkcs12),
        cmocka_unit_test(pkcs12_of_many_rounds),
        cmocka_unit_test(pkcs12_cut_or_longer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
