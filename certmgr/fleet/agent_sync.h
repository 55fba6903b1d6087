/* The key agent as a child of a command-line tool, asked one thing at a time. */
#pragma once

#include "base/core/err.h"
#include "certmgr/config/config.h"
#include <sys/types.h>

struct agent_sync {
    pid_t pid;
    int control, fd;
    int64_t last_id;
};

/* Starts `certmgr agent-process` of our own binary with this configuration. */
int agent_sync_start(const struct config *config, struct agent_sync *ret, struct cm_err *err);
/* One call; *ret_reply is owned by the caller. */
int agent_sync_call(struct agent_sync *agent, json_t *take_request, json_t **ret_reply,
                    struct cm_err *err);
void agent_sync_stop(struct agent_sync *agent);
