/* Opening the LMDB environment, and what its error codes mean to a person. */
#include "certstore/env.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <lmdb.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define ENV_FLAGS (MDB_NOTLS)

/* Without these guarantees a power cut loses or tears acknowledged documents. */
_Static_assert((ENV_FLAGS &
                (MDB_NOSYNC | MDB_NOMETASYNC | MDB_MAPASYNC | MDB_WRITEMAP | MDB_NOLOCK)) == 0,
               "the store is always fully synced and locked");

int cs_env_fail(const struct cs_env *env, int rc, const char *what, struct cm_err *err)
{
    struct statvfs fs;
    bool full = rc == ENOSPC || rc == EDQUOT;
    /* LMDB turns a short write on a full disk into EIO. */
    if (rc == EIO && statvfs(env->dir, &fs) == 0)
        full = (uint64_t)fs.f_bavail * fs.f_frsize < CS_DISK_FULL_BELOW;
    if (full) {
        cm_fail(err, CM_EFULL, "%s: the disk of the certificate store is full", what);
        cm_err_hint(err, "Free space on the file system of %s; the store goes on by itself.",
                    env->dir);
        return CM_EFULL;
    }
    if (rc == MDB_MAP_FULL) {
        cm_fail(err, CM_EFULL, "%s: the certificate store has reached its largest size", what);
        cm_err_hint(err, "Delete what is no longer needed, or open the store with a larger map.");
        return CM_EFULL;
    }
    if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID) {
        cm_fail(err, CM_EIO, "%s: the certificate store is damaged (%s)", what, mdb_strerror(rc));
        cm_err_hint(err, "Restore the newest backup of %s.", env->dir);
        return CM_EIO;
    }
    return cm_fail(err, CM_EIO, "%s: %s", what, mdb_strerror(rc));
}

/* Shared or stacked file systems break mmap coherence or locks: said once, at start. */
static void warn_file_system(const char *dir)
{
    static const struct {
        long magic;
        const char *name;
    } bad[] = {{NFS_SUPER_MAGIC, "NFS"},
               {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
               {SMB_SUPER_MAGIC, "SMB"},
               {0xFF534D42L, "CIFS"}};
    struct statfs fs;
    if (statfs(dir, &fs) != 0)
        return;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if ((long)fs.f_type == bad[i].magic)
            cm_log(CM_LOG_WARN, "certstore", NULL,
                   "%s lies on %s: keep the store on a local file system", dir, bad[i].name);
}

static int lock_dir(struct cs_env *env, bool create, struct cm_err *err)
{
    CM_AUTO_STR data = cm_asprintf("%s/data.mdb", env->dir);
    CM_AUTO_STR path = cm_asprintf("%s/store.lock", env->dir);
    int rc = 0;
    if (!create && !cm_path_exists(data))
        return cm_fail(err, CM_ENOENT, "there is no certificate store in %s", env->dir);
    if (create)
        rc = cm_dir_make(env->dir, 0700, err);
    if (rc < 0)
        return cm_wrap(err, rc, "cannot make the directory of the certificate store");
    env->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (env->lock_fd < 0)
        return cs_env_fail(env, errno, "cannot open the lock file of the certificate store", err);
    if (flock(env->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        cm_fail(err, CM_EBUSY, "the certificate store in %s is open already", env->dir);
        cm_err_hint(err, "One process opens a store: ask the running server, or stop it first.");
        return CM_EBUSY;
    }
    return 0;
}

static int open_lmdb(struct cs_env *env, size_t map_size, struct cm_err *err)
{
    int dead = 0;
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    int rc = mdb_env_create(&env->lmdb);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env->lmdb, map_size ? map_size : CS_MAP_SIZE_DEFAULT);
    if (rc == 0)
        rc = mdb_env_open(env->lmdb, env->dir, ENV_FLAGS, 0600);
    /* Readers of killed processes would pin old pages for ever. */
    if (rc == 0)
        rc = mdb_reader_check(env->lmdb, &dead);
    if (rc == 0)
        rc = mdb_txn_begin(env->lmdb, NULL, MDB_RDONLY, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (rc == 0) {
        rc = mdb_txn_commit(txn); /* keeps the handle; there is nothing to write */
        txn = NULL;
    }
    if (txn)
        mdb_txn_abort(txn);
    env->dbi = dbi;
    return rc == 0 ? 0 : cs_env_fail(env, rc, "cannot open the certificate store", err);
}

int cs_env_open(const char *dir, size_t map_size, bool create, struct cs_env **ret,
                struct cm_err *err)
{
    struct cs_env *env = cm_calloc(1, sizeof(*env));
    *ret = NULL;
    env->lock_fd = -1;
    env->dir = cm_strdup(dir);
    int rc = lock_dir(env, create, err);
    if (rc == 0) {
        warn_file_system(dir);
        rc = open_lmdb(env, map_size, err);
    }
    if (rc < 0) {
        cs_env_close(env);
        return rc;
    }
    *ret = env;
    return 0;
}

void cs_env_close(struct cs_env *env)
{
    while (env->spare_count > 0)
        mdb_txn_abort(env->spare[--env->spare_count]);
    if (env->lmdb)
        mdb_env_close(env->lmdb);
    if (env->lock_fd >= 0)
        close(env->lock_fd);
    cm_free(env->dir);
    cm_free(env);
}
