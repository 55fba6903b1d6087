/* The memory against rollback. */
#include "support.h"

#include "keyfile/serials.h"

#define ULID "01JDEXAMPE0000000000000000"

static char *dir;
static struct cm_err err;

static int setup(void **state)
{
    (void)state;
    dir = temp_dir();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_dir(dir);
    return 0;
}

static void remembers_the_highest(void **state)
{
    (void)state;
    struct kf_serial s, one = {.serial = 5}, two = {.serial = 9};
    cm_sha256_hex("one", 3, one.digest);
    cm_sha256_hex("two", 3, two.digest);
    OK(kf_serial_get(dir, ULID, &s, &err), err);
    assert_int_equal(s.serial, 0);
    OK(kf_serial_put(dir, ULID, &two, &err), err);
    OK(kf_serial_get(dir, ULID, &s, &err), err);
    assert_int_equal(s.serial, 9);
    assert_string_equal(s.digest, two.digest);
    OK(kf_serial_put(dir, ULID, &one, &err), err); /* never back */
    OK(kf_serial_get(dir, ULID, &s, &err), err);
    assert_int_equal(s.serial, 9);
}

static void damage_is_no_forgetting(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "{\"serial\":0}",
        "{\"serial\":\"9\"}",
        "nonsense",
        ("{\"serial\":5,\"digest\":\"01234567890123456789012345678901234567890123456789"
         "012345678901234\"}"), /* one digit too many */
    };
    struct kf_serial s, one = {.serial = 5};
    CM_AUTO_STR path = cm_asprintf("%s/serials/" ULID ".json", dir);
    OK(kf_serial_put(dir, ULID, &one, &err), err);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        OK(cm_file_write(path, texts[i], strlen(texts[i]), 0600, &err), err);
        REFUSED(kf_serial_get(dir, ULID, &s, &err), CM_EMALF, "damaged", err);
        assert_true(kf_serial_put(dir, ULID, &one, NULL) < 0);
    }
    REFUSED(kf_serial_get(dir, "../../etc/passwd", &s, &err), CM_EMALF, "ULID", err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(remembers_the_highest, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_no_forgetting, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
