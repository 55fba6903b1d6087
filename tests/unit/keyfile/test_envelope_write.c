/* The octets of an envelope: libcrypto's own CMS opens what is written, at every length of a head.
 */
#include "keyfile/envelope_write.h"

#include <openssl/cms.h>

#include "support.h"

static struct {
    char *dir;
    struct kf_identity one;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.dir = temp_dir();
    f.err = CM_ERR_INIT;
    make_identity(f.dir, "one", &f.one);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_identity_fini(&f.one);
    remove_dir(f.dir);
    return 0;
}

static void write_for(EVP_PKEY **keys, size_t count, const char *plain, size_t len, uint8_t **der,
                      size_t *der_len)
{
    struct kf_envelope envelope;
    OK(kf_envelope_write(plain, len, keys, count, der, der_len, &f.err), f.err);
    OK(kf_envelope_check(*der, *der_len, &envelope, &f.err), f.err);
    assert_int_equal(envelope.recipient_count, count);
    assert_int_equal(envelope.content_len, len);
}

static void opens_at_every_length_of_a_head(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 60, 127, 128, 255, 256, 1000, 65535, 65536};
    char *plain = cm_malloc(65536);
    for (size_t i = 0; i < 65536; i++)
        plain[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t *der;
        size_t len;
        write_for(&f.one.seal, 1, plain, lengths[i], &der, &len);
        const unsigned char *at = der;
        CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)len);
        assert_non_null(cms);
        assert_ptr_equal(at, der + len);
        /* libcrypto writes the very same octets again: it is DER. */
        unsigned char *again = NULL;
        assert_int_equal(i2d_CMS_ContentInfo(cms, &again), len);
        assert_memory_equal(again, der, len);
        BIO *out = BIO_new(BIO_s_mem());
        char *data;
        assert_int_equal(CMS_decrypt_set1_pkey(cms, f.one.seal, f.one.seal_cert), 1);
        assert_int_equal(CMS_decrypt(cms, NULL, NULL, NULL, out, CMS_BINARY), 1);
        assert_int_equal(BIO_get_mem_data(out, &data), lengths[i]);
        assert_memory_equal(data, plain, lengths[i]);
        OPENSSL_free(again);
        BIO_free(out);
        CMS_ContentInfo_free(cms);
        cm_free(der);
    }
    cm_free(plain);
}

/* Each entry has a fresh ephemeral key; kf_envelope_check() proves their order. */
static void many_recipients_in_order(void **state)
{
    (void)state;
    EVP_PKEY *keys[KF_RECIPIENTS_MAX];
    uint8_t *der;
    size_t len;
    for (size_t i = 0; i < KF_RECIPIENTS_MAX; i++)
        keys[i] = f.one.seal;
    write_for(keys, KF_RECIPIENTS_MAX, "x", 1, &der, &len);
    cm_free(der);
    for (size_t count = 1; count <= 8; count++) {
        write_for(keys, count, "x", 1, &der, &len);
        cm_free(der);
    }
}

static void refusals(void **state)
{
    (void)state;
    uint8_t *der = (uint8_t *)f.dir;
    size_t len;
    EVP_PKEY *keys[] = {f.one.seal, NULL};
    REFUSED(kf_envelope_write("x", 1, keys, 0, &der, &len, &f.err), CM_ELIMIT, "recipients", f.err);
    assert_null(der);
    REFUSED(kf_envelope_write("x", 1, keys, KF_RECIPIENTS_MAX + 1, &der, &len, &f.err), CM_ELIMIT,
            "recipients", f.err);
    REFUSED(kf_envelope_write("x", 0, keys, 1, &der, &len, &f.err), CM_ELIMIT, "bytes", f.err);
    REFUSED(kf_envelope_write("x", KF_ENVELOPE_MAX + 1, keys, 1, &der, &len, &f.err), CM_ELIMIT,
            "bytes", f.err);
    REFUSED(kf_envelope_write("x", 1, keys, 2, &der, &len, &f.err), CM_ECRYPTO, "seal", f.err);
    OK(kf_pkey_generate(KF_KEY_P384, &keys[1], &f.err), f.err);
    REFUSED(kf_envelope_write("x", 1, keys, 2, &der, &len, &f.err), CM_ECRYPTO, "seal", f.err);
    assert_null(der);
    EVP_PKEY_free(keys[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_at_every_length_of_a_head),
        cmocka_unit_test(many_recipients_in_order),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
