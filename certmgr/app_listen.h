/* The front's listeners: sockets come from the supervisor, services from app.c, in any order. */
#pragma once

#include "base/net/loop.h"
#include "certmgr/config/config.h"
#include "certmgr/fleet/fleet.h"
#include "replicator/replicator.h"
#include "web-ui/web.h"

struct app_services {
    const struct config *config;
    struct cm_loop *loop;
    struct cs_store *store;
    struct fleet *fleet;
    struct web *web;
    struct rp_server *replication; /* NULL: this server is no upstream */
};

struct app_listeners;
struct app_listeners *app_listeners_new(void);
/* A socket arrived (take_fd), or could not be bound (-1 and error). */
void app_listeners_add(struct app_listeners *all, const char *name, const char *address,
                       int take_fd, const char *error);
/* The services are ready: opens what is there and what arrives later. */
int app_listeners_start(struct app_listeners *all, const struct app_services *services,
                        struct cm_err *err);
/* [{name, address, state: "open"|"failed"|"unused", error}] (owned). */
json_t *app_listeners_status(const struct app_listeners *all);
