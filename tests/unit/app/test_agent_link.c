/* The front's end of the key agent's channel, with the test in the agent's place. */
#include "tests/unit/app/agent_link_rig.h"

static void calls_wait_for_the_agent_and_answers_find_their_call(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0}, b = {0};
    ask(f, "first", &a);
    ask(f, "second", &b);
    assert_false(agent_link_connected(f->link));
    connect_agent(f);
    assert_true(agent_link_connected(f->link));
    CM_AUTO_JSON one = next_request(f);
    CM_AUTO_JSON two = next_request(f);
    assert_string_equal(cm_json_str(one, "op"), "first");
    assert_string_equal(cm_json_str(two, "op"), "second");
    answer(f, two, 2); /* key generation answers late: any order */
    answer(f, one, 1);
    TURN_UNTIL(f->loop, a.calls == 1 && b.calls == 1);
    assert_int_equal(a.value, 1);
    assert_int_equal(b.value, 2);
    assert_false(a.inside || b.inside);
    answer(f, one, 9); /* again: nobody's any more */
    turn_some(f->loop);
    assert_int_equal(a.calls, 1);
    assert_true(agent_link_connected(f->link));
}

static void what_is_asked_in_a_turn_goes_out_at_its_end(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0}, b = {0};
    connect_agent(f);
    ask(f, "first", &a);
    ask(f, "second", &b);
    assert_true(nothing_to_read(f));
    cm_loop_turn(f->loop, false);
    assert_false(nothing_to_read(f));
    CM_AUTO_JSON one = next_request(f);
    CM_AUTO_JSON two = next_request(f);
    assert_string_equal(cm_json_str(two, "op"), "second");
    answer(f, one, 1);
    answer(f, two, 2);
    TURN_UNTIL(f->loop, a.calls == 1 && b.calls == 1);
}

static void a_link_may_go_before_the_turn_ends(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0};
    connect_agent(f);
    ask(f, "never sent", &a);
    agent_link_free(f->link);
    assert_int_equal(a.code, CM_ECLOSED);
    turn_some(f->loop);
    f->link = agent_link_new(f->loop);
    f->agent = agent_link_port(f->link);
}

static void a_refusal_keeps_its_reasons(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0};
    connect_agent(f);
    ask(f, "x", &a);
    CM_AUTO_JSON request = next_request(f);
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EDENIED, "not a manager");
    CM_AUTO_JSON reply =
        json_pack("{s:I, s:b, s:o}", "id", (json_int_t)cm_json_int(request, "id", -1), "ok", 0,
                  "error", cm_err_to_json(&err));
    cm_err_fini(&err);
    assert_int_equal(cm_frame_write_fd(f->peer, reply, NULL), 0);
    TURN_UNTIL(f->loop, a.calls == 1);
    assert_int_equal(a.code, CM_EDENIED);
    assert_string_equal(a.what, "not a manager");
    assert_true(agent_link_connected(f->link));
}

static void a_refusal_without_a_reason_is_one_too(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0};
    connect_agent(f);
    ask(f, "x", &a);
    CM_AUTO_JSON request = next_request(f);
    CM_AUTO_JSON reply = json_pack("{s:I}", "id", (json_int_t)cm_json_int(request, "id", -1));
    assert_int_equal(cm_frame_write_fd(f->peer, reply, NULL), 0);
    TURN_UNTIL(f->loop, a.calls == 1);
    assert_int_equal(a.code, CM_EPEER);
}

static void unanswered_calls_are_sent_again_in_order(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0}, b = {0}, c = {0};
    connect_agent(f);
    ask(f, "a", &a);
    ask(f, "b", &b);
    CM_AUTO_JSON first = next_request(f);
    answer(f, first, 1);
    TURN_UNTIL(f->loop, a.calls == 1);
    close(f->peer); /* the agent is killed */
    f->peer = -1;
    TURN_UNTIL(f->loop, !agent_link_connected(f->link));
    ask(f, "c", &c);
    connect_agent(f);
    CM_AUTO_JSON again = next_request(f);
    CM_AUTO_JSON last = next_request(f);
    assert_string_equal(cm_json_str(again, "op"), "b");
    assert_string_equal(cm_json_str(last, "op"), "c");
    answer(f, again, 2);
    answer(f, last, 3);
    TURN_UNTIL(f->loop, b.calls == 1 && c.calls == 1);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.value, 2);
    assert_int_equal(c.value, 3);
}

static void half_an_answer_dies_with_its_channel(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0};
    connect_agent(f);
    ask(f, "a", &a);
    assert_int_equal(write(f->peer, "\0\0\0\x40{\"id\":1,", 12), 12);
    turn_some(f->loop);
    connect_agent(f); /* replaced while half read */
    CM_AUTO_JSON again = next_request(f);
    answer(f, again, 5);
    TURN_UNTIL(f->loop, a.calls == 1);
    assert_int_equal(a.value, 5);
}

static void a_poisonous_request_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct outcome poison = {0}, next = {0};
    ask(f, "poison", &poison);
    for (int i = 0; i <= AGENT_LINK_RESENDS; i++) {
        assert_int_equal(poison.calls, 0);
        connect_agent(f);
        CM_AUTO_JSON got = next_request(f);
        assert_string_equal(cm_json_str(got, "op"), "poison");
    }
    connect_agent(f);
    assert_int_equal(poison.calls, 1);
    assert_int_equal(poison.code, CM_EBUSY);
    assert_int_equal(poison.retry, CM_RETRY_TRANSIENT);
    assert_true(nothing_to_read(f));
    ask(f, "next", &next);
    CM_AUTO_JSON got = next_request(f);
    answer(f, got, 1);
    TURN_UNTIL(f->loop, next.calls == 1);
    assert_int_equal(poison.calls, 1);
}

static void the_queue_has_a_limit(void **state)
{
    struct fixture *f = *state;
    static struct outcome many[AGENT_LINK_PENDING_MAX];
    struct outcome over = {0};
    memset(many, 0, sizeof(many));
    for (size_t i = 0; i < AGENT_LINK_PENDING_MAX; i++)
        ask(f, "many", &many[i]);
    ask(f, "over", &over);
    assert_int_equal(over.calls, 0);
    TURN_UNTIL(f->loop, over.calls == 1);
    assert_int_equal(over.code, CM_EBUSY);
    assert_int_equal(over.retry, CM_RETRY_TRANSIENT);
    assert_false(over.inside);
    for (size_t i = 0; i < AGENT_LINK_PENDING_MAX; i++)
        assert_int_equal(many[i].calls, 0);
    agent_link_free(f->link);
    for (size_t i = 0; i < AGENT_LINK_PENDING_MAX; i++)
        assert_true(many[i].calls == 1 && many[i].code == CM_ECLOSED);
    f->link = agent_link_new(f->loop);
}

static void refused_calls_are_never_sent(void **state)
{
    struct fixture *f = *state;
    struct outcome large = {0}, text = {0}, good = {0};
    char *huge = cm_malloc(CM_FRAME_MAX + 1);
    memset(huge, 'x', CM_FRAME_MAX);
    huge[CM_FRAME_MAX] = '\0';
    connect_agent(f);
    ask_request(f, json_pack("{s:s}", "op", huge), &large);
    cm_free(huge);
    ask_request(f, json_pack("{s:s}", "op", "\xff"), &text); /* jansson gives NULL */
    ask(f, "good", &good);
    assert_false(large.inside || text.inside);
    TURN_UNTIL(f->loop, large.calls == 1 && text.calls == 1);
    assert_int_equal(large.code, CM_ELIMIT);
    assert_int_equal(large.retry, CM_RETRY_PERMANENT);
    assert_int_equal(text.code, CM_EINVAL);
    CM_AUTO_JSON request = next_request(f);
    assert_string_equal(cm_json_str(request, "op"), "good");
    answer(f, request, 1);
    TURN_UNTIL(f->loop, good.calls == 1);
}

static void callbacks_may_ask_again(void **state)
{
    struct fixture *f = *state;
    struct outcome then = {0};
    struct outcome first = {.again = f, .then = &then};
    cm_clock_fake(1000000, 1000000);
    ask(f, "first", &first);
    cm_clock_fake(1000000, 1000000 + AGENT_LINK_TIMEOUT_MS);
    TURN_UNTIL(f->loop, first.calls == 1);
    assert_int_equal(then.calls, 0);
    connect_agent(f);
    CM_AUTO_JSON request = next_request(f);
    assert_string_equal(cm_json_str(request, "op"), "again");
    answer(f, request, 1);
    TURN_UNTIL(f->loop, then.calls == 1);
}

static void an_agent_that_talks_nonsense_is_cut_off(void **state)
{
    struct fixture *f = *state;
    static struct outcome a; /* answered when the link is freed */
    connect_agent(f);
    ask(f, "a", &a);
    assert_int_equal(write(f->peer, "\xff\xff\xff\xffxxxx", 8), 8);
    TURN_UNTIL(f->loop, !agent_link_connected(f->link));
    assert_int_equal(a.calls, 0); /* waits for the next agent */
}

/* More than the socket takes at once: nothing is lost, everything is asked in order. */
static void a_slow_agent_gets_everything(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 300 };
    static struct outcome out[COUNT];
    char text[4096];
    memset(out, 0, sizeof(out));
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    connect_agent(f);
    for (int i = 0; i < COUNT; i++)
        ask_request(f, json_pack("{s:s, s:s, s:i}", "op", "slow", "text", text, "n", i), &out[i]);
    struct cm_buf in;
    cm_buf_init(&in, 4u << 20);
    for (int got = 0; got < COUNT;) {
        char data[65536];
        cm_loop_turn(f->loop, false);
        ssize_t n = recv(f->peer, data, sizeof(data), MSG_DONTWAIT);
        if (n > 0)
            assert_int_equal(cm_buf_add(&in, data, (size_t)n), 0);
        CM_AUTO_JSON request = NULL;
        while (cm_frame_decode(&in, &request, NULL) == 1) {
            assert_int_equal(cm_json_int(request, "n", -1), got++);
            answer(f, request, 1);
            json_decref(request);
            request = NULL;
        }
    }
    cm_buf_fini(&in);
    TURN_UNTIL(f->loop, out[COUNT - 1].calls == 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(out[i].calls, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(calls_wait_for_the_agent_and_answers_find_their_call),
        T(what_is_asked_in_a_turn_goes_out_at_its_end),
        T(a_link_may_go_before_the_turn_ends),
        T(a_refusal_keeps_its_reasons),
        T(a_refusal_without_a_reason_is_one_too),
        T(unanswered_calls_are_sent_again_in_order),
        T(half_an_answer_dies_with_its_channel),
        T(a_poisonous_request_is_given_up),
        T(the_queue_has_a_limit),
        T(refused_calls_are_never_sent),
        T(callbacks_may_ask_again),
        T(an_agent_that_talks_nonsense_is_cut_off),
        T(a_slow_agent_gets_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
