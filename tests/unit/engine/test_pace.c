/* How many orders are open at a time: certmgr/engine/pace.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certmgr/engine/engine.h"
#include "certmgr/engine/pace.h"

static void few_while_nothing_is_known(void **state)
{
    (void)state;
    struct eng_pace pace = {0};
    assert_int_equal(eng_pace_jobs(&pace), ENG_JOBS_NEAR);
    eng_pace_reply(&pace, 1000000, 0);
    assert_in_range(eng_pace_jobs(&pace), ENG_JOBS_NEAR, ENG_JOBS_NEAR + 2);
}

static void more_for_a_distant_ca_but_bounded(void **state)
{
    (void)state;
    struct eng_pace pace = {0};
    eng_pace_reply(&pace, 1000000, 10);
    assert_in_range(eng_pace_jobs(&pace), ENG_JOBS_NEAR + 1, ENG_JOBS_MAX - 1);
    struct eng_pace far = {0};
    eng_pace_reply(&far, 1000000, 50);
    assert_int_equal(eng_pace_jobs(&far), ENG_JOBS_MAX);
    struct eng_pace farther = {0};
    eng_pace_reply(&farther, 1000000, INT64_MAX);
    assert_int_equal(eng_pace_jobs(&farther), ENG_JOBS_MAX);
    assert_int_equal(eng_pace_conns(&pace), HTTP_HOST_CONNS_USUAL);
    assert_int_equal(eng_pace_conns(&far), ENG_JOBS_MAX);
    struct eng_pace near = {0};
    eng_pace_reply(&near, 1000000, 1);
    assert_int_equal(eng_pace_conns(&near), 8);
}

/* Replies that are slow because we or the CA are busy come beside quick ones. */
static void one_quick_reply_counts(void **state)
{
    (void)state;
    struct eng_pace pace = {0};
    int64_t now = 1000000;
    eng_pace_reply(&pace, now, 1);
    for (int i = 0; i < 1000; i++)
        eng_pace_reply(&pace, now + i, 200);
    assert_in_range(eng_pace_jobs(&pace), ENG_JOBS_NEAR, ENG_JOBS_NEAR + 2);
    eng_pace_reply(&pace, now + PACE_WINDOW_MS, 200);
    assert_in_range(eng_pace_jobs(&pace), ENG_JOBS_NEAR, ENG_JOBS_NEAR + 2);
    eng_pace_reply(&pace, now + 2 * PACE_WINDOW_MS, 200); /* the CA moved away for good */
    assert_int_equal(eng_pace_jobs(&pace), ENG_JOBS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_while_nothing_is_known),
        cmocka_unit_test(more_for_a_distant_ca_but_bounded),
        cmocka_unit_test(one_quick_reply_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
