/* The front's end of the supervisor's channel, with the test in the supervisor's place. */
#include "tests/unit/app/support.h"

#include "certmgr/channel.h"
#include "certmgr/control.h"

struct fixture {
    struct cm_loop *loop;
    struct control *control;
    int peer; /* the supervisor's end */
    int agents, listeners, closed;
    char name[32], address[64], error[64];
    int fd;
};

struct outcome {
    int calls;
    int code;
    char output[64], what[200];
};

static void on_agent(void *arg, int take_fd)
{
    struct fixture *f = arg;
    f->agents++;
    close(take_fd);
}

static void on_listener(void *arg, const char *name, const char *address, int take_fd,
                        const char *error)
{
    struct fixture *f = arg;
    f->listeners++;
    cm_strcpy(f->name, sizeof(f->name), name);
    cm_strcpy(f->address, sizeof(f->address), address);
    cm_strcpy(f->error, sizeof(f->error), error != NULL ? error : "");
    f->fd = take_fd;
    if (take_fd >= 0)
        close(take_fd);
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed++;
}

static void on_hook(void *arg, const char *output, const struct cm_err *err)
{
    struct outcome *o = arg;
    o->calls++;
    o->code = err != NULL ? err->code : 0;
    cm_strcpy(o->output, sizeof(o->output), output);
    cm_strcpy(o->what, sizeof(o->what), err != NULL ? err->what : "");
}

static int setup(void **state)
{
    static struct fixture f;
    int pair[2];
    f = (struct fixture){.loop = cm_loop_new(), .fd = -2};
    struct control_events events = {
        .arg = &f, .agent = on_agent, .listener = on_listener, .closed = on_closed};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    f.peer = pair[1];
    f.control = control_new(f.loop, pair[0], &events);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    control_free(f->control);
    cm_loop_free(f->loop);
    if (f->peer >= 0)
        close(f->peer);
    return 0;
}

static void say(struct fixture *f, json_t *take_packet, int fd)
{
    CM_AUTO_JSON packet = take_packet;
    assert_int_equal(channel_send(f->peer, packet, fd), 0);
}

static json_t *heard(struct fixture *f)
{
    json_t *packet = NULL;
    int fd = -1;
    assert_int_equal(channel_recv(f->peer, &packet, &fd), 1);
    assert_int_equal(fd, -1);
    return packet;
}

static void listeners_and_agents_arrive(void **state)
{
    struct fixture *f = *state;
    say(f, json_pack("{s:s, s:s, s:s}", "op", "listener", "name", "ui", "address", "127.0.0.1:1"),
        0);
    say(f, json_pack("{s:s}", "op", "agent"), 0);
    TURN_UNTIL(f->loop, f->agents == 1);
    assert_int_equal(f->listeners, 1);
    assert_string_equal(f->name, "ui");
    assert_string_equal(f->address, "127.0.0.1:1");
    assert_true(f->fd >= 0);
    say(f,
        json_pack("{s:s, s:s, s:s, s:s}", "op", "listener.failed", "name", "challenge", "address",
                  "127.0.0.1:80", "error", "taken"),
        -1);
    TURN_UNTIL(f->loop, f->listeners == 2);
    assert_int_equal(f->fd, -1);
    assert_string_equal(f->error, "taken");
}

static void hooks_are_asked_by_name_and_answered_by_id(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0}, b = {0};
    struct dep_hooks hooks = control_hooks(f->control);
    hooks.run(hooks.arg, "web", "test", on_hook, &a);
    hooks.run(hooks.arg, "mail", "reload", on_hook, &b);
    CM_AUTO_JSON one = heard(f);
    CM_AUTO_JSON two = heard(f);
    assert_string_equal(cm_json_str(one, "op"), "hook");
    assert_string_equal(cm_json_str(one, "target"), "web");
    assert_string_equal(cm_json_str(one, "step"), "test");
    assert_string_equal(cm_json_str(two, "target"), "mail");
    json_int_t first = cm_json_int(one, "id", -1), second = cm_json_int(two, "id", -1);
    assert_true(first != second);
    say(f,
        json_pack("{s:s, s:I, s:s, s:s}", "op", "hook.done", "id", second, "output", "bad", "error",
                  "ended with status 1"),
        -1);
    TURN_UNTIL(f->loop, b.calls == 1);
    assert_int_equal(b.code, CM_EPEER);
    assert_string_equal(b.output, "bad");
    assert_string_equal(b.what, "the reload command of [target mail] ended with status 1");
    assert_int_equal(a.calls, 0);
    say(f, json_pack("{s:s, s:I, s:s}", "op", "hook.done", "id", first, "output", "fine"), -1);
    TURN_UNTIL(f->loop, a.calls == 1);
    assert_int_equal(a.code, 0);
    assert_string_equal(a.output, "fine");
    /* Again, and an id that nobody has: no call is answered twice. */
    say(f, json_pack("{s:s, s:I, s:s}", "op", "hook.done", "id", first, "output", "again"), -1);
    say(f, json_pack("{s:s, s:i, s:s}", "op", "hook.done", "id", 0, "output", "none"), -1);
    turn_some(f->loop);
    assert_true(a.calls == 1 && b.calls == 1);
}

static void without_a_supervisor_hooks_fail_later_not_inside(void **state)
{
    struct fixture *f = *state;
    struct outcome a = {0};
    struct dep_hooks hooks = control_hooks(f->control);
    close(f->peer);
    f->peer = -1;
    hooks.run(hooks.arg, "web", "reload", on_hook, &a);
    assert_int_equal(a.calls, 0);
    TURN_UNTIL(f->loop, a.calls == 1);
    assert_true(a.code != 0);
    TURN_UNTIL(f->loop, f->closed == 1);
    turn_some(f->loop);
    assert_int_equal(f->closed, 1);
}

static void a_hung_agent_is_reported(void **state)
{
    struct fixture *f = *state;
    control_agent_hung(f->control, 61234, false);
    CM_AUTO_JSON packet = heard(f);
    assert_string_equal(cm_json_str(packet, "op"), "agent.hung");
    assert_int_equal(cm_json_int(packet, "silent_s", 0), 61);
    assert_null(json_object_get(packet, "working_s"));
    control_agent_hung(f->control, 301234, true);
    CM_AUTO_JSON working = heard(f);
    assert_int_equal(cm_json_int(working, "working_s", 0), 301);
    assert_null(json_object_get(working, "silent_s"));
    close(f->peer);
    f->peer = -1;
    control_agent_hung(f->control, 61234,
                       false); /* nobody there: told again with the next report */
}

static void descriptors_of_unknown_packets_are_closed(void **state)
{
    struct fixture *f = *state;
    size_t before = open_fds();
    say(f, json_pack("{s:s}", "op", "surprise"), 0);
    say(f, json_pack("{s:s}", "op", "hook.done"), 0);
    say(f, json_pack("{s:s}", "op", "listener"), -1); /* without one */
    say(f, json_pack("{s:s}", "op", "agent"), 0);
    TURN_UNTIL(f->loop, f->agents == 1);
    assert_int_equal(f->listeners, 0);
    assert_int_equal(open_fds(), before);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(listeners_and_agents_arrive),
        T(hooks_are_asked_by_name_and_answered_by_id),
        T(without_a_supervisor_hooks_fail_later_not_inside),
        T(a_hung_agent_is_reported),
        T(descriptors_of_unknown_packets_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
