/* The supervisor's listening sockets: bound before rights are dropped, handed to the front, which
 * alone accepts on them. */
#pragma once

#include "base/core/err.h"
#include "certmgr/config/config.h"

#define SUP_LISTENERS 4

struct sup_listener {
    const char *name;  /* "ui", "replication", "challenge", "api" */
    char address[128]; /* "127.0.0.11:8443" or "unix:/path"; "" = switched off */
    int fd;            /* -1 = not bound */
    char error[200];   /* why not */
};

/* Fills the table from the configuration; nothing is bound yet. */
void sup_listeners_init(const struct config *config, struct sup_listener out[SUP_LISTENERS]);
/* Binds one (0 or negative; listener->error tells why). Not listening yet: until the front is
 * there, clients are refused instead of left hanging. */
int sup_listener_bind(struct sup_listener *listener);
