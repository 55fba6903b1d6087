/*
 * One keyring's place inside a data directory D (base name B of B.kyr):
 *
 *   D/.certmgr/B/<generation>/…   complete sets of files, never changed once written
 *   D/.certmgr/B/current          -> <generation>, replaced atomically
 *   D/B.kyr, D/B                  -> .certmgr/B/current/B.kyr, .certmgr/B/current (made once)
 *
 * Everything goes through directory descriptors without following links, so nothing that a service
 * user puts into D leads a write elsewhere.  Whatever moment the process dies at, readers see the
 * old set or the new one.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "keyfile/keyring.h"
#include "keyfile/target.h"

#define KF_GENERATIONS_KEPT 3
#define KF_GENERATIONS_MAX  1000 /* found in a directory; more means somebody else writes there */

struct kf_place {
    int data, store, base; /* D, D/.certmgr, D/.certmgr/B */
    const struct kf_target *target;
    struct kf_target_rights rights;
    char keyring_file[KF_KEYRING_NAME_MAX + 1];
    char name[KF_KEYRING_NAME_MAX + 1]; /* B */
};

/* Opens (and makes) the place.  Refuses a missing D, foreign files where our links belong, and a
 * .certmgr that is a link or writable by others. */
int kf_place_open(const struct kf_target *target, const char *keyring_file, struct kf_place *ret,
                  struct cm_err *err);
void kf_place_close(struct kf_place *place);

/* The current generation, 0 when there is none. */
int kf_place_current(const struct kf_place *place, int64_t *ret, struct cm_err *err);
/* meta.json of a generation (owned by the caller); CM_ENOENT when it has none. */
int kf_place_meta(const struct kf_place *place, int64_t generation, json_t **ret,
                  struct cm_err *err);
/* Are all files there with these bytes, modes and owners, and both links? */
bool kf_place_intact(const struct kf_place *place, int64_t generation, const struct kf_file *files,
                     size_t count);
/* Writes a new generation beside the others, durably. */
int kf_place_write(const struct kf_place *place, const struct kf_file *files, size_t count,
                   const json_t *meta, int64_t *ret_generation, struct cm_err *err);
/* Makes a generation the current one and sets the links; 0 = back to "nothing deployed". */
int kf_place_swap(const struct kf_place *place, int64_t generation, struct cm_err *err);
int kf_place_remove(const struct kf_place *place, int64_t generation, struct cm_err *err);
/* Removes all but the current and the newest generations before it (KF_GENERATIONS_KEPT in all). */
int kf_place_prune(const struct kf_place *place, struct cm_err *err);
