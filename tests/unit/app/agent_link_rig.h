/* The key agent's channel with the test in the agent's place. */
#pragma once

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

static inline void ask(struct fixture *f, const char *op, struct outcome *out);

static inline void on_reply(void *arg, const json_t *reply, const struct cm_err *err)
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

static inline void ask_request(struct fixture *f, json_t *take_request, struct outcome *out)
{
    int before = out->calls;
    f->agent.call(f->agent.arg, take_request, on_reply, out);
    out->inside = out->inside || out->calls != before;
}

static inline void ask(struct fixture *f, const char *op, struct outcome *out)
{
    ask_request(f, json_pack("{s:s}", "op", op), out);
}

static inline void connect_agent(struct fixture *f)
{
    int pair[2];
    if (f->peer >= 0)
        close(f->peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->peer = pair[1];
    agent_link_connect(f->link, pair[0]);
}

/* What the agent reads next; what was asked goes out at the end of a turn. */
static inline json_t *next_request(struct fixture *f)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *request = NULL;
    cm_loop_turn(f->loop, false);
    assert_int_equal(cm_frame_read_fd(f->peer, &request, &err), 0);
    return request;
}

static inline void answer(struct fixture *f, const json_t *request, int value)
{
    CM_AUTO_JSON reply =
        json_pack("{s:I, s:b, s:i}", "id", (json_int_t)cm_json_int(request, "id", -1), "ok", 1,
                  "value", value);
    assert_int_equal(cm_frame_write_fd(f->peer, reply, NULL), 0);
}

static inline bool nothing_to_read(struct fixture *f)
{
    char c;
    return recv(f->peer, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static inline int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.loop = cm_loop_new(), .peer = -1};
    f.link = agent_link_new(f.loop);
    f.agent = agent_link_port(f.link);
    *state = &f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    agent_link_free(f->link);
    cm_loop_free(f->loop);
    if (f->peer >= 0)
        close(f->peer);
    cm_clock_fake(-1, -1);
    return 0;
}
