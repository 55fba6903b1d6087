/* What a command hands over to the agent: only one seal key reads it, only as what it is. */
#include "support.h"

#include "keyfile/handover.h"

#define ULID "01JDEXAMPE0000000000000000"
#define NOW  1795313802123

static struct {
    EVP_PKEY *seal;
    X509 *cert;
    char *spki;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.err = CM_ERR_INIT;
    assert_int_equal(kf_pkey_generate(KF_KEY_P256, &f.seal, NULL), 0);
    assert_int_equal(kf_seal_cert("x", f.seal, &f.cert, NULL), 0);
    assert_int_equal(kf_spki_b64(f.seal, &f.spki, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(f.seal);
    X509_free(f.cert);
    cm_free(f.spki);
    return 0;
}

static struct kf_handover import_of(const void *data, size_t len)
{
    return (struct kf_handover){.kind = KF_HANDOVER_IMPORT,
                                .credential = "-",
                                .exportable = true,
                                .password = "Geheim: 秘密",
                                .data = data,
                                .len = len};
}

static void opened(const struct kf_handover *handover, struct kf_secret *ret)
{
    CM_AUTO_STR sealed = NULL;
    uint8_t *der;
    size_t len;
    OK(kf_handover_seal(handover, f.spki, NOW, &sealed, &f.err), f.err);
    assert_int_equal(cm_b64_decode(sealed, strlen(sealed), &der, &len), 0);
    assert_null(memmem(der, len, handover->password, strlen(handover->password)));
    OK(kf_open(der, len, f.seal, f.cert, ret, &f.err), f.err);
    cm_free(der);
}

static void round_trip(void **state)
{
    (void)state;
    static const char data[] = "0\0\n\npassword: no\n";
    struct kf_handover handover = import_of(data, sizeof(data)), got;
    KF_AUTO_SECRET text = {0};
    opened(&handover, &text);
    OK(kf_handover_read(&text, KF_HANDOVER_IMPORT, "-", NOW + 1000, &got, &f.err), f.err);
    assert_true(got.exportable);
    assert_string_equal(got.password, handover.password);
    assert_int_equal(got.len, sizeof(data));
    assert_memory_equal(got.data, data, sizeof(data));
}

static void empty_export(void **state)
{
    (void)state;
    struct kf_handover handover = {
        .kind = KF_HANDOVER_EXPORT, .credential = ULID, .password = "a b"};
    struct kf_handover got;
    KF_AUTO_SECRET text = {0};
    opened(&handover, &text);
    OK(kf_handover_read(&text, KF_HANDOVER_EXPORT, ULID, NOW, &got, &f.err), f.err);
    assert_false(got.exportable);
    assert_string_equal(got.password, "a b");
    assert_int_equal(got.len, 0);
}

static void read_as(enum kf_handover_kind kind, const char *credential, int64_t now, int code,
                    const char *why)
{
    struct kf_handover handover = import_of("x", 1), got;
    KF_AUTO_SECRET text = {0};
    opened(&handover, &text);
    REFUSED(kf_handover_read(&text, kind, credential, now, &got, &f.err), code, why, f.err);
}

static void is_only_what_it_is(void **state)
{
    (void)state;
    read_as(KF_HANDOVER_EXPORT, "-", NOW, CM_EDENIED, "something else");
    read_as(KF_HANDOVER_IMPORT, ULID, NOW, CM_EDENIED, "for the credential -, not " ULID);
    read_as(KF_HANDOVER_IMPORT, "-", NOW + KF_HANDOVER_AGE_MS + 1, CM_EDENIED, "give the command");
    read_as(KF_HANDOVER_IMPORT, "-", NOW - KF_HANDOVER_AGE_MS - 1, CM_EDENIED, "give the command");
}

static void malformed(const char *text, size_t len, int code)
{
    struct kf_handover got;
    KF_AUTO_SECRET secret = {0};
    OK(kf_secret_new(len, &secret, &f.err), f.err);
    memcpy(secret.data, text, len);
    assert_int_equal(kf_handover_read(&secret, KF_HANDOVER_IMPORT, "-", NOW, &got, NULL), code);
}

static void refuses_malformed_texts(void **state)
{
    (void)state;
#define HEAD "document: handover:import\ncredential: -\n"
#define WHEN "created: 2026-11-22T02:16:42.123Z\n"
    static const char *const rows[] = {
        HEAD "exportable: maybe\n" WHEN "password: \n\nx",
        HEAD "exportable: no\n" WHEN "\nx",
        HEAD "exportable: no\n" WHEN "password: x",
        HEAD "exportable: no\n" WHEN "password: x\n",
        HEAD "exportable: no\ncreated: now\npassword: x\n\n",
        HEAD "exportable: no\n" WHEN "password: x\nmore: y\n\n",
        HEAD,
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        malformed(rows[i], strlen(rows[i]), CM_EMALF);
    static const char good[] = HEAD "exportable: no\n" WHEN "password: \n\n";
    malformed(good, sizeof(good) - 1, 0);
    /* A key, a secret: never read as something handed over. */
    malformed("document: credential:" ULID "\n\n", 36, CM_EDENIED);
    malformed("", 0, CM_EDENIED);
    malformed("document", 8, CM_EDENIED);
}

static void limits(void **state)
{
    (void)state;
    CM_AUTO_STR sealed = NULL;
    CM_AUTO_STR longest = cm_calloc(1, KF_HANDOVER_PASSWORD_MAX + 2);
    CM_AUTO_STR data = cm_calloc(1, KF_HANDOVER_DATA_MAX + 1);
    struct kf_handover handover = import_of(data, KF_HANDOVER_DATA_MAX + 1);
    REFUSED(kf_handover_seal(&handover, f.spki, NOW, &sealed, &f.err), CM_ELIMIT, "longer than",
            f.err);
    handover.len--;
    memset(longest, 'a', KF_HANDOVER_PASSWORD_MAX + 1);
    handover.password = longest;
    REFUSED(kf_handover_seal(&handover, f.spki, NOW, &sealed, &f.err), CM_ELIMIT, "password",
            f.err);
    longest[KF_HANDOVER_PASSWORD_MAX] = '\0';
    OK(kf_handover_seal(&handover, f.spki, NOW, &sealed, &f.err), f.err);
    CM_AUTO_STR other = NULL;
    handover.password = "a\nexportable: yes";
    REFUSED(kf_handover_seal(&handover, f.spki, NOW, &other, &f.err), CM_EINVAL, "control", f.err);
    handover.password = "";
    handover.credential = "-\nexportable: yes";
    REFUSED(kf_handover_seal(&handover, f.spki, NOW, &other, &f.err), CM_EINVAL, "credential",
            f.err);
    handover.credential = "-";
    assert_int_not_equal(kf_handover_seal(&handover, "AAAA", NOW, &other, NULL), 0);
    assert_null(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(empty_export),
        cmocka_unit_test(is_only_what_it_is),
        cmocka_unit_test(refuses_malformed_texts),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
