/* The one place where a document changes: tree, body, sequence, indexes and counters together. */
#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

/* Merges the path; returns the merge bits or CM_ELIMIT. */
static int merge(struct cs_store *store, struct cs_entry *entry, const struct cs_change_in *change)
{
    uint32_t at = cs_tree_find(&entry->tree, &change->path[0]);
    /* With policy the bodies of older revisions are forgotten on purpose: they stay forgotten. */
    bool keep = store->policy && at != CS_NO_NODE;
    uint8_t flags = keep ? entry->tree.node[at].flags : 0;
    int did = cs_tree_merge(&entry->tree, change->path, change->path_len, change->in->deleted, &at);
    if (did < 0)
        return did;
    struct cs_node *node = &entry->tree.node[at];
    if (keep) {
        node->flags = flags;
        return did & ~CS_MERGE_FILLED;
    }
    if (did & (CS_MERGE_NEW | CS_MERGE_FILLED)) {
        if (change->valid)
            node->flags |= CS_NODE_VALID;
        node->serial = change->serial;
    }
    if (did & CS_MERGE_NEW)
        node->seq = store->batch.seq + 1;
    return did;
}

/* Keeps the number of leaves bounded: the one that came first goes, never the effective one. */
static void bound_leaves(struct cs_store *store, struct cs_entry *entry)
{
    size_t max = store->policy ? CS_LEAVES_MAX : CS_LEAVES_MAX_LAB;
    for (;;) {
        uint32_t *leaf;
        size_t count = cs_tree_leaves(&entry->tree, &leaf);
        uint32_t keep = store->policy ? cs_tree_effective(&entry->tree, leaf, count) : leaf[0];
        uint32_t oldest = CS_NO_NODE;
        for (size_t i = 0; i < count; i++)
            if (leaf[i] != keep && (oldest == CS_NO_NODE ||
                                    entry->tree.node[leaf[i]].seq < entry->tree.node[oldest].seq))
                oldest = leaf[i];
        cm_free(leaf);
        if (count <= max || oldest == CS_NO_NODE)
            return;
        cs_tree_cut(&entry->tree, oldest);
    }
}

static bool is_live(const struct cs_entry *entry)
{
    return entry->found && entry->head.has_effective && !entry->head.effective_deleted;
}

/* What is indexed now.  Returns false when that cannot be told because the body is damaged. */
static bool indexed_now(struct cs_store *store, const char *id, const struct cs_entry *entry,
                        struct cs_index_set *ret)
{
    CM_AUTO_JSON body = NULL;
    struct cm_err err = CM_ERR_INIT;
    *ret = (struct cs_index_set){0};
    if (!is_live(entry))
        return true;
    int rc = 0;
    if (store->policy)
        rc = cs_body_shared(store, &store->txn, id, &entry->head.effective, &body, &err);
    else
        body = json_object(); /* without policy no key depends on the body */
    if (rc == 0)
        cs_index_of(store->policy, id, body, ret);
    else
        cm_log(CM_LOG_ERROR, "certstore", id,
               "the stored version is damaged; the new one replaces it");
    cm_err_fini(&err);
    return rc == 0;
}

/* What follows from another effective leaf. */
static int follow_effective(struct cs_store *store, const struct cs_entry *entry,
                            const struct cs_indoc *in, const struct cs_index_set *before,
                            bool before_known, struct cm_err *err)
{
    struct cs_index_set made = {0};
    /* With policy the effective leaf is the new one or the same as before. */
    bool live = is_live(entry), there = live && in->examined;
    if (live && !there)
        cs_index_of(store->policy, in->id, in->body, &made);
    int rc = before_known ? 0 : cs_index_purge(store, in->id, err);
    if (rc == 0)
        rc = cs_index_update(store, in->id, before, there ? &in->keys : &made, err);
    cs_index_fini(&made);
    return rc == 0 ? cs_rejudge_replaced(store, in->id, &entry->tree, err) : rc;
}

static int write_seq(struct cs_store *store, struct cs_entry *entry, const char *id,
                     struct cm_err *err)
{
    struct cs_key key;
    int rc = 0;
    if (entry->found) {
        cs_key_seq(&key, entry->head.seq);
        rc = cs_batch_del(store, &key, err);
    }
    entry->head.seq = ++store->batch.seq;
    cs_key_seq(&key, entry->head.seq);
    if (rc == 0)
        rc = cs_batch_put(store, &key, id, strlen(id), err);
    return rc;
}

int cs_drop_bodies(struct cs_store *store, const char *id, const struct cs_tree *tree,
                   struct cm_err *err)
{
    struct cs_key key;
    int rc = 0;
    for (size_t i = 0; i < tree->dropped_count && rc == 0; i++) {
        cs_key_body(&key, id, &tree->dropped[i]);
        rc = cs_batch_del(store, &key, err);
    }
    return rc;
}

static int write_bodies(struct cs_store *store, struct cs_entry *entry,
                        const struct cs_change_in *change, bool put, struct cm_err *err)
{
    struct cs_key key;
    const struct cs_indoc *in = change->in;
    int rc = 0;
    if (put) {
        if (in->keep)
            cs_body_keep(store, in, &change->path[0]);
        cs_key_body(&key, in->id, &change->path[0]);
        rc = cs_batch_put(store, &key, in->text, in->text_len, err);
    }
    return rc == 0 ? cs_drop_bodies(store, in->id, &entry->tree, err) : rc;
}

static void count(struct cs_store *store, bool was_found, bool was_live, bool live)
{
    struct cs_state *s = &store->batch;
    if (was_found)
        *(was_live ? &s->docs : &s->deleted) -= 1;
    *(live ? &s->docs : &s->deleted) += 1;
}

int cs_apply(struct cs_store *store, struct cs_entry *entry, const struct cs_change_in *change,
             struct cs_result *result, struct cm_err *err)
{
    const char *id = change->in->id;
    struct cs_index_set before;
    struct cs_rev was = entry->head.effective;
    bool was_found = entry->found, was_live = is_live(entry);
    bool had = was_found && entry->head.has_effective;

    cs_rev_format(&change->path[0], result->rev);
    result->changed = false;
    result->code = 0;
    int did = merge(store, entry, change);
    if (did < 0)
        return cs_refuse(result, CM_ELIMIT, "the document has too many revisions");
    if (did == 0)
        return 0;
    bool before_known = indexed_now(store, id, entry, &before);
    cs_tree_stem(&entry->tree, (size_t)store->revs_limit);
    bound_leaves(store, entry);
    if (store->policy)
        cs_tree_forget(&entry->tree);
    int64_t was_serial = entry->head.serial;
    cs_entry_settle(store, entry);
    if (store->policy && had && (!entry->head.has_effective || entry->head.serial < was_serial)) {
        /* Histories are not signed: a peer may not make the newest version somebody's ancestor. */
        cs_index_fini(&before);
        return cs_refuse(result, CM_EDENIED, "its history would hide a newer version");
    }

    bool is_new = (did & CS_MERGE_NEW) != 0;
    int rc = write_bodies(store, entry, change, is_new || did & CS_MERGE_FILLED, err);
    if (rc == 0 && is_new)
        rc = write_seq(store, entry, id, err);
    entry->found = true;
    bool same = had && entry->head.has_effective && cs_rev_eq(&was, &entry->head.effective);
    if (rc == 0 && !same)
        rc = follow_effective(store, entry, change->in, &before, before_known, err);
    if (rc == 0)
        rc = cs_entry_save(store, id, entry, err);
    cs_index_fini(&before);
    if (rc < 0)
        return cs_refuse(result, rc, "the store failed");
    count(store, was_found, was_live, is_live(entry));
    result->changed = is_new;
    if (is_new)
        json_object_set_new(store->changed, id, json_true());
    return 0;
}

static int delete_doc(struct cs_store *store, const char *id, const struct cs_entry *entry,
                      struct cm_err *err)
{
    struct cs_key key;
    cs_key_seq(&key, entry->head.seq);
    int rc = cs_batch_del(store, &key, err);
    cs_key_doc(&key, id);
    store->batch.seq++; /* clients see that something has happened */
    return rc == 0 ? cs_batch_del(store, &key, err) : rc;
}

int cs_apply_cut(struct cs_store *store, const char *id, struct cs_entry *entry, struct cm_err *err)
{
    struct cs_index_set before, after = {0};
    bool was_live = is_live(entry), gone = entry->tree.count == 0;
    CM_BUG_ON(store->policy); /* the index would depend on the body */
    indexed_now(store, id, entry, &before);
    int rc = cs_drop_bodies(store, id, &entry->tree, err);
    if (rc == 0 && gone) {
        rc = delete_doc(store, id, entry, err);
        entry->found = false;
    } else if (rc == 0) {
        cs_entry_settle(store, entry);
        rc = write_seq(store, entry, id, err);
        if (rc == 0)
            rc = cs_entry_save(store, id, entry, err);
    }
    indexed_now(store, id, entry, &after);
    if (rc == 0)
        rc = cs_index_update(store, id, &before, &after, err);
    cs_index_fini(&before);
    cs_index_fini(&after);
    if (rc < 0)
        return rc;
    *(was_live ? &store->batch.docs : &store->batch.deleted) -= 1;
    if (!gone)
        *(is_live(entry) ? &store->batch.docs : &store->batch.deleted) += 1;
    json_object_set_new(store->changed, id, json_true());
    return 0;
}

int cs_apply_verdicts(struct cs_store *store, const char *id, struct cs_entry *entry,
                      struct cm_err *err)
{
    struct cs_index_set before, after;
    bool was_live = is_live(entry);
    bool before_known = indexed_now(store, id, entry, &before);
    cs_entry_settle(store, entry);
    bool after_known = indexed_now(store, id, entry, &after);
    int rc = before_known && after_known ? 0 : cs_index_purge(store, id, err);
    if (rc == 0)
        rc = cs_index_update(store, id, &before, &after, err);
    if (rc == 0)
        rc = cs_entry_save(store, id, entry, err);
    cs_index_fini(&before);
    cs_index_fini(&after);
    if (rc < 0)
        return rc;
    count(store, true, was_live, is_live(entry));
    json_object_set_new(store->changed, id, json_true());
    return 0;
}
