/*
 * The front's end of the supervisor's channel: listeners and agent channels arrive here, hooks are
 * asked for by name.
 */
#pragma once

#include "base/net/loop.h"
#include "certmgr/engine/deploy.h"

#define CONTROL_HOOKS_MAX 65 /* waiting for their result: one of each target, one of [orders] */
#define CONTROL_EXECS_MAX 32 /* programs of DNS accounts, likewise; one more is answered "busy" */

struct control_events {
    void *arg;
    void (*agent)(void *arg, int take_fd);
    /* fd -1: the listener could not be bound, error tells why */
    void (*listener)(void *arg, const char *name, const char *address, int take_fd,
                     const char *error);
    void (*closed)(void *arg); /* the supervisor is gone: end */
};

struct control;
struct control *control_new(struct cm_loop *loop, int take_fd, const struct control_events *events);
void control_free(struct control *control);
struct dep_hooks control_hooks(struct control *control);
/* Asks the supervisor to end the key agent, which has been silent, or at one request (working), for
 * so long; it starts another one.  A supervisor that takes nothing now is asked again with the next
 * report. */
void control_agent_hung(struct control *control, int64_t ms, bool working);
/* Runs the program of [dns_exec NAME] in the supervisor: struct dnsp_env's exec, arg = control. */
void control_exec(void *arg, const char *name, const char *const *argv, size_t argc,
                  const json_t *env, dnsp_exec_fn done, void *done_arg);
