/* The short way never says yes where libcrypto says no. */
#include <openssl/err.h>

#include "support.h"

#include "keyfile/leaf.h"
#include "keyfile/roots_impl.h"

struct fixture {
    struct test_ca ca;
    EVP_PKEY *key;
    X509 *issuer;
    char *leaf;
};

static X509 *parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return cert;
}

static int setup(void **state)
{
    static struct fixture f;
    ca_init(&f.ca);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &f.key, NULL), 0);
    f.leaf = ca_leaf(&f.ca, f.key, "DNS:www.example.com");
    f.issuer = parse(f.ca.middle);
    assert_non_null(f.issuer);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ca_fini(&f->ca);
    EVP_PKEY_free(f->key);
    X509_free(f->issuer);
    cm_free(f->leaf);
    return 0;
}

static void reads_and_verifies(void **state)
{
    struct fixture *f = *state;
    X509 *leaf = kf_leaf_read(f->leaf, strlen(f->leaf));
    X509 *same = parse(f->leaf), *root = parse(f->ca.root);
    assert_non_null(leaf);
    assert_true(kf_leaf_signed_by(leaf, f->issuer));
    assert_false(kf_leaf_signed_by(leaf, root));
    assert_false(kf_leaf_signed_by(leaf, same));
    unsigned char *one = NULL, *two = NULL;
    int len = i2d_X509(leaf, &one);
    assert_int_equal(i2d_X509(same, &two), len);
    assert_memory_equal(one, two, (size_t)len);
    OPENSSL_free(one);
    OPENSSL_free(two);
    X509_free(leaf);
    X509_free(same);
    X509_free(root);
    assert_null(kf_leaf_read("", 0));
    CM_AUTO_STR twice = cm_asprintf("%s%s", f->leaf, f->leaf);
    assert_null(kf_leaf_read(twice, strlen(twice)));
    assert_int_equal(ERR_peek_error(), 0);
}

static char *pem_of(const unsigned char *der, int len)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio(bio, "CERTIFICATE", "", der, len) > 0);
    long size = BIO_get_mem_data(bio, &text);
    char *copy = cm_strndup(text, (size_t)size);
    BIO_free(bio);
    return copy;
}

/* Every byte of the certificate changed in two ways. */
static void agrees_on_damaged_ones(void **state)
{
    struct fixture *f = *state;
    X509 *good = parse(f->leaf);
    unsigned char *der = NULL;
    int len = i2d_X509(good, &der);
    int read = 0;
    assert_true(len > 200);
    for (int i = 0; i < 2 * len; i++) {
        unsigned char flip = i < len ? 0x01 : 0x80;
        der[i % len] ^= flip;
        CM_AUTO_STR pem = pem_of(der, len);
        X509 *leaf = kf_leaf_read(pem, strlen(pem)), *cert = parse(pem);
        assert_true(!leaf || cert);
        read += leaf != NULL;
        if (leaf && kf_leaf_signed_by(leaf, f->issuer))
            assert_true(kf_x509_signed_by(cert, f->issuer));
        X509_free(leaf);
        X509_free(cert);
        ERR_clear_error();
        der[i % len] ^= flip;
    }
    assert_true(read > len); /* most of them are still certificates */
    OPENSSL_free(der);
    X509_free(good);
}

/* Issuers that may not sign, or are named otherwise by the leaf's key identifier. */
static void wants_the_issuer_named_and_allowed(void **state)
{
    struct fixture *f = *state;
    X509 *leaf = kf_leaf_read(f->leaf, strlen(f->leaf));
    X509 *namesake = make_cert("Test Middle", f->key, "Test Root", f->ca.root_key, NULL, -60, 600);
    X509 *twin =
        make_cert("Test Other", f->ca.middle_key, "Test Root", f->ca.root_key, NULL, -60, 600);
    assert_false(kf_leaf_signed_by(leaf, namesake)); /* another key under the right name */
    assert_false(kf_leaf_signed_by(leaf, twin));     /* the right key under another name */
    X509_free(namesake);
    X509_free(twin);

    X509 *idle =
        make_cert("Test Middle", f->ca.middle_key, "Test Root", f->ca.root_key, NULL, -60, 600);
    X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, "digitalSignature");
    while (X509_get_ext_by_NID(idle, NID_key_usage, -1) >= 0)
        X509_EXTENSION_free(X509_delete_ext(idle, X509_get_ext_by_NID(idle, NID_key_usage, -1)));
    assert_int_equal(X509_add_ext(idle, usage, -1), 1);
    assert_true(X509_sign(idle, f->ca.root_key, EVP_sha256()) > 0);
    assert_false(kf_leaf_signed_by(leaf, idle)); /* not for certificates */
    X509_EXTENSION_free(usage);
    X509_free(idle);
    X509_free(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_and_verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(agrees_on_damaged_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(wants_the_issuer_named_and_allowed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
