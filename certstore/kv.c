/* Manager-local tables: JSON values under text keys, in the same transactions as documents. */
#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

#define KV_TABLE_MAX 31

static void table_key(struct cs_key *ret, const char *table, const char *key)
{
    cs_key_begin(ret, CS_T_KV);
    cs_key_bytes(ret, table, strlen(table) + 1);
    cs_key_text(ret, key);
}

static int check_names(const char *table, const char *key, struct cm_err *err)
{
    if (table[0] == '\0' || strlen(table) > KV_TABLE_MAX)
        return cm_fail(err, CM_EINVAL, "\"%.40s\" is not the name of a local table", table);
    if (key[0] == '\0' || strlen(key) > CS_KV_KEY_MAX)
        return cm_fail(err, CM_ELIMIT, "a key of table %s must have 1 to %d bytes", table,
                       CS_KV_KEY_MAX);
    return 0;
}

int cs_kv_put(struct cs_store *store, const char *table, const char *key, const json_t *value,
              struct cm_err *err)
{
    struct cs_key name;
    size_t len;
    int rc = check_names(table, key, err);
    if (rc < 0)
        return rc;
    CM_AUTO_STR text = cm_json_dump(value, &len);
    /* Trust roots are kept as they are: the present one, those before it, proposals. */
    unsigned max = strncmp(key, "trust", 5) == 0 ? CS_TRUST_MAX + 1024u : CS_DOC_MAX;
    if (len > max)
        return cm_fail(err, CM_ELIMIT, "the value of %s/%s is over %u KiB", table, key, max >> 10);
    rc = cs_batch(store, err);
    if (rc < 0)
        return rc;
    table_key(&name, table, key);
    cs_note_local(store, table, key);
    return cs_batch_put(store, &name, text, len, err);
}

static json_t *value_of(const struct cs_slice *payload)
{
    json_t *value;
    (void)cm_json_parse_lax(payload->data, payload->len, &value, NULL);
    return value;
}

json_t *cs_kv_get(struct cs_store *store, const char *table, const char *key)
{
    struct cs_view view;
    struct cs_key name;
    struct cs_slice payload;
    struct cm_err err = CM_ERR_INIT;
    json_t *value = NULL;
    if (check_names(table, key, NULL) < 0)
        return NULL;
    table_key(&name, table, key);
    int rc = cs_view_begin(store, false, &view, &err);
    if (rc == 0) {
        rc = cs_record_get(view.txn, &name, &payload, &err);
        if (rc == 0)
            value = value_of(&payload);
        cs_view_end(store, &view);
    }
    if (rc < 0 && rc != CM_ENOENT)
        cm_log_err(CM_LOG_ERROR, "certstore", &err);
    cm_err_fini(&err);
    return value;
}

int cs_kv_del(struct cs_store *store, const char *table, const char *key, struct cm_err *err)
{
    struct cs_key name;
    struct cs_slice present;
    int rc = check_names(table, key, err);
    if (rc == 0)
        rc = cs_batch(store, err);
    if (rc < 0)
        return rc;
    table_key(&name, table, key);
    rc = cs_txn_get(&store->txn, &name, &present, err);
    if (rc < 0)
        return rc == CM_ENOENT ? 0 : rc;
    return cs_batch_del(store, &name, err);
}

static int each(struct cs_txn *txn, const struct cs_key *prefix, size_t skip, cs_kv_fn fn,
                void *arg)
{
    struct cs_cursor cursor;
    struct cs_slice key, value, payload;
    struct cm_err err = CM_ERR_INIT;
    char name[CS_KEY_MAX + 1];
    int stopped = 0;
    int rc = cs_cursor_open(txn, &cursor, &err);
    if (rc == 0)
        rc = cs_cursor_seek(&cursor, prefix, &key, &value, &err);
    while (rc == 0 && cs_key_has_prefix(&key, prefix)) {
        rc = cs_record_open(&key, &value, &payload, &err);
        if (rc < 0)
            break;
        CM_AUTO_JSON item = value_of(&payload);
        memcpy(name, (const char *)key.data + skip, key.len - skip);
        name[key.len - skip] = '\0';
        stopped = fn(arg, name, item);
        if (stopped != 0)
            break;
        rc = cs_cursor_next(&cursor, &key, &value, &err);
    }
    cs_cursor_close(&cursor);
    if (rc < 0 && rc != CM_ENOENT)
        cm_log_err(CM_LOG_ERROR, "certstore", &err);
    cm_err_fini(&err);
    return stopped != 0 || rc == CM_ENOENT ? stopped : rc;
}

int cs_kv_each(struct cs_store *store, const char *table, const char *prefix, cs_kv_fn fn,
               void *arg)
{
    struct cs_view view;
    struct cs_key low;
    table_key(&low, table, prefix ? prefix : "");
    if (low.bad)
        return 0;
    int rc = cs_view_begin(store, false, &view, NULL);
    if (rc < 0)
        return rc;
    rc = each(view.txn, &low, strlen(table) + 2, fn, arg);
    cs_view_end(store, &view);
    return rc;
}
