/*
 * The front process: builds everything and wires it.  The only file that knows everyone.
 *
 * Order of life: control channel -> agent's hello -> store -> fleet -> engine, deployer,
 * replicator, web -> listeners.  Freed in reverse.
 */
#pragma once

#include "certmgr/config/config.h"

/* Runs the front until it is told to stop; returns the exit status. channel_fd: the supervisor's.
 */
int app_run(const struct config *config, int channel_fd);
