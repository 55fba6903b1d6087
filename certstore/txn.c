/* LMDB transactions and cursors in the terms of the store. */
#include <lmdb.h>

#include "certstore/crash.h"
#include "certstore/env.h"

static MDB_val val_of(const struct cs_key *key)
{
    return (MDB_val){.mv_size = key->len, .mv_data = (void *)(uintptr_t)key->data};
}

int cs_txn_begin(struct cs_env *env, bool write, struct cs_txn *ret, struct cm_err *err)
{
    *ret = (struct cs_txn){.env = env, .write = write};
    /* Renewing a kept read transaction costs a tenth of beginning one. */
    if (!write && env->spare_count > 0) {
        ret->lmdb = env->spare[--env->spare_count];
        if (mdb_txn_renew(ret->lmdb) == 0)
            return 0;
        mdb_txn_abort(ret->lmdb);
    }
    int rc = mdb_txn_begin(env->lmdb, NULL, write ? 0 : MDB_RDONLY, &ret->lmdb);
    if (rc == 0)
        return 0;
    ret->lmdb = NULL;
    return cs_env_fail(env, rc, "cannot begin a transaction of the certificate store", err);
}

int cs_txn_commit(struct cs_txn *txn, struct cm_err *err)
{
    int rc = CS_READING(mdb_txn_commit(txn->lmdb));
    txn->lmdb = NULL;
    cs_env_look(txn->env);
    return rc == 0 ? 0 : cs_env_fail(txn->env, rc, "cannot save to the certificate store", err);
}

void cs_txn_abort(struct cs_txn *txn)
{
    struct cs_env *env = txn->env;
    if (!txn->lmdb)
        return;
    if (!txn->write && env->spare_count < CS_SPARE_READERS) {
        mdb_txn_reset(txn->lmdb); /* gives the snapshot up, keeps the reader slot */
        env->spare[env->spare_count++] = txn->lmdb;
    } else {
        mdb_txn_abort(txn->lmdb);
    }
    txn->lmdb = NULL;
}

int cs_txn_get(struct cs_txn *txn, const struct cs_key *key, struct cs_slice *ret,
               struct cm_err *err)
{
    MDB_val k = val_of(key), v;
    if (key->bad)
        return CM_ENOENT; /* longer than any stored key */
    cs_env_step(txn->env);
    int rc = CS_READING(mdb_get(txn->lmdb, txn->env->dbi, &k, &v));
    if (rc == MDB_NOTFOUND)
        return CM_ENOENT;
    if (rc != 0)
        return cs_env_fail(txn->env, rc, "cannot read from the certificate store", err);
    *ret = (struct cs_slice){.data = v.mv_data, .len = v.mv_size};
    return 0;
}

int cs_txn_put(struct cs_txn *txn, const struct cs_key *key, size_t size, void **ret,
               struct cm_err *err)
{
    MDB_val k = val_of(key), v = {.mv_size = size};
    if (key->bad)
        return cm_fail(err, CM_ELIMIT, "a key of the certificate store is over %d bytes",
                       CS_KEY_MAX);
    cs_env_step(txn->env);
    int rc = CS_READING(mdb_put(txn->lmdb, txn->env->dbi, &k, &v, MDB_RESERVE));
    if (rc != 0)
        return cs_env_fail(txn->env, rc, "cannot write to the certificate store", err);
    *ret = v.mv_data;
    return 0;
}

int cs_txn_del(struct cs_txn *txn, const struct cs_key *key, struct cm_err *err)
{
    MDB_val k = val_of(key);
    cs_env_step(txn->env);
    int rc = CS_READING(mdb_del(txn->lmdb, txn->env->dbi, &k, NULL));
    if (rc == MDB_NOTFOUND)
        return CM_ENOENT;
    if (rc != 0)
        return cs_env_fail(txn->env, rc, "cannot delete from the certificate store", err);
    return 0;
}

int cs_txn_count(struct cs_txn *txn, int64_t *ret, struct cm_err *err)
{
    MDB_stat stat;
    int rc = mdb_stat(txn->lmdb, txn->env->dbi, &stat);
    if (rc != 0)
        return cs_env_fail(txn->env, rc, "cannot read from the certificate store", err);
    *ret = (int64_t)stat.ms_entries;
    return 0;
}

int cs_cursor_open(struct cs_txn *txn, struct cs_cursor *ret, struct cm_err *err)
{
    *ret = (struct cs_cursor){.txn = txn};
    int rc = mdb_cursor_open(txn->lmdb, txn->env->dbi, &ret->lmdb);
    return rc == 0 ? 0 : cs_env_fail(txn->env, rc, "cannot read from the certificate store", err);
}

void cs_cursor_close(struct cs_cursor *cursor)
{
    if (cursor->lmdb)
        mdb_cursor_close(cursor->lmdb);
    cursor->lmdb = NULL;
}

static int cursor_get(struct cs_cursor *cursor, MDB_val *k, MDB_cursor_op op,
                      struct cs_slice *ret_key, struct cs_slice *ret_value, struct cm_err *err)
{
    MDB_val v;
    cs_env_step(cursor->txn->env);
    int rc = CS_READING(mdb_cursor_get(cursor->lmdb, k, &v, op));
    if (rc == MDB_NOTFOUND)
        return CM_ENOENT;
    if (rc != 0)
        return cs_env_fail(cursor->txn->env, rc, "cannot read from the certificate store", err);
    *ret_key = (struct cs_slice){.data = k->mv_data, .len = k->mv_size};
    *ret_value = (struct cs_slice){.data = v.mv_data, .len = v.mv_size};
    return 0;
}

int cs_cursor_seek(struct cs_cursor *cursor, const struct cs_key *key, struct cs_slice *ret_key,
                   struct cs_slice *ret_value, struct cm_err *err)
{
    MDB_val k = val_of(key);
    return cursor_get(cursor, &k, MDB_SET_RANGE, ret_key, ret_value, err);
}

int cs_cursor_next(struct cs_cursor *cursor, struct cs_slice *ret_key, struct cs_slice *ret_value,
                   struct cm_err *err)
{
    MDB_val k;
    return cursor_get(cursor, &k, MDB_NEXT, ret_key, ret_value, err);
}

int cs_cursor_before(struct cs_cursor *cursor, const struct cs_key *key, struct cs_slice *ret_key,
                     struct cs_slice *ret_value, struct cm_err *err)
{
    MDB_val k = val_of(key);
    int rc = cursor_get(cursor, &k, MDB_SET_RANGE, ret_key, ret_value, err);
    if (rc < 0 && rc != CM_ENOENT)
        return rc;
    return cursor_get(cursor, &k, rc == 0 ? MDB_PREV : MDB_LAST, ret_key, ret_value, err);
}
