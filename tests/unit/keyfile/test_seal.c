/* Sealing and opening, and the stock tool as the judge of the format. */
#include "support.h"

static struct {
    char *dir;
    struct kf_identity one, two, other;
    char *one_key, *one_crt, *other_key;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    make_identity(f.dir, "one", &f.one);
    make_identity(f.dir, "two", &f.two);
    make_identity(f.dir, "other", &f.other);
    f.one_key = cm_asprintf("%s/one/seal.key", f.dir);
    f.one_crt = cm_asprintf("%s/one/seal.crt", f.dir);
    f.other_key = cm_asprintf("%s/other/seal.key", f.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_identity_fini(&f.one);
    kf_identity_fini(&f.two);
    kf_identity_fini(&f.other);
    cm_free(f.one_key);
    cm_free(f.one_crt);
    cm_free(f.other_key);
    remove_dir(f.dir);
    return 0;
}

/* Seals for one and two through public keys only, as the manager does. */
static void seal_for_two(const char *text, uint8_t **der, size_t *len)
{
    const struct kf_identity *ids[] = {&f.one, &f.two};
    X509 *recipients[2];
    for (size_t i = 0; i < 2; i++) {
        uint8_t spki[KF_P256_SPKI_SIZE];
        OK(kf_p256_spki_b64(ids[i]->seal_b64, spki, &f.err), f.err);
        OK(kf_recipient(spki, sizeof(spki), &recipients[i], &f.err), f.err);
    }
    OK(kf_seal(text, strlen(text), recipients, 2, der, len, &f.err), f.err);
    X509_free(recipients[0]);
    X509_free(recipients[1]);
}

static void recipients_open(void **state)
{
    (void)state;
    uint8_t *der;
    size_t len;
    struct kf_secret plain;
    seal_for_two("the key", &der, &len);
    OK(kf_open(der, len, f.one.seal, f.one.seal_cert, &plain, &f.err), f.err);
    assert_string_equal(plain.data, "the key");
    assert_int_equal(plain.len, 7);
    kf_secret_fini(&plain);
    OK(kf_open(der, len, f.two.seal, f.two.seal_cert, &plain, &f.err), f.err);
    assert_string_equal(plain.data, "the key");
    kf_secret_fini(&plain);
    REFUSED(kf_open(der, len, f.other.seal, f.other.seal_cert, &plain, &f.err), CM_EDENIED,
            "not a recipient", f.err);
    assert_null(plain.data);
    /* Somebody who claims a listed identifier has still not its key. */
    REFUSED(kf_open(der, len, f.other.seal, f.one.seal_cert, &plain, &f.err), CM_ECRYPTO,
            "cannot open", f.err);
    cm_free(der);
}

static void fresh_keys_at_every_seal(void **state)
{
    (void)state;
    uint8_t *a, *b;
    size_t a_len, b_len;
    seal_for_two("same", &a, &a_len);
    seal_for_two("same", &b, &b_len);
    assert_int_equal(a_len, b_len);
    assert_memory_not_equal(a, b, a_len);
    /* The last octets are ciphertext and tag. */
    assert_memory_not_equal(a + a_len - 16, b + b_len - 16, 16);
    cm_free(a);
    cm_free(b);
}

/* Every octet counts: whatever is flipped, nothing opens, and nothing is released. */
static void notices_every_flipped_octet(void **state)
{
    (void)state;
    uint8_t *der;
    size_t len, opened = 0;
    struct kf_secret plain;
    seal_for_two("the key", &der, &len);
    for (size_t i = 0; i < len; i++) {
        der[i] ^= 0x01;
        if (kf_open(der, len, f.one.seal, f.one.seal_cert, &plain, NULL) == 0) {
            opened++;
            assert_string_equal(plain.data, "the key");
            kf_secret_fini(&plain);
        }
        assert_null(plain.data);
        der[i] ^= 0x01;
    }
    /* What may change unnoticed: the other recipient's entry, without its heads (point, key id,
     * wrapped key: the recipient list is authenticated by the document signature, not here). */
    assert_in_range(opened, 1, 64 + KF_SKI_SIZE + 40);
    cm_free(der);
}

static void limits(void **state)
{
    (void)state;
    uint8_t *der;
    size_t len;
    X509 *many[KF_RECIPIENTS_MAX + 1];
    for (size_t i = 0; i <= KF_RECIPIENTS_MAX; i++)
        many[i] = f.one.seal_cert;
    REFUSED(kf_seal("x", 1, many, 0, &der, &len, &f.err), CM_ELIMIT, "1 to 200", f.err);
    REFUSED(kf_seal("x", 1, many, KF_RECIPIENTS_MAX + 1, &der, &len, &f.err), CM_ELIMIT, "1 to 200",
            f.err);
    OK(kf_seal("x", 1, many, KF_RECIPIENTS_MAX, &der, &len, &f.err), f.err);
    cm_free(der);
    char *big = cm_calloc(1, KF_SECRET_MAX + 1);
    REFUSED(kf_seal(big, KF_SECRET_MAX + 1, many, 1, &der, &len, &f.err), CM_ELIMIT, "at most",
            f.err);
    cm_free(big);
    uint8_t no_point[KF_P256_SPKI_SIZE];
    OK(kf_p256_spki_b64(f.one.seal_b64, no_point, &f.err), f.err);
    no_point[KF_P256_SPKI_SIZE - 1] ^= 1;
    X509 *recipient;
    REFUSED(kf_recipient(no_point, sizeof(no_point), &recipient, &f.err), CM_EMALF, "point", f.err);
}

/* `openssl cms -decrypt` opens it with a listed server's files and with no other key. */
static void the_stock_tool_opens_it(void **state)
{
    (void)state;
    uint8_t *der;
    size_t len;
    EVP_PKEY *key;
    struct kf_secret pem;
    CM_AUTO_STR envelope = cm_asprintf("%s/envelope.der", f.dir);
    CM_AUTO_STR opened = cm_asprintf("%s/opened", f.dir);
    CM_AUTO_STR key_text = cm_asprintf("%s/key-text", f.dir);
    OK(kf_pkey_generate(KF_KEY_P256, &key, &f.err), f.err);
    OK(kf_pkey_to_pem(key, &pem, &f.err), f.err);
    CM_AUTO_STR text = cm_asprintf("document: credential:X\n\n%s", pem.data);
    seal_for_two(text, &der, &len);
    OK(cm_file_write(envelope, der, len, 0600, &f.err), f.err);
    cm_free(der);
    assert_int_equal(TOOL(opened, "openssl", "cms", "-decrypt", "-inform", "DER", "-in", envelope,
                          "-inkey", f.one_key, "-recip", f.one_crt),
                     0);
    char *got;
    size_t got_len;
    OK(cm_file_read(opened, 65536, &got, &got_len, &f.err), f.err);
    assert_string_equal(got, text);
    cm_free(got);
    /* The header lines do not keep openssl from reading the key. */
    assert_int_equal(TOOL(key_text, "openssl", "pkey", "-in", opened), 0);
    OK(cm_file_read(key_text, 65536, &got, &got_len, &f.err), f.err);
    assert_string_equal(got, pem.data);
    cm_free(got);
    assert_int_not_equal(TOOL(opened, "openssl", "cms", "-decrypt", "-inform", "DER", "-in",
                              envelope, "-inkey", f.other_key),
                         0);
    OK(cm_file_read(opened, 65536, &got, &got_len, &f.err), f.err);
    assert_null(strstr(got, "PRIVATE KEY"));
    cm_free(got);
    kf_secret_fini(&pem);
    EVP_PKEY_free(key);
}

/* The tool's envelopes are taken when they keep the profile, and refused when they do not. */
static void judges_the_stock_tools_envelopes(void **state)
{
    (void)state;
    static const struct {
        const char *cipher, *id, *kdf; /* NULL = the tool's default */
        const char *text;              /* NULL = opens */
    } rows[] = {
        {"-aes-256-gcm", "-keyid", "ecdh_kdf_md:sha256", NULL},
        {"-aes-256-gcm", "-keyid", "ecdh_kdf_md:sha1", "key derivation"},
        {"-aes-256-gcm", "-keyid", "ecdh_kdf_md:sha512", "key derivation"},
        {"-aes-256-gcm", "-noattr", "ecdh_kdf_md:sha256", "key identifier"},
        {"-aes-128-gcm", "-keyid", "ecdh_kdf_md:sha256", "key wrap"},
        {"-aes-256-cbc", "-keyid", "ecdh_kdf_md:sha256", "not AuthEnvelopedData"},
    };
    CM_AUTO_STR plain = cm_asprintf("%s/plain", f.dir);
    CM_AUTO_STR made = cm_asprintf("%s/made.der", f.dir);
    OK(cm_file_write(plain, "hello", 5, 0600, &f.err), f.err);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(TOOL(NULL, "openssl", "cms", "-encrypt", "-binary", "-in", plain,
                              "-outform", "DER", "-out", made, rows[i].cipher, rows[i].id, "-recip",
                              f.one_crt, "-keyopt", rows[i].kdf),
                         0);
        char *der;
        size_t len;
        struct kf_secret text;
        OK(cm_file_read(made, 65536, &der, &len, &f.err), f.err);
        if (rows[i].text) {
            REFUSED(kf_open((uint8_t *)der, len, f.one.seal, f.one.seal_cert, &text, &f.err),
                    CM_EMALF, rows[i].text, f.err);
        } else {
            OK(kf_open((uint8_t *)der, len, f.one.seal, f.one.seal_cert, &text, &f.err), f.err);
            assert_string_equal(text.data, "hello");
            kf_secret_fini(&text);
        }
        cm_free(der);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipients_open),
        cmocka_unit_test(fresh_keys_at_every_seal),
        cmocka_unit_test(notices_every_flipped_octet),
        cmocka_unit_test(limits),
        cmocka_unit_test(the_stock_tool_opens_it),
        cmocka_unit_test(judges_the_stock_tools_envelopes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
