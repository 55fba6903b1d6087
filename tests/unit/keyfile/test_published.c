/* Where a revocation is published: OCSP, list, both, neither. */
#include "tests/unit/keyfile/support.h"

#include "keyfile/published.h"

static unsigned told_with(const struct test_ca *ca, const char *ocsp, const char *crl)
{
    EVP_PKEY *key = NULL;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &key, NULL), 0);
    X509 *leaf = make_cert("leaf", key, "Test Middle", ca->middle_key, "DNS:a.example", -60, 3600);
    const struct {
        int nid;
        const char *value;
    } more[] = {{NID_info_access, ocsp}, {NID_crl_distribution_points, crl}};
    for (size_t i = 0; i < 2; i++) {
        if (!more[i].value)
            continue;
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, more[i].nid, more[i].value);
        assert_non_null(ext);
        X509_add_ext(leaf, ext, -1);
        X509_EXTENSION_free(ext);
    }
    assert_true(X509_sign(leaf, ca->middle_key, EVP_sha256()) > 0);
    CM_AUTO_STR pem = cert_pem(leaf);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return kf_told(pem, strlen(pem));
}

static void as_the_leaf_says(void **state)
{
    struct test_ca ca;
    const char *ocsp = "OCSP;URI:http://ocsp.example/", *crl = "URI:http://crl.example/1.crl";
    (void)state;
    ca_init(&ca);
    assert_int_equal(told_with(&ca, NULL, NULL), 0);
    assert_int_equal(told_with(&ca, ocsp, NULL), KF_TOLD_OCSP);
    assert_int_equal(told_with(&ca, NULL, crl), KF_TOLD_CRL);
    assert_int_equal(told_with(&ca, ocsp, crl), KF_TOLD_OCSP | KF_TOLD_CRL);
    assert_int_equal(told_with(&ca, "caIssuers;URI:http://ca.example/", NULL), 0);
    assert_int_equal(kf_told("no certificate", 14), 0);
    ca_fini(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_leaf_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
