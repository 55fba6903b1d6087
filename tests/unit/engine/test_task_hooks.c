/* The commands around the task's work: before the first job, after the last one, once each. */
#include "tests/unit/engine/harness.h"

static struct {
    unsigned before, after;
    bool hold, fail;
    eng_hook_fn done; /* of a command that runs, or NULL */
    void *done_arg;
    struct cm_loop *loop;
} ran;

static void answer(void *arg)
{
    struct cm_err err = CM_ERR_INIT;
    eng_hook_fn done = ran.done;
    (void)arg;
    ran.done = NULL;
    if (ran.fail)
        cm_fail(&err, CM_EPEER, "ended with status 3");
    done(ran.done_arg, "words", err.code ? &err : NULL);
    cm_err_fini(&err);
}

static void task_hook(void *arg, const char *step, eng_hook_fn done, void *done_arg)
{
    (void)arg;
    assert_null(ran.done); /* one at a time */
    ran.before += strcmp(step, "before") == 0;
    ran.after += strcmp(step, "after") == 0;
    ran.done = done;
    ran.done_arg = done_arg;
    if (!ran.hold)
        cm_loop_defer(ran.loop, answer, NULL);
}

static void new_engine(struct h *h)
{
    eng_free(h->engine);
    h->engine = eng_new(&h->env);
}

static void begin(struct h *h, bool before, bool after)
{
    memset(&ran, 0, sizeof(ran));
    ran.loop = h->loop;
    h->env.has_before = before;
    h->env.has_after = after;
    h->env.task_hook = task_hook;
    new_engine(h);
    h_account(h);
}

static bool is_after(struct h *h)
{
    (void)h;
    return ran.after == 1 && !ran.done;
}

static void submit(struct h *h, const char *name)
{
    json_t *fields = h_fields(name);
    CM_AUTO_STR file = cm_asprintf("%s.kyr", name);
    cm_json_set_str(fields, "keyring_file", file);
    assert_int_equal(h_submit(h, fields), 0);
}

static void once_around_all_of_the_work(void **state)
{
    struct h *h = *state;
    begin(h, true, true);
    h_turns(h, 50);
    assert_int_equal(ran.before + ran.after, 0); /* nothing to do, nothing run */
    ran.hold = true;
    submit(h, "a.example");
    submit(h, "b.example");
    h_turns(h, 100);
    assert_int_equal(ran.before, 1);
    assert_int_equal(h->ca.new_orders, 0); /* they wait for its end */
    assert_int_equal(h->engine->job_count, 0);
    ran.hold = false;
    answer(NULL);
    json_decref(h_status(h, "issued"));
    h_until(h, is_after, "the command after it");
    assert_int_equal(h->ca.downloads, 2);
    assert_int_equal(ran.before, 1);
    h_turns(h, 100);
    assert_int_equal(ran.after, 1);
    CM_AUTO_JSON status = eng_status(h->engine);
    const json_t *hook = cm_json_obj(status, "hook");
    assert_string_equal(cm_json_str(hook, "step"), "after");
    assert_null(cm_json_str(hook, "error"));
    submit(h, "c.example"); /* the next work is around again */
    json_decref(h_status(h, "issued"));
    assert_int_equal(ran.before, 2);
}

static void a_command_that_fails_stops_nothing(void **state)
{
    struct h *h = *state;
    begin(h, true, false);
    ran.fail = true;
    json_decref(h_issue(h, "a.example"));
    CM_AUTO_JSON status = eng_status(h->engine);
    const json_t *hook = cm_json_obj(status, "hook");
    assert_string_equal(cm_json_str(hook, "step"), "before");
    assert_string_equal(cm_json_str(hook, "error"), "ended with status 3");
}

static void afterwards_alone_and_after_failures(void **state)
{
    struct h *h = *state;
    begin(h, false, true);
    h->ca.refuse_orders = 1;
    h->ca.refuse_type = "rejectedIdentifier";
    submit(h, "a.example");
    json_decref(h_status(h, "error"));
    h_until(h, is_after, "the command after it"); /* something was attempted */
    assert_int_equal(ran.before, 0);
}

/* The engine may go while a command runs. */
static void the_end_in_the_middle(void **state)
{
    struct h *h = *state;
    begin(h, true, true);
    ran.hold = true;
    submit(h, "a.example");
    h_turns(h, 50);
    assert_int_equal(ran.before, 1);
    eng_hook_fn done = ran.done;
    void *done_arg = ran.done_arg;
    ran.done = NULL;
    ran.hold = false;
    new_engine(h);
    done(done_arg, "", NULL); /* of the engine before: nothing happens */
    json_decref(h_status(h, "issued"));
    assert_int_equal(ran.before, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(once_around_all_of_the_work),
        H_TEST(a_command_that_fails_stops_nothing),
        H_TEST(afterwards_alone_and_after_failures),
        H_TEST(the_end_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
