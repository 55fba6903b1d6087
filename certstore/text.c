/*
 * Documents as text for peers: the stored body with CouchDB's members put in before its closing
 * brace.
 *
 * Nothing is parsed: a body was made by our writer, its checksum is verified here, and it has at
 * least `_id`.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "certstore/internal.h"

static void add_history(struct cm_buf *out, const struct cs_tree *tree, uint32_t node,
                        int64_t limit)
{
    char id[CS_REV_MAX + 1];
    cm_buf_printf(out, ",\"_revisions\":{\"start\":%lld,\"ids\":[",
                  (long long)tree->node[node].rev.gen);
    int64_t count = 0;
    for (uint32_t at = node; at != CS_NO_NODE && count < limit; at = tree->node[at].parent) {
        if (count++ > 0)
            cm_buf_putc(out, ',');
        cs_rev_format_id(&tree->node[at].rev, id);
        cm_json_put_string(out, id, strlen(id));
    }
    cm_buf_puts(out, "]}");
}

static int add_node(const struct cs_store *store, struct cs_txn *txn, const char *id,
                    const struct cs_tree *tree, uint32_t at, bool revs, struct cm_buf *out,
                    struct cm_err *err)
{
    struct cs_key key;
    struct cs_slice text;
    char rev[CS_REV_MAX + 1];
    const struct cs_node *node = &tree->node[at];
    if ((node->flags & CS_NODE_BODY) == 0)
        return CM_ENOENT;
    cs_key_body(&key, id, &node->rev);
    int rc = cs_record_get(txn, &key, &text, err);
    if (rc < 0)
        return rc == CM_ENOENT ? rc : cm_wrap(err, rc, "cannot read document %s", id);
    const char *body = text.data;
    if (text.len < 3 || body[0] != '{' || body[text.len - 1] != '}')
        return cm_fail(err, CM_EIO, "the stored text of document %s is not JSON", id);
    cm_buf_puts(out, "{\"ok\":");
    cm_buf_add(out, body, text.len - 1);
    cm_buf_puts(out, ",\"_rev\":");
    cs_rev_format(&node->rev, rev);
    cm_json_put_string(out, rev, strlen(rev));
    if (node->flags & CS_NODE_DELETED)
        cm_buf_puts(out, ",\"_deleted\":true");
    if (revs)
        add_history(out, tree, at, store->revs_limit);
    cm_buf_puts(out, "}}");
    return 0;
}

/* The wanted nodes of an entry; *ret_count of them are written. */
static int add_nodes(const struct cs_store *store, struct cs_txn *txn, const char *id,
                     const struct cs_tree *tree, uint32_t at_or_below, bool one, bool revs,
                     struct cm_buf *out, size_t *ret_count, struct cm_err *err)
{
    uint32_t *leaf;
    size_t count = cs_tree_leaves(tree, &leaf);
    int rc = 0;
    if (one) {
        leaf[0] = at_or_below;
        count = 1;
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (!one && at_or_below != CS_NO_NODE && !cs_tree_descends(tree, leaf[i], at_or_below))
            continue;
        if (*ret_count > 0)
            cm_buf_putc(out, ',');
        rc = add_node(store, txn, id, tree, leaf[i], revs, out, err);
        *ret_count += rc == 0;
    }
    cm_free(leaf);
    if (rc == CM_ENOENT && !one)
        rc = cm_fail(err, CM_EIO, "the text of document %s is missing", id);
    return rc;
}

int cs_write_revs(struct cs_store *store, const char *id, const char *rev, bool revs, bool latest,
                  struct cm_buf *out, size_t *ret_count, struct cm_err *err)
{
    struct cs_view view;
    struct cs_entry entry = CS_ENTRY_INIT;
    struct cs_rev wanted;
    uint32_t node = CS_NO_NODE;
    size_t before = out->len;
    *ret_count = 0;
    if (rev && cs_rev_parse(rev, &wanted) < 0)
        return cm_fail(err, CM_ENOENT, "missing");
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_entry_load(view.txn, id, &entry, err);
    if (rc == 0 && entry.found && rev)
        node = cs_tree_find(&entry.tree, &wanted);
    if (rc == 0 && (!entry.found || (rev && node == CS_NO_NODE)))
        rc = CM_ENOENT;
    if (rc == 0)
        rc = add_nodes(store, view.txn, id, &entry.tree, node, rev && !latest, revs, out, ret_count,
                       err);
    cs_entry_fini(&entry);
    cs_view_end(store, &view);
    if (rc < 0 && out->len > before) {
        out->len = before;
        out->data[before] = '\0';
    }
    if (rc == CM_ENOENT)
        cm_fail(err, CM_ENOENT, "missing");
    return rc;
}
