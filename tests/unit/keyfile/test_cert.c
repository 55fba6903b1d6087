/* Certificates and chains. */
#include "support.h"

static struct {
    struct test_ca ca;
    EVP_PKEY *key;
    char spki[KF_SPKI_HEX];
    char *leaf;
    json_t *names;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.err = CM_ERR_INIT;
    ca_init(&f.ca);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &f.key, NULL), 0);
    assert_int_equal(kf_spki_hex(f.key, f.spki, NULL), 0);
    f.leaf = ca_leaf(&f.ca, f.key, "DNS:www.example.com,DNS:*.Example.com");
    f.names = json_pack("[s,s]", "*.example.com", "www.example.com");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ca_fini(&f.ca);
    EVP_PKEY_free(f.key);
    cm_free(f.leaf);
    json_decref(f.names);
    return 0;
}

static int check_under(const char *pem, struct kf_roots *roots, struct kf_chain *chain)
{
    return kf_chain_check(pem, strlen(pem), f.names, f.spki, roots, cm_now_ms(), chain, &f.err);
}

static int check(const char *pem, const char *root, struct kf_chain *chain)
{
    struct kf_roots *roots = kf_roots_new(root);
    int rc = check_under(pem, roots, chain);
    kf_roots_free(roots);
    return rc;
}

static void describes_a_leaf(void **state)
{
    (void)state;
    struct kf_cert_info info;
    OK(kf_cert_info(f.leaf, &info, &f.err), f.err);
    assert_string_equal(info.public_key_sha256, f.spki);
    assert_string_equal(info.issuer, "Test Middle");
    assert_int_equal(strlen(info.fingerprint), 64);
    assert_int_equal(json_array_size(info.san), 2);
    assert_true(cm_json_has_str(info.san, "*.example.com"));
    assert_in_range(info.not_after_ms - cm_now_ms(), 3500 * 1000, 3600 * 1000);
    assert_in_range(cm_now_ms() - info.not_before_ms, 59 * 1000, 120 * 1000);
    kf_cert_info_fini(&info);
}

static void splits_and_finds_the_root(void **state)
{
    (void)state;
    struct kf_chain chain;
    /* A blank line between the blocks and CRLF line ends are what CAs send. */
    CM_AUTO_STR pem = cm_asprintf("%s\r\n%s", f.leaf, f.ca.middle);
    OK(check(pem, f.ca.root, &chain), f.err);
    assert_string_equal(chain.leaf, f.leaf);
    assert_string_equal(chain.intermediates, f.ca.middle);
    assert_string_equal(chain.root, f.ca.root);
    assert_string_equal(chain.info.public_key_sha256, f.spki);
    kf_chain_fini(&chain);

    OK(check(pem, NULL, &chain), f.err); /* our test root is in no system store */
    assert_null(chain.root);
    kf_chain_fini(&chain);

    CM_AUTO_STR with_root = cm_asprintf("%s%s%s", f.leaf, f.ca.middle, f.ca.root);
    OK(check(with_root, f.ca.root, &chain), f.err);
    assert_string_equal(chain.intermediates, f.ca.middle); /* the root is not sent */
    assert_string_equal(chain.root, f.ca.root);
    kf_chain_fini(&chain);
    OK(check(with_root, NULL, &chain), f.err); /* sent by the CA, trusted by nobody */
    assert_string_equal(chain.intermediates, f.ca.middle);
    assert_null(chain.root);
    kf_chain_fini(&chain);

    OK(check(f.leaf, NULL, &chain), f.err);
    assert_string_equal(chain.intermediates, "");
    kf_chain_fini(&chain);
}

static void names_the_root_that_it_leads_to(void **state)
{
    (void)state;
    char name[256];
    CM_AUTO_STR chain = cm_asprintf("%s%s", f.leaf, f.ca.middle);
    OK(kf_chain_top(chain, strlen(chain), name, &f.err), f.err);
    assert_string_equal(name, "Test Root");
    CM_AUTO_STR whole = cm_asprintf("%s%s", chain, f.ca.root);
    OK(kf_chain_top(whole, strlen(whole), name, &f.err), f.err);
    assert_string_equal(name, "Test Root");
    OK(kf_chain_top(f.leaf, strlen(f.leaf), name, &f.err), f.err);
    assert_string_equal(name, "Test Middle");
    REFUSED(kf_chain_top("", 0, name, &f.err), CM_EMALF, "no certificate", f.err);
}

static void finds_the_fingerprint_of_the_root(void **state)
{
    (void)state;
    char found[65];
    struct kf_cert_info root;
    OK(kf_cert_info(f.ca.root, &root, &f.err), f.err);
    CM_AUTO_STR chain = cm_asprintf("%s%s", f.leaf, f.ca.middle);
    CM_AUTO_STR whole = cm_asprintf("%s%s", chain, f.ca.root);
    struct kf_roots *roots = kf_roots_new(f.ca.root);
    OK(kf_chain_root(chain, strlen(chain), roots, found, &f.err), f.err);
    assert_string_equal(found, root.fingerprint);
    kf_roots_free(roots);
    OK(kf_chain_root(whole, strlen(whole), NULL, found, &f.err), f.err);
    assert_string_equal(found, root.fingerprint);
    REFUSED(kf_chain_root(chain, strlen(chain), NULL, found, &f.err), CM_ENOENT, "not found",
            f.err);
    kf_cert_info_fini(&root);
}

/* The second certificate of a CA is checked against what was found good with the first. */
static void knows_the_end_of_a_chain(void **state)
{
    (void)state;
    struct kf_chain chain;
    struct kf_roots *roots = kf_roots_new(f.ca.root);
    CM_AUTO_STR pem = cm_asprintf("%s%s", f.leaf, f.ca.middle);
    for (int i = 0; i < 2; i++) {
        OK(check_under(pem, roots, &chain), f.err);
        assert_string_equal(chain.leaf, f.leaf);
        assert_string_equal(chain.intermediates, f.ca.middle);
        assert_string_equal(chain.root, f.ca.root);
        kf_chain_fini(&chain);
    }
    OK(check_under(f.leaf, roots, &chain), f.err); /* no end: none is added */
    assert_string_equal(chain.intermediates, "");
    kf_chain_fini(&chain);
    CM_AUTO_STR longer = cm_asprintf("%s%s%s", f.leaf, f.ca.middle, f.ca.root);
    OK(check_under(longer, roots, &chain), f.err);
    assert_string_equal(chain.intermediates, f.ca.middle);
    kf_chain_fini(&chain);

    /* A leaf of another CA under the same end; text between the two. */
    struct test_ca other;
    ca_init(&other);
    CM_AUTO_STR foreign = ca_leaf(&other, f.key, "DNS:www.example.com,DNS:*.Example.com");
    CM_AUTO_STR mixed = cm_asprintf("%s%s", foreign, f.ca.middle);
    REFUSED(check_under(mixed, roots, &chain), CM_EMALF, "not signed by the next", f.err);
    CM_AUTO_STR text = cm_asprintf("%sx\n%s", f.leaf, f.ca.middle);
    REFUSED(check_under(text, roots, &chain), CM_EMALF, "something else", f.err);
    ca_fini(&other);
    kf_roots_free(roots);
}

static void forgets_the_oldest_end(void **state)
{
    (void)state;
    struct kf_roots *roots = kf_roots_new(f.ca.root);
    for (int i = 0; i < 40; i++) { /* each with another text, all good */
        struct kf_chain chain;
        CM_AUTO_STR blanks = cm_calloc(1, (size_t)i + 1);
        memset(blanks, '\n', (size_t)i);
        CM_AUTO_STR pem = cm_asprintf("%s%s%s", f.leaf, blanks, f.ca.middle);
        OK(check_under(pem, roots, &chain), f.err);
        assert_string_equal(chain.root, f.ca.root);
        kf_chain_fini(&chain);
    }
    kf_roots_free(roots);
}

static void refuses_other_text(void **state)
{
    (void)state;
    struct kf_chain chain;
    struct kf_secret key;
    CM_AUTO_STR text = cm_asprintf("subject=x\n%s", f.leaf);
    REFUSED(check(text, NULL, &chain), CM_EMALF, "something else", f.err);
    OK(kf_pkey_to_pem(f.key, &key, &f.err), f.err);
    CM_AUTO_STR with_key = cm_asprintf("%s%s", f.leaf, key.data);
    kf_secret_fini(&key);
    REFUSED(check(with_key, NULL, &chain), CM_EMALF, "something else", f.err);
    REFUSED(check("", NULL, &chain), CM_EMALF, "no certificate", f.err);
    CM_AUTO_STR cut = cm_strndup(f.leaf, strlen(f.leaf) - 10);
    REFUSED(check(cut, NULL, &chain), CM_EMALF, "CERTIFICATE block", f.err);
    REFUSED(check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", NULL, &chain),
            CM_EMALF, "CERTIFICATE block", f.err);
    CM_AUTO_STR big = cm_malloc(KF_PEM_MAX + 2);
    memset(big, '\n', KF_PEM_MAX + 1);
    big[KF_PEM_MAX + 1] = '\0';
    REFUSED(check(big, NULL, &chain), CM_ELIMIT, "longer", f.err);
    struct cm_buf many;
    cm_buf_init(&many, KF_PEM_MAX);
    for (int i = 0; i <= KF_CHAIN_MAX; i++)
        cm_buf_puts(&many, f.leaf);
    REFUSED(check(cm_buf_str(&many), NULL, &chain), CM_ELIMIT, "more than 32", f.err);
    cm_buf_fini(&many);
}

static void refuses_wrong_order_and_foreign_links(void **state)
{
    (void)state;
    struct kf_chain chain;
    struct test_ca other;
    ca_init(&other);
    CM_AUTO_STR reversed = cm_asprintf("%s%s", f.ca.middle, f.leaf);
    REFUSED(check(reversed, NULL, &chain), CM_EMALF, "another key", f.err);
    /* Same names, other keys. */
    CM_AUTO_STR foreign = cm_asprintf("%s%s", f.leaf, other.middle);
    REFUSED(check(foreign, NULL, &chain), CM_EMALF, "not signed by the next", f.err);
    CM_AUTO_STR twice = cm_asprintf("%s%s", f.leaf, f.leaf);
    REFUSED(check(twice, NULL, &chain), CM_EMALF, "no CA certificate", f.err);
    CM_AUTO_STR pem = cm_asprintf("%s%s", f.leaf, f.ca.middle);
    OK(check(pem, other.root, &chain), f.err); /* same name, but it did not sign */
    assert_null(chain.root);
    kf_chain_fini(&chain);
    ca_fini(&other);
}

/* Listed as a root, with the issuer's name and key, but no CA: it vouches for nothing. */
static void a_root_is_a_ca(void **state)
{
    (void)state;
    struct kf_chain chain;
    X509 *plain = make_cert("Test Root", f.ca.root_key, "Test Root", f.ca.root_key,
                            "DNS:root.example.com", -60, 86400);
    CM_AUTO_STR root = cert_pem(plain);
    CM_AUTO_STR pem = cm_asprintf("%s%s", f.leaf, f.ca.middle);
    OK(check(pem, root, &chain), f.err);
    assert_null(chain.root);
    kf_chain_fini(&chain);
    X509_free(plain);
}

static void refuses_wrong_leaves(void **state)
{
    (void)state;
    struct kf_chain chain;
    EVP_PKEY *other;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &other, NULL), 0);
    CM_AUTO_STR foreign = ca_leaf(&f.ca, other, "DNS:www.example.com,DNS:*.example.com");
    REFUSED(check(foreign, NULL, &chain), CM_EMALF, "another key", f.err);
    EVP_PKEY_free(other);
    CM_AUTO_STR fewer = ca_leaf(&f.ca, f.key, "DNS:www.example.com");
    REFUSED(check(fewer, NULL, &chain), CM_EMALF, "does not name *.example.com", f.err);
    CM_AUTO_STR more =
        ca_leaf(&f.ca, f.key, "DNS:www.example.com,DNS:*.example.com,DNS:evil.example");
    REFUSED(check(more, NULL, &chain), CM_EMALF, "evil.example", f.err);
    CM_AUTO_STR ip = ca_leaf(&f.ca, f.key, "DNS:www.example.com,DNS:*.example.com,IP:10.0.0.1");
    REFUSED(check(ip, NULL, &chain), CM_EMALF, "names 10.0.0.1, which nobody", f.err);
    CM_AUTO_STR mail =
        ca_leaf(&f.ca, f.key, "DNS:www.example.com,DNS:*.example.com,email:a@example.com");
    REFUSED(check(mail, NULL, &chain), CM_EMALF, "no DNS name", f.err);

    const char *sans = "DNS:www.example.com,DNS:*.example.com";
    X509 *old = make_cert("x", f.key, "Test Middle", f.ca.middle_key, sans, -7200, -60);
    CM_AUTO_STR old_pem = cert_pem(old);
    REFUSED(check(old_pem, NULL, &chain), CM_EMALF, "expired", f.err);
    X509 *early =
        make_cert("x", f.key, "Test Middle", f.ca.middle_key, sans, 32 * 86400, 40 * 86400);
    CM_AUTO_STR early_pem = cert_pem(early);
    REFUSED(check(early_pem, NULL, &chain), CM_EMALF, "not valid before", f.err);
    X509 *soon =
        make_cert("x", f.key, "Test Middle", f.ca.middle_key, sans, 30 * 86400, 40 * 86400);
    CM_AUTO_STR soon_pem = cert_pem(soon);
    OK(check(soon_pem, NULL, &chain), f.err); /* served from then on */
    kf_chain_fini(&chain);
    X509_free(soon);
    X509_free(old);
    X509_free(early);
}

/* RFC 8738: addresses are names like others, in canonical text. */
static void names_addresses(void **state)
{
    (void)state;
    struct kf_chain chain;
    json_decref(f.names);
    f.names = json_pack("[s,s,s]", "www.example.com", "192.0.2.1", "2001:db8::1");
    CM_AUTO_STR leaf =
        ca_leaf(&f.ca, f.key, "IP:2001:0db8:0::0001,DNS:www.example.com,IP:192.0.2.1");
    CM_AUTO_STR pem = cm_asprintf("%s%s", leaf, f.ca.middle);
    OK(check(pem, NULL, &chain), f.err);
    assert_true(cm_json_has_str(chain.info.san, "2001:db8::1"));
    kf_chain_fini(&chain);
    CM_AUTO_STR other = ca_leaf(&f.ca, f.key, "IP:2001:db8::2,DNS:www.example.com,IP:192.0.2.1");
    REFUSED(check(other, NULL, &chain), CM_EMALF, "does not name 2001:db8::1", f.err);
    CM_AUTO_STR as_text = ca_leaf(&f.ca, f.key, "DNS:www.example.com,DNS:192.0.2.2,IP:192.0.2.1");
    REFUSED(check(as_text, NULL, &chain), CM_EMALF, "does not name 2001:db8::1", f.err);
}

/* A name with a NUL inside once fooled clients into reading another name. */
static void refuses_nul_in_names(void **state)
{
    (void)state;
    struct kf_cert_info info;
    X509 *cert = make_cert("x", f.key, "Test Middle", f.ca.middle_key, "DNS:a.example", -60, 60);
    X509_EXTENSION_free(X509_delete_ext(cert, 0));
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, "a.example\0.evil", 15);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(names, name);
    X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE);
    GENERAL_NAMES_free(names);
    X509_sign(cert, f.ca.middle_key, EVP_sha256());
    CM_AUTO_STR pem = cert_pem(cert);
    REFUSED(kf_cert_info(pem, &info, &f.err), CM_EMALF, "malformed DNS name", f.err);
    X509_free(cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_a_leaf),
        cmocka_unit_test(splits_and_finds_the_root),
        cmocka_unit_test(names_the_root_that_it_leads_to),
        cmocka_unit_test(finds_the_fingerprint_of_the_root),
        cmocka_unit_test(knows_the_end_of_a_chain),
        cmocka_unit_test(forgets_the_oldest_end),
        cmocka_unit_test(refuses_other_text),
        cmocka_unit_test(refuses_wrong_order_and_foreign_links),
        cmocka_unit_test(a_root_is_a_ca),
        cmocka_unit_test(refuses_wrong_leaves),
        cmocka_unit_test(refuses_nul_in_names),
        cmocka_unit_test(names_addresses),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
