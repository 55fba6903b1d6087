/* Hooks: commands of the local configuration, run by name with argv, a clean environment, a time
 * limit and no shell. */
#pragma once

#include "certmgr/config/config.h"
#include "certmgr/supervisor.h"
#include <sys/types.h>

#define SUP_HOOK_READ (64u << 10) /* a hook that never stops printing must not hold up the rest */

struct sup_hook {
    bool used;
    int64_t id;          /* the front's */
    pid_t pid;           /* leader of its own process group */
    int pipe;            /* its stdout and stderr; -1 when closed */
    int64_t deadline_ms; /* monotonic */
    bool timed_out, exited;
    bool orphan; /* the front that asked is gone: nobody is told */
    int status;  /* of waitpid */
    char output[SUP_HOOK_OUTPUT];
    size_t output_len;
};

struct sup_hooks {
    const struct config *config;
    struct sup_hook hook[SUP_HOOKS_MAX];
};

/* Starts step "test" or "reload" of a configured target.  Refusals (unknown target, no such hook,
 * too many) go to err. */
int sup_hook_start(struct sup_hooks *hooks, int64_t id, const char *target, const char *step,
                   struct cm_err *err);
/* Starts the program of [dns_exec NAME] with more words behind its own and variables
 * CERTMGR_CRED_…: {"CERTMGR_CRED_X": text}.  Refusals as above. */
int sup_program_start(struct sup_hooks *hooks, int64_t id, const char *name, const json_t *words,
                      const json_t *variables, struct cm_err *err);
/* Reads what the hook printed, at most SUP_HOOK_READ bytes at a time; keeps the last
 * SUP_HOOK_OUTPUT. */
void sup_hook_read(struct sup_hook *hook);
/* Kills what is over its deadline; returns the next deadline (monotonic ms) or 0. */
int64_t sup_hooks_tick(struct sup_hooks *hooks, int64_t now_ms);
/* A child ended: true when it was a hook. */
bool sup_hooks_reap(struct sup_hooks *hooks, pid_t pid, int status);
/* The packet for the front of a finished hook (owned); NULL = still running. */
json_t *sup_hook_result(const struct sup_hook *hook);
void sup_hook_free(struct sup_hook *hook); /* the slot of a finished hook */
/* The front ended: its hooks run to their end, but their results are for nobody (a new front counts
 * its ids from the beginning). */
void sup_hooks_orphan(struct sup_hooks *hooks);
void sup_hooks_kill_all(struct sup_hooks *hooks);
