/* Packets from the supervisor, dispatched by `op`. */
#include "certmgr/control.h"

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/channel.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct hook_call {
    int64_t id; /* 0 = free slot */
    char target[64], step[16];
    dep_hook_fn done;
    void *done_arg;
    bool refused; /* answered at the next turn */
};

struct exec_call {
    int64_t id; /* 0 = free slot */
    dnsp_exec_fn done;
    void *done_arg;
};

/* An answer that is due at the next turn. */
struct exec_refusal {
    dnsp_exec_fn done;
    void *done_arg;
    const char *why;
};

struct control {
    struct cm_loop *loop;
    struct cm_watch *watch;
    struct cm_timer *refusals;
    int fd;
    struct control_events events;
    struct hook_call call[CONTROL_HOOKS_MAX];
    struct exec_call exec[CONTROL_EXECS_MAX];
    int64_t last_id;
};

static void finish(struct hook_call *call, const char *output, const char *error)
{
    struct hook_call done = *call;
    struct cm_err err = CM_ERR_INIT;
    *call = (struct hook_call){0};
    if (error == NULL) {
        done.done(done.done_arg, output, NULL);
        return;
    }
    cm_fail(&err, CM_EPEER, "the %s command of [%s%s] %s", done.step,
            done.target[0] ? "target " : "orders", done.target, error);
    err.retry = CM_RETRY_TRANSIENT;
    done.done(done.done_arg, output, &err);
    cm_err_fini(&err);
}

/* A status is the program's own word; no status: it could not run, or not to its end. */
static void finish_exec(struct exec_call *call, const json_t *packet)
{
    struct exec_call done = *call;
    struct cm_err err = CM_ERR_INIT;
    int64_t status = cm_json_int(packet, "status", -1);
    *call = (struct exec_call){0};
    if (status < 0) {
        cm_fail(&err, CM_EPEER, "the program %s", cm_json_str_or(packet, "error", "did not end"));
        err.retry = CM_RETRY_TRANSIENT;
    }
    done.done(done.done_arg, (int)status, cm_json_str_or(packet, "output", ""),
              err.code ? &err : NULL);
    cm_err_fini(&err);
}

static void on_hook_done(struct control *c, const json_t *packet)
{
    int64_t id = cm_json_int(packet, "id", 0);
    for (size_t i = 0; i < CONTROL_EXECS_MAX; i++)
        if (id > 0 && c->exec[i].id == id)
            finish_exec(&c->exec[i], packet);
    for (size_t i = 0; i < CONTROL_HOOKS_MAX; i++)
        if (id > 0 && c->call[i].id == id)
            finish(&c->call[i], cm_json_str_or(packet, "output", ""), cm_json_str(packet, "error"));
}

static void on_packet(struct control *c, const json_t *packet, int fd)
{
    const char *op = cm_json_str_or(packet, "op", "");
    const char *name = cm_json_str_or(packet, "name", "");
    const char *address = cm_json_str_or(packet, "address", "");
    if (strcmp(op, "agent") == 0 && fd >= 0) {
        c->events.agent(c->events.arg, fd);
        return;
    }
    if (strcmp(op, "listener") == 0 && fd >= 0) {
        c->events.listener(c->events.arg, name, address, fd, NULL);
        return;
    }
    if (strcmp(op, "listener.failed") == 0)
        c->events.listener(c->events.arg, name, address, -1,
                           cm_json_str_or(packet, "error", "not bound"));
    else if (strcmp(op, "hook.done") == 0)
        on_hook_done(c, packet);
    if (fd >= 0)
        close(fd);
}

static void on_ready(void *arg, int events)
{
    struct control *c = arg;
    (void)events; /* only reads are watched */
    for (;;) {
        CM_AUTO_JSON packet = NULL;
        int fd = -1;
        int rv = channel_recv(c->fd, &packet, &fd);
        if (rv == 0)
            return;
        if (rv < 0) {
            cm_watch_set(c->watch, 0);
            c->events.closed(c->events.arg);
            return;
        }
        on_packet(c, packet, fd);
    }
}

/* Calls that found no slot or no channel are answered here, never from inside the port. */
static void on_refusals(void *arg)
{
    struct control *c = arg;
    for (size_t i = 0; i < CONTROL_HOOKS_MAX; i++)
        if (c->call[i].id != 0 && c->call[i].refused)
            finish(&c->call[i], "", "could not be asked for: the supervisor is not there");
}

static void run_hook(void *arg, const char *target, const char *step, dep_hook_fn done,
                     void *done_arg)
{
    struct control *c = arg;
    struct hook_call *call = NULL;
    for (size_t i = 0; i < CONTROL_HOOKS_MAX && call == NULL; i++)
        if (c->call[i].id == 0)
            call = &c->call[i];
    /* One deployment at a time per target, KF_TARGETS_MAX targets: there is always a slot. */
    CM_BUG_ON(call == NULL);
    *call = (struct hook_call){.id = ++c->last_id, .done = done, .done_arg = done_arg};
    cm_strcpy(call->target, sizeof(call->target), target);
    cm_strcpy(call->step, sizeof(call->step), step);
    CM_AUTO_JSON packet = json_pack("{s:s, s:I, s:s, s:s}", "op", "hook", "id",
                                    (json_int_t)call->id, "target", target, "step", step);
    if (channel_send(c->fd, packet, -1) == 0)
        return;
    call->refused = true;
    cm_timer_start(c->refusals, 0);
}

static void on_exec_refused(void *arg)
{
    struct exec_refusal refusal = *(struct exec_refusal *)arg;
    struct cm_err err = CM_ERR_INIT;
    cm_free(arg);
    cm_fail(&err, CM_EBUSY, "%s", refusal.why);
    err.retry = CM_RETRY_TRANSIENT;
    refusal.done(refusal.done_arg, -1, "", &err);
    cm_err_fini(&err);
}

void control_exec(void *arg, const char *name, const char *const *argv, size_t argc,
                  const json_t *env, dnsp_exec_fn done, void *done_arg)
{
    struct control *c = arg;
    struct exec_call *call = NULL;
    for (size_t i = 0; i < CONTROL_EXECS_MAX && call == NULL; i++)
        if (c->exec[i].id == 0)
            call = &c->exec[i];
    CM_AUTO_JSON packet = json_object();
    json_t *words = json_array();
    for (size_t i = 0; i < argc; i++)
        json_array_append_new(words, json_string(argv[i]));
    cm_json_set_str(packet, "op", "exec");
    cm_json_set_int(packet, "id", c->last_id + 1);
    cm_json_set_str(packet, "name", name);
    cm_json_set(packet, "argv", words);
    cm_json_set(packet, "env", env ? json_incref((json_t *)(uintptr_t)env) : json_object());
    if (call != NULL && channel_send(c->fd, packet, -1) == 0) {
        *call = (struct exec_call){.id = ++c->last_id, .done = done, .done_arg = done_arg};
        return;
    }
    struct exec_refusal *refusal = cm_calloc(1, sizeof(*refusal));
    *refusal = (struct exec_refusal){.done = done,
                                     .done_arg = done_arg,
                                     .why = call == NULL ? "too many programs run already"
                                                         : "the supervisor took no more, or its "
                                                           "credentials are too long"};
    cm_loop_defer(c->loop, on_exec_refused, refusal);
}

struct control *control_new(struct cm_loop *loop, int take_fd, const struct control_events *events)
{
    struct control *c = cm_calloc(1, sizeof(*c));
    c->loop = loop;
    c->fd = take_fd;
    c->events = *events;
    (void)fcntl(take_fd, F_SETFL, O_NONBLOCK); /* cannot fail on a socket */
    c->refusals = cm_timer_new(loop, on_refusals, c);
    c->watch = cm_watch_new(loop, take_fd, on_ready, c);
    cm_watch_set(c->watch, CM_WATCH_READ);
    return c;
}

void control_free(struct control *control)
{
    if (control == NULL)
        return;
    cm_watch_free(control->watch);
    cm_timer_free(control->refusals);
    close(control->fd);
    cm_free(control);
}

struct dep_hooks control_hooks(struct control *control)
{
    return (struct dep_hooks){.arg = control, .run = run_hook};
}

void control_agent_hung(struct control *control, int64_t ms, bool working)
{
    CM_AUTO_JSON packet = json_pack("{s:s, s:I}", "op", "agent.hung",
                                    working ? "working_s" : "silent_s", (json_int_t)(ms / 1000));
    if (channel_send(control->fd, packet, -1) != 0)
        cm_log(CM_LOG_WARN, "agent", NULL, "the supervisor cannot be told that it hangs");
}
