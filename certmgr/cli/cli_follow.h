/* Reading the server's live event stream from the command line. */
#pragma once

#include "certmgr/cli/cli_internal.h"

#define CLI_FOLLOW_EVENT_MAX  (2u << 20) /* bytes of one event */
#define CLI_FOLLOW_SILENCE_MS 60000      /* four missed heartbeats: the connection is dead */
#define CLI_FOLLOW_AGAIN_MS   500        /* before it connects again */
#define CLI_EVENT_ID_SIZE     32
#define CLI_FOLLOW_TRIES      60 /* connections in a row that tell nothing: given up */

enum cli_follow_end {
    CLI_FOLLOW_STOPPED, /* fn said so */
    CLI_FOLLOW_REFUSED, /* the server answers, but gives no stream: ask for the document */
    CLI_FOLLOW_LOST,    /* no server for CLI_FOLLOW_TRIES connections, or none that makes sense */
};

/* One event; control bytes in texts are replaced.  Non-zero ends the following. */
typedef int (*cli_event_fn)(void *arg, const char *event, const json_t *data);
/* Follows the stream at this path of the API; after a break it goes on behind the last event heard
 * (Last-Event-ID), so that a restart of the server loses nothing.  last: "" at first; what was
 * heard last stays in it for the next call. */
enum cli_follow_end cli_follow(struct cli *cli, const char *path, char last[CLI_EVENT_ID_SIZE],
                               cli_event_fn fn, void *arg);
void cli_nap(int ms);

/* A dry run (cli_trial.c): what was there before it was asked for; then it is followed to its end.
 */
struct cli_trial {
    char last[CLI_EVENT_ID_SIZE]; /* step printed last */
    char asked[40];               /* when the last request was made */
};
int cli_trial_mark(struct cli *cli, const char *ulid, struct cli_trial *mark);
int cli_trial_follow(struct cli *cli, const char *ulid, struct cli_trial *mark);
