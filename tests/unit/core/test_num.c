/* Strict numbers and saturating arithmetic. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/core/err.h"
#include "base/core/num.h"

static void numbers_within_the_range(void **state)
{
    (void)state;
    int64_t n;
    assert_int_equal(cm_num_i64("0", 0, 10, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(cm_num_i64("010", 0, 10, &n), 0);
    assert_int_equal(n, 10);
    assert_int_equal(cm_num_i64("9223372036854775807", 0, INT64_MAX, &n), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(cm_num_i64("-9223372036854775808", INT64_MIN, 0, &n), 0);
    assert_true(n == INT64_MIN);
    assert_int_equal(cm_num_i64("-5", -5, 5, &n), 0);
    assert_int_equal(n, -5);
}

static void numbers_outside(void **state)
{
    (void)state;
    int64_t n = 42;
    assert_int_equal(cm_num_i64("11", 0, 10, &n), CM_ELIMIT);
    assert_int_equal(cm_num_i64("4", 5, 10, &n), CM_ELIMIT);
    assert_int_equal(cm_num_i64("9223372036854775808", 0, INT64_MAX, &n), CM_ELIMIT);
    assert_int_equal(cm_num_i64("-9223372036854775809", INT64_MIN, 0, &n), CM_ELIMIT);
    assert_int_equal(cm_num_i64("99999999999999999999999999", 0, INT64_MAX, &n), CM_ELIMIT);
    assert_int_equal(n, 42);
}

static void what_is_no_number(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "1x",
        "0x10",
        "1e3",
        "1.0",
        "--1",
        "1-",
        "\xef\xbc\x91",
        "99999999999999999999999999x",
    };
    int64_t n = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cm_num_i64(bad[i], -100, 100, &n), CM_EMALF);
    assert_int_equal(cm_num_i64("-1", 0, 100, &n), CM_EMALF); /* no sign where none is allowed */
    assert_int_equal(cm_num_i64(NULL, 0, 100, &n), CM_EMALF);
    assert_int_equal(n, 42);
}

static void arithmetic_saturates(void **state)
{
    (void)state;
    assert_true(cm_add_sat(INT64_MAX, 1) == INT64_MAX);
    assert_true(cm_add_sat(INT64_MIN, -1) == INT64_MIN);
    assert_true(cm_add_sat(INT64_MAX, INT64_MIN) == -1);
    assert_true(cm_mul_sat(INT64_MAX, 2) == INT64_MAX);
    assert_true(cm_mul_sat(INT64_MIN, -1) == INT64_MAX);
    assert_true(cm_mul_sat(INT64_MAX, -2) == INT64_MIN);
    assert_int_equal(cm_mul_sat(-6, 7), -42);
    assert_int_equal(cm_add_sat(-6, 7), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_within_the_range),
        cmocka_unit_test(numbers_outside),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(arithmetic_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
