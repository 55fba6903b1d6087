/* The sealed plaintext and what it is bound to. */
#include "support.h"

#include "keyfile/binding.h"

#define ULID  "01JDEXAMPE0000000000000000"
#define OTHER "01JDEXAMPE0000000000000001"

static struct cm_err err;
static EVP_PKEY *key;

static int setup(void **state)
{
    (void)state;
    return kf_pkey_generate(KF_KEY_P256, &key, NULL);
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    return 0;
}

static void round_trip(void **state)
{
    (void)state;
    struct kf_binding b;
    struct kf_secret text;
    EVP_PKEY *got;
    char spki[KF_SPKI_HEX], want[KF_SPKI_HEX];
    OK(kf_bind_credential(&b, ULID, 7, &err), err);
    OK(kf_bound_write(&b, key, 1795313802123, &text, &err), err);
    OK(kf_spki_hex(key, want, &err), err);
    CM_AUTO_STR head =
        cm_asprintf("document: credential:" ULID "\ngeneration: 7\npublic-key-sha256: %s\n"
                    "created: 2026-11-22T02:16:42.123Z\n\n-----BEGIN PRIVATE KEY-----\n",
                    want);
    assert_int_equal(strncmp(text.data, head, strlen(head)), 0);
    OK(kf_bound_read(&text, &b, &got, spki, &err), err);
    assert_string_equal(spki, want);
    assert_int_equal(EVP_PKEY_eq(got, key), 1);
    EVP_PKEY_free(got);

    struct kf_binding other;
    OK(kf_bind_credential(&other, ULID, 8, &err), err);
    REFUSED(kf_bound_read(&text, &other, &got, spki, &err), CM_EDENIED, "generation 7, not to 8",
            err);
    OK(kf_bind_credential(&other, OTHER, 7, &err), err);
    REFUSED(kf_bound_read(&text, &other, &got, spki, &err), CM_EDENIED,
            "bound to credential:", err);
    OK(kf_bind_account(&other, ULID, "https://ca.example", &err), err);
    REFUSED(kf_bound_read(&text, &other, &got, spki, &err), CM_EDENIED,
            "bound to credential:", err);
    assert_null(got);
    kf_secret_fini(&text);
}

static void marks_what_may_leave(void **state)
{
    (void)state;
    struct kf_binding b;
    struct kf_secret text;
    EVP_PKEY *got;
    char spki[KF_SPKI_HEX];
    OK(kf_bind_credential(&b, ULID, 7, &err), err);
    for (int yes = 0; yes < 2; yes++) {
        b.exportable = yes;
        OK(kf_bound_write(&b, key, 1795313802123, &text, &err), err);
        OK(kf_bound_read(&text, &b, &got, spki, &err), err);
        assert_int_equal(kf_bound_exportable(&text), yes);
        EVP_PKEY_free(got);
        kf_secret_fini(&text);
    }
}

static void read_text(const char *text, int code, const char *why)
{
    struct kf_binding b;
    struct kf_secret secret;
    EVP_PKEY *got;
    char spki[KF_SPKI_HEX];
    OK(kf_bind_credential(&b, ULID, 7, &err), err);
    OK(kf_secret_new(strlen(text), &secret, &err), err);
    memcpy(secret.data, text, strlen(text));
    REFUSED(kf_bound_read(&secret, &b, &got, spki, &err), code, why, err);
    kf_secret_fini(&secret);
}

static void refuses_malformed_texts(void **state)
{
    (void)state;
    struct kf_secret pem;
    OK(kf_pkey_to_pem(key, &pem, &err), err);
#define HEAD "document: credential:" ULID "\ngeneration: 7\n"
#define HASH "public-key-sha256: 00\n"
#define WHEN "created: 2026-11-22T02:16:42.123Z\n"
    static const struct {
        const char *head, *text;
        int code;
    } rows[] = {
        {"", "document line", CM_EMALF},
        {"generation: 7\ndocument: credential:" ULID "\n\n", "document line", CM_EMALF},
        {" " HEAD HASH WHEN "\n", "document line", CM_EMALF},
        {"document: credential:" ULID "\n" HASH WHEN "\n", "no generation", CM_EMALF},
        {HEAD WHEN "\n", "head lines", CM_EMALF},
        {HEAD HASH "created: today\n\n", "head lines", CM_EMALF},
        {HEAD HASH WHEN, "head lines", CM_EMALF},
        {HEAD HASH WHEN "extra: 1\n\n", "head lines", CM_EMALF},
        {HEAD HASH WHEN "exportable: no\n\n", "head lines", CM_EMALF},
        {HEAD HASH WHEN "exportable: yes\nexportable: yes\n\n", "head lines", CM_EMALF},
        {HEAD HASH "exportable: yes\n" WHEN "\n", "head lines", CM_EMALF},
        {HEAD HASH WHEN "\n\n", "head lines", CM_EMALF},
        {HEAD HASH WHEN "\n", "not the one its head names", CM_EDENIED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_STR text = cm_asprintf("%s%s", rows[i].head, pem.data);
        read_text(text, rows[i].code, rows[i].text);
    }
    read_text(HEAD HASH WHEN "\n-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n",
              CM_EMALF, "PKCS#8");
    kf_secret_fini(&pem);
}

static void refuses_values_that_make_lines(void **state)
{
    (void)state;
    struct kf_binding b;
    CM_AUTO_STR longest = cm_calloc(1, 400);
    memset(longest, 'a', 399);
    REFUSED(kf_bind_account(&b, "a\nb", "https://x", &err), CM_EMALF, "account", err);
    REFUSED(kf_bind_account(&b, "a\rb", "https://x", &err), CM_EMALF, "account", err);
    REFUSED(kf_bind_account(&b, "", "https://x", &err), CM_EMALF, "account", err);
    REFUSED(kf_bind_account(&b, longest, "https://x", &err), CM_EMALF, "account", err);
    REFUSED(kf_bind_account(&b, "a", "https://x\ngeneration: 1", &err), CM_EMALF, "directory", err);
    REFUSED(kf_bind_credential(&b, "x", 1, &err), CM_EMALF, "ULID", err);
    REFUSED(kf_bind_credential(&b, ULID, 0, &err), CM_EMALF, "positive", err);
    REFUSED(kf_bind_credential(&b, ULID, -1, &err), CM_EMALF, "positive", err);
    OK(kf_bind_account(&b, "名前", "https://x", &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(marks_what_may_leave),
        cmocka_unit_test(refuses_malformed_texts),
        cmocka_unit_test(refuses_values_that_make_lines),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
