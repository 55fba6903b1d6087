/*
 * What CouchDB lets an administrator do with a database: limit of revisions, purge, compaction.
 * Only without policy: a fleet's store keeps its own rules.
 */
#include <string.h>

#include "base/core/mem.h"
#include "certstore/internal.h"

#define TABLE      "database"
#define LIMIT_NAME "revs_limit"

static int check_policy(const struct cs_store *store, struct cm_err *err)
{
    return store->policy ? cm_fail(err, CM_EDENIED, "the store of a fleet keeps its own rules") : 0;
}

/* ---- revs_limit --------------------------------------------------------------------------- */

void cs_housekeep_load(struct cs_store *store)
{
    store->revs_limit = CS_REVS_LIMIT;
    if (store->policy)
        return;
    CM_AUTO_JSON saved = cs_kv_get(store, TABLE, LIMIT_NAME);
    int64_t limit = json_integer_value(saved);
    if (limit >= 1 && limit <= CS_REVS_LIMIT)
        store->revs_limit = limit;
}

int64_t cs_revs_limit(const struct cs_store *store)
{
    return store->revs_limit;
}

int cs_set_revs_limit(struct cs_store *store, int64_t limit, struct cm_err *err)
{
    int rc = check_policy(store, err);
    if (rc == 0 && (limit < 1 || limit > CS_REVS_LIMIT))
        rc = cm_fail(err, CM_EINVAL, "revs_limit must be a number from 1 to %d", CS_REVS_LIMIT);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON value = json_integer(limit);
    rc = cs_kv_put(store, TABLE, LIMIT_NAME, value, err);
    if (rc == 0)
        store->revs_limit = limit;
    return rc;
}

/* ---- purge -------------------------------------------------------------------------------- */

static bool is_leaf(const struct cs_tree *tree, uint32_t node)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->node[i].parent == node)
            return false;
    return true;
}

/* Cuts what can be cut; the names of it are added to purged. */
static int cut_each(struct cs_tree *tree, const json_t *revs, json_t *purged, struct cm_err *err)
{
    for (size_t i = 0; i < json_array_size(revs); i++) {
        struct cs_rev rev;
        const char *text = json_string_value(json_array_get(revs, i));
        if (!text || cs_rev_parse(text, &rev) < 0)
            return cm_fail(err, CM_EMALF, "Invalid rev format");
        uint32_t node = cs_tree_find(tree, &rev);
        if (node == CS_NO_NODE || !is_leaf(tree, node))
            continue;
        cs_tree_cut(tree, node);
        json_array_append(purged, json_array_get(revs, i));
    }
    return 0;
}

int cs_purge(struct cs_store *store, const char *id, const json_t *revs, json_t **ret_purged,
             struct cm_err *err)
{
    struct cs_entry entry = CS_ENTRY_INIT;
    *ret_purged = NULL;
    int rc = check_policy(store, err);
    if (rc == 0)
        rc = cs_batch(store, err);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON purged = json_array();
    if (strlen(id) <= CS_ID_MAX)
        rc = cs_entry_load(&store->txn, id, &entry, err);
    if (rc == 0)
        rc = cut_each(&entry.tree, revs, purged, err);
    if (rc == 0 && json_array_size(purged) > 0)
        rc = cs_apply_cut(store, id, &entry, err);
    if (rc == 0)
        *ret_purged = json_incref(purged);
    cs_entry_fini(&entry);
    return rc;
}

/* ---- compaction --------------------------------------------------------------------------- */

static int compact_one(struct cs_store *store, const char *id, struct cm_err *err)
{
    struct cs_entry entry = CS_ENTRY_INIT;
    int rc = cs_entry_load(&store->txn, id, &entry, err);
    if (rc == 0)
        cs_tree_forget(&entry.tree);
    if (rc == 0 && entry.tree.dropped_count > 0) {
        rc = cs_drop_bodies(store, id, &entry.tree, err);
        if (rc == 0)
            rc = cs_entry_save(store, id, &entry, err);
    }
    cs_entry_fini(&entry);
    return rc;
}

static int note_id(void *arg, const struct cs_change *change)
{
    json_array_append_new(arg, json_string(change->id));
    return 0;
}

int cs_compact(struct cs_store *store, const char *from, size_t limit, char next[CS_ID_MAX + 2],
               struct cm_err *err)
{
    CM_AUTO_JSON ids = json_array();
    int rc = check_policy(store, err);
    if (rc == 0)
        rc = cs_docs(store, from, false, limit, note_id, ids, err);
    if (rc == 0)
        rc = cs_batch(store, err);
    const char *last = "";
    for (size_t i = 0; i < json_array_size(ids) && rc == 0; i++) {
        last = json_string_value(json_array_get(ids, i));
        rc = compact_one(store, last, err);
    }
    /* The next id in byte order is the last one with the lowest byte that an id may have. */
    snprintf(next, CS_ID_MAX + 2, "%s%s", last, "\001");
    if (json_array_size(ids) < limit)
        next[0] = '\0';
    return rc;
}
