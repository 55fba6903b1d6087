/* The agent's own keys on disk. */
#include "support.h"

static char *dir;
static struct cm_err err;

static int setup(void **state)
{
    (void)state;
    dir = temp_dir();
    err = CM_ERR_INIT;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_err_fini(&err);
    remove_dir(dir);
    return 0;
}

static void creates_and_loads(void **state)
{
    (void)state;
    static const char *const files[] = {"seal.key", "sign.key", "identity.json"};
    struct kf_identity made, again;
    REFUSED(kf_identity_load(dir, &again, &err), CM_ENOENT, "", err);
    OK(kf_identity_create(dir, "server-1.example", &made, &err), err);
    REFUSED(kf_identity_create(dir, "server-1.example", &again, &err), CM_ECONFLICT, "exists", err);
    OK(kf_identity_load(dir, &again, &err), err);
    assert_string_equal(again.name, "server-1.example");
    assert_string_equal(again.seal_b64, made.seal_b64);
    assert_string_equal(again.sign_b64, made.sign_b64);
    assert_string_not_equal(again.seal_b64, again.sign_b64);
    assert_string_equal(again.key_id, made.key_id);
    assert_int_equal(strlen(again.key_id), 32);
    for (size_t i = 0; i < 3; i++) {
        struct stat st;
        CM_AUTO_STR path = cm_asprintf("%s/%s", dir, files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    kf_identity_fini(&made);
    kf_identity_fini(&again);
}

static void refuses_readable_or_swapped_keys(void **state)
{
    (void)state;
    struct kf_identity id;
    CM_AUTO_STR seal = cm_asprintf("%s/seal.key", dir);
    CM_AUTO_STR sign = cm_asprintf("%s/sign.key", dir);
    CM_AUTO_STR aside = cm_asprintf("%s/aside", dir);
    OK(kf_identity_create(dir, "a", &id, &err), err);
    kf_identity_fini(&id);
    static const mode_t modes[] = {0640, 0604, 0660, 0644, 0610};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(sign, modes[i]), 0);
        REFUSED(kf_identity_load(dir, &id, &err), CM_EDENIED, "0600", err);
    }
    assert_int_equal(chmod(sign, 0600), 0);
    OK(kf_identity_load(dir, &id, &err), err);
    kf_identity_fini(&id);
    if (geteuid() == 0) {
        assert_int_equal(chown(seal, 12345, 0), 0);
        REFUSED(kf_identity_load(dir, &id, &err), CM_EDENIED, "belongs to user 12345", err);
        assert_int_equal(chown(seal, 0, 0), 0);
    }
    assert_int_equal(chmod(dir, 0770), 0);
    REFUSED(kf_identity_load(dir, &id, &err), CM_EDENIED, "agent alone", err);
    assert_int_equal(chmod(dir, 0700), 0);
    /* The two keys exchanged. */
    assert_int_equal(rename(seal, aside), 0);
    assert_int_equal(rename(sign, seal), 0);
    assert_int_equal(rename(aside, sign), 0);
    REFUSED(kf_identity_load(dir, &id, &err), CM_EDENIED, "is not the key", err);
    assert_int_equal(rename(seal, aside), 0);
    assert_int_equal(rename(sign, seal), 0);
    assert_int_equal(symlink("aside", sign), 0);
    REFUSED(kf_identity_load(dir, &id, &err), CM_EDENIED, "regular file", err);
    assert_int_equal(unlink(sign), 0);
    /* An identity with a missing key is damaged, not absent. */
    REFUSED(kf_identity_load(dir, &id, &err), CM_EIO, "sign.key", err);
    OK(cm_file_write(sign, "no key", 6, 0600, &err), err);
    REFUSED(kf_identity_load(dir, &id, &err), CM_EMALF, "PKCS#8", err);
}

static void refuses_other_key_types(void **state)
{
    (void)state;
    struct kf_identity id;
    EVP_PKEY *key;
    struct kf_secret pem;
    CM_AUTO_STR seal = cm_asprintf("%s/seal.key", dir);
    OK(kf_identity_create(dir, "a", &id, &err), err);
    kf_identity_fini(&id);
    OK(kf_pkey_generate(KF_KEY_P384, &key, &err), err);
    OK(kf_pkey_to_pem(key, &pem, &err), err);
    OK(cm_file_write(seal, pem.data, pem.len, 0600, &err), err);
    REFUSED(kf_identity_load(dir, &id, &err), CM_EMALF, "no P-256 key", err);
    kf_secret_fini(&pem);
    EVP_PKEY_free(key);
}

static void checks_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a-b.c", "0", "server-11.example.com"};
    static const char *const bad[] = {"", "A", "a b", "a_b", "a/b", "ä", "a\n", "a:b"};
    char longest[65];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(kf_name_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(kf_name_ok(bad[i]));
    memset(longest, 'a', sizeof(longest));
    longest[63] = '\0';
    assert_true(kf_name_ok(longest));
    longest[63] = 'a';
    longest[64] = '\0';
    assert_false(kf_name_ok(longest));
    struct kf_identity id;
    REFUSED(kf_identity_create(dir, "Bad Name", &id, &err), CM_EINVAL, "a-z", err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(creates_and_loads, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_readable_or_swapped_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_other_key_types, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
