/*
 * Replacing this server's seal and sign keys on disk, killed at any step.
 *
 * The keys that are to follow lie complete in <dir>/next until the trust root lists them.  Then the
 * present ones are kept in <dir>/old, which is the point of no return, and those of next take their
 * place; old is destroyed when the trust root does not list it any more.
 */
#pragma once

#include "keyfile/identity.h"

/* Loads what is there: finishes an exchange that was interrupted, wipes half-made or half-destroyed
 * keys, then kf_identity_load() with pending and former. */
int kf_identity_load_all(const char *dir, struct kf_identity *ret, struct cm_err *err);
/* Makes the keys that are to follow, unless they are there.  CM_EBUSY while former ones are kept.
 */
int kf_identity_prepare(const char *dir, struct kf_identity *identity, struct cm_err *err);
/* The pending keys become the present ones, the present ones the former. */
int kf_identity_exchange(const char *dir, struct kf_identity *identity, struct cm_err *err);
/* Destroys the former keys, or the pending ones (nothing of them is used any more). */
int kf_identity_drop_former(const char *dir, struct kf_identity *identity, struct cm_err *err);
int kf_identity_drop_pending(const char *dir, struct kf_identity *identity, struct cm_err *err);
