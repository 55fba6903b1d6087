/*
 * Looking for a newer trust root where the upstream does not bring one.
 *
 * A manager shows its root to whoever was or may be one (standbys, lost managers) and looks at
 * theirs: before it begins to work, and then every SEEK_MANAGER_MS.  Another server asks them when
 * its upstream is silent.  A root signer fetches renewals that wait for its signature.
 */
#pragma once

#include "base/net/http_client.h"
#include "base/net/loop.h"
#include "certmgr/fleet/fleet.h"

#define SEEK_MANAGER_MS 15000
#define SEEK_SILENT_MS  4000  /* between two questions while the upstream is silent */
#define SEEK_COSIGN_MS  20000 /* a root signer asks the manager so often */
#define SEEK_CALL_MS    5000
#define SEEK_TARGETS    16

struct seek_opts {
    struct cm_loop *loop;
    struct http_client *http;
    struct cs_store *store;
    struct fleet *fleet;
    const char *self;
    const char *cert_file, *key_file; /* of the TLS identity */
    /* Is the pull from the upstream working?  (Not asked on the manager.) */
    bool (*upstream_ok)(void *arg);
    void *arg;
};
struct seek;
struct seek *seek_new(const struct seek_opts *opts);
/* Asks everybody once, then calls done(arg): at the start of a manager, before it writes. */
void seek_first(struct seek *seek, cm_fn done, void *arg);
/* From then on by itself. */
void seek_start(struct seek *seek);
/* After a change of the trust root: it is shown at once. */
void seek_now(struct seek *seek);
