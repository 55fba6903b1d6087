/* One child process of the supervisor: start, restart with back-off, user change. */
#pragma once

#include "certmgr/config/config.h"
#include <sys/types.h>

struct sup_child {
    const char *name;    /* "front", "agent" */
    const char *command; /* hidden subcommand of our own binary */
    const char *user;    /* "" = stay as we are */
    pid_t pid;           /* 0 = not running */
    int channel;         /* our end; -1 = closed */
    int64_t start_at;    /* monotonic ms of the next start */
    int64_t started_at;
    int64_t backoff_ms;
    int last_status; /* wait status of the last end … */
    unsigned alike;  /* … and how many short lives in a row ended with it */
};

void sup_child_init(struct sup_child *child, const char *name, const char *command,
                    const char *user);
bool sup_child_due(const struct sup_child *child, int64_t now_ms);
/* Forks and executes our own binary; true when it runs. */
bool sup_child_start(struct sup_child *child, const struct config *config);
/* Was it this child?  Logs why it ended and plans the restart (unless stopping). */
bool sup_child_ended(struct sup_child *child, pid_t pid, int status, bool stopping);
void sup_child_kill(struct sup_child *child);
/* Closes our end of its channel: the child ends by itself. */
void sup_child_close(struct sup_child *child);
/* As root: gives <state>/store and <state>/tls to the front's user, <state>/agent to the agent's;
 * says aloud when a process keeps root or when all share one user. Returns 0 or negative (logged).
 */
int sup_users_prepare(const struct config *config);
