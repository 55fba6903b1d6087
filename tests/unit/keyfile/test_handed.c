/* Certificates as people hand them in: what is made of them, and what is said. */
#include "tests/unit/keyfile/support.h"

#include <openssl/pkcs7.h>

#include "keyfile/csr.h"
#include "keyfile/handed.h"

struct world {
    struct test_ca ca;
    EVP_PKEY *key, *other;
    char spki[65], other_spki[65];
    char *leaf;
    json_t *names;
    struct kf_roots *roots;
    struct kf_handed handed;
    struct kf_chain chain;
    json_t *notes;
    struct cm_err err;
};

static void spki_of(struct world *w, EVP_PKEY *key, char out[65])
{
    CM_AUTO_STR pem = ca_leaf(&w->ca, key, "DNS:x.example");
    struct kf_cert_info info = {0};
    assert_int_equal(kf_cert_info(pem, &info, NULL), 0);
    memcpy(out, info.public_key_sha256, 65);
    kf_cert_info_fini(&info);
}

static int setup(void **state)
{
    struct world *w = cm_calloc(1, sizeof(*w));
    ca_init(&w->ca);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &w->key, NULL), 0);
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &w->other, NULL), 0);
    spki_of(w, w->key, w->spki);
    spki_of(w, w->other, w->other_spki);
    w->leaf = ca_leaf(&w->ca, w->key, "DNS:a.example,DNS:b.example");
    w->names = json_pack("[s,s]", "a.example", "b.example");
    w->roots = kf_roots_new(w->ca.root);
    w->handed = (struct kf_handed){
        .names = w->names, .spki = {w->spki}, .roots = w->roots, .now_ms = cm_now_ms()};
    *state = w;
    return 0;
}

static void fini(struct world *w)
{
    kf_chain_fini(&w->chain);
    json_decref(w->notes);
    w->notes = NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;
    fini(w);
    ca_fini(&w->ca);
    EVP_PKEY_free(w->key);
    EVP_PKEY_free(w->other);
    cm_free(w->leaf);
    json_decref(w->names);
    kf_roots_free(w->roots);
    cm_err_fini(&w->err);
    cm_free(w);
    return 0;
}

static int hand_in(struct world *w, const char *text)
{
    fini(w);
    w->handed.text = text;
    w->handed.len = strlen(text);
    return kf_handed_check(&w->handed, &w->chain, &w->notes, &w->err);
}

static bool noted(const struct world *w, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(w->notes, i, item)
    {
        if (strstr(json_string_value(item), text))
            return true;
    }
    return false;
}

/* Handed in, and the usual chain came out of it. */
static void good(struct world *w, const char *text, size_t notes)
{
    OK(hand_in(w, text), w->err);
    assert_string_equal(w->chain.leaf, w->leaf);
    assert_string_equal(w->chain.intermediates, w->ca.middle);
    assert_string_equal(w->chain.root, w->ca.root);
    if (json_array_size(w->notes) != notes) {
        CM_AUTO_STR dump = cm_json_dump(w->notes, NULL);
        fail_msg("notes: %s", dump);
    }
}

static void in_order(void **state)
{
    struct world *w = *state;
    CM_AUTO_STR text = cm_asprintf("%s%s", w->leaf, w->ca.middle);
    good(w, text, 0);
    CM_AUTO_STR whole = cm_asprintf("%s%s%s", w->leaf, w->ca.middle, w->ca.root);
    good(w, whole, 0);
}

static void any_order_and_what_is_too_many(void **state)
{
    struct world *w = *state;
    CM_AUTO_STR turned = cm_asprintf("%s%s%s", w->ca.root, w->ca.middle, w->leaf);
    good(w, turned, 1);
    assert_true(noted(w, "put into order"));
    CM_AUTO_STR stranger = ca_leaf(&w->ca, w->other, "DNS:z.example");
    CM_AUTO_STR more = cm_asprintf("%s%s%s%s", stranger, w->leaf, w->ca.middle, w->leaf);
    good(w, more, 1);
    assert_true(noted(w, "left out: 1"));
}

static void text_around_it(void **state)
{
    struct world *w = *state;
    CM_AUTO_STR text =
        cm_asprintf("Dear customer,\r\n\r\nsubject=CN = leaf\n%sBag Attributes\n%s\nRegards\n",
                    w->leaf, w->ca.middle);
    good(w, text, 1);
    assert_true(noted(w, "What stood around the certificates was left out"));
}

static void a_bundle(void **state)
{
    struct world *w = *state;
    PKCS7 *bundle = PKCS7_new();
    PKCS7_set_type(bundle, NID_pkcs7_signed);
    PKCS7_content_new(bundle, NID_pkcs7_data);
    const char *pems[] = {w->ca.middle, w->leaf};
    for (size_t i = 0; i < 2; i++) {
        BIO *in = BIO_new_mem_buf(pems[i], -1);
        X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
        PKCS7_add_certificate(bundle, cert);
        X509_free(cert);
        BIO_free(in);
    }
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS7(out, bundle), 1);
    char *data;
    long len = BIO_get_mem_data(out, &data);
    CM_AUTO_STR text = cm_strndup(data, (size_t)len);
    BIO_free(out);
    PKCS7_free(bundle);
    OK(hand_in(w, text), w->err);
    assert_string_equal(w->chain.leaf, w->leaf);
    assert_string_equal(w->chain.root, w->ca.root);
}

static void a_missing_intermediate(void **state)
{
    struct world *w = *state;
    REFUSED(hand_in(w, w->leaf), CM_EINVAL,
            "The certificate of the issuer \"Test Middle\" is missing: add it to the text", w->err);
    w->handed.known[1] = w->ca.middle; /* of the certificate before */
    good(w, w->leaf, 1);
    assert_true(noted(w, "1 certificate of the CA was added"));
    CM_AUTO_STR foreign = cm_asprintf("%s%s", w->leaf, w->ca.root);
    w->handed.known[1] = NULL;
    REFUSED(hand_in(w, foreign), CM_EINVAL, "issuer \"Test Middle\" is missing", w->err);
}

static void a_root_of_ones_own(void **state)
{
    struct world *w = *state;
    w->handed.roots = NULL;
    CM_AUTO_STR text = cm_asprintf("%s%s", w->leaf, w->ca.middle);
    REFUSED(hand_in(w, text), CM_EINVAL, "issuer \"Test Root\" is missing", w->err);
    CM_AUTO_STR whole = cm_asprintf("%s%s%s", w->leaf, w->ca.middle, w->ca.root);
    good(w, whole, 1);
    assert_true(noted(w, "none of the trusted roots"));
    X509 *own = make_cert("own", w->key, "own", w->key, "DNS:a.example,DNS:b.example", -60, 3600);
    CM_AUTO_STR alone = cert_pem(own);
    X509_free(own);
    REFUSED(hand_in(w, alone), CM_EINVAL, "self-signed", w->err);
}

static void the_wrong_certificate(void **state)
{
    struct world *w = *state;
    CM_AUTO_STR other = ca_leaf(&w->ca, w->other, "DNS:z.example,DNS:y.example");
    CM_AUTO_STR text = cm_asprintf("%s%s", other, w->ca.middle);
    REFUSED(hand_in(w, text), CM_EINVAL,
            "(for z.example, y.example) is not for this credential's key", w->err);
    CM_AUTO_STR cas = cm_asprintf("%s%s", w->ca.middle, w->ca.root);
    REFUSED(hand_in(w, cas), CM_EINVAL, "only certificates of CAs", w->err);
    w->handed.spki[1] = w->other_spki; /* the serving key, and the one of the open request */
    json_decref(w->names);
    w->handed.names = w->names = json_pack("[s]", "z.example");
    OK(hand_in(w, text), w->err);
    assert_string_equal(w->chain.leaf, other);
}

static void of_several_the_newest(void **state)
{
    struct world *w = *state;
    X509 *old = make_cert("leaf", w->key, "Test Middle", w->ca.middle_key,
                          "DNS:a.example,DNS:b.example", -7200, 3600);
    CM_AUTO_STR old_pem = cert_pem(old);
    X509_free(old);
    CM_AUTO_STR text = cm_asprintf("%s%s%s", old_pem, w->ca.middle, w->leaf);
    OK(hand_in(w, text), w->err);
    assert_string_equal(w->chain.leaf, w->leaf);
    assert_true(noted(w, "Of 2 certificates for this key the newest was taken"));
}

static void names_and_dates(void **state)
{
    struct world *w = *state;
    json_decref(w->names);
    w->handed.names = w->names = json_pack("[s,s,s]", "a.example", "c.example", "d.example");
    CM_AUTO_STR text = cm_asprintf("%s%s", w->leaf, w->ca.middle);
    REFUSED(hand_in(w, text), CM_EINVAL, "does not name c.example, d.example", w->err);
    json_decref(w->names);
    w->handed.names = w->names = json_pack("[s]", "a.example");
    good(w, text, 1);
    assert_true(noted(w, "names more than was asked for: b.example"));
    CM_AUTO_STR wild = ca_leaf(&w->ca, w->key, "DNS:*.a.example");
    CM_AUTO_STR wild_text = cm_asprintf("%s%s", wild, w->ca.middle);
    json_decref(w->names);
    w->handed.names = w->names = json_pack("[s]", "www.a.example");
    OK(hand_in(w, wild_text), w->err);
    json_decref(w->names);
    w->handed.names = w->names = json_pack("[s]", "a.b.a.example");
    REFUSED(hand_in(w, wild_text), CM_EINVAL, "does not name a.b.a.example", w->err);
    w->handed.now_ms += INT64_C(4000) * 1000;
    REFUSED(hand_in(w, text), CM_EINVAL, "has expired at", w->err);
}

static void what_is_no_certificate(void **state)
{
    struct world *w = *state;
    uint8_t *der;
    size_t len;
    OK(kf_csr(w->key, w->names, &der, &len, &w->err), w->err);
    CM_AUTO_STR b64url = cm_b64url(der, len);
    CM_AUTO_STR csr = kf_csr_pem(b64url);
    cm_free(der);
    REFUSED(hand_in(w, csr), CM_EINVAL, "This is the request (CSR)", w->err);
    REFUSED(hand_in(w, ""), CM_EINVAL, "no certificate in the text", w->err);
    REFUSED(hand_in(w, "hello"), CM_EINVAL, "no certificate in the text", w->err);
    CM_AUTO_STR key = cm_asprintf("%s-----BEGIN EC PRIVATE KEY-----\nAAAA\n"
                                  "-----END EC PRIVATE KEY-----\n",
                                  w->leaf);
    REFUSED(hand_in(w, key), CM_EINVAL, "There is a private key in the text", w->err);
}

static void what_is_damaged_or_too_much(void **state)
{
    struct world *w = *state;
    CM_AUTO_STR cut = cm_strndup(w->leaf, strlen(w->leaf) / 2);
    REFUSED(hand_in(w, cut), CM_EINVAL, "damaged or cut off", w->err);
    CM_AUTO_STR bent = cm_strdup(w->leaf);
    memset(strchr(bent, '\n') + 1, 'A', 8);
    REFUSED(hand_in(w, bent), CM_EINVAL, "Certificate 1 in the text is damaged", w->err);
    char *big = cm_calloc(1, KF_PEM_MAX + 2);
    memset(big, ' ', KF_PEM_MAX + 1);
    REFUSED(hand_in(w, big), CM_EINVAL, "longer than", w->err);
    cm_free(big);
    struct cm_buf many;
    cm_buf_init(&many, KF_PEM_MAX);
    for (int i = 0; i < KF_CHAIN_MAX + 1; i++) {
        CM_AUTO_STR one = ca_leaf(&w->ca, w->other, "DNS:z.example");
        cm_buf_puts(&many, one);
    }
    REFUSED(hand_in(w, cm_buf_str(&many)), CM_EINVAL, "more than 32 certificates", w->err);
    cm_buf_reset(&many);
    for (int i = 0; i < KF_HANDED_MAX + 2; i++)
        cm_buf_puts(&many, "-----BEGIN X-----\nAAAA\n-----END X-----\n");
    REFUSED(hand_in(w, cm_buf_str(&many)), CM_EINVAL, "more than 64 blocks", w->err);
    cm_buf_fini(&many);
}

static void the_request_as_text(void **state)
{
    struct world *w = *state;
    uint8_t *der;
    size_t len;
    OK(kf_csr(w->key, w->names, &der, &len, &w->err), w->err);
    CM_AUTO_STR b64url = cm_b64url(der, len);
    CM_AUTO_STR pem = kf_csr_pem(b64url);
    cm_free(der);
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    assert_non_null(req);
    assert_int_equal(X509_REQ_verify(req, w->key), 1);
    X509_REQ_free(req);
    BIO_free(bio);
    assert_null(kf_csr_pem("not base64!"));
    assert_null(kf_csr_pem(NULL));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(in_order),
        T(any_order_and_what_is_too_many),
        T(text_around_it),
        T(a_bundle),
        T(a_missing_intermediate),
        T(a_root_of_ones_own),
        T(the_wrong_certificate),
        T(of_several_the_newest),
        T(names_and_dates),
        T(what_is_no_certificate),
        T(what_is_damaged_or_too_much),
        T(the_request_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
