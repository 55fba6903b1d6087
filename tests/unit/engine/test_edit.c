/* Read, change, publish: writers that meet repeat until each has had its say. */
#include "tests/unit/engine/harness.h"

#define ID "settings:global"

static unsigned calls;

static int add_day(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    calls++;
    cm_json_set_int(body, "renew_days", cm_json_int(body, "renew_days", 0) + 1);
    return 0;
}

static int leave(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)body;
    (void)err;
    return 1;
}

static int refuse(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)body;
    return cm_fail(err, CM_EDENIED, "not this one");
}

static int spoil(void *arg, json_t *body, struct cm_err *err)
{
    (void)arg;
    (void)err;
    cm_json_set_str(body, "colour", "red"); /* not in the schema */
    return 0;
}

static unsigned ended;
static unsigned conflicts;
static int last_code;

static void on_end(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    ended++;
    last_code = err ? err->code : 0;
    conflicts += last_code == CM_ECONFLICT;
    if (arg)
        assert_true((doc != NULL) == (err == NULL));
}

static void wait_for(struct h *h, unsigned count)
{
    while (ended < count)
        cm_loop_turn(h->loop, true);
}

static int64_t days(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "settings", "global");
    return cm_json_int(body, "renew_days", 0);
}

static void edit(struct h *h, eng_edit_fn fn, void *arg)
{
    eng_edit(h->engine, ID, "settings", fn, on_end, arg);
}

static void edits_that_meet_all_count(void **state)
{
    struct h *h = *state;
    calls = ended = 0;
    for (int i = 0; i < 3; i++)
        edit(h, add_day, h);
    assert_int_equal(ended, 0); /* never from inside */
    wait_for(h, 3);
    assert_int_equal(last_code, 0);
    assert_int_equal(days(h), 3);
    assert_true(calls > 3);
}

static void too_many_at_once_end_in_a_conflict(void **state)
{
    struct h *h = *state;
    ended = conflicts = 0;
    for (int i = 0; i < 13; i++)
        edit(h, add_day, NULL);
    wait_for(h, 13);
    assert_int_equal(conflicts, 3); /* one wins each round, and there are ten rounds */
    assert_int_equal(days(h), 10);
}

static void leaving_and_refusing_write_nothing(void **state)
{
    struct h *h = *state;
    ended = 0;
    edit(h, leave, NULL);
    assert_int_equal(ended, 0);
    wait_for(h, 1);
    assert_int_equal(last_code, 0);
    edit(h, refuse, NULL);
    assert_int_equal(ended, 1);
    wait_for(h, 2);
    assert_int_equal(last_code, CM_EDENIED);
    edit(h, spoil, NULL);
    wait_for(h, 3);
    assert_int_equal(last_code, CM_EMALF);
    assert_null(h_body(h, "settings", "global"));
}

static void an_engine_may_go_first(void **state)
{
    struct h *h = *state;
    ended = 0;
    edit(h, add_day, NULL);
    eng_free(h->engine);
    h->engine = eng_new(&h->env);
    wait_for(h, 1);
    assert_int_equal(days(h), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(edits_that_meet_all_count),
        H_TEST(too_many_at_once_end_in_a_conflict),
        H_TEST(leaving_and_refusing_write_nothing),
        H_TEST(an_engine_may_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
