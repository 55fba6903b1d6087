/*
 * The supervisor: binds the listeners, starts and restarts front and key agent, runs hooks by name.
 * It parses nothing from the network and holds no key.
 */
#pragma once

#include "certmgr/config/config.h"

#define SUP_RESTART_MIN_MS    100
#define SUP_RESTART_MAX_MS    5000
#define SUP_ALIKE_MAX         5 /* short lives in a row that end alike: only people can help … */
#define SUP_ALIKE_MS          60000 /* … and it is tried so seldom */
#define SUP_WISHES_MAX        20    /* short lives in a row that ended by their own wish */
#define SUP_BIND_RETRY_MIN_MS 100
#define SUP_BIND_RETRY_MS     15000
#define SUP_HOOKS_MAX         16    /* running at a time; more are refused */
#define SUP_HOOK_OUTPUT       4096  /* last bytes kept of a hook's output */
#define SUP_STOP_MS           10000 /* children that did not end by then are killed */
#define SUP_AGENT_SPARED_MS   5000  /* an agent so young is not the one that is told to hang */

/* Runs until SIGTERM or SIGINT; returns the exit status. */
int supervisor_run(const struct config *config);
