/*
 * Changes of the trust root that hand power on: roles, another manager, root signers and their
 * threshold; and the second signature below somebody else's change.
 */
#pragma once

#include "keyfile/trust_build.h"

/* A promotion skips so many versions: a manager that is cut off, not dead, goes on renewing the
 * root it knows, one version a day, and must stay below the one that replaced it. */
#define KF_PROMOTE_STEP 100

/* Role "standby" (recipient of the managers' secrets and root signer; url is where it will listen
 * as a manager) or "server".  url, ui_url: NULL = as they are. */
int kf_trust_set_role(const struct kf_identity *identity, const struct kf_trust *current,
                      const char *name, bool standby, const char *url, const char *ui_url,
                      int64_t now_ms, json_t **ret, struct cm_err *err);
/* This server, a standby, becomes the manager; the ones before become servers, or are removed
 * (lost).  url, ui_url: NULL = as they are. */
int kf_trust_promote(const struct kf_identity *identity, const struct kf_trust *current, bool lost,
                     const char *url, const char *ui_url, int64_t now_ms, json_t **ret,
                     struct cm_err *err);
/* Root signers are the managers, the standbys and the servers named (array of texts). */
int kf_trust_set_threshold(const struct kf_identity *identity, const struct kf_trust *current,
                           int64_t threshold, const json_t *signers, int64_t now_ms, json_t **ret,
                           struct cm_err *err);
/* Adds our signature to a proposal of another root signer, whatever it changes.  CM_EDENIED when no
 * root signer has signed it, or it is not the next version. */
int kf_trust_cosign(const struct kf_identity *identity, const struct kf_trust *current,
                    const json_t *proposal, json_t **ret, struct cm_err *err);
/* Does it change nothing but version, serial and expiry, and forget former keys of servers
 * (kf_trust_retire()) at the most? */
bool kf_trust_only_renews(const struct kf_trust *current, const json_t *proposal);
