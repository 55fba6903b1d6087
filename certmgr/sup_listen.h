/* The supervisor's listening sockets: bound before rights are dropped, handed to the front, which
 * alone accepts on them. */
#pragma once

#include "base/core/err.h"
#include "certmgr/config/config.h"

#define SUP_LISTENERS 5

struct sup_listener {
    const char *name;                  /* "ui", "replication", "challenge", "api" */
    char address[CONFIG_PATH_MAX + 8]; /* "127.0.0.11:8443", "unix:/path"; "" = switched off */
    const char *group;                 /* of a Unix socket; NULL or "" = as it is made */
    int fd;                            /* -1 = not bound */
    char error[400];                   /* why not */
    bool told;                         /* the present front knows the present state */
};

/* Fills the table from the configuration; nothing is bound yet. */
void sup_listeners_init(const struct config *config, struct sup_listener out[SUP_LISTENERS]);
/* Binds one (0 or negative; listener->error tells why). Not listening yet: until the front is
 * there, clients are refused instead of left hanging. */
int sup_listener_bind(struct sup_listener *listener);
/* Closes what was bound; the file of our own Unix socket goes with it. */
void sup_listener_close(struct sup_listener *listener);
