/*
 * How long a peer may be silent, and when it is asked again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicator/patience.h"

static const uint32_t randoms[] = {0, 1, 7499, 7500, 7501, 123456789, UINT32_MAX};
#define RANDOMS (sizeof(randoms) / sizeof(randoms[0]))

/* A cut heals just after an attempt began that will be in vain: how long until the next begins? */
static void the_next_attempt_is_near(void **state)
{
    (void)state;
    const int64_t spent[] = {RP_FEED_SILENCE_MS, rp_silence_ms(false, false, 0), RP_CONNECT_MS, 0};
    for (size_t i = 0; i < sizeof(spent) / sizeof(spent[0]); i++)
        for (size_t r = 0; r < RANDOMS; r++) {
            int64_t wait = rp_wait_ms(RP_BACKOFF_MAX_MS, spent[i], randoms[r]);
            assert_in_range(wait, RP_BACKOFF_MIN_MS / 2, RP_BACKOFF_MAX_MS);
            assert_true(spent[i] + wait <= 16000); /* half of the 30 s is left for the documents */
        }
}

static void attempts_begin_apart(void **state)
{
    (void)state;
    int64_t backoff = RP_BACKOFF_MIN_MS;
    for (int i = 0; i < 12; i++) {
        for (size_t r = 0; r < RANDOMS; r++) {
            int64_t at_once = rp_wait_ms(backoff, 0, randoms[r]);
            assert_in_range(at_once, backoff / 2, backoff);
            int64_t late = rp_wait_ms(backoff, backoff / 4, randoms[r]);
            assert_true(late + backoff / 4 >= at_once);
            assert_true(late <= at_once);
        }
        int64_t next = rp_backoff_next(backoff);
        assert_true(next > backoff || next == RP_BACKOFF_MAX_MS);
        backoff = next;
    }
    assert_int_equal(backoff, RP_BACKOFF_MAX_MS);
}

static void a_fleet_does_not_come_in_one_moment(void **state)
{
    (void)state;
    assert_true(rp_wait_ms(8000, 0, 1) != rp_wait_ms(8000, 0, 2001));
    assert_true(rp_wait_ms(RP_BACKOFF_MIN_MS, 3600000, 1) !=
                rp_wait_ms(RP_BACKOFF_MIN_MS, 3600000, 101));
}

static void a_body_takes_time_to_get_there(void **state)
{
    (void)state;
    assert_int_equal(rp_silence_ms(false, false, 0), RP_SILENCE_MS);
    /* 1 MiB over 64 kbit/s */
    assert_true(rp_silence_ms(false, false, 1 << 20) >= RP_SILENCE_MS + 131000);
    assert_int_equal(rp_silence_ms(false, true, 0), RP_HUB_SILENCE_MS);
    assert_int_equal(rp_silence_ms(true, true, 0), RP_FEED_SILENCE_MS);
    assert_int_equal(rp_silence_ms(false, true, SIZE_MAX), INT32_MAX);
    assert_true(RP_FEED_SILENCE_MS > 2 * RP_HEARTBEAT_MS);
    assert_true(RP_SILENCE_MS > RP_CONNECT_MS);
}

/* Only what a document itself calls forth is said for good: everything else may be a node's
 * trouble. */
static void rows_of_a_cluster(void **state)
{
    static const char *const final[] = {"forbidden",   "unauthorized",   "document_too_large",
                                        "bad_request", "doc_validation", "conflict"};
    static const char *const passing[] = {"internal_server_error",
                                          "timeout",
                                          "nodedown",
                                          "not_found",
                                          "write_quorum_not_met",
                                          "unknown_error",
                                          "service unavailable",
                                          ""};
    (void)state;
    for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++)
        assert_true(rp_row_final(final[i]));
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        assert_false(rp_row_final(passing[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_attempt_is_near),
        cmocka_unit_test(attempts_begin_apart),
        cmocka_unit_test(a_fleet_does_not_come_in_one_moment),
        cmocka_unit_test(a_body_takes_time_to_get_there),
        cmocka_unit_test(rows_of_a_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
