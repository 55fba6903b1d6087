/* The pure rules behind budgets: buckets, what is known of CAs, billing classes, breaker, clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/core/json.h"
#include "certmgr/engine/billing.h"
#include "certmgr/engine/breaker.h"
#include "certmgr/engine/bucket.h"
#include "certmgr/engine/clock_guard.h"

#define NOW INT64_C(1800000000000)

/* ---- buckets ----------------------------------------------------------------------------------
 */

static void a_bucket_empties_and_refills_one_by_one(void **state)
{
    (void)state;
    const struct acme_rate rate = {5, 1000};
    int64_t full = 0;
    assert_int_equal(eng_bucket_left(&rate, full, NOW), 5);
    for (unsigned i = 5; i > 0; i--) {
        assert_int_equal(eng_bucket_left(&rate, full, NOW), i);
        assert_int_equal(eng_bucket_when(&rate, full, NOW, 1), NOW);
        full = eng_bucket_take(&rate, full, NOW, 1);
    }
    assert_int_equal(eng_bucket_left(&rate, full, NOW), 0);
    assert_int_equal(eng_bucket_when(&rate, full, NOW, 1), NOW + 1000);
    assert_int_equal(eng_bucket_when(&rate, full, NOW, 3), NOW + 3000);
    assert_int_equal(eng_bucket_left(&rate, full, NOW + 999), 0);
    assert_int_equal(eng_bucket_left(&rate, full, NOW + 1000), 1);
    assert_int_equal(eng_bucket_left(&rate, full, NOW + 4999), 4);
    assert_int_equal(eng_bucket_left(&rate, full, NOW + 5000), 5);
}

static void odd_clocks_and_numbers_do_not_lock_a_bucket(void **state)
{
    (void)state;
    const struct acme_rate rate = {5, 1000}, huge = {UINT32_MAX, INT64_MAX}, none = {0, 0};
    /* The clock was set back by a year: at most the time to fill. */
    assert_int_equal(eng_bucket_when(&rate, NOW + INT64_C(31536000000), NOW, 1), NOW + 1000);
    assert_int_equal(eng_bucket_left(&rate, INT64_MAX, NOW), 0);
    assert_int_equal(eng_bucket_take(&rate, INT64_MAX, NOW, UINT32_MAX),
                     NOW + 5000 + INT64_C(1000) * UINT32_MAX);
    assert_int_equal(eng_bucket_take(&huge, INT64_MAX, INT64_MAX, UINT32_MAX), INT64_MAX);
    assert_true(eng_bucket_when(&huge, INT64_MAX, NOW, 1) >= NOW);
    assert_int_equal(eng_bucket_left(&none, INT64_MAX, NOW), UINT32_MAX);
    assert_int_equal(eng_bucket_when(&none, INT64_MAX, NOW, 9), NOW);
    int64_t full = 0;
    for (unsigned i = 0; i < 10000; i++) {
        full = eng_bucket_take(&rate, full, NOW, UINT32_MAX);
        assert_true(full > NOW);
    }
}

/* ---- billing ----------------------------------------------------------------------------------
 */

static void classes_of_names(void **state)
{
    (void)state;
    static const struct {
        const char *names;
        enum billing_class billing;
    } rows[] = {
        {"[\"example.com\"]", BILLING_BASIC},
        {"[\"www.example.com\"]", BILLING_BASIC},
        {"[\"a.b.example.com\"]", BILLING_BASIC},
        {"[\"example.com\",\"www.example.com\"]", BILLING_BASIC},
        {"[\"www.example.com\",\"example.com\"]", BILLING_BASIC},
        {"[\"a.example.com\",\"www.a.example.com\"]", BILLING_BASIC},
        {"[\"*.example.com\"]", BILLING_WILDCARD},
        {"[\"*.example.com\",\"example.com\"]", BILLING_WILDCARD},
        {"[\"example.com\",\"*.example.com\"]", BILLING_WILDCARD},
        {"[\"example.com\",\"mail.example.com\"]", BILLING_PREMIUM},
        {"[\"mail.example.com\",\"example.com\",\"a.example.com\"]", BILLING_PREMIUM},
        {"[\"example.com\",\"www.example.com\",\"a.example.com\"]", BILLING_PREMIUM},
        {"[\"example.com\",\"a.example.com\",\"b.example.com\",\"c.example.com\"]",
         BILLING_PREMIUM},
        {"[\"example.com\",\"a.example.com\",\"b.example.com\",\"c.example.com\","
         "\"d.example.com\"]",
         BILLING_MULTI},
        {"[\"example.com\",\"www.example.com\",\"b.example.com\",\"c.example.com\","
         "\"d.example.com\"]",
         BILLING_MULTI},
        {"[\"a.example.com\",\"b.example.com\"]", BILLING_MULTI},
        {"[\"example.com\",\"example.org\"]", BILLING_MULTI},
        {"[\"*.example.com\",\"*.example.org\"]", BILLING_MULTI},
        {"[\"*.example.com\",\"www.example.com\"]", BILLING_MULTI},
        {"[\"*.example.com\",\"example.com\",\"www.example.com\"]", BILLING_MULTI},
        {"[\"example.com\",\"badexample.com\"]", BILLING_MULTI},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON names = json_loads(rows[i].names, 0, NULL);
        assert_non_null(names);
        if (billing_of(names) != rows[i].billing)
            fail_msg("%s: %s", rows[i].names, billing_text(billing_of(names)));
    }
    assert_string_equal(billing_text(BILLING_MULTI), "Multi-domain UCC/SAN");
}

/* ---- breaker ----------------------------------------------------------------------------------
 */

static void many_failures_open_the_breaker_and_a_canary_closes_it(void **state)
{
    (void)state;
    struct eng_breaker breaker = {0};
    int64_t now = 5000000;
    for (int i = 0; i < 16; i++)
        assert_false(eng_breaker_note(&breaker, now += 1000, true));
    for (int i = 0; i < 4; i++) { /* 4 of 20 are not more than 20 %, and too few anyway */
        assert_false(eng_breaker_note(&breaker, now += 1000, false));
        assert_int_equal(eng_breaker_ask(&breaker, now), 0);
    }
    assert_true(eng_breaker_note(&breaker, now += 1000, false)); /* 5 of 21 */
    int64_t opened = now;
    assert_int_equal(eng_breaker_ask(&breaker, now), opened + BREAKER_CANARY_MS);
    assert_int_equal(eng_breaker_ask(&breaker, opened + BREAKER_CANARY_MS), 0); /* the canary */
    now = opened + BREAKER_CANARY_MS + 1;
    assert_int_equal(eng_breaker_ask(&breaker, now), opened + 2 * BREAKER_CANARY_MS);
    assert_false(eng_breaker_note(&breaker, now, false));
    now = opened + 2 * BREAKER_CANARY_MS;
    assert_int_equal(eng_breaker_ask(&breaker, now), 0);
    assert_true(eng_breaker_note(&breaker, now, true));
    for (int i = 0; i < 100; i++)
        assert_int_equal(eng_breaker_ask(&breaker, now), 0);
    for (int i = 0; i < BREAKER_LEAST - 1; i++) /* counted from the beginning */
        assert_false(eng_breaker_note(&breaker, now, false));
    assert_true(eng_breaker_note(&breaker, now, false));
}

static void a_share_of_a_fifth_is_borne_and_old_failures_are_forgotten(void **state)
{
    (void)state;
    struct eng_breaker breaker = {0};
    unsigned bad, all;
    for (int i = 0; i < 400; i++)
        assert_false(eng_breaker_note(&breaker, 1000, true));
    for (int i = 0; i < 100; i++)
        assert_false(eng_breaker_note(&breaker, 1000, false));
    eng_breaker_count(&breaker, 1000 + BREAKER_WINDOW_MS - 60000, &bad, &all);
    assert_int_equal(bad, 100);
    assert_int_equal(all, 500);
    eng_breaker_count(&breaker, 1000 + BREAKER_WINDOW_MS, &bad, &all);
    assert_int_equal(all, 0);
    struct eng_breaker slow = {0}; /* one failure each 16 minutes: never five within an hour */
    for (int64_t i = 1; i < 1000; i++)
        assert_false(eng_breaker_note(&slow, i * 960000, false));
}

/* ---- clock ------------------------------------------------------------------------------------
 */

static void a_jump_is_seen_and_the_ca_decides(void **state)
{
    (void)state;
    struct clock_guard guard = {0};
    int64_t boot = 1000, wall = NOW;
    assert_false(clock_guard_look(&guard, wall, boot));
    assert_false(clock_guard_look(&guard, wall + 60000, boot + 60000));
    assert_false(clock_guard_look(&guard, wall + 60000 + CLOCK_JUMP_MS, boot + 60000));
    wall = NOW + 60000 + CLOCK_JUMP_MS;
    boot = 61000;
    /* A machine that slept: both clocks went on. */
    assert_false(clock_guard_look(&guard, wall + 10 * CLOCK_JUMP_MS, boot + 10 * CLOCK_JUMP_MS));
    wall += 10 * CLOCK_JUMP_MS;
    boot += 10 * CLOCK_JUMP_MS;
    int64_t ahead = wall + CLOCK_JUMP_MS + 2;
    assert_true(clock_guard_look(&guard, ahead, boot + 1));
    assert_true(guard.doubt);
    assert_false(guard.by_ca);
    assert_int_equal(guard.off_ms, CLOCK_JUMP_MS + 1);
    assert_false(clock_guard_look(&guard, ahead + 5, boot + 6)); /* no news, no end */
    assert_true(guard.doubt);
    assert_false(clock_guard_date(&guard, ahead, wall)); /* the CA agrees that it is wrong */
    assert_true(guard.doubt && guard.by_ca);
    assert_true(clock_guard_date(&guard, ahead, ahead - CLOCK_JUMP_MS)); /* no: it is right */
    assert_false(guard.doubt);
    assert_true(clock_guard_look(&guard, ahead - INT64_C(86400000), boot + 7)); /* set back */
    assert_true(guard.doubt && guard.off_ms < 0);
}

static void the_ca_alone_can_raise_doubt(void **state)
{
    (void)state;
    struct clock_guard guard = {0};
    assert_false(clock_guard_date(&guard, NOW, NOW - CLOCK_JUMP_MS));
    assert_true(clock_guard_date(&guard, NOW, NOW + CLOCK_JUMP_MS + 1));
    assert_true(guard.doubt && guard.by_ca);
    assert_int_equal(guard.since_ms, NOW);
    assert_false(clock_guard_date(&guard, NOW + 1, NOW + CLOCK_JUMP_MS + 2));
    assert_int_equal(guard.since_ms, NOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_empties_and_refills_one_by_one),
        cmocka_unit_test(odd_clocks_and_numbers_do_not_lock_a_bucket),
        cmocka_unit_test(classes_of_names),
        cmocka_unit_test(many_failures_open_the_breaker_and_a_canary_closes_it),
        cmocka_unit_test(a_share_of_a_fifth_is_borne_and_old_failures_are_forgotten),
        cmocka_unit_test(a_jump_is_seen_and_the_ca_decides),
        cmocka_unit_test(the_ca_alone_can_raise_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
