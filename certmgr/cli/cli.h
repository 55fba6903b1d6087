/*
 * Command-line client: a table of subcommands, one file each.  All but init and join speak to the
 * running server's REST API over its Unix socket (the same routes as the web interface).
 *
 * Data on stdout, talk on stderr; exit: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 denied,
 * 6 server not reachable, 7 more signatures are needed.
 */
#pragma once

#include "certmgr/config/config.h"
#include <jansson.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_CONFLICT = 4,
    CLI_DENIED = 5,
    CLI_UNREACHABLE = 6,
    CLI_WAITING = 7, /* proposed: other root signers have to sign */
};

/* certmgr [--root DIR] COMMAND …; returns the exit status. */
int cli_main(int argc, char **argv);
