/* Pending and former keys on disk: killed anywhere, the next start finds one of two states. */
#include "support.h"

#include "keyfile/identity_next.h"

static struct {
    char *base, *dir;
    struct kf_identity id;
    struct cm_err err;
} f;

static int setup(void **state)
{
    (void)state;
    f.base = temp_dir();
    f.err = CM_ERR_INIT;
    make_identity(f.base, "alpha", &f.id);
    f.dir = cm_asprintf("%s/alpha", f.base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kf_identity_fini(&f.id);
    cm_err_fini(&f.err);
    cm_free(f.dir);
    remove_dir(f.base);
    return 0;
}

static bool is_there(const char *name)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s", f.dir, name);
    return cm_path_exists(path);
}

static void reload(void)
{
    kf_identity_fini(&f.id);
    OK(kf_identity_load_all(f.dir, &f.id, &f.err), f.err);
}

static void the_whole_way(void **state)
{
    (void)state;
    CM_AUTO_STR first = cm_strdup(f.id.sign_b64);
    OK(kf_identity_prepare(f.dir, &f.id, &f.err), f.err);
    CM_AUTO_STR second = cm_strdup(f.id.pending->sign_b64);
    reload();
    assert_string_equal(f.id.sign_b64, first);
    OK(kf_identity_prepare(f.dir, &f.id, &f.err), f.err); /* asked again: the same */
    assert_string_equal(f.id.pending->sign_b64, second);

    OK(kf_identity_exchange(f.dir, &f.id, &f.err), f.err);
    assert_string_equal(f.id.sign_b64, second);
    assert_string_equal(f.id.former->sign_b64, first);
    assert_null(f.id.pending);
    assert_false(is_there("next"));
    reload();
    assert_string_equal(f.id.former->sign_b64, first);

    OK(kf_identity_drop_former(f.dir, &f.id, &f.err), f.err);
    assert_null(f.id.former);
    assert_false(is_there("old"));
    assert_string_equal(f.id.sign_b64, second);
}

static void given_up(void **state)
{
    (void)state;
    CM_AUTO_STR first = cm_strdup(f.id.sign_b64);
    OK(kf_identity_prepare(f.dir, &f.id, &f.err), f.err);
    OK(kf_identity_drop_pending(f.dir, &f.id, &f.err), f.err);
    assert_null(f.id.pending);
    assert_false(is_there("next"));
    assert_string_equal(f.id.sign_b64, first);
}

static void opens_with_both(void **state)
{
    (void)state;
    uint8_t *before = NULL, *after = NULL;
    size_t before_len, after_len;
    OK(kf_seal("old", 3, &f.id.seal_cert, 1, &before, &before_len, &f.err), f.err);
    OK(kf_identity_prepare(f.dir, &f.id, &f.err), f.err);
    OK(kf_identity_exchange(f.dir, &f.id, &f.err), f.err);
    OK(kf_seal("new", 3, &f.id.seal_cert, 1, &after, &after_len, &f.err), f.err);
    KF_AUTO_SECRET one = {0};
    KF_AUTO_SECRET two = {0};
    KF_AUTO_SECRET none = {0};
    OK(kf_identity_open(&f.id, before, before_len, &one, &f.err), f.err);
    OK(kf_identity_open(&f.id, after, after_len, &two, &f.err), f.err);
    assert_string_equal(one.data, "old");
    assert_string_equal(two.data, "new");
    OK(kf_identity_drop_former(f.dir, &f.id, &f.err), f.err);
    REFUSED(kf_identity_open(&f.id, before, before_len, &none, &f.err), CM_EDENIED,
            "not a recipient", f.err);
    cm_free(before);
    cm_free(after);
}

/* Without its head a directory is no identity: what a kill left there goes. */
static void half_made_is_wiped(void **state)
{
    (void)state;
    OK(kf_identity_prepare(f.dir, &f.id, &f.err), f.err);
    CM_AUTO_STR head = cm_asprintf("%s/next/identity.json", f.dir);
    assert_int_equal(unlink(head), 0); /* killed while they were made, or destroyed */
    reload();
    assert_null(f.id.pending);
    assert_false(is_there("next"));
}

static void half_exchanged_is_finished(void **state)
{
    (void)state;
    OK(kf_identity_prepare(f.dir, &f.id, &f.err), f.err);
    CM_AUTO_STR first = cm_strdup(f.id.sign_b64);
    CM_AUTO_STR second = cm_strdup(f.id.pending->sign_b64);
    CM_AUTO_STR command = cm_asprintf("%s/old", f.dir);
    OK(cm_dir_make(command, 0700, &f.err), f.err);
    static const char *const files[] = {"seal.key", "sign.key", "seal.crt", "identity.json"};
    for (size_t i = 0; i < 4; i++) {
        CM_AUTO_STR from = cm_asprintf("%s/%s", f.dir, files[i]);
        CM_AUTO_STR to = cm_asprintf("%s/old/%s", f.dir, files[i]);
        char *text;
        size_t len;
        OK(cm_file_read(from, 16384, &text, &len, &f.err), f.err);
        OK(cm_file_write(to, text, len, 0600, &f.err), f.err);
        cm_free_secret(text, len);
    }
    CM_AUTO_STR present = cm_asprintf("%s/sign.key", f.dir);
    assert_int_equal(unlink(present), 0); /* killed in the middle */
    reload();
    assert_string_equal(f.id.sign_b64, second);
    assert_string_equal(f.id.former->sign_b64, first);
    assert_null(f.id.pending);
}

/* Of a destroyed key nothing is left where it lay, not only its name is gone. */
static void destroyed_keys_are_overwritten(void **state)
{
    static const char *const names[] = {"seal.key", "sign.key"};
    (void)state;
    OK(kf_identity_prepare(f.dir, &f.id, &f.err), f.err);
    OK(kf_identity_exchange(f.dir, &f.id, &f.err), f.err);
    for (size_t i = 0; i < 2; i++) {
        CM_AUTO_STR key = cm_asprintf("%s/old/%s", f.dir, names[i]);
        CM_AUTO_STR kept = cm_asprintf("%s/kept-%zu", f.base, i);
        assert_int_equal(link(key, kept), 0);
    }
    OK(kf_identity_drop_former(f.dir, &f.id, &f.err), f.err);
    assert_false(is_there("old"));
    for (size_t i = 0; i < 2; i++) {
        CM_AUTO_STR kept = cm_asprintf("%s/kept-%zu", f.base, i);
        char *bytes = NULL;
        size_t len = 0;
        OK(cm_file_read(kept, 16384, &bytes, &len, &f.err), f.err);
        assert_true(len > 100);
        for (size_t k = 0; k < len; k++)
            assert_int_equal(bytes[k], 0);
        cm_free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_whole_way, setup, teardown),
        cmocka_unit_test_setup_teardown(given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(opens_with_both, setup, teardown),
        cmocka_unit_test_setup_teardown(half_made_is_wiped, setup, teardown),
        cmocka_unit_test_setup_teardown(half_exchanged_is_finished, setup, teardown),
        cmocka_unit_test_setup_teardown(destroyed_keys_are_overwritten, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
