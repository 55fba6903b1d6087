/* Reply header blocks and Retry-After (RFC 9110 10.2.3). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/net/http_client.h"

#define NOW  INT64_C(1763777802123)
#define YEAR (INT64_C(365) * 86400 * 1000)

static const char block[] = "HTTP/1.1 200 OK\r\n"
                            "Replay-Nonce: abc\r\n"
                            "link: <https://ca/1>;rel=\"up\"\r\n"
                            "LINK:\t <https://ca/2> \t\r\n"
                            "Linker: no\r\n"
                            "Empty:\r\n"
                            "Spaced : no\r\n"
                            "\r\n";

static void fields_are_found(void **state)
{
    (void)state;
    char out[64];
    assert_true(http_header_get(block, "replay-nonce", 0, out, sizeof(out)));
    assert_string_equal(out, "abc");
    assert_true(http_header_get(block, "Link", 0, out, sizeof(out)));
    assert_string_equal(out, "<https://ca/1>;rel=\"up\"");
    assert_true(http_header_get(block, "Link", 1, out, sizeof(out)));
    assert_string_equal(out, "<https://ca/2>");
    assert_false(http_header_get(block, "Link", 2, out, sizeof(out)));
    assert_true(http_header_get(block, "Empty", 0, out, sizeof(out)));
    assert_string_equal(out, "");
    assert_false(http_header_get(block, "Location", 0, out, sizeof(out)));
    assert_false(http_header_get(block, "Spaced", 0, out, sizeof(out)));
    assert_false(http_header_get("", "Link", 0, out, sizeof(out)));
    assert_true(http_header_get(block, "Replay-Nonce", 0, out, 4));
    assert_false(http_header_get(block, "Replay-Nonce", 0, out, 3));
}

static int64_t retry(const char *value)
{
    char text[200];
    snprintf(text, sizeof(text), "HTTP/1.1 503 x\r\nRetry-After: %s\r\n\r\n", value);
    return http_retry_after(text, NOW);
}

static void seconds_saturate(void **state)
{
    (void)state;
    assert_int_equal(retry("0"), NOW);
    assert_int_equal(retry("120"), NOW + 120000);
    assert_int_equal(retry("0120"), NOW + 120000);
    assert_int_equal(retry("31536000"), NOW + YEAR);
    assert_int_equal(retry("31536001"), NOW + YEAR);
    assert_int_equal(retry("9223372036854775807"), NOW + YEAR);
    assert_int_equal(retry("99999999999999999999999999999999999999999999"), NOW + YEAR);
}

static void all_three_date_forms(void **state)
{
    (void)state;
    int64_t want;
    assert_int_equal(cm_time_parse("2025-12-06T08:49:37Z", &want), 0);
    assert_int_equal(retry("Sat, 06 Dec 2025 08:49:37 GMT"), want);
    assert_int_equal(retry("Saturday, 06-Dec-25 08:49:37 GMT"), want);
    assert_int_equal(retry("Sat Dec  6 08:49:37 2025"), want);
    assert_int_equal(cm_time_parse("2025-12-16T08:49:37Z", &want), 0);
    assert_int_equal(retry("Tue Dec 16 08:49:37 2025"), want);
}

static void dates_past_and_far(void **state)
{
    (void)state;
    assert_int_equal(retry("Sun, 06 Nov 1994 08:49:37 GMT"), NOW);
    assert_int_equal(retry("Sunday, 06-Nov-94 08:49:37 GMT"), NOW); /* 1994, not 2094 */
    assert_int_equal(retry("Thu, 01 Jan 1970 00:00:00 GMT"), NOW);
    assert_int_equal(retry("Fri, 31 Dec 9999 23:59:59 GMT"), NOW + YEAR);
}

static void malformed_values_count_as_absent(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "-5",
        "+5",
        "1.5",
        "5s",
        "soon",
        "Sat, 06 Dec 2025 08:49:37",
        "06 Dec 2025",
        "Sat, 06 Dez 2025 08:49:37 GMT",
        "Sat, 32 Dec 2025 08:49:37 GMT",
        "Sat, 06 Dec 2025 25:49:37 GMT",
        "Sat, 06 Dec 2025 08:49:37 CET",
        "Sat, 6 Dec 2025 08:49:37 GMT",
        "Sat, 06 Dec 2025 08:49:37 GMT tomorrow",
        "Xat Dec",
        "Sat Foo  6 08:49:37 2025",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(retry(bad[i]), 0);
    assert_int_equal(http_retry_after("HTTP/1.1 200 OK\r\n\r\n", NOW), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found),
        cmocka_unit_test(seconds_saturate),
        cmocka_unit_test(all_three_date_forms),
        cmocka_unit_test(dates_past_and_far),
        cmocka_unit_test(malformed_values_count_as_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
