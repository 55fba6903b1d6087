/*
 * What pages and API ask about replication: the upstream's settings, its test, how far both
 * directions are.  Implemented by certmgr/upstream.c; members may be NULL.
 */
#pragma once

#include "web-ui/care.h"

struct web_upstream {
    void *arg;
    /* {upstream: {…}, directions: […], peers: […], refused: {count, by_peer}} (owned). */
    json_t *(*replication)(void *arg);
    /* {kind: "hub"|"manager"|"none", url?, user?, authentication?, own_ca?, cert_not_before?,
     * cert_not_after?, cert_health?: "green"|"yellow"|"red"} (owned): no secrets. */
    json_t *(*show)(void *arg);
    /* Takes {url, user?, password?, cert_pem?, key_pem?, ca_pem?} in place of what was set. */
    void (*set)(void *arg, const json_t *settings, web_care_fn done, void *done_arg);
    /* Back to the manager. */
    int (*remove)(void *arg, struct cm_err *err);
    /* Asks the upstream who it is: {ok, url, server?, database?, error?}. */
    void (*test)(void *arg, web_care_fn done, void *done_arg);
};
