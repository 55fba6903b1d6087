/* The limit for lines that somebody else causes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/core/clock.h"
#include "base/core/told.h"

static void ten_a_minute_and_the_number_of_the_rest(void **state)
{
    (void)state;
    struct cm_told told = {0};
    int64_t left_out = -1;
    cm_clock_fake(-1, 5);
    for (int i = 0; i < 25; i++) {
        assert_int_equal(cm_told_more(&told, &left_out), i < CM_TOLD_MAX);
        assert_int_equal(left_out, 0);
    }
    cm_clock_fake(-1, 5 + CM_TOLD_MS - 1);
    assert_false(cm_told_more(&told, &left_out));
    cm_clock_fake(-1, 5 + CM_TOLD_MS);
    assert_true(cm_told_more(&told, &left_out));
    assert_int_equal(left_out, 16);
    cm_clock_fake(-1, 5 + 3 * CM_TOLD_MS);
    assert_true(cm_told_more(&told, &left_out)); /* none was left out since */
    assert_int_equal(left_out, 0);
    cm_clock_fake(-1, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_a_minute_and_the_number_of_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
