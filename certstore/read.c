/* Reading documents: the effective leaf for ourselves, revisions and leaves for replication. */
#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

void cs_doc_fini(struct cs_doc *doc)
{
    json_decref(doc->body);
    *doc = (struct cs_doc){0};
}

int cs_peek(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err)
{
    struct cs_view view;
    struct cs_head head;
    *ret = (struct cs_doc){0};
    if (strlen(id) > CS_ID_MAX)
        return cm_fail(err, CM_ENOENT, "there is no document of that name");
    int rc = cs_view_begin(store, false, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_head_load(view.txn, id, &head, err);
    if (rc == 0 && (!head.has_effective || head.effective_deleted))
        rc = CM_ENOENT;
    if (rc == CM_ENOENT)
        cm_fail(err, CM_ENOENT, "there is no document %s", id);
    else if (rc == 0) {
        rc = cs_body_shared(store, view.txn, id, &head.effective, &ret->body, err);
        if (rc == CM_ENOENT)
            rc = cm_fail(err, CM_EIO, "the text of document %s is missing from the store", id);
    }
    cs_view_end(store, &view);
    if (rc < 0)
        return rc;
    cm_strcpy(ret->id, sizeof(ret->id), id);
    cs_rev_format(&head.effective, ret->rev);
    ret->seq = head.seq;
    ret->serial = head.serial;
    return 0;
}

int cs_get(struct cs_store *store, const char *id, struct cs_doc *ret, struct cm_err *err)
{
    int rc = cs_peek(store, id, ret, err);
    if (rc < 0)
        return rc;
    json_t *own = json_deep_copy(ret->body);
    json_decref(ret->body);
    ret->body = own;
    return 0;
}

json_t *cs_peek_body(struct cs_store *store, const char *id)
{
    struct cs_doc doc;
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_peek(store, id, &doc, &err);
    if (rc < 0 && rc != CM_ENOENT)
        cm_log_err(CM_LOG_ERROR, "certstore", &err);
    cm_err_fini(&err);
    return rc < 0 ? NULL : doc.body;
}

json_t *cs_get_body(struct cs_store *store, const char *id)
{
    json_t *shared = cs_peek_body(store, id);
    json_t *own = shared ? json_deep_copy(shared) : NULL;
    json_decref(shared);
    return own;
}

static json_t *history_of(const struct cs_tree *tree, uint32_t node, int64_t limit)
{
    json_t *ids = json_array(), *history = json_object();
    char text[CS_REV_MAX + 1];
    int64_t count = 0;
    for (uint32_t at = node; at != CS_NO_NODE && count < limit; count++) {
        cs_rev_format_id(&tree->node[at].rev, text);
        json_array_append_new(ids, json_string(text));
        at = tree->node[at].parent;
    }
    cm_json_set_int(history, "start", tree->node[node].rev.gen);
    cm_json_set(history, "ids", ids);
    return history;
}

/* One stored revision in CouchDB's form.  Only its topmost members are the caller's own. */
static int render(struct cs_store *store, struct cs_txn *txn, const char *id,
                  const struct cs_tree *tree, uint32_t node, bool revs, json_t **ret,
                  struct cm_err *err)
{
    char text[CS_REV_MAX + 1];
    const struct cs_node *n = &tree->node[node];
    if ((n->flags & CS_NODE_BODY) == 0)
        return CM_ENOENT;
    json_t *shared = NULL;
    int rc = cs_body_shared(store, txn, id, &n->rev, &shared, err);
    if (rc < 0)
        return rc;
    *ret = json_copy(shared);
    json_decref(shared);
    cs_rev_format(&n->rev, text);
    cm_json_set_str(*ret, "_rev", text);
    if (n->flags & CS_NODE_DELETED)
        cm_json_set_bool(*ret, "_deleted", true);
    if (revs)
        cm_json_set(*ret, "_revisions", history_of(tree, node, store->revs_limit));
    return 0;
}

/* The asked node: the winner, the revision, or the first leaf at or below it. */
static uint32_t pick(const struct cs_tree *tree, const char *rev, bool latest)
{
    struct cs_rev wanted;
    uint32_t *leaf, found = CS_NO_NODE;
    if (rev) {
        if (cs_rev_parse(rev, &wanted) < 0)
            return CS_NO_NODE;
        found = cs_tree_find(tree, &wanted);
        if (found == CS_NO_NODE || !latest)
            return found;
    }
    size_t count = cs_tree_leaves(tree, &leaf);
    uint32_t picked = found;
    for (size_t i = 0; i < count; i++) {
        if (found == CS_NO_NODE || cs_tree_descends(tree, leaf[i], found)) {
            picked = leaf[i];
            break;
        }
    }
    cm_free(leaf);
    return picked;
}

int cs_read_rev(struct cs_store *store, const char *id, const char *rev, bool revs, bool latest,
                json_t **ret, struct cm_err *err)
{
    struct cs_view view;
    struct cs_entry entry = CS_ENTRY_INIT;
    *ret = NULL;
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_entry_load(view.txn, id, &entry, err);
    if (rc == 0) {
        uint32_t node = entry.found ? pick(&entry.tree, rev, latest) : CS_NO_NODE;
        rc = node == CS_NO_NODE ? CM_ENOENT
                                : render(store, view.txn, id, &entry.tree, node, revs, ret, err);
        if (rc == CM_ENOENT)
            cm_fail(err, CM_ENOENT, "missing");
    }
    cs_entry_fini(&entry);
    cs_view_end(store, &view);
    return rc;
}

static json_t *info_of(const struct cs_tree *tree, uint32_t node)
{
    json_t *list = json_array();
    char text[CS_REV_MAX + 1];
    while (node != CS_NO_NODE) {
        const struct cs_node *n = &tree->node[node];
        json_t *row = json_object();
        cs_rev_format(&n->rev, text);
        cm_json_set_str(row, "rev", text);
        cm_json_set_str(row, "status",
                        (n->flags & CS_NODE_BODY) == 0      ? "missing"
                        : (n->flags & CS_NODE_DELETED) != 0 ? "deleted"
                                                            : "available");
        json_array_append_new(list, row);
        node = n->parent;
    }
    return list;
}

int cs_revs_info(struct cs_store *store, const char *id, json_t **ret, struct cm_err *err)
{
    struct cs_view view;
    struct cs_entry entry = CS_ENTRY_INIT;
    *ret = NULL;
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_entry_load(view.txn, id, &entry, err);
    uint32_t node = rc == 0 && entry.found ? pick(&entry.tree, NULL, true) : CS_NO_NODE;
    if (node != CS_NO_NODE)
        *ret = info_of(&entry.tree, node);
    else if (rc == 0)
        rc = cm_fail(err, CM_ENOENT, "missing");
    cs_entry_fini(&entry);
    cs_view_end(store, &view);
    return rc;
}

int cs_read_leaves(struct cs_store *store, const char *id, bool revs, json_t **ret,
                   struct cm_err *err)
{
    struct cs_view view;
    struct cs_entry entry = CS_ENTRY_INIT;
    *ret = NULL;
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    rc = cs_entry_load(view.txn, id, &entry, err);
    if (rc == 0 && !entry.found)
        rc = cm_fail(err, CM_ENOENT, "missing");
    if (rc == 0) {
        uint32_t *leaf;
        size_t count = cs_tree_leaves(&entry.tree, &leaf);
        CM_AUTO_JSON all = json_array();
        for (size_t i = 0; i < count && rc == 0; i++) {
            json_t *doc = NULL;
            rc = render(store, view.txn, id, &entry.tree, leaf[i], revs, &doc, err);
            if (rc == 0)
                json_array_append_new(all, doc);
            else if (rc == CM_ENOENT)
                rc = cm_fail(err, CM_EIO, "the text of document %s is missing", id);
        }
        if (rc == 0)
            *ret = json_incref(all);
        cm_free(leaf);
    }
    cs_entry_fini(&entry);
    cs_view_end(store, &view);
    return rc;
}

bool cs_has_rev(struct cs_store *store, const char *id, const char *rev)
{
    struct cs_view view;
    struct cs_entry entry = CS_ENTRY_INIT;
    struct cs_rev wanted;
    bool known = false;
    if (cs_rev_parse(rev, &wanted) < 0 || cs_view_begin(store, true, &view, NULL) < 0)
        return false;
    if (cs_entry_load(view.txn, id, &entry, NULL) == 0 && entry.found)
        known = cs_tree_find(&entry.tree, &wanted) != CS_NO_NODE;
    cs_entry_fini(&entry);
    cs_view_end(store, &view);
    return known;
}

/* Leaves that may be ancestors of what is missing. */
static json_t *possible_ancestors(const struct cs_tree *tree, int64_t highest)
{
    uint32_t *leaf;
    char text[CS_REV_MAX + 1];
    json_t *list = json_array();
    size_t count = cs_tree_leaves(tree, &leaf);
    for (size_t i = 0; i < count; i++) {
        if (tree->node[leaf[i]].rev.gen >= highest)
            continue;
        cs_rev_format(&tree->node[leaf[i]].rev, text);
        json_array_append_new(list, json_string(text));
    }
    cm_free(leaf);
    return list;
}

static int find_missing(const struct cs_tree *tree, const json_t *revs, json_t *missing,
                        int64_t *ret_highest, struct cm_err *err)
{
    for (size_t i = 0; i < json_array_size(revs); i++) {
        struct cs_rev wanted;
        const char *rev = json_string_value(json_array_get(revs, i));
        if (!rev || !cs_rev_named(rev))
            return cm_fail(err, CM_EMALF, "Invalid rev format");
        /* What no store of ours can hold is missing: said of one revision, not of the request. */
        bool held = cs_rev_parse(rev, &wanted) == 0;
        if (held && cs_tree_find(tree, &wanted) != CS_NO_NODE)
            continue;
        json_array_append(missing, json_array_get(revs, i));
        if (held && wanted.gen > *ret_highest)
            *ret_highest = wanted.gen;
    }
    return 0;
}

int cs_missing_revs(struct cs_store *store, const char *id, const json_t *revs,
                    json_t **ret_missing, json_t **ret_ancestors, struct cm_err *err)
{
    struct cs_view view;
    struct cs_entry entry = CS_ENTRY_INIT;
    int64_t highest = 0;
    *ret_missing = NULL;
    if (ret_ancestors)
        *ret_ancestors = NULL;
    if (!json_is_array(revs))
        return cm_fail(err, CM_EMALF, "Invalid rev format");
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON missing = json_array();
    if (strlen(id) <= CS_ID_MAX)
        rc = cs_entry_load(view.txn, id, &entry, err);
    if (rc == 0)
        rc = find_missing(&entry.tree, revs, missing, &highest, err);
    if (rc == 0) {
        *ret_missing = json_incref(missing);
        if (ret_ancestors)
            *ret_ancestors = possible_ancestors(&entry.tree, highest);
    }
    cs_entry_fini(&entry);
    cs_view_end(store, &view);
    return rc;
}
