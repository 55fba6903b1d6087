/*
 * The LMDB environment, and the only place besides txn.c that knows LMDB.
 *
 * One environment, one unnamed database, full sync.  The directory is locked: one process, one
 * open environment.  A failed write makes its transaction unusable; the caller aborts it.
 */
#pragma once

#include "base/core/err.h"
#include "certstore/key.h"

/* The map of a new store; at the start doubled until half of it is free, up to the largest. */
#define CS_MAP_SIZE_DEFAULT ((size_t)16 << 30)
#define CS_MAP_SIZE_MAX     ((size_t)8 << 40)
#define CS_DISK_FULL_BELOW  (1u << 20) /* free bytes under which an I/O error means "disk full" */

struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

#define CS_SPARE_READERS 4

/* What the environment takes; sizes in bytes. */
struct cs_usage {
    uint64_t map_size;
    uint64_t used; /* pages that hold something, without those that may be used again */
    uint64_t file; /* of data.mdb */
    unsigned readers;
};

struct cs_env {
    struct MDB_env *lmdb;
    unsigned dbi;
    int lock_fd;
    char *dir;
    struct MDB_txn *spare[CS_SPARE_READERS]; /* reset read transactions, kept for the next one */
    unsigned spare_count;
    void *map; /* LMDB's, or NULL when it was not found */
    size_t map_len;
    int statm_fd;   /* this process's memory, or -1 */
    size_t others;  /* pages of other files in the tables of this process */
    unsigned steps; /* since that was last looked at */
};

/* create: make the directory (mode 0700) and an empty environment when missing.  CM_EBUSY when
 * another process has it open, CM_ENOENT when there is none. */
int cs_env_open(const char *dir, size_t map_size, bool create, struct cs_env **ret,
                struct cm_err *err);
void cs_env_close(struct cs_env *env); /* no transaction may be open */
/* resident.c: keeps what the map counts as memory of this process to some megabytes. */
void cs_env_find_map(struct cs_env *env);
void cs_env_look(struct cs_env *env);

#define CS_LOOK_EVERY 32 /* steps; each may bring 64 KB of the map */

/* At each step through the tree. */
static inline void cs_env_step(struct cs_env *env)
{
    if (++env->steps >= CS_LOOK_EVERY)
        cs_env_look(env);
}

/* exact: counts the reusable pages one list at a time; otherwise `used` is the highest page ever
 * used, which is never too low. */
int cs_env_usage(struct cs_env *env, bool exact, struct cs_usage *ret, struct cm_err *err);
/* Frees the snapshots of readers that died; *ret = how many. */
int cs_env_reap(struct cs_env *env, int *ret, struct cm_err *err);
/* The oldest snapshot that another process reads from: its process id (0 = nobody does), and the
 * transaction it shows. */
void cs_env_foreign(struct cs_env *env, int64_t *ret_pid, int64_t *ret_txn);
/* A compacted copy of the present state into fd, while others read and write.  From any thread. */
int cs_env_copy(struct cs_env *env, int fd, struct cm_err *err);
/* Name of a network file system on which no store may lie, by its magic number; NULL = allowed. */
const char *cs_fs_refused(unsigned long magic);
/* An LMDB or errno code as error; tells a full disk from a failing one. */
int cs_env_fail(const struct cs_env *env, int rc, const char *what, struct cm_err *err);

struct cs_txn {
    struct cs_env *env;
    struct MDB_txn *lmdb;
    bool write;
};

int cs_txn_begin(struct cs_env *env, bool write, struct cs_txn *ret, struct cm_err *err);
/* The transaction is over in either case. */
int cs_txn_commit(struct cs_txn *txn, struct cm_err *err);
void cs_txn_abort(struct cs_txn *txn); /* also ends a read transaction */

/* *ret points into the map: valid until the next write of this transaction or its end.
 * CM_ENOENT leaves err alone. */
int cs_txn_get(struct cs_txn *txn, const struct cs_key *key, struct cs_slice *ret,
               struct cm_err *err);
/* Room for a value of size bytes, to be filled before the next call. */
int cs_txn_put(struct cs_txn *txn, const struct cs_key *key, size_t size, void **ret,
               struct cm_err *err);
int cs_txn_del(struct cs_txn *txn, const struct cs_key *key, struct cm_err *err);
int cs_txn_count(struct cs_txn *txn, int64_t *ret, struct cm_err *err);

/* Entries in key order.  Every open cursor is closed before its transaction ends. */
struct cs_cursor {
    struct cs_txn *txn;
    struct MDB_cursor *lmdb;
};
int cs_cursor_open(struct cs_txn *txn, struct cs_cursor *ret, struct cm_err *err);
void cs_cursor_close(struct cs_cursor *cursor);
/* First entry with a key >= key; CM_ENOENT leaves err alone. */
int cs_cursor_seek(struct cs_cursor *cursor, const struct cs_key *key, struct cs_slice *ret_key,
                   struct cs_slice *ret_value, struct cm_err *err);
int cs_cursor_next(struct cs_cursor *cursor, struct cs_slice *ret_key, struct cs_slice *ret_value,
                   struct cm_err *err);
/* Last entry with a key < key. */
int cs_cursor_before(struct cs_cursor *cursor, const struct cs_key *key, struct cs_slice *ret_key,
                     struct cs_slice *ret_value, struct cm_err *err);
