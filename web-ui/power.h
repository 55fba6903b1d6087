/*
 * What pages and API change about power in the fleet: roles, promotion, root signers, signatures
 * below proposals.  Implemented by certmgr/app_power.c; members may be NULL.
 */
#pragma once

#include "certmgr/fleet/fleet.h"

struct web_power {
    void *arg;
    void (*invite)(void *arg, const struct fleet_role *role, fleet_invite_fn done, void *done_arg);
    void (*role)(void *arg, const struct fleet_role *role, fleet_done_fn done, void *done_arg);
    /* This server becomes the manager; url, ui_url: NULL = as the trust root or the configuration
     * says. */
    void (*promote)(void *arg, bool lost, const char *url, const char *ui_url, fleet_done_fn done,
                    void *done_arg);
    void (*threshold)(void *arg, int64_t threshold, const json_t *signers, fleet_done_fn done,
                      void *done_arg);
    void (*sign)(void *arg, const json_t *document, fleet_done_fn done, void *done_arg);
    /* {threshold, signers: [names], proposal?: {what, at, have, need, document}} (owned). */
    json_t *(*show)(void *arg);
    /* This server's own keys are replaced, or not any more (certmgr/fleet/rotate.h). */
    int (*rotate)(void *arg, const char *who, struct cm_err *err);
    int (*rotate_cancel)(void *arg, struct cm_err *err);
    /* The manager orders another server to do it. */
    void (*rotate_order)(void *arg, const char *name, const char *who, fleet_done_fn done,
                         void *done_arg);
    /* {state, …} of a server's rotation (owned), or NULL. */
    json_t *(*rotation)(void *arg, const char *name);
};
