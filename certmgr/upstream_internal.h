/* Shared by certmgr/upstream*.c only. */
#pragma once

#include "certmgr/upstream.h"

#define UPSTREAM_FOREIGN "second_manager" /* {id, at}: a manager's document that is not ours */

struct upstream {
    struct upstream_opts opts;
    struct rp_server *server;
    struct rp_client *client;
    json_t *doc; /* hub_settings_check() and `sealed`; NULL = the manager is the upstream */
    bool is_hub; /* of client */
    bool as_manager;
    bool opening;      /* the agent opens the secret */
    uint64_t turn;     /* of the settings: an answer for older ones is dropped */
    struct cm_err err; /* why the secret is not open */
    struct cm_timer *again;
    struct cm_timer *look; /* at the end of the certificate for the hub */
    json_t *heard; /* behind a hub: server -> wall clock ms of the newest document it wrote */
    int64_t foreign_told_ms;
};

/* The hub's secret (borrowed for the call, "" = none), or err. */
typedef void (*upstream_secret_fn)(void *arg, const char *secret, const struct cm_err *err);
void upstream_open_secret(struct upstream *upstream, upstream_secret_fn done, void *arg);

/* ---- upstream_ask.c ---- */
void upstream_test(void *upstream, web_care_fn done, void *done_arg);
/* ---- upstream_view.c ---- */
json_t *upstream_replication(void *upstream);
void upstream_hear_all(struct upstream *upstream);
void upstream_hear(void *upstream, const char *id); /* cs_listener_fn */
