/* One recipient in the place of another: nothing else of the envelope changes. */
#include "support.h"

#include "keyfile/rewrap.h"

#define PEOPLE 4

static struct {
    EVP_PKEY *key[PEOPLE];
    X509 *cert[PEOPLE];
    uint8_t *der;
    size_t len;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.err = CM_ERR_INIT;
    for (size_t i = 0; i < PEOPLE; i++) {
        OK(kf_pkey_generate(KF_KEY_P256, &f.key[i], &f.err), f.err);
        OK(kf_seal_cert("r", f.key[i], &f.cert[i], &f.err), f.err);
    }
    OK(kf_seal("the secret", 10, f.cert, PEOPLE - 1, &f.der, &f.len, &f.err), f.err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEOPLE; i++) {
        EVP_PKEY_free(f.key[i]);
        X509_free(f.cert[i]);
    }
    cm_free(f.der);
    cm_err_fini(&f.err);
    return 0;
}

static const uint8_t *ski(size_t i)
{
    return ASN1_STRING_get0_data(X509_get0_subject_key_id(f.cert[i]));
}

static bool opens(const uint8_t *der, size_t len, size_t who)
{
    KF_AUTO_SECRET text = {0};
    return kf_open(der, len, f.key[who], f.cert[who], &text, NULL) == 0 &&
           strcmp(text.data, "the secret") == 0;
}

static void replaces_one(void **state)
{
    (void)state;
    for (size_t from = 0; from < PEOPLE - 1; from++) {
        uint8_t *made = NULL;
        size_t len = 0;
        OK(kf_rewrap(f.der, f.len, f.key[from], f.cert[from], f.cert[PEOPLE - 1], &made, &len,
                     &f.err),
           f.err);
        for (size_t who = 0; who < PEOPLE; who++)
            assert_int_equal(opens(made, len, who), who != from);
        struct kf_octets before = {f.der, f.len}, after = {made, len};
        OK(kf_rewrap_check(before, after, ski(from), ski(PEOPLE - 1), &f.err), f.err);
        cm_free(made);
    }
}

static void needs_the_key(void **state)
{
    (void)state;
    uint8_t *made = NULL;
    size_t len = 0;
    REFUSED(kf_rewrap(f.der, f.len, f.key[3], f.cert[3], f.cert[0], &made, &len, &f.err),
            CM_EDENIED, "not a recipient", f.err);
    assert_null(made);
}

/* What a server might send in place of an honest envelope. */
static void others_are_told(void **state)
{
    (void)state;
    struct kf_octets before = {f.der, f.len};
    uint8_t *other = NULL, *made = NULL;
    size_t other_len = 0, len = 0;
    X509 *list[] = {f.cert[3], f.cert[1], f.cert[2]};
    OK(kf_seal("a new secret", 12, list, 3, &other, &other_len, &f.err), f.err);
    REFUSED(kf_rewrap_check(before, (struct kf_octets){other, other_len}, ski(0), ski(3), &f.err),
            CM_EDENIED, "content is another one", f.err);
    cm_free(other);
    OK(kf_rewrap(f.der, f.len, f.key[1], f.cert[1], f.cert[3], &made, &len, &f.err), f.err);
    struct kf_octets after = {made, len};
    REFUSED(kf_rewrap_check(before, after, ski(0), ski(3), &f.err), CM_EDENIED,
            "another recipient was changed", f.err);
    REFUSED(kf_rewrap_check(before, after, ski(3), ski(3), &f.err), CM_EDENIED, "was no recipient",
            f.err);
    REFUSED(kf_rewrap_check(before, before, ski(0), ski(3), &f.err), CM_EDENIED,
            "new key is no recipient", f.err);
    REFUSED(kf_rewrap_check(before, (struct kf_octets){f.der, f.len - 1}, ski(0), ski(3), &f.err),
            CM_EMALF, "envelope refused", f.err);
    cm_free(made);
}

static void identifier_of_a_key(void **state)
{
    (void)state;
    CM_AUTO_STR spki = NULL;
    uint8_t got[KF_SKI_SIZE];
    OK(kf_spki_b64(f.key[2], &spki, &f.err), f.err);
    OK(kf_seal_ski(spki, got, &f.err), f.err);
    assert_memory_equal(got, ski(2), KF_SKI_SIZE);
    assert_int_equal(kf_seal_ski("AAAA", got, NULL), CM_EMALF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaces_one, setup, teardown),
        cmocka_unit_test_setup_teardown(needs_the_key, setup, teardown),
        cmocka_unit_test_setup_teardown(others_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(identifier_of_a_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
