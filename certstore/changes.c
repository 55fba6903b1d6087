/* Documents in the order of their newest change (the feed) and in the order of their ids. */
#include <string.h>

#include "base/core/mem.h"
#include "certstore/internal.h"

/* One row.  Returns what fn said, or negative. */
static int tell(const struct cs_entry *entry, int64_t seq, const char *name, cs_change_fn fn,
                void *arg)
{
    uint32_t *leaf;
    size_t count = cs_tree_leaves(&entry->tree, &leaf);
    char(*text)[CS_REV_MAX + 1] = cm_malloc(count * sizeof(*text));
    const char **rev = cm_malloc(count * sizeof(*rev));
    for (size_t i = 0; i < count; i++) {
        cs_rev_format(&entry->tree.node[leaf[i]].rev, text[i]);
        rev[i] = text[i];
    }
    struct cs_change change = {.seq = seq,
                               .id = name,
                               .deleted = entry->head.winner_deleted,
                               .leaf_count = count,
                               .leaf_rev = rev};
    int rc = fn(arg, &change);
    cm_free((void *)rev);
    cm_free(text);
    cm_free(leaf);
    return rc;
}

static int row(struct cs_txn *txn, int64_t seq, const struct cs_slice *id, cs_change_fn fn,
               void *arg, struct cm_err *err)
{
    char name[CS_ID_MAX + 1];
    struct cs_entry entry = CS_ENTRY_INIT;
    if (id->len > CS_ID_MAX)
        return cm_fail(err, CM_EIO, "change %lld of the store is damaged", (long long)seq);
    memcpy(name, id->data, id->len);
    name[id->len] = '\0';
    int rc = cs_entry_load(txn, name, &entry, err);
    if (rc == 0 && !entry.found)
        rc = cm_fail(err, CM_EIO, "change %lld names a document that is missing", (long long)seq);
    if (rc == 0)
        rc = tell(&entry, seq, name, fn, arg);
    cs_entry_fini(&entry);
    return rc;
}

int cs_changes(struct cs_store *store, int64_t since, size_t limit, cs_change_fn fn, void *arg,
               struct cm_err *err)
{
    struct cs_view view;
    struct cs_cursor cursor = {0};
    struct cs_key start, prefix;
    struct cs_slice key, value, payload;
    if (limit == 0 || since == INT64_MAX)
        return 0;
    cs_key_begin(&prefix, CS_T_SEQ);
    cs_key_seq(&start, since < 0 ? 0 : since + 1);
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_cursor_open(view.txn, &cursor, err);
    if (rc == 0)
        rc = cs_cursor_seek(&cursor, &start, &key, &value, err);
    int stopped = 0;
    for (size_t count = 0; rc == 0 && stopped == 0 && cs_key_has_prefix(&key, &prefix);) {
        rc = cs_record_open(&key, &value, &payload, err);
        if (rc == 0)
            stopped = row(view.txn, (int64_t)cs_u64((const uint8_t *)key.data + 1), &payload, fn,
                          arg, err);
        if (++count == limit)
            break;
        if (rc == 0 && stopped == 0)
            rc = cs_cursor_next(&cursor, &key, &value, err);
    }
    cs_cursor_close(&cursor);
    cs_view_end(store, &view);
    return stopped != 0 ? stopped : rc == CM_ENOENT ? 0 : rc;
}

/* ---- by id ------------------------------------------------------------------------------- */

static int doc_row(const struct cs_slice *key, const struct cs_slice *value, cs_change_fn fn,
                   void *arg, struct cm_err *err)
{
    char name[CS_ID_MAX + 1];
    struct cs_slice payload;
    struct cs_entry entry = CS_ENTRY_INIT;
    if (key->len - 1 > CS_ID_MAX)
        return cm_fail(err, CM_EIO, "a document of the store is damaged");
    memcpy(name, (const char *)key->data + 1, key->len - 1);
    name[key->len - 1] = '\0';
    int rc = cs_record_open(key, value, &payload, err);
    if (rc == 0)
        rc = cs_entry_parse(&payload, &entry, err);
    if (rc == 0)
        rc = tell(&entry, entry.head.seq, name, fn, arg);
    cs_entry_fini(&entry);
    return rc;
}

/* Where the walk begins; descending, just behind: no id has the byte 0, and none (UTF-8) 255. */
static void walk_start(struct cs_key *ret, const char *from, bool descending)
{
    cs_key_begin(ret, CS_T_DOC);
    if (from)
        cs_key_text(ret, from);
    if (descending)
        cs_key_byte(ret, from ? 0 : 0xff);
}

int cs_docs(struct cs_store *store, const char *from, bool descending, size_t limit,
            cs_change_fn fn, void *arg, struct cm_err *err)
{
    struct cs_view view;
    struct cs_cursor cursor = {0};
    struct cs_key start, prefix;
    struct cs_slice key, value;
    cs_key_begin(&prefix, CS_T_DOC);
    walk_start(&start, from, descending);
    if (start.bad)
        return cm_fail(err, CM_EINVAL, "no document id is so long");
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_cursor_open(view.txn, &cursor, err);
    if (rc == 0)
        rc = descending ? cs_cursor_before(&cursor, &start, &key, &value, err)
                        : cs_cursor_seek(&cursor, &start, &key, &value, err);
    for (size_t count = 0; rc == 0 && count < limit && cs_key_has_prefix(&key, &prefix); count++) {
        rc = doc_row(&key, &value, fn, arg, err);
        if (rc != 0)
            break;
        start.len = 0;
        cs_key_bytes(&start, key.data, key.len);
        rc = descending ? cs_cursor_before(&cursor, &start, &key, &value, err)
                        : cs_cursor_next(&cursor, &key, &value, err);
    }
    cs_cursor_close(&cursor);
    cs_view_end(store, &view);
    return rc == CM_ENOENT ? 0 : rc;
}
