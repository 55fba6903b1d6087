/* Opening the LMDB environment, and what its error codes mean to a person. */
#include "certstore/env.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/crash.h"

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
        cm_err_hint(err, "Restart certmgr: it opens the store with room for twice as much. Nothing "
                         "that was confirmed is lost.");
        return CM_EFULL;
    }
    if (rc == EROFS) {
        cm_fail(err, CM_EIO, "%s: %s", what, cm_errno_text(rc));
        cm_err_hint(err,
                    "Mostly the system mounted it so after an error of the disk (dmesg). Make the "
                    "file system of %s writable again: certmgr goes on within a minute.",
                    env->dir);
        return CM_EIO;
    }
    if (rc == EACCES) {
        cm_fail(err, CM_EIO, "%s: %s", what, cm_errno_text(rc));
        cm_err_hint(err, "%s must be writable by the user that runs certmgr.", env->dir);
        return CM_EIO;
    }
    if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID || rc == MDB_BAD_TXN) {
        cm_fail(err, CM_EIO, "%s: the certificate store is damaged (%s)", what, mdb_strerror(rc));
        cm_err_hint(err, "Restore the newest backup of %s.", env->dir);
        return CM_EIO;
    }
    return cm_fail(err, CM_EIO, "%s: %s", what, mdb_strerror(rc));
}

const char *cs_fs_refused(unsigned long magic)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } bad[] = {{NFS_SUPER_MAGIC, "NFS"},   {SMB_SUPER_MAGIC, "SMB"}, {0xFF534D42UL, "CIFS"},
               {0xFE534D42UL, "SMB2"},     {0x00C36400UL, "Ceph"},   {AFS_SUPER_MAGIC, "AFS"},
               {CODA_SUPER_MAGIC, "Coda"}, {V9FS_MAGIC, "9P"},       {0x0BD00BD0UL, "Lustre"},
               {0x01161970UL, "GFS2"},     {0x7461636FUL, "OCFS2"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (magic == bad[i].magic)
            return bad[i].name;
    return NULL;
}

/* Between machines a shared map is not coherent and locks may be lost: two writers would destroy
 * the store.  A stacked file system is local, but may tear the map from the file at a copy-up. */
static int check_file_system(const char *dir, struct cm_err *err)
{
    struct statfs fs;
    if (statfs(dir, &fs) != 0)
        return cm_fail_errno(err, errno, "cannot examine the file system of %s", dir);
    /* Magic numbers have 32 bits; f_type is signed. */
    const char *name = cs_fs_refused((unsigned long)fs.f_type & 0xffffffffUL);
    if (name) {
        cm_fail(err, CM_EINVAL, "%s lies on a network file system: %s", dir, name);
        cm_err_hint(err, "Keep the store on a local disk; use \"certmgr backup\" for copies.");
        return CM_EINVAL;
    }
    if ((unsigned long)fs.f_type == OVERLAYFS_SUPER_MAGIC)
        cm_log(CM_LOG_WARN, "certstore", NULL,
               "%s lies on overlayfs: keep the store on a volume of its own", dir);
    return 0;
}

/* Killed (or the disk was full) while LMDB wrote the first two pages: there was never a store, and
 * LMDB would call the rest damaged for ever. */
static void drop_stump(const char *data)
{
    struct stat st;
    if (stat(data, &st) == 0 && st.st_size < (off_t)(2 * sysconf(_SC_PAGESIZE)) &&
        unlink(data) == 0)
        cm_log(CM_LOG_WARN, "certstore", data, "a store that was never finished is begun anew");
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
    if (create)
        drop_stump(data);
    return 0;
}

/* Room for twice what is there, at least: a store that grew is not full after the next start.  The
 * map is address space, not memory. */
static size_t map_size_for(const struct cs_env *env)
{
    CM_AUTO_STR data = cm_asprintf("%s/data.mdb", env->dir);
    struct stat st;
    size_t size = CS_MAP_SIZE_DEFAULT;
    if (stat(data, &st) == 0)
        while (size / 2 < (size_t)st.st_size && size < CS_MAP_SIZE_MAX)
            size *= 2;
    return size;
}

static int open_lmdb(struct cs_env *env, size_t map_size, struct cm_err *err)
{
    int dead = 0;
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    cs_crash_watch(env->dir);
    int rc = mdb_env_create(&env->lmdb);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env->lmdb, map_size ? map_size : map_size_for(env));
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
    if (rc == 0)
        cs_env_find_map(env);
    return rc == 0 ? 0 : cs_env_fail(env, rc, "cannot open the certificate store", err);
}

int cs_env_open(const char *dir, size_t map_size, bool create, struct cs_env **ret,
                struct cm_err *err)
{
    struct cs_env *env = cm_calloc(1, sizeof(*env));
    *ret = NULL;
    env->lock_fd = env->statm_fd = -1;
    env->dir = cm_strdup(dir);
    int rc = lock_dir(env, create, err);
    if (rc == 0)
        rc = check_file_system(dir, err);
    if (rc == 0)
        rc = open_lmdb(env, map_size, err);
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
    if (env->statm_fd >= 0)
        close(env->statm_fd);
    if (env->lock_fd >= 0)
        close(env->lock_fd);
    cm_free(env->dir);
    cm_free(env);
}

/* ---- care --------------------------------------------------------------------------------- */

/* LMDB keeps the reusable pages in its database 0: per transaction a count and the numbers. */
static int count_free(struct MDB_txn *txn, uint64_t *ret)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    *ret = 0;
    int rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t count = 0;
        if (value.mv_size >= sizeof(count))
            memcpy(&count, value.mv_data, sizeof(count));
        *ret += count;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int cs_env_usage(struct cs_env *env, bool exact, struct cs_usage *ret, struct cm_err *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    struct cs_txn txn;
    uint64_t unused = 0;
    int fd = -1;
    *ret = (struct cs_usage){0};
    int rc = mdb_env_info(env->lmdb, &info);
    if (rc == 0)
        rc = mdb_env_stat(env->lmdb, &stat);
    if (rc == 0)
        rc = mdb_env_get_fd(env->lmdb, &fd);
    if (rc == 0 && fstat(fd, &file) != 0)
        rc = errno;
    if (rc == 0 && exact) {
        int code = cs_txn_begin(env, false, &txn, err);
        if (code < 0)
            return code;
        rc = count_free(txn.lmdb, &unused);
        cs_txn_abort(&txn);
    }
    if (rc != 0)
        return cs_env_fail(env, rc, "cannot measure the certificate store", err);
    ret->map_size = info.me_mapsize;
    ret->used = ((uint64_t)info.me_last_pgno + 1 - unused) * stat.ms_psize;
    ret->file = (uint64_t)file.st_size;
    ret->readers = info.me_numreaders;
    return 0;
}

int cs_env_reap(struct cs_env *env, int *ret, struct cm_err *err)
{
    *ret = 0;
    int rc = mdb_reader_check(env->lmdb, ret);
    return rc == 0 ? 0 : cs_env_fail(env, rc, "cannot look after the store's readers", err);
}

struct foreign {
    int64_t pid, txn;
};

/* A line of LMDB's reader table: process, thread (hexadecimal), transaction or "-". */
static int on_reader(const char *line, void *arg)
{
    struct foreign *oldest = arg;
    char *end = NULL;
    int64_t pid = strtoll(line, &end, 10);
    if (end == line || pid == getpid())
        return 0; /* the heading; our own (a copy takes its time) */
    (void)strtoull(end, &end, 16);
    const char *text = end;
    int64_t txn = strtoll(text, &end, 10);
    if (end != text && (oldest->pid == 0 || txn < oldest->txn))
        *oldest = (struct foreign){.pid = pid, .txn = txn};
    return 0;
}

void cs_env_foreign(struct cs_env *env, int64_t *ret_pid, int64_t *ret_txn)
{
    struct foreign oldest = {0};
    (void)mdb_reader_list(env->lmdb, on_reader, &oldest);
    *ret_pid = oldest.pid;
    *ret_txn = oldest.txn;
}

int cs_env_copy(struct cs_env *env, int fd, struct cm_err *err)
{
    int rc = CS_READING(mdb_env_copyfd2(env->lmdb, fd, MDB_CP_COMPACT));
    if (rc == 0 && fsync(fd) != 0)
        rc = errno;
    if (rc == ENOSPC || rc == EDQUOT)
        return cm_fail(err, CM_EFULL, "no room for the copy of the certificate store");
    return rc == 0 ? 0 : cs_env_fail(env, rc, "the certificate store cannot be copied", err);
}
