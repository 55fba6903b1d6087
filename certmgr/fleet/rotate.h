/*
 * This server's three keys are replaced, step by step; each step looks at what is there, so it goes
 * on wherever the last life ended (docs/rotation.md).
 *
 *   keys       new seal and sign keys lie in the agent, a new TLS key beside the present one
 *   proposed   rotation:<server> says so, signed with the old key; the manager is to list them
 *   resealing  the trust root lists them: they are in use, and everything that the old ones sealed
 *              or signed is sealed and signed anew
 *   resealed   rotation:<server> says so, signed with the new key; the manager is to forget the old
 *              when it has no document left that is sealed for the old one alone (rotate_wait.c)
 *   done       the old keys are destroyed
 */
#pragma once

#include "certmgr/config/config.h"
#include "certmgr/fleet/fleet.h"

#define ROTATE_LOOK_MS  1000
#define ROTATE_SLICE    200              /* documents looked at in one turn */
#define ROTATE_OPEN     32               /* documents being sealed or signed anew at a time */
#define ROTATE_STUCK_MS (15 * 60 * 1000) /* without progress for so long, people are told */

#define ROTATE_WAIT_SLICE 100 /* credentials the manager looks at in one turn */
/* The former keys of a server wait so long for documents that are sealed for them alone. */
#define ROTATE_WAIT_MS (24 * 3600 * INT64_C(1000))
#define ROTATE_LEFT_MS (7 * ROTATE_WAIT_MS) /* the notice about those that were left is shown */

struct rotate;
struct rotate_opts {
    struct cm_loop *loop;
    struct cs_store *store;
    struct fleet *fleet;
    struct kf_agent agent;
    const struct config *config;
    /* A secret that this server sealed for itself lies in the local table so, as member "sealed";
     * or NULL. */
    const char *secret_table, *secret_key;
    cm_fn restart; /* the front begins anew: with another TLS key, or another sealed secret */
    void *arg;
};
/* Begins to look; lives as long as the process.  While held (fleet_set_hold()) nothing is done. */
struct rotate *rotate_new(const struct rotate_opts *opts);
/* After each new trust root. */
void rotate_look(struct rotate *rotate);
/* Begins, on this server, for its own keys; one that is under way goes on (no error). */
int rotate_begin(struct rotate *rotate, const char *who, struct cm_err *err);
/* Gives up while the trust root does not list the new keys; CM_ECONFLICT later.  They are kept
 * until the next rotation begins: should the manager list them all the same, the rotation goes on.
 */
int rotate_cancel(struct rotate *rotate, struct cm_err *err);
/* {state, started_at, by, left?, error?, stuck, finished_at?} (owned), or NULL: never rotated.
 * State "cancelled": given up; "replaced": this is a copy from before a rotation. */
json_t *rotate_status(const struct rotate *rotate);

/* Takes the new TLS key into use when the trust root lists it; before anything reads the present
 * one.  Does nothing else. */
int rotate_take_tls(const struct config *config, const struct kf_trust *trust, struct cm_err *err);

/* ---- the manager's part (rotate_serve.c) ---- */

/* Answers rotation: and reseal: documents from now on, for as long as the process lives; only on a
 * manager. */
void rotate_serve(struct cm_loop *loop, struct cs_store *store, struct fleet *fleet,
                  struct kf_agent agent);
/* Raises and clears the notices about rotations that do not go on, and clears old ones about
 * copies. */
void rotate_watch(struct cs_store *store, const struct kf_trust *trust);
/* Orders a server to rotate its keys (server:<name>, member rotate_at). */
void rotate_order(struct fleet *fleet, const char *name, const char *who, fleet_done_fn done,
                  void *arg);
/* What the manager knows of a server's rotation: {state, at, old_keys?, stuck, by?, refused?,
 * waiting?: {documents, first, since, until}} (owned), or NULL when none is under way.  State
 * "ordered": the server has not answered yet. */
json_t *rotate_of(struct cs_store *store, const struct kf_trust *trust, const char *name);

/* Is this server's TLS key one that the trust root knows as replaced?  Then it is a copy of it from
 * before: a restored backup, a cloned machine. */
bool rotate_is_copy(const struct config *config, const struct kf_trust *trust);
