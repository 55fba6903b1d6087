/* The key agent process: entry point and its local configuration. */
#pragma once

#include "base/core/err.h"

#define KF_TARGETS_MAX 64
#define KF_ORIGINS_MAX 32

/* A deployment target of the local configuration ([target NAME]). */
struct kf_target {
    char name[64];
    char directory[1024];      /* data directory; must exist, is never made */
    bool kyr, pem;             /* formats written */
    unsigned mode;             /* of key files; default 0600 */
    char owner[64], group[64]; /* empty = the agent's own */
};

struct kf_agent_config {
    char dir[1024]; /* identity directory, mode 0700 */
    struct kf_target target[KF_TARGETS_MAX];
    size_t target_count;
    char origin[KF_ORIGINS_MAX][280]; /* allowed CA origins "https://host[:port]" */
    size_t origin_count;
};

/* Serves one channel until it closes: 0 on a clean end, negative on a broken channel.  fd is a
 * stream socket carrying frames (docs/agent-protocol.md).  With control_fd >= 0 a replacement
 * channel may arrive there as SCM_RIGHTS (one byte + one descriptor); then the agent serves
 * that one and ends only when control_fd closes. */
int kf_agent_serve(const struct kf_agent_config *config, int fd, int control_fd);

/* Locks the process down: no core dumps, not dumpable, no new privileges, seccomp without sockets
 * and exec.  Called once before kf_agent_serve() in the agent process. */
int kf_agent_lockdown(struct cm_err *err);
