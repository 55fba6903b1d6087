/* The front's end of the key agent's channel, with the test in the agent's place. */
#include "tests/unit/app/support.h"

#include "base/core/clock.h"
#include "base/core/frame.h"
#include "certmgr/agent_link.h"

struct outcome {
    int calls;
    int code;
    enum cm_retry retry;
    char what[200];
    int64_t value;
    bool inside;           /* called from inside agent.call() */
    struct fixture *again; /* asks once more from the callback */
    struct outcome *then;
};

struct fixture {
    struct cm_loop *loop;
    struct agent_link *link;
    struct kf_agent agent;
    int peer; /* the agent's end */
    bool calling;
};

/* The link's looks are a millisecond away, and counted. */
static unsigned looks;

void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);

void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    looks++;
    __real_cm_timer_start(timer, ms > 1 ? 1 : ms);
}

static void ask(struct fixture *f, const char *op, struct outcome *out);

static void on_reply(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct outcome *o = arg;
    o->calls++;
    o->value = cm_json_int(reply, "value", -1);
    if (err != NULL) {
        o->code = err->code;
        o->retry = err->retry;
        snprintf(o->what, sizeof(o->what), "%.190s", err->what);
    }
    if (o->again != NULL)
        ask(o->again, "again", o->then);
}

static void ask_request(struct fixture *f, json_t *take_request, struct outcome *out)
{
    int before = out->calls;
    f->agent.call(f->agent.arg, take_request, on_reply, out);
    out->inside = out->inside || out->calls != before;
}

static void ask(struct fixture *f, const char *op, struct outcome *out)
{
    ask_request(f, json_pack("{s:s}", "op", op), out);
}

static void connect_agent(struct fixture *f)
{
    int pair[2];
    if (f->peer >= 0)
        close(f->peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->peer = pair[1];
    agent_link_connect(f->link, pair[0]);
}

/* What the agent reads next; what was asked goes out at the end of a turn. */
static json_t *next_request(struct fixture *f)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *request = NULL;
    cm_loop_turn(f->loop, false);
    assert_int_equal(cm_frame_read_fd(f->peer, &request, &err), 0);
    return request;
}

static void answer(struct fixture *f, const json_t *request, int value)
{
    CM_AUTO_JSON reply =
        json_pack("{s:I, s:b, s:i}", "id", (json_int_t)cm_json_int(request, "id", -1), "ok", 1,
                  "value", value);
    assert_int_equal(cm_frame_write_fd(f->peer, reply, NULL), 0);
}

static bool nothing_to_read(struct fixture *f)
{
    char c;
    return recv(f->peer, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.loop = cm_loop_new(), .peer = -1};
    f.link = agent_link_new(f.loop);
    f.agent = agent_link_port(f.link);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    agent_link_free(f->link);
    cm_loop_free(f->loop);
    if (f->peer >= 0)
        close(f->peer);
    cm_clock_fake(-1, -1);
    return 0;
}

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
    struct outcome key = {0}, other = {0};
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
        T(an_agent_that_hangs_is_not_waited_for),
        T(an_agent_that_hangs_is_reported),
        T(an_agent_at_work_may_take_its_time),
        T(a_worker_that_hangs_is_reported),
        T(a_busy_agent_is_asked_for_its_worker),
        T(a_call_that_is_never_finished_ends_too),
        T(a_stopped_front_blames_nobody),
        T(the_first_word_has_more_time_than_the_report_takes),
        T(the_queue_has_a_limit),
        T(refused_calls_are_never_sent),
        T(callbacks_may_ask_again),
        T(an_agent_that_talks_nonsense_is_cut_off),
        T(a_slow_agent_gets_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
