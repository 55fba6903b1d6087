/*
 * The door to the key agent as other folders see it: one asynchronous call.
 *
 * Requests and replies are JSON objects (docs/agent-protocol.md).  The front implements the port
 * over a socket pair; tests implement it in memory.
 */
#pragma once

#include "base/core/err.h"
#include <jansson.h>

/* reply: the verb's members, NULL when err is set.  Called exactly once, in call order for quick
 * verbs; key generation may answer later than calls made after it. */
typedef void (*kf_reply_fn)(void *arg, const json_t *reply, const struct cm_err *err);

struct kf_agent {
    void *arg;
    void (*call)(void *arg, json_t *take_request, kf_reply_fn done, void *done_arg);
};
