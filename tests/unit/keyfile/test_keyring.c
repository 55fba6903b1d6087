/* Keyring formats and file names. */
#include "support.h"

#include "keyfile/keyring.h"

static char *joined(const struct kf_file *file)
{
    char *text = cm_calloc(1, kf_file_size(file) + 1);
    size_t at = 0;
    for (int i = 0; i < file->parts; i++) {
        memcpy(text + at, file->part[i].iov_base, file->part[i].iov_len);
        at += file->part[i].iov_len;
    }
    return text;
}

static void both_formats(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        bool secret;
    } rows[] = {
        {"site.kyr", "KLIR", true}, {"privkey.pem", "K", true},     {"cert.pem", "L", false},
        {"chain.pem", "I", false},  {"fullchain.pem", "LI", false},
    };
    struct kf_material m = {.key = "K", .leaf = "L", .intermediates = "I", .root = "R"};
    struct kf_file file[KF_KEYRING_FILES_MAX];
    assert_int_equal(kf_keyring_files(&m, "site.kyr", true, true, file), 5);
    for (size_t i = 0; i < 5; i++) {
        CM_AUTO_STR text = joined(&file[i]);
        assert_string_equal(file[i].name, rows[i].name);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(file[i].secret, rows[i].secret);
        assert_true(kf_file_equals(&file[i], text, strlen(text)));
        assert_false(kf_file_equals(&file[i], "KLIX", strlen(text)) && i == 0);
        assert_false(kf_file_equals(&file[i], text, strlen(text) - 1));
    }
    assert_int_equal(kf_keyring_files(&m, "site.kyr", true, false, file), 1);
    assert_int_equal(kf_keyring_files(&m, "site.kyr", false, true, file), 4);
    assert_string_equal(file[0].name, "privkey.pem");
}

static void without_root_or_intermediates(void **state)
{
    (void)state;
    struct kf_material m = {.key = "K", .leaf = "L", .intermediates = ""};
    struct kf_file file[KF_KEYRING_FILES_MAX];
    assert_int_equal(kf_keyring_files(&m, "site.kyr", true, true, file), 5);
    CM_AUTO_STR kyr = joined(&file[0]);
    CM_AUTO_STR full = joined(&file[4]);
    assert_string_equal(kyr, "KL");
    assert_string_equal(full, "L");
    assert_int_equal(kf_file_size(&file[3]), 0); /* chain.pem is there, and empty */
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {"a.kyr", "keyfile.kyr", "a-b_c.d.kyr", "0.kyr"};
    static const char *const bad[] = {"",       ".kyr",     "a",       "a.pem",  ".a.kyr", "A.kyr",
                                      "a/.kyr", "../a.kyr", "a b.kyr", "a.kyr ", "a.KYR",  "é.kyr"};
    char base[KF_KEYRING_NAME_MAX + 1], longest[80] = "";
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(kf_keyring_name_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (kf_keyring_name_ok(bad[i]))
            fail_msg("\"%s\" passed", bad[i]);
    }
    memset(longest, 'a', 65);
    memcpy(longest + 60, ".kyr", 5);
    assert_true(kf_keyring_name_ok(longest));
    memset(longest, 'a', 65);
    memcpy(longest + 61, ".kyr", 5);
    assert_false(kf_keyring_name_ok(longest));
    kf_keyring_base("a.b.kyr", base);
    assert_string_equal(base, "a.b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats),
        cmocka_unit_test(without_root_or_intermediates),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
