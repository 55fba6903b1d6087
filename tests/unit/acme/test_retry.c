/* Back-off: the table, its jitter, its ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "certmgr/acme/retry.h"

#define MINUTE INT64_C(60000)
#define DAY    (1440 * MINUTE)

static void the_table(void **state)
{
    (void)state;
    static const int64_t table[] = {MINUTE, MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY};
    for (unsigned attempts = 0; attempts < 6; attempts++) {
        int64_t lowest = INT64_MAX;
        int64_t highest = 0;
        int64_t sum = 0;
        for (uint64_t seed = 0; seed < 2000; seed++) {
            int64_t ms = acme_backoff_ms(attempts, CM_RETRY_TRANSIENT, seed);
            assert_int_equal(ms, acme_backoff_ms(attempts, CM_RETRY_TRANSIENT, seed));
            lowest = ms < lowest ? ms : lowest;
            highest = ms > highest ? ms : highest;
            sum += ms;
        }
        int64_t want = table[attempts];
        assert_true(lowest >= want / 2 && lowest < want * 51 / 100);
        assert_true(highest <= want * 3 / 2 && highest > want * 149 / 100);
        assert_true(sum / 2000 > want * 97 / 100 && sum / 2000 < want * 103 / 100);
    }
}

static void people_first(void **state)
{
    (void)state;
    assert_true(acme_backoff_ms(1, CM_RETRY_CONFIGURATION, 7) >= DAY / 2);
    assert_true(acme_backoff_ms(1, CM_RETRY_PERMANENT, 7) >= DAY / 2);
    assert_true(acme_backoff_ms(1, CM_RETRY_REPAIR, 7) <= 2 * MINUTE);
    assert_true(acme_backoff_ms(1, CM_RETRY_NONE, 7) <= 2 * MINUTE);
}

/* CVE-2025-55753: a back-off that overflowed after a month of failures stopped pausing at all. */
static void ten_thousand_failures(void **state)
{
    (void)state;
    for (unsigned attempts = 5; attempts < 10000; attempts++) {
        int64_t ms = acme_backoff_ms(attempts, CM_RETRY_TRANSIENT, attempts);
        assert_true(ms >= DAY / 2 && ms <= DAY * 3 / 2);
    }
    assert_true(acme_backoff_ms(UINT32_MAX, CM_RETRY_TRANSIENT, UINT64_MAX) >= DAY / 2);
}

static void seeds_spread(void **state)
{
    (void)state;
    unsigned near = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        int64_t a = acme_backoff_ms(4, CM_RETRY_TRANSIENT, seed);
        int64_t b = acme_backoff_ms(4, CM_RETRY_TRANSIENT, seed + 1);
        near += a - b < 10 * MINUTE && b - a < 10 * MINUTE;
    }
    assert_true(near < 50);
}

static void the_floor(void **state)
{
    (void)state;
    int64_t now = 1000000;
    assert_int_equal(acme_next_attempt_ms(now, 1, CM_RETRY_TRANSIENT, 1, now + DAY), now + DAY);
    assert_int_equal(acme_next_attempt_ms(now, 1, CM_RETRY_TRANSIENT, 1, 0),
                     now + acme_backoff_ms(1, CM_RETRY_TRANSIENT, 1));
    assert_int_equal(acme_next_attempt_ms(INT64_MAX - 5, 9, CM_RETRY_TRANSIENT, 1, 0), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table),
        cmocka_unit_test(people_first),
        cmocka_unit_test(ten_thousand_failures),
        cmocka_unit_test(seeds_spread),
        cmocka_unit_test(the_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
