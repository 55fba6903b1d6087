/*
 * Verdicts decided anew after a signer left the trust root, or came back.
 *
 * One pass over the documents, a slice per call; its place lies in the local table "state" and
 * moves in the same transaction as what the slice changed, so a crash neither skips nor repeats
 * anything that matters.  Documents of the manager keep their verdict: they hold until a present
 * manager has signed them anew (else a promotion would take the whole fleet's credentials away);
 * from a peer nothing with that signature is accepted any more, as each arrival is judged.
 * Tombstones hold, too, or what was deleted could come back.  What else a server wrote loses its
 * verdict with its signer: the leaf stays in the tree, counts for nothing and is listed in the
 * quarantine; when the signer is back, it counts again.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

#define TABLE "state"
#define KEY   "rejudge"

/* Is it a leaf that was once accepted and lost its verdict?  (Nothing else is stored unverified.)
 */
bool cs_is_lost(const struct cs_node *node)
{
    return (node->flags & (CS_NODE_BODY | CS_NODE_VALID)) == CS_NODE_BODY;
}

static json_t *named(const char *id, const struct cs_rev *rev)
{
    char text[CS_REV_MAX + 1];
    json_t *doc = json_object();
    cs_rev_format(rev, text);
    cm_json_set_str(doc, "_id", id);
    cm_json_set_str(doc, "_rev", text);
    return doc;
}

static int forget(struct cs_store *store, const char *id, const struct cs_rev *rev,
                  struct cm_err *err)
{
    CM_AUTO_JSON doc = named(id, rev);
    return cs_quarantine_drop(store, doc, err);
}

int cs_rejudge_replaced(struct cs_store *store, const char *id, const struct cs_tree *tree,
                        struct cm_err *err)
{
    int rc = 0;
    if (!store->policy || store->batch.quarantine_count == 0)
        return 0;
    for (size_t i = 0; i < tree->dropped_count && rc == 0; i++)
        rc = forget(store, id, &tree->dropped[i], err);
    for (size_t i = 0; i < tree->count && rc == 0; i++)
        if (cs_is_lost(&tree->node[i]))
            rc = forget(store, id, &tree->node[i].rev, err);
    return rc;
}

/* In the list of refused documents, but never at the cost of what a peer sent. */
static int note_lost(struct cs_store *store, const char *id, const struct cs_node *node,
                     const json_t *body, const char *why, struct cm_err *err)
{
    char reason[CS_REJUDGE_REASON_MAX];
    CM_AUTO_JSON doc = named(id, &node->rev);
    if (store->batch.quarantine_count >= CS_REJUDGE_NOTES)
        return 0;
    snprintf(reason, sizeof(reason), CS_REJUDGE_REASON ": %.100s", why);
    return cs_quarantine_add(store, doc, cm_json_str(cm_json_obj(body, "signature"), "by"), reason,
                             err);
}

/* 1 = its verdict is another one now. */
static int judge_leaf(struct cs_store *store, const char *id, struct cs_node *node,
                      struct cs_rejudged *counts, struct cm_err *err)
{
    struct cs_verdict verdict = {0};
    json_t *loaded = NULL;
    size_t len;
    if (!(node->flags & CS_NODE_BODY) || (node->flags & CS_NODE_DELETED))
        return 0;
    struct cm_err damage = CM_ERR_INIT;
    int rc = cs_body_load(&store->txn, id, &node->rev, &loaded, &len, &damage);
    CM_AUTO_JSON body = loaded;
    if (rc < 0) { /* the scrub's business: it does not stop the others */
        cm_log_err(CM_LOG_ERROR, "certstore", &damage);
        cm_err_fini(&damage);
        return 0;
    }
    store->verify(store->port_arg, body, false, &verdict);
    if (!verdict.valid)
        (void)cm_strcpy(counts->why, sizeof(counts->why), verdict.reason);
    if (verdict.valid == ((node->flags & CS_NODE_VALID) != 0))
        return 0;
    node->flags ^= CS_NODE_VALID;
    if (verdict.valid) {
        counts->regained++;
        rc = forget(store, id, &node->rev, err);
    } else {
        counts->lost++;
        rc = note_lost(store, id, node, body, verdict.reason, err);
    }
    return rc < 0 ? rc : 1;
}

int cs_rejudge_entry(struct cs_store *store, const char *id, struct cs_entry *entry, bool lost_only,
                     struct cs_rejudged *counts, struct cm_err *err)
{
    uint32_t *leaf;
    size_t count = cs_tree_leaves(&entry->tree, &leaf);
    bool changed = false;
    int rc = 0;
    for (size_t i = 0; i < count && rc >= 0; i++) {
        if (!lost_only || cs_is_lost(&entry->tree.node[leaf[i]]))
            rc = judge_leaf(store, id, &entry->tree.node[leaf[i]], counts, err);
        changed = changed || rc == 1;
    }
    cm_free(leaf);
    if (rc >= 0)
        rc = changed ? cs_apply_verdicts(store, id, entry, err) : 0;
    return rc;
}

static int judge_doc(struct cs_store *store, const char *id, struct cs_rejudged *counts,
                     struct cm_err *err)
{
    struct cs_entry entry = CS_ENTRY_INIT;
    struct cm_err damage = CM_ERR_INIT;
    int rc = cs_entry_load(&store->txn, id, &entry, &damage);
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "certstore", &damage);
    cm_err_fini(&damage);
    rc = rc < 0 ? 0 : cs_rejudge_entry(store, id, &entry, false, counts, err);
    cs_entry_fini(&entry);
    return rc;
}

/* ---- the pass ----------------------------------------------------------------------------- */

/* The ids of the next documents that a server wrote; place: where to go on, "" = at the end. */
static int collect(struct cs_store *store, char place[CS_ID_MAX + 2], json_t *ids,
                   struct cm_err *err)
{
    struct cs_cursor cursor = {0};
    struct cs_key at, prefix;
    struct cs_slice key, value;
    char id[CS_ID_MAX + 1];
    cs_key_doc(&at, place);
    cs_key_begin(&prefix, CS_T_DOC);
    int rc = cs_cursor_open(&store->txn, &cursor, err);
    if (rc == 0)
        rc = cs_cursor_seek(&cursor, &at, &key, &value, err);
    while (rc == 0 && cs_key_has_prefix(&key, &prefix)) {
        size_t len = key.len - 1 <= CS_ID_MAX ? key.len - 1 : CS_ID_MAX;
        memcpy(id, (const char *)key.data + 1, len);
        id[len] = '\0';
        const struct cs_type *type = cs_type_of(id);
        if (json_array_size(ids) >= CS_REJUDGE_SLICE)
            break;
        if (type && type->by_manager) { /* all of them at once: ';' follows ':' */
            cs_key_begin(&at, CS_T_DOC);
            cs_key_text(&at, type->name);
            cs_key_byte(&at, ';');
            rc = cs_cursor_seek(&cursor, &at, &key, &value, err);
            continue;
        }
        json_array_append_new(ids, json_string(id));
        rc = cs_cursor_next(&cursor, &key, &value, err);
    }
    place[0] = '\0';
    if (rc == 0 && cs_key_has_prefix(&key, &prefix))
        (void)cm_strcpy(place, CS_ID_MAX + 2, id);
    cs_cursor_close(&cursor);
    return rc == CM_ENOENT ? 0 : rc;
}

static void tell_end(const json_t *state)
{
    int64_t lost = cm_json_int(state, "lost", 0), regained = cm_json_int(state, "regained", 0);
    if (lost > 0)
        cm_log(CM_LOG_WARN, "certstore", NULL,
               "%lld documents count no more: " CS_REJUDGE_REASON
               " (\"certmgr replication refused\" lists them)",
               (long long)lost);
    if (regained > 0)
        cm_log(CM_LOG_INFO, "certstore", NULL,
               "%lld documents count again: their signers are back in the trust root",
               (long long)regained);
}

/* place "": the pass is at its end. */
static int save(struct cs_store *store, json_t *state, const char *place, size_t read,
                const struct cs_rejudged *counts, struct cm_err *err)
{
    cm_json_set_int(state, "documents", cm_json_int(state, "documents", 0) + (int64_t)read);
    cm_json_set_int(state, "lost", cm_json_int(state, "lost", 0) + counts->lost);
    cm_json_set_int(state, "regained", cm_json_int(state, "regained", 0) + counts->regained);
    json_object_del(state, "place");
    if (place[0] != '\0')
        cm_json_set_str(state, "place", place);
    else
        cm_json_set_time(state, "finished_at", cm_now_ms());
    return cs_kv_put(store, TABLE, KEY, state, err);
}

int cs_rejudge_begin(struct cs_store *store, struct cm_err *err)
{
    CM_AUTO_JSON state = json_object();
    cm_json_set_time(state, "started_at", cm_now_ms());
    cm_json_set_str(state, "place", "");
    cm_json_set_int(state, "documents", 0);
    cm_json_set_int(state, "lost", 0);
    cm_json_set_int(state, "regained", 0);
    return cs_kv_put(store, TABLE, KEY, state, err);
}

json_t *cs_rejudge_status(struct cs_store *store)
{
    json_t *state = cs_kv_get(store, TABLE, KEY);
    if (!state)
        return NULL;
    bool running = json_object_get(state, "place") != NULL;
    cm_json_set_str(state, "state", running ? "running" : "idle");
    if (running) /* documents of the manager are not looked at, but to count them takes as long */
        cm_json_set_int(state, "at_most", cs_doc_count(store) + cs_deleted_count(store));
    json_object_del(state, "place");
    return state;
}

int cs_rejudge(struct cs_store *store, struct cm_err *err)
{
    char place[CS_ID_MAX + 2] = "";
    struct cs_rejudged counts = {0};
    CM_AUTO_JSON state = cs_kv_get(store, TABLE, KEY);
    const char *from = cm_json_str(state, "place");
    if (!store->policy || !from)
        return 0;
    int rc = cm_strcpy(place, sizeof(place), from);
    if (rc == 0)
        rc = cs_batch(store, err);
    CM_AUTO_JSON ids = json_array();
    if (rc == 0)
        rc = collect(store, place, ids, err);
    for (size_t i = 0; i < json_array_size(ids) && rc == 0; i++)
        rc = judge_doc(store, json_string_value(json_array_get(ids, i)), &counts, err);
    if (rc == 0)
        rc = save(store, state, place, json_array_size(ids), &counts, err);
    if (rc == 0 && place[0] == '\0')
        tell_end(state);
    return rc < 0 ? rc : place[0] != '\0';
}
