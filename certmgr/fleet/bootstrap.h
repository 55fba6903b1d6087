/*
 * Making a server's state directory, before any daemon runs: `certmgr init` and `certmgr join`.
 *
 * The key agent is started as a child and asked for keys over its socket pair, as in production:
 * keys exist in the clear nowhere else.  Each step can be killed and the command run again.
 */
#pragma once

#include "base/core/err.h"
#include "certmgr/config/config.h"

/* For commands that make a state directory and have to be given again: when a disk was full (the
 * code of err, which may be NULL), its hint says so.  A store that serves goes on by itself; here
 * nobody does.  place: what lies on the full file system. */
void bootstrap_full_hint(const char *place, struct cm_err *err);

/* First server of a fleet: identity, TLS key, trust:root v1, store.  CM_ECONFLICT when the state is
 * complete already.  recovery_spki: public recovery key (base64); when an earlier run that was
 * killed has founded the fleet with another one, a warning says so.  (The one-time set-up link is
 * made by the caller: web_setup_token().) */
int fleet_init(const struct config *config, const char *recovery_spki, struct cm_err *err);
/* Joins with a token: identity for the token's name, POST /join, pins the answer, makes the store.
 * Interrupted, the same call goes on, also when the token has expired meanwhile and the manager has
 * admitted the keys.  again: a server that was removed returns with its keys and its store
 * (*ret_back); without it complete state is CM_ECONFLICT.  CM_EBUSY: a server runs here. */
int fleet_join(const struct config *config, const char *token, bool again, bool *ret_back,
               struct cm_err *err);
