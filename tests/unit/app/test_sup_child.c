/*
 * The pace at which the supervisor starts a child again: a table of lives under a clock that
 * stands, and what is said of them.
 */
#include "support.h"

#include <signal.h>

#include "base/core/clock.h"
#include "certmgr/sup_child.h"
#include "certmgr/supervisor.h"

#define PID 4242

static int setup(void **state)
{
    static struct sup_child child;
    cm_clock_fake(1800000000000, 1000000);
    sup_child_init(&child, "front", "front-process", "");
    *state = &child;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_clock_fake(-1, -1);
    return 0;
}

/* As if it had been started now and ended after so long; the wait until the next start. */
static int64_t live_as(struct sup_child *child, int64_t ms, int status)
{
    child->pid = PID;
    child->started_at = cm_mono_ms();
    cm_clock_fake(cm_now_ms() + ms, cm_mono_ms() + ms);
    assert_true(sup_child_ended(child, PID, status, false));
    assert_int_equal(child->pid, 0);
    return child->start_at - cm_mono_ms();
}

/* Each end another one, so that none is like the one before. */
static int64_t live(struct sup_child *child, int64_t ms)
{
    static int status;
    status = status % 100 + 1;
    return live_as(child, ms, status << 8);
}

static void waits_longer_each_time(void **state)
{
    static const int64_t want[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    struct sup_child *child = *state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_int_equal(live(child, 10), want[i]);
}

static void a_long_life_begins_anew(void **state)
{
    struct sup_child *child = *state;
    for (int i = 0; i < 8; i++)
        (void)live(child, 10);
    assert_int_equal(live(child, SUP_RESTART_MAX_MS), SUP_RESTART_MAX_MS); /* not yet */
    assert_int_equal(live(child, SUP_RESTART_MAX_MS + 1), SUP_RESTART_MIN_MS);
    assert_int_equal(live(child, 10), 2 * SUP_RESTART_MIN_MS);
}

/* What cannot start for a reason that stays (files of another user) is not tried all the time. */
static void ends_that_are_alike_are_tried_seldom(void **state)
{
    static const int64_t want[] = {100, 200, 400, 800, 1600, 60000, 60000, 60000};
    struct sup_child *child = *state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_int_equal(live_as(child, 10, 1 << 8), want[i]);
    assert_int_equal(live_as(child, 10, SIGSEGV), SUP_RESTART_MAX_MS); /* something else */
    for (int i = 0; i < 4; i++)
        assert_int_equal(live_as(child, 10, SIGSEGV), SUP_RESTART_MAX_MS);
    assert_int_equal(live_as(child, 10, SIGSEGV), SUP_ALIKE_MS);
    /* It ran for a while: whatever it was, it is over. */
    assert_int_equal(live_as(child, SUP_RESTART_MAX_MS + 1, SIGSEGV), SUP_RESTART_MIN_MS);
    assert_int_equal(live_as(child, 10, SIGSEGV), 2 * SUP_RESTART_MIN_MS);
}

/* Nothing is wrong with it: it is back within 30 s, however often it was killed. */
static void who_is_killed_comes_back_soon(void **state)
{
    struct sup_child *child = *state;
    for (int i = 0; i < 20; i++)
        assert_in_range(live_as(child, 10, SIGKILL), SUP_RESTART_MIN_MS, SUP_RESTART_MAX_MS);
}

/* Status 0 says that it wants to begin anew: neither waited for nor held against it, but no loop.
 */
static void a_wish_is_no_failure(void **state)
{
    struct sup_child *child = *state;
    assert_int_equal(live(child, 10), SUP_RESTART_MIN_MS);
    assert_int_equal(live(child, 10), 2 * SUP_RESTART_MIN_MS);
    for (int i = 0; i < SUP_WISHES_MAX; i++)
        assert_int_equal(live_as(child, 10, 0), SUP_RESTART_MIN_MS);
    assert_int_equal(live_as(child, 10, 0), SUP_ALIKE_MS);
    assert_int_equal(live(child, 10), 8 * SUP_RESTART_MIN_MS); /* one doubling for the last wish */
    assert_int_equal(live_as(child, 10, 0), SUP_RESTART_MIN_MS);
}

static void is_due_when_the_wait_is_over(void **state)
{
    struct sup_child *child = *state;
    assert_true(sup_child_due(child, cm_mono_ms()));
    (void)live(child, 10);
    (void)live(child, 10);
    assert_false(sup_child_due(child, cm_mono_ms() + 199));
    assert_true(sup_child_due(child, cm_mono_ms() + 200));
    child->pid = PID;
    assert_false(sup_child_due(child, cm_mono_ms() + 200));
    child->pid = 0;
}

static void another_process_is_not_its_business(void **state)
{
    struct sup_child *child = *state;
    child->pid = PID;
    assert_false(sup_child_ended(child, PID + 1, 0, false));
    assert_int_equal(child->pid, PID);
    assert_int_equal(child->backoff_ms, SUP_RESTART_MIN_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(waits_longer_each_time),
        TEST(a_long_life_begins_anew),
        TEST(ends_that_are_alike_are_tried_seldom),
        TEST(who_is_killed_comes_back_soon),
        TEST(a_wish_is_no_failure),
        TEST(is_due_when_the_wait_is_over),
        TEST(another_process_is_not_its_business),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
