/* Clock faking and RFC 3339 text, both ways. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <time.h>

#include "base/core/clock.h"
#include "base/core/err.h"

static void known_times_go_both_ways(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1763777802123, "2025-11-22T02:16:42.123Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[CM_TIME_TEXT];
        int64_t ms = 5;
        cm_time_format(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(cm_time_parse(rows[i].text, &ms), 0);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void agrees_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t s = -5000000000; s < 20000000000; s += 86399 * 97) {
        char text[CM_TIME_TEXT], want[CM_TIME_TEXT];
        time_t t = (time_t)s;
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm), 24);
        cm_time_format(s * 1000, text);
        assert_string_equal(text, want);
        int64_t back;
        assert_int_equal(cm_time_parse(text, &back), 0);
        assert_int_equal(back, s * 1000);
    }
}

static void fractions_of_any_length(void **state)
{
    (void)state;
    int64_t ms;
    assert_int_equal(cm_time_parse("1970-01-01T00:00:01Z", &ms), 0);
    assert_int_equal(ms, 1000);
    assert_int_equal(cm_time_parse("1970-01-01T00:00:01.5Z", &ms), 0);
    assert_int_equal(ms, 1500);
    assert_int_equal(cm_time_parse("1970-01-01T00:00:01.123456789012345678901234567890Z", &ms), 0);
    assert_int_equal(ms, 1123);
    assert_int_equal(cm_time_parse("1970-01-01T00:00:01.9999Z", &ms), 0);
    assert_int_equal(ms, 1999);
    assert_int_equal(cm_time_parse("2016-12-31T23:59:60Z", &ms), 0); /* leap second */
    assert_int_equal(ms, 1483228800000);
}

static void everything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2025",
        "2025-11-22",
        "2025-11-22T02:16:42",
        "2025-11-22T02:16:42z",
        "2025-11-22t02:16:42Z",
        "2025-11-22 02:16:42Z",
        "2025-11-22T02:16:42.Z",
        "2025-11-22T02:16:42+00:00",
        "2025-11-22T02:16:42.123Zx",
        " 2025-11-22T02:16:42Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2025-04-31T00:00:00Z",
        "2025-01-00T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:61Z",
        "-025-01-01T00:00:00Z",
        "2025-1-01T00:00:000Z",
        "2025-01-01T00:00:0xZ",
        "20255-01-01T00:00:00Z",
        "2025-01-01T00:00:00.1 Z",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ms = 42;
        assert_int_equal(cm_time_parse(bad[i], &ms), CM_EMALF);
        assert_int_equal(ms, 42);
    }
    assert_int_equal(cm_time_parse(NULL, &(int64_t){0}), CM_EMALF);
}

static void out_of_range_times_are_clamped(void **state)
{
    (void)state;
    char text[CM_TIME_TEXT];
    cm_time_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    cm_time_format(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void the_fake_clock_stands_still(void **state)
{
    (void)state;
    cm_clock_fake(1000, 50);
    assert_int_equal(cm_now_ms(), 1000);
    assert_int_equal(cm_mono_ms(), 50);
    assert_int_equal(cm_now_ms(), 1000);
    cm_clock_fake(0, 0);
    assert_int_equal(cm_now_ms(), 0);
    assert_int_equal(cm_mono_ms(), 0);
    cm_clock_fake(-1, -1);
    assert_true(cm_now_ms() > INT64_C(1700000000000));
    int64_t before = cm_mono_ms();
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_true(cm_mono_ms() - before >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times_go_both_ways),
        cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(fractions_of_any_length),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(out_of_range_times_are_clamped),
        cmocka_unit_test(the_fake_clock_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
