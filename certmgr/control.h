/*
 * The front's end of the supervisor's channel: listeners and agent channels arrive here, hooks are
 * asked for by name.
 */
#pragma once

#include "base/net/loop.h"
#include "certmgr/engine/deploy.h"

#define CONTROL_HOOKS_MAX 64 /* waiting for their result */

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
