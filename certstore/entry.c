/* The record of a document: a head that most reads need alone, then the revision tree. */
#include <string.h>

#include "base/core/mem.h"
#include "certstore/internal.h"
#include "certstore/varint.h"

enum {
    HEAD_EFFECTIVE = 1,
    HEAD_EFFECTIVE_DELETED = 2,
    HEAD_WINNER_DELETED = 4,
};

void cs_entry_fini(struct cs_entry *entry)
{
    cs_tree_fini(&entry->tree);
    *entry = CS_ENTRY_INIT;
}

static int head_parse(const struct cs_slice *payload, struct cs_head *ret, struct cs_slice *tree,
                      struct cm_err *err)
{
    struct cs_reader in = {.at = payload->data,
                           .end = (const uint8_t *)payload->data + payload->len};
    uint8_t flags = cs_read_byte(&in);
    *ret = (struct cs_head){.winner_deleted = (flags & HEAD_WINNER_DELETED) != 0,
                            .has_effective = (flags & HEAD_EFFECTIVE) != 0,
                            .effective_deleted = (flags & HEAD_EFFECTIVE_DELETED) != 0};
    ret->seq = (int64_t)(cs_read_varint(&in) & INT64_MAX);
    if (ret->has_effective) {
        ret->serial = (int64_t)(cs_read_varint(&in) & INT64_MAX);
        ret->effective.gen = (int64_t)(cs_read_varint(&in) & INT64_MAX);
        ret->effective.len = cs_read_byte(&in);
        const uint8_t *id = cs_read_bytes(&in, ret->effective.len);
        if (ret->effective.len == 0 || ret->effective.len > CS_REVID_MAX)
            in.bad = true;
        else if (id)
            memcpy(ret->effective.id, id, ret->effective.len);
    }
    if (in.bad)
        return cm_fail(err, CM_EIO, "a document record of the certificate store is damaged");
    *tree = (struct cs_slice){.data = in.at, .len = (size_t)(in.end - in.at)};
    return 0;
}

int cs_entry_parse(const struct cs_slice *payload, struct cs_entry *ret, struct cm_err *err)
{
    struct cs_slice tree = {0};
    *ret = CS_ENTRY_INIT;
    int rc = head_parse(payload, &ret->head, &tree, err);
    if (rc < 0)
        return rc;
    if (cs_tree_decode(tree.data, tree.len, &ret->tree) < 0)
        return cm_fail(err, CM_EIO, "a revision tree of the certificate store is damaged");
    ret->found = true;
    return 0;
}

int cs_entry_load(struct cs_txn *txn, const char *id, struct cs_entry *ret, struct cm_err *err)
{
    struct cs_key key;
    struct cs_slice payload;
    *ret = CS_ENTRY_INIT;
    cs_key_doc(&key, id);
    int rc = cs_record_get(txn, &key, &payload, err);
    if (rc == CM_ENOENT)
        return 0;
    if (rc == 0)
        rc = cs_entry_parse(&payload, ret, err);
    return rc < 0 ? cm_wrap(err, rc, "cannot read document %s", id) : 0;
}

int cs_head_load(struct cs_txn *txn, const char *id, struct cs_head *ret, struct cm_err *err)
{
    struct cs_key key;
    struct cs_slice payload, tree;
    *ret = (struct cs_head){0};
    cs_key_doc(&key, id);
    int rc = cs_record_get(txn, &key, &payload, err);
    if (rc == 0)
        rc = head_parse(&payload, ret, &tree, err);
    return rc < 0 && rc != CM_ENOENT ? cm_wrap(err, rc, "cannot read document %s", id) : rc;
}

void cs_entry_settle(struct cs_store *store, struct cs_entry *entry)
{
    uint32_t *leaf;
    size_t count = cs_tree_leaves(&entry->tree, &leaf);
    uint32_t best = store->policy ? cs_tree_effective(&entry->tree, leaf, count) : leaf[0];
    struct cs_head *head = &entry->head;
    head->winner_deleted = (entry->tree.node[leaf[0]].flags & CS_NODE_DELETED) != 0;
    head->has_effective = best != CS_NO_NODE;
    head->effective_deleted = false;
    head->serial = 0;
    if (head->has_effective) {
        const struct cs_node *node = &entry->tree.node[best];
        head->effective = node->rev;
        head->effective_deleted = (node->flags & CS_NODE_DELETED) != 0;
        head->serial = node->serial;
    }
    cm_free(leaf);
}

int cs_entry_save(struct cs_store *store, const char *id, const struct cs_entry *entry,
                  struct cm_err *err)
{
    struct cm_buf out;
    struct cs_key key;
    const struct cs_head *head = &entry->head;
    cm_buf_init(&out, CS_ENTRY_BYTES_MAX);
    cm_buf_putc(&out, (char)((head->has_effective ? HEAD_EFFECTIVE : 0) |
                             (head->effective_deleted ? HEAD_EFFECTIVE_DELETED : 0) |
                             (head->winner_deleted ? HEAD_WINNER_DELETED : 0)));
    cs_varint_put(&out, (uint64_t)head->seq);
    if (head->has_effective) {
        cs_varint_put(&out, (uint64_t)head->serial);
        cs_varint_put(&out, (uint64_t)head->effective.gen);
        cm_buf_add(&out, &head->effective.len, 1);
        cm_buf_add(&out, head->effective.id, head->effective.len);
    }
    int rc = cs_tree_encode(&entry->tree, &out);
    /* CS_TREE_NODES_MAX keeps every tree below CS_TREE_BYTES_MAX. */
    CM_BUG_ON(rc < 0);
    cs_key_doc(&key, id);
    rc = cs_batch_put(store, &key, out.data, out.len, err);
    cm_buf_fini(&out);
    return rc;
}

int cs_body_load(struct cs_txn *txn, const char *id, const struct cs_rev *rev, json_t **ret,
                 size_t *ret_len, struct cm_err *err)
{
    struct cs_key key;
    struct cs_slice payload;
    *ret = NULL;
    *ret_len = 0;
    cs_key_body(&key, id, rev);
    int rc = cs_record_get(txn, &key, &payload, err);
    if (rc < 0)
        return rc == CM_ENOENT ? rc : cm_wrap(err, rc, "cannot read document %s", id);
    (void)cm_json_parse_lax(payload.data, payload.len, ret, NULL);
    if (!json_is_object(*ret)) {
        cm_json_free(ret);
        return cm_fail(err, CM_EIO, "the stored text of document %s is not JSON", id);
    }
    *ret_len = payload.len;
    return 0;
}
