/* An agent that hangs, one whose worker hangs, and what only looks like that. */
#include "tests/unit/app/agent_link_rig.h"

static int64_t at; /* the clock */

/* Time goes by, in steps that all count: the link has looked after each. */
static void pass(struct fixture *f, int64_t ms)
{
    for (; ms > 0; ms -= AGENT_LINK_GAP_MAX_MS) {
        unsigned before = looks;
        at += ms < AGENT_LINK_GAP_MAX_MS ? ms : AGENT_LINK_GAP_MAX_MS;
        cm_clock_fake(at, at);
        TURN_UNTIL(f->loop, looks != before);
    }
}

/* An agent that has answered once, at the present time. */
static void connect_known(struct fixture *f)
{
    struct outcome known = {0};
    at = 1000000;
    cm_clock_fake(at, at);
    connect_agent(f);
    ask(f, "known", &known);
    CM_AUTO_JSON request = next_request(f);
    answer(f, request, 1);
    TURN_UNTIL(f->loop, known.calls == 1);
}

static void pass_until_greeted(struct fixture *f)
{
    at += AGENT_LINK_PING_MS;
    cm_clock_fake(at, at);
    TURN_UNTIL(f->loop, !nothing_to_read(f));
    CM_AUTO_JSON greeting = next_request(f);
    assert_string_equal(cm_json_str(greeting, "op"), "hello");
}

struct hung {
    int reports;
    int64_t silent_ms, working_ms;
};

static void on_hung(void *arg, int64_t ms, bool working)
{
    struct hung *hung = arg;
    hung->reports++;
    *(working ? &hung->working_ms : &hung->silent_ms) = ms;
}

static void an_agent_that_hangs_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0}, later = {0};
    connect_known(f);
    ask(f, "a", &a);
    CM_AUTO_JSON request = next_request(f);
    pass_until_greeted(f);
    pass(f, AGENT_LINK_SILENT_MS - AGENT_LINK_PING_MS - 1);
    ask(f, "later", &later);
    CM_AUTO_JSON second = next_request(f);
    assert_int_equal(a.calls, 0);
    assert_true(agent_link_answers(f->link));
    pass(f, 1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.code, CM_EBUSY);
    assert_int_equal(a.retry, CM_RETRY_TRANSIENT);
    assert_non_null(strstr(a.what, "the key agent has not answered for 15 s"));
    assert_false(agent_link_answers(f->link));
    assert_int_equal(later.calls, 0); /* has its own time */
    answer(f, request, 1);            /* too late: nobody's any more */
    answer(f, second, 2);
    TURN_UNTIL(f->loop, later.calls == 1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(later.value, 2);
    assert_true(agent_link_answers(f->link));
}

static void an_agent_that_hangs_is_reported(void **state)
{
    struct fixture *f = *state;
    struct hung hung = {0};
    struct outcome a = {0}, b = {0};
    agent_link_on_hung(f->link, on_hung, &hung);
    connect_known(f);
    ask(f, "a", &a);
    json_decref(next_request(f));
    pass_until_greeted(f);
    pass(f, AGENT_LINK_HUNG_MS - AGENT_LINK_PING_MS - 1);
    assert_int_equal(a.calls, 1); /* no call waits, and it hangs all the same */
    assert_int_equal(hung.reports, 0);
    ask(f, "b", &b);
    json_decref(next_request(f));
    pass(f, 1);
    assert_int_equal(hung.reports, 1);
    assert_int_equal(hung.silent_ms, AGENT_LINK_HUNG_MS);
    pass(f, 1000);
    assert_int_equal(hung.reports, 1);
    connect_agent(f); /* the next one gets what still waits, and all the time */
    assert_true(agent_link_answers(f->link));
    CM_AUTO_JSON again = next_request(f);
    assert_string_equal(cm_json_str(again, "op"), "b");
    answer(f, again, 7);
    TURN_UNTIL(f->loop, b.calls == 1);
    assert_int_equal(b.value, 7);
    assert_int_equal(a.calls, 1);
    assert_int_equal(hung.reports, 1);
}

/* Keys take as long as they take: an agent that greets back is not silent. */
static void an_agent_at_work_may_take_its_time(void **state)
{
    struct fixture *f = *state;
    struct hung hung = {0};
    struct outcome keys = {0};
    agent_link_on_hung(f->link, on_hung, &hung);
    connect_known(f);
    ask(f, "key.create", &keys);
    CM_AUTO_JSON request = next_request(f);
    for (int64_t ms = 0; ms < 2 * AGENT_LINK_SILENT_MS; ms += AGENT_LINK_PING_MS) {
        at += AGENT_LINK_PING_MS;
        cm_clock_fake(at, at);
        TURN_UNTIL(f->loop, !nothing_to_read(f));
        CM_AUTO_JSON greeting = next_request(f);
        assert_string_equal(cm_json_str(greeting, "op"), "hello");
        answer(f, greeting, 0);
        turn_some(f->loop);
        assert_int_equal(keys.calls, 0);
    }
    answer(f, request, 3);
    TURN_UNTIL(f->loop, keys.calls == 1);
    assert_int_equal(keys.code, 0);
    assert_int_equal(keys.value, 3);
    assert_int_equal(hung.reports, 0);
}

/* Answers a greeting as an agent whose worker has been at one request for so long. */
static void greet_back(struct fixture *f, const json_t *greeting, int64_t working_ms)
{
    CM_AUTO_JSON reply =
        json_pack("{s:I, s:b, s:I}", "id", (json_int_t)cm_json_int(greeting, "id", -1), "ok", 1,
                  "working_ms", (json_int_t)working_ms);
    assert_string_equal(cm_json_str(greeting, "op"), "hello");
    assert_int_equal(cm_frame_write_fd(f->peer, reply, NULL), 0);
}

static void one_greeting(struct fixture *f, int64_t working_ms)
{
    TURN_UNTIL(f->loop, !nothing_to_read(f));
    CM_AUTO_JSON greeting = next_request(f);
    greet_back(f, greeting, working_ms);
    turn_some(f->loop);
}

/* Its loop greets back, but the key never comes: the next agent is asked for it. */
static void a_worker_that_hangs_is_reported(void **state)
{
    struct fixture *f = *state;
    struct hung hung = {0};
    struct outcome key = {0};
    agent_link_on_hung(f->link, on_hung, &hung);
    connect_known(f);
    ask(f, "key.create", &key);
    json_decref(next_request(f));
    at += AGENT_LINK_PING_MS;
    cm_clock_fake(at, at);
    one_greeting(f, AGENT_LINK_WORK_MS - 1);
    assert_int_equal(hung.reports, 0);
    at += AGENT_LINK_PING_MS;
    cm_clock_fake(at, at);
    one_greeting(f, AGENT_LINK_WORK_MS);
    assert_int_equal(hung.reports, 1);
    assert_int_equal(hung.working_ms, AGENT_LINK_WORK_MS);
    at += AGENT_LINK_PING_MS;
    cm_clock_fake(at, at);
    one_greeting(f, AGENT_LINK_WORK_MS + AGENT_LINK_PING_MS);
    assert_int_equal(hung.reports, 1); /* once, while the supervisor is at it */
    assert_int_equal(key.calls, 0);
    connect_agent(f);
    CM_AUTO_JSON again = next_request(f);
    assert_string_equal(cm_json_str(again, "op"), "key.create");
    answer(f, again, 7);
    TURN_UNTIL(f->loop, key.calls == 1);
    assert_int_equal(key.value, 7);
}

/* Other calls are answered all the time, so there is no silence in which it would be greeted. */
static void a_busy_agent_is_asked_for_its_worker(void **state)
{
    struct fixture *f = *state;
    struct hung hung = {0};
    static struct outcome key, other; /* key is told when the link ends, after this function */
    key = other = (struct outcome){0};
    agent_link_on_hung(f->link, on_hung, &hung);
    connect_known(f);
    ask(f, "key.create", &key);
    json_decref(next_request(f));
    for (int64_t ms = 1000; ms < AGENT_LINK_ASK_MS; ms += 1000) { /* not yet */
        at += 1000;
        cm_clock_fake(at, at);
        ask(f, "sign", &other);
        CM_AUTO_JSON request = next_request(f);
        assert_string_equal(cm_json_str(request, "op"), "sign");
        answer(f, request, 1);
        turn_some(f->loop);
    }
    at += 1000;
    cm_clock_fake(at, at);
    one_greeting(f, AGENT_LINK_WORK_MS);
    assert_int_equal(hung.reports, 1);
    assert_int_equal(key.calls, 0);
    turn_some(f->loop);
    assert_true(nothing_to_read(f)); /* not asked all the time */
}

static void a_call_that_is_never_finished_ends_too(void **state)
{
    struct fixture *f = *state;
    struct outcome lost = {0};
    connect_known(f);
    ask(f, "lost", &lost);
    json_decref(next_request(f));
    at += AGENT_LINK_TIMEOUT_MS; /* one look: of the gap only a part is silence */
    cm_clock_fake(at, at);
    TURN_UNTIL(f->loop, lost.calls == 1);
    assert_int_equal(lost.code, CM_ETIMEOUT);
    assert_int_equal(lost.retry, CM_RETRY_TRANSIENT);
}

static void a_stopped_front_blames_nobody(void **state)
{
    struct fixture *f = *state;
    struct hung hung = {0};
    struct outcome a = {0};
    agent_link_on_hung(f->link, on_hung, &hung);
    connect_known(f);
    ask(f, "a", &a);
    CM_AUTO_JSON request = next_request(f);
    at += 5 * AGENT_LINK_HUNG_MS;
    cm_clock_fake(at, at);
    TURN_UNTIL(f->loop, !nothing_to_read(f)); /* it looked, and greets */
    answer(f, request, 1);
    TURN_UNTIL(f->loop, a.calls == 1);
    assert_int_equal(a.code, 0);
    assert_int_equal(hung.reports, 0);
}

/* A front that begins beside a hung agent must live to report it. */
static void the_first_word_has_more_time_than_the_report_takes(void **state)
{
    struct fixture *f = *state;
    struct hung hung = {0};
    struct outcome a = {0};
    agent_link_on_hung(f->link, on_hung, &hung);
    at = 1000000;
    cm_clock_fake(at, at);
    connect_agent(f);
    ask(f, "hello", &a);
    json_decref(next_request(f));
    pass_until_greeted(f);
    pass(f, AGENT_LINK_HUNG_MS - AGENT_LINK_PING_MS);
    assert_int_equal(hung.reports, 1);
    assert_int_equal(a.calls, 0);
    pass(f, AGENT_LINK_GREET_MS - AGENT_LINK_HUNG_MS);
    assert_int_equal(a.code, CM_EBUSY);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_agent_that_hangs_is_not_waited_for),
        T(an_agent_that_hangs_is_reported),
        T(an_agent_at_work_may_take_its_time),
        T(a_worker_that_hangs_is_reported),
        T(a_busy_agent_is_asked_for_its_worker),
        T(a_call_that_is_never_finished_ends_too),
        T(a_stopped_front_blames_nobody),
        T(the_first_word_has_more_time_than_the_report_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
