/*
 * The front's care of its own state: housekeeping and scrub of the store on a timer, copies for
 * backups on a worker, the hold after a restore.
 */
#pragma once

#include "base/net/loop.h"
#include "certmgr/config/config.h"
#include "certmgr/fleet/fleet.h"
#include "certmgr/fleet/hold.h"
#include "keyfile/port.h"
#include "web-ui/care.h"

struct app_care_opts {
    struct cm_loop *loop;
    struct cs_store *store;
    struct fleet *fleet;
    struct kf_agent agent;
    const struct config *config;
    /* Is the pull from the upstream live? */
    bool (*caught_up)(void *arg);
    /* Ends the front; the supervisor starts it anew. */
    void (*restart)(void *arg);
    void *arg;
};
struct app_care;
/* Begins at once; holds the store and the fleet when the store says so. */
struct app_care *app_care_new(const struct app_care_opts *opts);
bool app_care_held(const struct app_care *care);
/* A copy is being written by a worker: the store must not be closed. */
bool app_care_busy(const struct app_care *care);
struct web_care app_care_port(struct app_care *care);
/* For the replication server (arg = care). */
bool app_care_wants_back(void *care, const char *peer);
void app_care_gave_back(void *care, const char *peer);
void app_care_take_back(void *care, const char *peer);
void app_care_brought(void *care, const char *peer, const json_t *body);
