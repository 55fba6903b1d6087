/*
 * Refused documents: kept with reason and count, so that people see them and a new trust:root can
 * accept them later.  Three records each: q n NUMBER (age) -> hash, q m HASH (what and why),
 * q d HASH (the document).  HASH is over id and revision: a repeated refusal is counted, not kept
 * twice.  Bounded in number and bytes; the oldest go first.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

#define SEEN_REV_MAX 100

static void hash_of(const json_t *doc, uint8_t out[CS_HASH_SIZE])
{
    uint8_t digest[CM_SHA256_SIZE];
    struct cm_buf text;
    const char *id = cm_json_str_or(doc, "_id", ""), *rev = cm_json_str_or(doc, "_rev", "");
    cm_buf_init(&text, strlen(id) + strlen(rev) + 1);
    cm_buf_add(&text, id, strlen(id) + 1);
    cm_buf_puts(&text, rev);
    cm_sha256(text.data, text.len, digest);
    cm_buf_fini(&text);
    memcpy(out, digest, CS_HASH_SIZE);
}

static void part_key(struct cs_key *key, char part, const uint8_t hash[CS_HASH_SIZE])
{
    cs_key_begin(key, CS_T_QUARANTINE);
    cs_key_byte(key, (uint8_t)part);
    if (hash)
        cs_key_bytes(key, hash, CS_HASH_SIZE);
}

static void number_key(struct cs_key *key, int64_t number)
{
    part_key(key, 'n', NULL);
    cs_key_u64(key, (uint64_t)number);
}

/* NULL when there is none (or it is damaged: then it is replaced). */
static json_t *load(struct cs_txn *txn, char part, const uint8_t hash[CS_HASH_SIZE])
{
    struct cs_key key;
    struct cs_slice payload;
    json_t *value = NULL;
    part_key(&key, part, hash);
    if (cs_record_get(txn, &key, &payload, NULL) == 0)
        cm_json_parse_lax(payload.data, payload.len, &value, NULL);
    return value;
}

static int drop(struct cs_store *store, const uint8_t hash[CS_HASH_SIZE], struct cm_err *err)
{
    struct cs_key key;
    CM_AUTO_JSON meta = load(&store->txn, 'm', hash);
    if (!meta)
        return 0;
    number_key(&key, cm_json_int(meta, "number", 0));
    int rc = cs_batch_del(store, &key, err);
    part_key(&key, 'm', hash);
    if (rc == 0)
        rc = cs_batch_del(store, &key, err);
    part_key(&key, 'd', hash);
    if (rc == 0)
        rc = cs_batch_del(store, &key, err);
    store->batch.quarantine_count--;
    store->batch.quarantine_bytes -= cm_json_int(meta, "size", 0);
    return rc;
}

/* Hash of the entry with the lowest number; CM_ENOENT when there is none. */
static int oldest(struct cs_store *store, uint8_t out[CS_HASH_SIZE], struct cs_key *ret_key,
                  struct cm_err *err)
{
    struct cs_cursor cursor;
    struct cs_key prefix;
    struct cs_slice key, value, payload;
    part_key(&prefix, 'n', NULL);
    int rc = cs_cursor_open(&store->txn, &cursor, err);
    if (rc < 0)
        return rc;
    rc = cs_cursor_seek(&cursor, &prefix, &key, &value, err);
    if (rc == 0 && !cs_key_has_prefix(&key, &prefix))
        rc = CM_ENOENT;
    if (rc == 0) {
        ret_key->len = 0;
        ret_key->bad = false;
        cs_key_bytes(ret_key, key.data, key.len);
        memset(out, 0, CS_HASH_SIZE);
        if (cs_record_open(&key, &value, &payload, NULL) == 0 && payload.len == CS_HASH_SIZE)
            memcpy(out, payload.data, CS_HASH_SIZE);
    }
    cs_cursor_close(&cursor);
    return rc;
}

static int make_room(struct cs_store *store, int64_t bytes, struct cm_err *err)
{
    uint8_t hash[CS_HASH_SIZE];
    struct cs_key key;
    const struct cs_state *s = &store->batch;
    int rc = 0;
    while (rc == 0 && s->quarantine_count > 0 &&
           (s->quarantine_count >= CS_QUARANTINE_MAX ||
            s->quarantine_bytes + bytes > CS_QUARANTINE_BYTES)) {
        rc = oldest(store, hash, &key, err);
        if (rc == 0)
            rc = drop(store, hash, err);
        if (rc == 0)
            rc = cs_batch_del(store, &key, err); /* also one that led nowhere */
    }
    return rc == CM_ENOENT ? 0 : rc;
}

static json_t *describe(const json_t *doc, const char *peer, const char *reason, int64_t count)
{
    json_t *meta = json_object();
    CM_AUTO_STR id = cm_strndup(cm_json_str_or(doc, "_id", ""), CS_ID_MAX);
    CM_AUTO_STR rev = cm_strndup(cm_json_str_or(doc, "_rev", ""), SEEN_REV_MAX);
    cm_json_set_str(meta, "id", id);
    cm_json_set_str(meta, "rev", rev);
    cm_json_set_str(meta, "peer", peer ? peer : "");
    cm_json_set_str(meta, "reason", reason);
    cm_json_set_time(meta, "at", cm_now_ms());
    cm_json_set_int(meta, "count", count);
    return meta;
}

static int write_text(struct cs_store *store, const struct cs_key *key, const json_t *value,
                      struct cm_err *err)
{
    size_t len;
    CM_AUTO_STR text = cm_json_dump(value, &len);
    return cs_batch_put(store, key, text, len, err);
}

int cs_quarantine_add(struct cs_store *store, const json_t *doc, const char *peer,
                      const char *reason, struct cm_err *err)
{
    uint8_t hash[CS_HASH_SIZE];
    struct cs_key key;
    size_t len;
    int rc = cs_batch(store, err);
    if (rc < 0)
        return rc;
    hash_of(doc, hash);
    CM_AUTO_JSON before = load(&store->txn, 'm', hash);
    CM_AUTO_JSON meta = describe(doc, peer, reason, cm_json_int(before, "count", 0) + 1);
    CM_AUTO_STR text = cm_json_dump(doc, &len);
    int64_t size = len <= cs_doc_max(cm_json_str_or(doc, "_id", "")) ? (int64_t)len : 0;
    rc = drop(store, hash, err);
    if (rc == 0)
        rc = make_room(store, size, err);
    if (rc < 0)
        return rc;
    cm_json_set_int(meta, "number", ++store->batch.quarantine_next);
    cm_json_set_int(meta, "size", size);
    number_key(&key, store->batch.quarantine_next);
    rc = cs_batch_put(store, &key, hash, CS_HASH_SIZE, err);
    part_key(&key, 'm', hash);
    if (rc == 0)
        rc = write_text(store, &key, meta, err);
    part_key(&key, 'd', hash);
    if (rc == 0 && size > 0)
        rc = cs_batch_put(store, &key, text, len, err);
    store->batch.quarantine_count++;
    store->batch.quarantine_bytes += size;
    return rc;
}

int cs_quarantine_drop(struct cs_store *store, const json_t *doc, struct cm_err *err)
{
    uint8_t hash[CS_HASH_SIZE];
    struct cs_key key;
    struct cs_slice value;
    hash_of(doc, hash);
    part_key(&key, 'm', hash);
    int rc = cs_batch(store, err);
    if (rc == 0)
        rc = cs_txn_get(&store->txn, &key, &value, err);
    if (rc < 0)
        return rc == CM_ENOENT ? 0 : rc;
    return drop(store, hash, err);
}

/* Every entry's hash, newest first.  The array is owned by the caller. */
static size_t list(struct cs_txn *txn, uint8_t (**ret)[CS_HASH_SIZE])
{
    struct cs_cursor cursor;
    struct cs_key end, prefix;
    struct cs_slice key, value, payload;
    uint8_t(*hash)[CS_HASH_SIZE] = cm_calloc(CS_QUARANTINE_MAX, sizeof(*hash));
    size_t count = 0;
    *ret = hash;
    part_key(&prefix, 'n', NULL);
    number_key(&end, INT64_MAX);
    if (cs_cursor_open(txn, &cursor, NULL) < 0)
        return 0;
    while (count < CS_QUARANTINE_MAX && cs_cursor_before(&cursor, &end, &key, &value, NULL) == 0 &&
           cs_key_has_prefix(&key, &prefix)) {
        end.len = 0;
        cs_key_bytes(&end, key.data, key.len);
        if (cs_record_open(&key, &value, &payload, NULL) == 0 && payload.len == CS_HASH_SIZE)
            memcpy(hash[count++], payload.data, CS_HASH_SIZE);
    }
    cs_cursor_close(&cursor);
    return count;
}

json_t *cs_quarantine(struct cs_store *store)
{
    struct cs_view view;
    uint8_t(*hash)[CS_HASH_SIZE];
    json_t *all = json_array();
    if (cs_view_begin(store, false, &view, NULL) < 0)
        return all;
    size_t count = list(view.txn, &hash);
    for (size_t i = 0; i < count; i++) {
        json_t *meta = load(view.txn, 'm', hash[i]);
        if (!meta)
            continue;
        json_object_del(meta, "number");
        json_object_del(meta, "size");
        json_array_append_new(all, meta);
    }
    cs_view_end(store, &view);
    cm_free(hash);
    return all;
}

int cs_quarantine_retry(struct cs_store *store, struct cm_err *err)
{
    uint8_t(*hash)[CS_HASH_SIZE];
    int rc = cs_batch(store, err);
    if (rc < 0)
        return rc;
    size_t count = list(&store->txn, &hash);
    /* Oldest first, so that several versions of a document arrive in their order. */
    for (size_t i = count; i-- > 0 && rc == 0;) {
        struct cs_result result;
        json_t *doc = load(&store->txn, 'd', hash[i]);
        if (!doc)
            continue;
        struct cs_ready *ready = cs_ready_new(doc, store->policy, CS_NO_PLACE);
        rc = cs_replicate(store, ready, &result, err);
        if (rc == 0 && result.code == 0)
            rc = drop(store, hash[i], err);
        cs_ready_free(ready);
    }
    cm_free(hash);
    return rc;
}

int cs_quarantine_note(struct cs_store *store, const char *id, const char *rev, const char *peer,
                       const char *reason, struct cm_err *err)
{
    CM_AUTO_JSON doc = json_object();
    CM_AUTO_STR short_id = cm_strndup(id, CS_ID_MAX);
    CM_AUTO_STR short_rev = cm_strndup(rev, SEEN_REV_MAX);
    cm_json_set_str(doc, "_id", short_id);
    cm_json_set_str(doc, "_rev", short_rev);
    return cs_quarantine_add(store, doc, peer, reason, err);
}

bool cs_is_refused(struct cs_store *store, const char *id, const char *rev)
{
    uint8_t hash[CS_HASH_SIZE];
    struct cs_view view;
    CM_AUTO_JSON doc = json_object();
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "_rev", rev);
    hash_of(doc, hash);
    if (cs_view_begin(store, false, &view, NULL) < 0)
        return false;
    CM_AUTO_JSON meta = load(view.txn, 'm', hash);
    cs_view_end(store, &view);
    return meta != NULL;
}

int cs_quarantine_forget(struct cs_store *store, const char *id, const char *rev, size_t *ret_count,
                         struct cm_err *err)
{
    uint8_t(*hash)[CS_HASH_SIZE];
    *ret_count = 0;
    int rc = cs_batch(store, err);
    if (rc < 0)
        return rc;
    size_t count = list(&store->txn, &hash);
    for (size_t i = 0; i < count && rc == 0; i++) {
        CM_AUTO_JSON meta = load(&store->txn, 'm', hash[i]);
        if (!meta || (id && (strcmp(cm_json_str_or(meta, "id", ""), id) != 0 ||
                             strcmp(cm_json_str_or(meta, "rev", ""), rev ? rev : "") != 0)))
            continue;
        rc = drop(store, hash[i], err);
        *ret_count += rc == 0;
    }
    cm_free(hash);
    return rc;
}
