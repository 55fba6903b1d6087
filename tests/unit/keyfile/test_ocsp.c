/* What OCSP responders are asked, and which of their answers count. */
#include "tests/unit/keyfile/ocsp_support.h"

#include "keyfile/ocsp.h"

#define URL "http://ocsp.example/path"

struct world {
    struct test_ca ca;
    EVP_PKEY *key;
    X509 *leaf, *issuer;
    char *chain;
    struct cm_err err;
};

static X509 *leaf_with(struct world *w, const char *access)
{
    X509 *leaf =
        make_cert("leaf", w->key, "Test Middle", w->ca.middle_key, "DNS:a.example", -60, 3600);
    if (access) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_info_access, access);
        assert_non_null(ext);
        X509_add_ext(leaf, ext, -1);
        X509_EXTENSION_free(ext);
        assert_true(X509_sign(leaf, w->ca.middle_key, EVP_sha256()) > 0);
    }
    return leaf;
}

static char *chain_of(struct world *w, X509 *leaf)
{
    CM_AUTO_STR pem = cert_pem(leaf);
    return cm_asprintf("%s%s", pem, w->ca.middle);
}

static int setup(void **state)
{
    struct world *w = cm_calloc(1, sizeof(*w));
    ca_init(&w->ca);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &w->key, NULL), 0);
    w->leaf = leaf_with(w, "OCSP;URI:ftp://old.example,OCSP;URI:" URL);
    w->issuer = ocsp_cert(w->ca.middle);
    w->chain = chain_of(w, w->leaf);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    X509_free(w->leaf);
    X509_free(w->issuer);
    EVP_PKEY_free(w->key);
    ca_fini(&w->ca);
    cm_free(w->chain);
    cm_err_fini(&w->err);
    cm_free(w);
    return 0;
}

/* ---- a responder -------------------------------------------------------------------------------
 */

static unsigned char *answer(struct world *w, const struct ocsp_say *say, size_t *size)
{
    return ocsp_answer(w->leaf, w->issuer, w->ca.middle_key, say, size);
}

static int read_answer(struct world *w, const struct ocsp_say *say, enum kf_ocsp *ret)
{
    size_t size;
    unsigned char *der = answer(w, say, &size);
    int rc = kf_ocsp_read(w->chain, strlen(w->chain), der, size, cm_now_ms(), ret, &w->err);
    OPENSSL_free(der);
    return rc;
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void test_url(void **state)
{
    struct world *w = *state;
    char url[KF_OCSP_URL_MAX];
    OK(kf_ocsp_url(w->chain, strlen(w->chain), url, &w->err), w->err);
    assert_string_equal(url, URL); /* what cannot be asked is passed over */
    X509 *none = leaf_with(w, NULL);
    CM_AUTO_STR plain = chain_of(w, none);
    REFUSED(kf_ocsp_url(plain, strlen(plain), url, &w->err), CM_ENOENT, "no OCSP responder",
            w->err);
    X509_free(none);
    X509 *odd = leaf_with(w, "OCSP;URI:http://ocsp.example/a\rHost: b,caIssuers;URI:" URL);
    CM_AUTO_STR bad = chain_of(w, odd);
    REFUSED(kf_ocsp_url(bad, strlen(bad), url, &w->err), CM_ENOENT, "no OCSP responder", w->err);
    X509_free(odd);
}

static void test_question(void **state)
{
    struct world *w = *state;
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    OK(kf_ocsp_request(w->chain, strlen(w->chain), &out, &w->err), w->err);
    const unsigned char *at = (const unsigned char *)out.data;
    OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &at, (long)out.len);
    assert_non_null(request);
    assert_int_equal(OCSP_request_onereq_count(request), 1);
    OCSP_CERTID *asked = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0));
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), w->leaf, w->issuer);
    assert_int_equal(OCSP_id_cmp(asked, id), 0);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    CM_AUTO_STR alone = cert_pem(w->leaf);
    REFUSED(kf_ocsp_request(alone, strlen(alone), &out, &w->err), CM_EMALF, "issuer", w->err);
    cm_buf_fini(&out);
}

static void test_states(void **state)
{
    struct world *w = *state;
    enum kf_ocsp got = KF_OCSP_LATER;
    struct ocsp_say say = {.status = V_OCSP_CERTSTATUS_GOOD, .from_s = -5, .to_s = 60};
    OK(read_answer(w, &say, &got), w->err);
    assert_int_equal(got, KF_OCSP_GOOD);
    say.status = V_OCSP_CERTSTATUS_UNKNOWN;
    OK(read_answer(w, &say, &got), w->err);
    assert_int_equal(got, KF_OCSP_UNKNOWN);
    say.status = V_OCSP_CERTSTATUS_REVOKED;
    say.to_s = 0; /* newer information is always available (RFC 6960 4.2.2.1) */
    OK(read_answer(w, &say, &got), w->err);
    assert_int_equal(got, KF_OCSP_REVOKED);
    static const int later[] = {OCSP_RESPONSE_STATUS_UNAUTHORIZED, OCSP_RESPONSE_STATUS_TRYLATER};
    for (size_t i = 0; i < 2; i++) {
        unsigned char *der = NULL;
        OCSP_RESPONSE *response = OCSP_response_create(later[i], NULL);
        int len = i2d_OCSP_RESPONSE(response, &der);
        OK(kf_ocsp_read(w->chain, strlen(w->chain), der, (size_t)len, cm_now_ms(), &got, &w->err),
           w->err);
        assert_int_equal(got, KF_OCSP_LATER);
        OPENSSL_free(der);
        OCSP_RESPONSE_free(response);
    }
}

static void test_who_signs(void **state)
{
    struct world *w = *state;
    enum kf_ocsp got = KF_OCSP_LATER;
    X509 *helper =
        make_cert("responder", w->key, "Test Middle", w->ca.middle_key, "DNS:r.example", -60, 3600);
    X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "OCSPSigning");
    struct ocsp_say say = {
        .status = V_OCSP_CERTSTATUS_GOOD, .signer = helper, .key = w->key, .from_s = -5};
    REFUSED(read_answer(w, &say, &got), CM_EPEER, "not signed by the issuer", w->err);
    X509_add_ext(helper, usage, -1);
    X509_sign(helper, w->ca.middle_key, EVP_sha256());
    OK(read_answer(w, &say, &got), w->err);
    assert_int_equal(got, KF_OCSP_GOOD);
    X509_EXTENSION_free(usage);
    X509_free(helper);
    X509 *stranger = make_cert("Test Middle", w->key, "Test Middle", w->key, NULL, -60, 3600);
    say.signer = stranger;
    REFUSED(read_answer(w, &say, &got), CM_EPEER, "not signed by the issuer", w->err);
    X509_free(stranger);
}

static void test_other_answers(void **state)
{
    struct world *w = *state;
    enum kf_ocsp got = KF_OCSP_LATER;
    X509 *other = leaf_with(w, NULL);
    struct ocsp_say say = {.status = V_OCSP_CERTSTATUS_GOOD, .about = other, .from_s = -5};
    REFUSED(read_answer(w, &say, &got), CM_EMALF, "another certificate", w->err);
    X509_free(other);
    say.about = NULL;
    say.from_s = -7200;
    say.to_s = -3600;
    REFUSED(read_answer(w, &say, &got), CM_EMALF, "out of date", w->err);
    say.from_s = 3600;
    say.to_s = 7200;
    REFUSED(read_answer(w, &say, &got), CM_EMALF, "out of date", w->err);
    say.from_s = KF_OCSP_SKEW_S - 30; /* their clock is a little ahead */
    OK(read_answer(w, &say, &got), w->err);
}

static void test_broken_and_huge(void **state)
{
    struct world *w = *state;
    enum kf_ocsp got = KF_OCSP_LATER;
    struct ocsp_say say = {.status = V_OCSP_CERTSTATUS_GOOD, .from_s = -5};
    size_t size, len = strlen(w->chain);
    unsigned char *der = answer(w, &say, &size);
    for (size_t cut = 0; cut < size; cut += 7)
        REFUSED(kf_ocsp_read(w->chain, len, der, cut, cm_now_ms(), &got, &w->err), CM_EMALF,
                "answer is none", w->err);
    unsigned char *longer = cm_calloc(1, size + 1);
    memcpy(longer, der, size);
    REFUSED(kf_ocsp_read(w->chain, len, longer, size + 1, cm_now_ms(), &got, &w->err), CM_EMALF,
            "answer is none", w->err);
    cm_free(longer);
    longer = cm_calloc(1, KF_OCSP_REPLY_MAX + 1);
    REFUSED(kf_ocsp_read(w->chain, len, longer, KF_OCSP_REPLY_MAX + 1, cm_now_ms(), &got, &w->err),
            CM_ELIMIT, "longer than", w->err);
    cm_free(longer);
    REFUSED(kf_ocsp_read(w->chain, len, "<html>", 6, cm_now_ms(), &got, &w->err), CM_EMALF,
            "answer is none", w->err);
    OPENSSL_free(der);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_url),       T(test_question),      T(test_states),
        T(test_who_signs), T(test_other_answers), T(test_broken_and_huge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
