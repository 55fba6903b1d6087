/*
 * Backup and restore of one server: store, identity, TLS key and configuration in one file that the
 * recovery key opens (docs/backup.md, keyfile/backup.h).
 *
 * Restoring is all or nothing: everything is written beside the state directory, examined, given a
 * new incarnation and a hold (hold.h), and put into its place by one rename.
 */
#pragma once

#include "base/core/err.h"
#include "certmgr/config/config.h"
#include "certstore/store.h"

/* Copies made for a backup lie in <state>/store under this name; a left one is removed at start. */
#define BACKUP_COPY_PREFIX "backup-"

struct backup_parts {
    const struct config *config;
    const char *store_copy;      /* of cs_copy(); stays where it is */
    const char *sealed_identity; /* of the agent's backup.seal */
    const char *recovery;        /* the same reply's */
    const json_t *about;         /* backup_about() */
};
/* What a backup's header tells of the store (owned). */
json_t *backup_about(const struct cs_store *store, const char *name);
/* Path for a copy of the store (cm_free). */
char *backup_copy_path(const struct config *config);
void backup_remove_copies(const struct config *config);
/* Writes the file (mode 0600); CM_ECONFLICT when path exists.  Never leaves half a file there. */
int backup_write(const struct backup_parts *parts, const char *path, struct cm_err *err);
/* The same while no server runs: store and agent are opened for it. */
int backup_offline(const struct config *config, const char *path, struct cm_err *err);

/* Restores into config's state directory, which must be missing or empty.  *ret_about (owned): the
 * backup's header and {waiting: [servers that must answer]}. */
int backup_restore(const struct config *config, const char *path, const char *recovery_key_file,
                   json_t **ret_about, struct cm_err *err);
