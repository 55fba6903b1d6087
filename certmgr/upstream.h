/*
 * The upstream of this server: the fleet's manager, as the trust root names it, or a hub that was
 * set here (`certmgr upstream set`).  With a hub the manager is a client like everybody else.
 *
 * The hub's settings lie in the local table "state"; its password or key is sealed by the key agent
 * to this server, bound to the URL, and opened when the client starts.
 */
#pragma once

#include "base/net/http_client.h"
#include "certmgr/config/config.h"
#include "certmgr/fleet/fleet.h"
#include "keyfile/port.h"
#include "replicator/replicator.h"
#include "web-ui/upstream.h"

/* Where the settings lie. */
#define UPSTREAM_TABLE "state"
#define UPSTREAM_KEY   "upstream"

struct upstream_opts {
    struct cm_loop *loop;
    struct cs_store *store;
    struct http_client *http;
    struct fleet *fleet;
    struct kf_agent agent;
    const struct config *config;
    bool held; /* restored and on hold: nothing on the hub is changed by us */
};
struct upstream;
struct upstream *upstream_new(const struct upstream_opts *opts);
/* The servers that this one serves as their upstream (shown with the rest); NULL = none. */
void upstream_serves(struct upstream *upstream, struct rp_server *server);
/* Connects as the settings and the trust root say; again after each new trust root. */
void upstream_follow(struct upstream *upstream);
/* Compares everything with the upstream once more. */
void upstream_again(struct upstream *upstream);
/* Is everything pulled that the upstream has? */
bool upstream_caught_up(const struct upstream *upstream);
/* {kind, url, pull, push} for the status page (owned); NULL = no upstream. */
json_t *upstream_status(struct upstream *upstream);
/* Who is connected, and behind a hub who wrote something: [{peer, since?, feed, last_seen_at,
 * through?}] (owned). */
json_t *upstream_peers(struct upstream *upstream);
struct web_upstream upstream_port(struct upstream *upstream);
