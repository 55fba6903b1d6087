/* Opening and closing the store, group commit, what runs after a commit. */
#include "certstore/internal.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/crash.h"
#include "certstore/lockfile.h"
#include "certstore/varint.h"

#define STATE_VERSION   1
#define STATE_BYTES_MAX 256
#define UUID_SIZE       16
#define EPOCH_SIZE      4

/* ---- the state record ---------------------------------------------------------------------- */

static int state_save(struct cs_store *store, struct cm_err *err)
{
    struct cm_buf out;
    struct cs_key key;
    const struct cs_state *s = &store->batch;
    cm_buf_init(&out, STATE_BYTES_MAX);
    cs_varint_put(&out, STATE_VERSION);
    cm_buf_add(&out, store->uuid, UUID_SIZE * 2);
    cm_buf_add(&out, store->epoch, EPOCH_SIZE * 2);
    cm_buf_putc(&out, store->policy ? 1 : 0);
    const int64_t numbers[] = {s->seq,
                               s->docs,
                               s->deleted,
                               s->quarantine_count,
                               s->quarantine_bytes,
                               s->quarantine_next,
                               store->last_serial};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        cs_varint_put(&out, (uint64_t)numbers[i]);
    cs_key_begin(&key, CS_T_META);
    int rc = cs_record_put(&store->txn, &key, out.data, out.len, err);
    cm_buf_fini(&out);
    return rc;
}

static int state_parse(struct cs_store *store, const struct cs_slice *payload, struct cm_err *err)
{
    struct cs_reader in = {.at = payload->data,
                           .end = (const uint8_t *)payload->data + payload->len};
    uint64_t version = cs_read_varint(&in);
    if (!in.bad && version > STATE_VERSION) {
        cm_fail(err, CM_EINVAL, "the certificate store in %s was written by a newer version",
                store->dir);
        cm_err_hint(err, "Install that version again, or restore a backup of this one.");
        return CM_EINVAL;
    }
    const uint8_t *uuid = cs_read_bytes(&in, UUID_SIZE * 2);
    const uint8_t *epoch = cs_read_bytes(&in, EPOCH_SIZE * 2);
    bool policy = cs_read_byte(&in) != 0;
    struct cs_state *s = &store->durable;
    int64_t *numbers[] = {&s->seq,
                          &s->docs,
                          &s->deleted,
                          &s->quarantine_count,
                          &s->quarantine_bytes,
                          &s->quarantine_next,
                          &store->last_serial};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        *numbers[i] = (int64_t)(cs_read_varint(&in) & INT64_MAX);
    if (in.bad || !uuid || !epoch)
        return cm_fail(err, CM_EIO, "the head record of the certificate store in %s is damaged",
                       store->dir);
    if (policy != store->policy)
        return cm_fail(err, CM_EINVAL, "the certificate store in %s was made %s signatures",
                       store->dir, policy ? "with" : "without");
    memcpy(store->uuid, uuid, UUID_SIZE * 2);
    memcpy(store->epoch, epoch, EPOCH_SIZE * 2);
    return 0;
}

/* A first commit at once: uuid and epoch must never change again. */
static int state_create(struct cs_store *store, struct cm_err *err)
{
    uint8_t bytes[UUID_SIZE + EPOCH_SIZE];
    cm_random(bytes, sizeof(bytes));
    cm_hex(bytes, UUID_SIZE, store->uuid);
    cm_hex(bytes + UUID_SIZE, EPOCH_SIZE, store->epoch);
    int rc = cs_txn_begin(store->env, true, &store->txn, err);
    if (rc < 0)
        return rc;
    rc = state_save(store, err);
    if (rc < 0)
        cs_txn_abort(&store->txn);
    else
        rc = cs_txn_commit(&store->txn, err);
    if (rc == 0)
        rc = cm_dir_sync(store->dir, err);
    return rc < 0 ? cm_wrap(err, rc, "the new certificate store cannot be saved") : 0;
}

int cs_renew_epoch(struct cs_store *store, struct cm_err *err)
{
    uint8_t bytes[EPOCH_SIZE];
    if (store->open)
        return cm_fail(err, CM_EBUSY, "the store's incarnation cannot change within a batch");
    int rc = cs_batch(store, err);
    if (rc < 0)
        return rc;
    cm_random(bytes, sizeof(bytes));
    cm_hex(bytes, EPOCH_SIZE, store->epoch);
    store->dirty = true; /* the state record carries it */
    return cs_commit(store, err);
}

static int state_load(struct cs_store *store, bool create, struct cm_err *err)
{
    struct cs_txn txn;
    struct cs_key key;
    struct cs_slice payload;
    int64_t entries = 0;
    int rc = cs_txn_begin(store->env, false, &txn, err);
    if (rc < 0)
        return rc;
    cs_key_begin(&key, CS_T_META);
    rc = cs_record_get(&txn, &key, &payload, err);
    if (rc == 0)
        rc = state_parse(store, &payload, err);
    else if (rc == CM_ENOENT && cs_txn_count(&txn, &entries, err) == 0 && entries > 0)
        rc = cm_fail(err, CM_EIO, "the certificate store in %s has no head record", store->dir);
    cs_txn_abort(&txn);
    if (rc != CM_ENOENT)
        return rc;
    if (!create) {
        cm_fail(err, CM_ENOENT, "the certificate store in %s is empty", store->dir);
        cm_err_hint(err, "Restore the newest backup of %s.", store->dir);
        return CM_ENOENT;
    }
    return state_create(store, err);
}

/* ---- open and close -------------------------------------------------------------------------- */

int cs_open(const struct cs_opts *opts, struct cs_store **ret, struct cm_err *err)
{
    *ret = NULL;
    if (opts->policy && !opts->verify)
        return cm_fail(err, CM_EINVAL, "a certificate store with policy needs a verify port");
    struct cs_store *store = cm_calloc(1, sizeof(*store));
    store->dir = cm_strdup(opts->dir);
    store->policy = opts->policy;
    store->verify = opts->verify;
    store->sign = opts->sign;
    store->port_arg = opts->port_arg;
    store->arm = opts->arm;
    store->arm_arg = opts->arm_arg;
    store->changed = json_object();
    store->local_changed = json_object();
    int rc = cs_lock_reserve(opts->dir, opts->create, err);
    if (rc == 0)
        rc = cs_env_open(opts->dir, opts->map_size, opts->create, &store->env, err);
    if (rc == 0)
        rc = state_load(store, opts->create, err);
    store->batch = store->durable;
    if (rc < 0) {
        cs_close(store);
        return rc;
    }
    cs_housekeep_load(store);
    store->damaged = cs_crash_noted(store->dir);
    if (store->damaged) {
        struct cm_err why = CM_ERR_INIT;
        (void)cs_crash_refuse(&why);
        cm_log_err(CM_LOG_ERROR, "certstore", &why);
        cm_err_fini(&why);
    }
    *ret = store;
    return 0;
}

void cs_close(struct cs_store *store)
{
    if (!store)
        return;
    struct cm_err err = CM_ERR_INIT;
    if (store->env && cs_commit(store, &err) < 0)
        cm_log_err(CM_LOG_ERROR, "certstore", &err);
    cs_publish_close(store);
    /* What those callbacks wrote belongs to this run, too. */
    if (store->env && cs_commit(store, NULL) < 0)
        cm_log(CM_LOG_ERROR, "certstore", NULL, "the last changes could not be saved");
    if (store->env)
        cs_env_close(store->env);
    cm_err_fini(&err);
    cm_err_fini(&store->why);
    json_decref(store->changed);
    json_decref(store->local_changed);
    json_decref(store->scrub);
    cs_bodies_fini(store);
    cm_free(store->waiter);
    cm_free(store->dir);
    cm_free(store);
}

const char *cs_uuid(const struct cs_store *store)
{
    return store->uuid;
}

const char *cs_epoch(const struct cs_store *store)
{
    return store->epoch;
}

int64_t cs_seq(const struct cs_store *store)
{
    return store->durable.seq;
}

int64_t cs_doc_count(const struct cs_store *store)
{
    return store->durable.docs;
}

int64_t cs_deleted_count(const struct cs_store *store)
{
    return store->durable.deleted;
}

/* ---- views and batches -------------------------------------------------------------------------
 */

int cs_view_begin(struct cs_store *store, bool durable, struct cs_view *ret, struct cm_err *err)
{
    if (store->views++ == 0)
        store->view_begun_ms = cm_mono_ms();
    ret->durable = durable || !store->open || store->failed;
    ret->txn = ret->durable ? &ret->own : &store->txn;
    if (!ret->durable)
        return 0;
    int rc = cs_txn_begin(store->env, false, &ret->own, err);
    if (rc < 0)
        store->views--;
    return rc;
}

void cs_view_end(struct cs_store *store, struct cs_view *view)
{
    if (view->durable)
        cs_txn_abort(&view->own);
    if (--store->views == 0 && cm_mono_ms() - store->view_begun_ms > CS_VIEW_MAX_MS) {
        store->slow_views++;
        cm_log(CM_LOG_WARN, "certstore", NULL, "a snapshot was held for %lld ms",
               (long long)(cm_mono_ms() - store->view_begun_ms));
    }
}

int cs_batch(struct cs_store *store, struct cm_err *err)
{
    if (store->failed || store->broken) {
        if (err)
            cm_err_copy(err, &store->why);
        return store->why.code;
    }
    if (store->open)
        return 0;
    int rc = cs_txn_begin(store->env, true, &store->txn, err);
    if (rc < 0)
        return rc;
    store->open = true;
    if (store->arm)
        store->arm(store->arm_arg);
    return 0;
}

/* The batch cannot be saved any more: nothing of it happens, and its commit says so. */
static int spoil(struct cs_store *store, int rc, struct cm_err *why, struct cm_err *err)
{
    cs_txn_abort(&store->txn);
    store->failed = true;
    cm_err_fini(&store->why);
    store->why = *why;
    if (err)
        cm_err_copy(err, &store->why);
    return rc;
}

int cs_batch_put(struct cs_store *store, const struct cs_key *key, const void *payload, size_t len,
                 struct cm_err *err)
{
    struct cm_err why = CM_ERR_INIT;
    store->dirty = true;
    int rc = cs_record_put(&store->txn, key, payload, len, &why);
    return rc < 0 ? spoil(store, rc, &why, err) : 0;
}

int cs_batch_del(struct cs_store *store, const struct cs_key *key, struct cm_err *err)
{
    struct cm_err why = CM_ERR_INIT;
    store->dirty = true;
    int rc = cs_txn_del(&store->txn, key, &why);
    return rc < 0 && rc != CM_ENOENT ? spoil(store, rc, &why, err) : 0;
}

/* ---- commit
 * --------------------------------------------------------------------------------------- */

size_t cs_waiting(const struct cs_store *store)
{
    return store->waiter_count;
}

void cs_after_commit(struct cs_store *store, cs_commit_fn fn, void *arg)
{
    if (!store->open) {
        fn(arg, 0, NULL); /* everything put so far is durable */
        return;
    }
    if (store->waiter_count == store->waiter_size) {
        store->waiter_size = store->waiter_size ? store->waiter_size * 2 : 16;
        store->waiter = cm_realloc(store->waiter, store->waiter_size * sizeof(*store->waiter));
    }
    store->waiter[store->waiter_count++] = (struct cs_waiter){.fn = fn, .arg = arg};
}

static int commit_txn(struct cs_store *store, struct cm_err *err)
{
    if (store->failed) {
        cm_err_copy(err, &store->why);
        return store->why.code;
    }
    if (!store->dirty) {
        cs_txn_abort(&store->txn); /* all puts were known already: nothing to sync */
        return 0;
    }
    int rc = state_save(store, err);
    if (rc < 0)
        cs_txn_abort(&store->txn);
    else
        rc = cs_txn_commit(&store->txn, err);
    if (rc == CM_EIO) {
        /* After a failed sync nobody knows what the disk holds: only a restart reads it anew. */
        if (err->hint[0] == '\0')
            cm_err_hint(err, "Check the disk, then restart: the store takes no writes until then.");
        store->broken = true;
        cm_err_fini(&store->why);
        cm_err_copy(&store->why, err);
    }
    return rc;
}

int cs_commit(struct cs_store *store, struct cm_err *err)
{
    struct cm_err why = CM_ERR_INIT;
    if (!store->open)
        return 0;
    if (store->views > 0)
        return cm_fail(err, CM_EBUSY, "cannot commit while the store is being read by a callback");
    int rc = commit_txn(store, &why);
    if (rc == 0)
        store->durable = store->batch;
    else
        store->batch = store->durable;
    /* Everything is taken out first: the callbacks may write, and so open the next batch. */
    struct cs_waiter *waiter = store->waiter;
    size_t waiter_count = store->waiter_count;
    json_t *changed = store->changed;
    json_t *local_changed = store->local_changed;
    store->waiter = NULL;
    store->waiter_count = store->waiter_size = 0;
    store->changed = json_object();
    store->local_changed = json_object();
    store->open = store->failed = store->dirty = false;
    if (!store->broken)
        cm_err_fini(&store->why);

    for (size_t i = 0; i < waiter_count; i++)
        waiter[i].fn(waiter[i].arg, rc, rc == 0 ? NULL : &why);
    if (rc == 0)
        cs_tell(store, changed, local_changed);
    cm_free(waiter);
    json_decref(changed);
    json_decref(local_changed);
    if (rc < 0 && err)
        cm_err_copy(err, &why);
    cm_err_fini(&why);
    return rc;
}
