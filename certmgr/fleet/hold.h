/*
 * The hold after a restore: a manager that comes back from a backup knows an old state.
 *
 * Until every server of its trust root has given back what it holds newer (the servers verified the
 * signatures, and the store verifies them again), or an administrator says so, it orders nothing,
 * deploys nothing and publishes nothing.  A server that is not the manager holds until it has
 * caught up with its upstream.  Servers that answer after a release still give back.
 */
#pragma once

#include "certmgr/fleet/fleet.h"

/* Writes the hold into a store that was just restored (in the open batch), and its servers into
 * about: {waiting: [name…]}. */
int hold_begin(struct cs_store *store, const char *self, const json_t *trust, json_t *about,
               struct cm_err *err);

struct hold_opts {
    struct cs_store *store;
    const char *self;
    const struct kf_trust *(*trust)(void *arg); /* never NULL */
    void *trust_arg;
    cm_fn released; /* the process begins anew, without a hold */
    void *arg;
};
struct hold;
/* Lives as long as the process. */
/* Is this the store of a restore from the backup `about`, not yet at work again?  Then about gets
 * the members of hold_begin(), too. */
bool hold_is_of(struct cs_store *store, const char *self, json_t *about);
struct hold *hold_new(const struct hold_opts *opts);

/* Is everything stopped? */
bool hold_active(const struct hold *hold);
/* Is this server to give back what it holds?  Also after a release by hand. */
bool hold_wants(const struct hold *hold, const char *server);
/* It has given back everything (durable with the open batch). */
void hold_answered(struct hold *hold, const char *server);
/* A server says that it remembers what this store, the manager's, has forgotten: it was not
 * restored, but is an older copy all the same (the snapshot of a machine).  Everybody may say that:
 * what that server holds is wanted back, while everything goes on (durable with the open batch),
 * and nothing is told before hold_brought() finds the proof. */
void hold_take_back(struct hold *hold, const char *server);
/* A server that is asked brought a version (its text, verified) above what this store had.  Signed
 * by this manager itself it is the proof that it forgot, and raises the alarm. */
void hold_brought(struct hold *hold, const char *server, const json_t *body);
/* This server, which is not the manager, has caught up with its upstream. */
void hold_caught_up(struct hold *hold);
/* An administrator takes the responsibility.  CM_ENOENT when nothing is held. */
int hold_release(struct hold *hold, const char *who, struct cm_err *err);
/* {active, since, backup_at | older_copy, waiting: [name…], answered: [name…], released_by?}
 * (owned), or NULL. */
json_t *hold_status(const struct hold *hold);
