/* The write paths: own documents, interactive edits, replicated revisions. */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/internal.h"

#define FORKS_TOLD 10                         /* lines about forks … */
#define FORKS_MS   60000                      /* … within this time */
#define HASHED_MAX (CS_TRUST_MAX * 6u + 256u) /* a body with every byte escaped, and its frame */

/* The id of a new revision: first 16 bytes of the SHA-256 of [deleted, parent, body] in canonical
 * JSON, so that the same edit made twice is one revision. */
static void name_revision(const struct cs_indoc *in, const struct cs_rev *parent,
                          struct cs_rev *ret)
{
    char parent_text[CS_REV_MAX + 1];
    uint8_t digest[CM_SHA256_SIZE];
    struct cm_buf text;
    cm_buf_init(&text, HASHED_MAX);
    CM_AUTO_JSON frame = json_array();
    json_array_append_new(frame, json_boolean(in->deleted));
    if (parent)
        cs_rev_format(parent, parent_text);
    json_array_append_new(frame, parent ? json_string(parent_text) : json_null());
    json_array_append(frame, in->body);
    if (cm_json_canonical(frame, &text, NULL) < 0) {
        /* A fraction, or an integer beyond 2^53: possible without policy only. */
        CM_AUTO_STR sorted = json_dumps(frame, JSON_COMPACT | JSON_SORT_KEYS);
        cm_sha256(sorted, strlen(sorted), digest);
    } else {
        cm_sha256(text.data, text.len, digest);
    }
    cm_buf_fini(&text);
    ret->gen = parent ? parent->gen + 1 : 1;
    ret->len = 16;
    memcpy(ret->id, digest, 16);
}

/* A refusal as return value and error object, for the callers that put their own documents. */
static int refused(const char *id, const struct cs_result *result, struct cm_err *err)
{
    if (result->code == 0)
        return 0;
    cm_fail(err, result->code, "%s", result->reason);
    if (err && id)
        cm_err_object(err, "%s", id);
    return result->code;
}

/* Who has signed two of them can post them without end: the first of a minute are told, the list of
 * refused documents has them all. */
static void tell_fork(struct cs_store *store, const char *id, int64_t serial)
{
    int64_t left_out;
    bool tell = cm_told_more(&store->forks, &left_out);
    if (left_out > 0)
        cm_log(CM_LOG_ERROR, "certstore", NULL,
               "%lld more signed versions had a serial that another content has",
               (long long)left_out);
    if (tell)
        cm_log(CM_LOG_ERROR, "certstore", id,
               "two signed versions have serial %lld: a restored or second manager, or an attack",
               (long long)serial);
}

/* Compares with the effective leaf: 0 = newer, 1 = the same once more, negative = refused. */
static int check_serial(struct cs_store *store, const struct cs_entry *entry,
                        const struct cs_indoc *in, int64_t serial, struct cs_result *result,
                        struct cm_err *err)
{
    const struct cs_head *head = &entry->head;
    if (!store->policy || !entry->found || !head->has_effective || serial > head->serial)
        return 0;
    if (serial < head->serial)
        return cs_refuse(result, CM_ECONFLICT, "older: serial %lld is below %lld",
                         (long long)serial, (long long)head->serial);
    CM_AUTO_JSON present = NULL;
    CM_AUTO_JSON body = cs_indoc_body(in);
    int rc = cs_body_shared(store, &store->txn, in->id, &head->effective, &present, err);
    if (rc < 0)
        return cs_refuse(result, rc, "the present version cannot be read");
    if (in->deleted == head->effective_deleted && cs_same_content(body, present))
        return 1;
    tell_fork(store, in->id, serial);
    return cs_refuse(result, CM_ECONFLICT, "fork: another content has serial %lld already",
                     (long long)serial);
}

static int put_child(struct cs_store *store, struct cs_entry *entry, const struct cs_indoc *in,
                     const struct cs_rev *parent, int64_t serial, struct cs_result *result,
                     struct cm_err *err)
{
    struct cs_rev path[2];
    if (parent && parent->gen >= CS_GENERATION_MAX)
        return cs_refuse(result, CM_ELIMIT, "the document has no generation left");
    name_revision(in, parent, &path[0]);
    if (parent)
        path[1] = *parent;
    struct cs_change_in change = {
        .in = in, .path = path, .path_len = parent ? 2 : 1, .valid = true, .serial = serial};
    return cs_apply(store, entry, &change, result, err);
}

static int put_own(struct cs_store *store, struct cs_indoc *in, struct cs_entry *entry,
                   struct cs_result *result, struct cm_err *err)
{
    int64_t serial;
    int rc = cs_indoc_judge(store, in, &serial, result);
    if (rc < 0)
        return rc;
    rc = cs_batch(store, err);
    if (rc == 0)
        rc = cs_entry_load(&store->txn, in->id, entry, err);
    if (rc < 0)
        return cs_refuse(result, rc, "the store failed");
    if (!entry->found && cs_care_new(store, in->body, result, err) < 0)
        return result->code;
    rc = check_serial(store, entry, in, serial, result, err);
    if (rc == 1) {
        cs_rev_format(&entry->head.effective, result->rev);
        return 0;
    }
    if (rc < 0)
        return rc;
    const struct cs_rev *parent = NULL;
    if (entry->found) {
        /* The winner is the first node: entries are stored in winner order. */
        parent = entry->head.has_effective ? &entry->head.effective : &entry->tree.node[0].rev;
    }
    struct cs_rev copy = parent ? *parent : (struct cs_rev){0};
    return put_child(store, entry, in, parent ? &copy : NULL, serial, result, err);
}

int cs_put(struct cs_store *store, const json_t *doc, struct cs_result *ret, struct cm_err *err)
{
    struct cs_indoc in;
    struct cs_entry entry = CS_ENTRY_INIT;
    struct cm_err why = CM_ERR_INIT;
    int rc = cs_indoc_read(doc, store->policy, &in, ret);
    if (rc == 0) {
        ret->rev[0] = '\0';
        rc = put_own(store, &in, &entry, ret, &why);
    }
    ret->code = rc;
    if (why.code != 0 && err)
        cm_err_copy(err, &why);
    else
        refused(in.id, ret, err);
    cm_err_fini(&why);
    cs_entry_fini(&entry);
    cs_indoc_fini(&in);
    return rc;
}

/* The leaf that an interactive edit continues. */
static int edit_parent(const struct cs_entry *entry, const struct cs_indoc *in,
                       const struct cs_rev **ret, struct cs_result *result)
{
    *ret = NULL;
    const char *conflict = "Document update conflict.";
    if (!entry->found)
        return in->path_len == 0 ? 0 : cs_refuse(result, CM_ECONFLICT, "%s", conflict);
    if (entry->head.winner_deleted) {
        /* All of it is deleted: as in CouchDB a document that lives and names no revision goes on
         * from the tombstone; whoever names that, or deletes once more, has not seen its end. */
        if (in->path_len > 0 || in->deleted)
            return cs_refuse(result, CM_ECONFLICT, "%s", conflict);
        *ret = &entry->tree.node[0].rev;
        return 0;
    }
    if (in->path_len == 0)
        return cs_refuse(result, CM_ECONFLICT, "%s", conflict);
    uint32_t *leaf;
    size_t count = cs_tree_leaves(&entry->tree, &leaf);
    for (size_t i = 0; i < count && !*ret; i++)
        if (cs_rev_eq(&entry->tree.node[leaf[i]].rev, &in->path[0]))
            *ret = &entry->tree.node[leaf[i]].rev;
    cm_free(leaf);
    return *ret ? 0 : cs_refuse(result, CM_ECONFLICT, "%s", conflict);
}

int cs_put_edit(struct cs_store *store, const json_t *doc, struct cs_result *ret,
                struct cm_err *err)
{
    struct cs_indoc in;
    struct cs_entry entry = CS_ENTRY_INIT;
    struct cm_err why = CM_ERR_INIT;
    const struct cs_rev *parent;
    int rc = cs_indoc_read(doc, store->policy, &in, ret);
    ret->rev[0] = '\0';
    if (rc == 0 && store->policy)
        rc = cs_refuse(ret, CM_EDENIED, "only signed documents are accepted");
    if (rc == 0)
        rc = cs_batch(store, &why);
    if (rc == 0)
        rc = cs_entry_load(&store->txn, in.id, &entry, &why);
    if (rc == 0 && !entry.found)
        rc = cs_care_new(store, in.body, ret, &why);
    if (rc == 0)
        rc = edit_parent(&entry, &in, &parent, ret);
    if (rc == 0) {
        struct cs_rev copy = parent ? *parent : (struct cs_rev){0};
        rc = put_child(store, &entry, &in, parent ? &copy : NULL, 0, ret, &why);
    }
    ret->code = rc;
    if (why.code != 0 && err)
        cm_err_copy(err, &why);
    else
        refused(in.id, ret, err);
    cm_err_fini(&why);
    cs_entry_fini(&entry);
    cs_indoc_fini(&in);
    return rc;
}

/*
 * A peer may not push the generation out of reach of everybody else: nobody signs generations, and
 * the highest possible one would have no next.  What we know is no measure alone, for a new server
 * knows nothing and an old one comes back after years.  So the signed serial, the writer's clock,
 * says how often the document may have been written.  As this grows faster than anybody writes, a
 * version that was renamed as high as it goes is no dead end: the next one reaches everybody again.
 *
 * The serial is only claimed here; cs_indoc_judge() then finds out who signed it.
 */
static int check_generation(const struct cs_store *store, const struct cs_entry *entry,
                            const struct cs_indoc *in, struct cs_result *result)
{
    int64_t gen = in->path[0].gen, highest = 0;
    int64_t since = cm_json_int(in->body, "serial", 0) - CS_GENERATION_FROM;
    int64_t written = since > 0 ? since / CS_GENERATION_MS : 0;
    for (size_t i = 0; i < entry->tree.count; i++)
        if (entry->tree.node[i].rev.gen > highest)
            highest = entry->tree.node[i].rev.gen;
    int64_t base = highest > written ? highest : written;
    if (store->policy && gen - base > CS_GENERATION_JUMP)
        return cs_refuse(result, CM_ELIMIT, "generation %lld is more than %d ahead of %lld",
                         (long long)gen, CS_GENERATION_JUMP, (long long)base);
    return 0;
}

/* Of what servers write, the present version may be somebody's who had no right to the name, from
 * before that could be known (a manager that was restored did not know a server yet): it is judged
 * anew when another server's version stands against it.  1 = it counts no more. */
static int rival_fell(struct cs_store *store, struct cs_entry *entry, const struct cs_indoc *in,
                      struct cm_err *err)
{
    struct cs_rejudged counts = {0};
    CM_AUTO_JSON present = NULL;
    const struct cs_type *type = cs_type_of(in->id);
    if (type->by_manager ||
        cs_body_shared(store, &store->txn, in->id, &entry->head.effective, &present, NULL) < 0)
        return 0;
    const char *by = cm_json_str_or(cm_json_obj(in->body, "signature"), "by", "");
    if (strcmp(cm_json_str_or(cm_json_obj(present, "signature"), "by", by), by) == 0)
        return 0;
    int rc = cs_rejudge_entry(store, in->id, entry, false, &counts, err);
    return rc < 0 ? rc : counts.lost > 0;
}

static int replicate_into(struct cs_store *store, struct cs_indoc *in, struct cs_entry *entry,
                          struct cs_result *result, struct cm_err *err)
{
    int64_t serial = 0;
    if (check_generation(store, entry, in, result) < 0)
        return 0;
    /* A known revision is success, whatever came with it: only its ancestors' names are new. */
    uint32_t at = store->policy ? cs_tree_find(&entry->tree, &in->path[0]) : CS_NO_NODE;
    if (at != CS_NO_NODE && cs_is_lost(&entry->tree.node[at])) {
        struct cs_rejudged counts = {0};
        int rc = cs_rejudge_entry(store, in->id, entry, true, &counts, err);
        if (rc < 0)
            return rc;
        if (cs_is_lost(&entry->tree.node[at])) {
            cs_refuse(result, CM_EDENIED, CS_REJUDGE_REASON ": %.100s", counts.why);
            return 0;
        }
    }
    if (at == CS_NO_NODE) {
        if (cs_indoc_judge(store, in, &serial, result) < 0)
            return 0;
        struct cm_err why = CM_ERR_INIT;
        int rc = check_serial(store, entry, in, serial, result, &why);
        int fell = rc == CM_ECONFLICT ? rival_fell(store, entry, in, err) : 0;
        if (fell < 0)
            return fell;
        if (fell > 0) {
            result->code = 0;
            rc = check_serial(store, entry, in, serial, result, &why);
        }
        if (rc < 0 && why.code != 0) {
            cm_log_err(CM_LOG_ERROR, "certstore", &why);
            cm_err_fini(&why);
        }
        /* The same signed content under another name is nothing new, or names could be made up
         * without end. */
        if (rc != 0)
            return 0;
    }
    bool newer = at == CS_NO_NODE && (!entry->found || entry->head.has_effective);
    struct cs_change_in change = {
        .in = in, .path = in->path, .path_len = in->path_len, .valid = true, .serial = serial};
    int rc = cs_apply(store, entry, &change, result, err);
    result->newer = newer && rc == 0;
    return store->failed ? rc : 0;
}

/* ---- documents read ahead ----------------------------------------------------------------- */

struct cs_ready {
    struct cs_indoc in;
    struct cs_result read; /* of reading it */
};

struct cs_ready *cs_ready_new(json_t *take_doc, bool policy, struct cs_place place)
{
    struct cs_ready *ready = cm_calloc(1, sizeof(*ready));
    if (cs_indoc_take(take_doc, policy, place, &ready->in, &ready->read) == 0 && policy)
        cs_indoc_examine(&ready->in);
    return ready;
}

void cs_ready_slim(struct cs_ready *ready)
{
    if (ready->read.code == 0 && ready->in.examined)
        cs_indoc_slim(&ready->in);
}

void cs_ready_free(struct cs_ready *ready)
{
    cs_indoc_fini(&ready->in);
    cm_free(ready);
}

const json_t *cs_ready_body(const struct cs_ready *ready)
{
    return ready->in.body;
}

bool cs_ready_deleted(const struct cs_ready *ready)
{
    return ready->in.deleted;
}

int cs_replicate(struct cs_store *store, struct cs_ready *ready, struct cs_result *result,
                 struct cm_err *err)
{
    struct cs_indoc *in = &ready->in;
    struct cs_entry entry = CS_ENTRY_INIT;
    *result = ready->read;
    if (result->code < 0)
        return 0;
    if (in->path_len == 0) {
        cs_refuse(result, CM_EMALF, "Document rev must be given with new_edits=false");
        return 0;
    }
    int rc = cs_batch(store, err);
    if (rc == 0)
        rc = cs_entry_load(&store->txn, in->id, &entry, err);
    if (rc == 0)
        rc = replicate_into(store, in, &entry, result, err);
    cs_entry_fini(&entry);
    return rc;
}

int cs_put_ready(struct cs_store *store, struct cs_ready *ready, const char *peer,
                 struct cs_result *ret, struct cm_err *err)
{
    int rc = cs_replicate(store, ready, ret, err);
    if (rc == 0 && store->policy && (ret->code < 0 || store->batch.quarantine_count > 0)) {
        CM_AUTO_JSON doc = cs_indoc_whole(&ready->in);
        rc = ret->code < 0 ? cs_quarantine_add(store, doc, peer, ret->reason, err)
                           : cs_quarantine_drop(store, doc, err);
    }
    if (rc < 0)
        cs_refuse(ret, rc, "the store failed");
    return rc;
}

int cs_put_replicated(struct cs_store *store, const json_t *doc, const char *peer,
                      struct cs_result *ret, struct cm_err *err)
{
    struct cs_ready *ready =
        cs_ready_new(json_copy((json_t *)(uintptr_t)doc), store->policy, CS_NO_PLACE);
    ready->in.keep = true;
    int rc = cs_put_ready(store, ready, peer, ret, err);
    cs_ready_free(ready);
    return rc;
}

/* Of a revision whose name is known.  On a hub anybody may have posted it, with what he likes. */
static enum cs_weight weigh_known(struct cs_store *store, const struct cs_entry *entry,
                                  struct cs_indoc *in)
{
    const struct cs_head *head = &entry->head;
    bool effective = head->has_effective && cs_rev_eq(&head->effective, &in->path[0]);
    enum cs_weight weight = effective ? CS_WEIGHT_SAME : CS_WEIGHT_KNOWN;
    struct cs_result result = {0};
    int64_t serial = 0;
    CM_AUTO_JSON ours = NULL;
    CM_AUTO_JSON body = cs_indoc_body(in);
    bool have = cs_body_shared(store, &store->txn, in->id, &in->path[0], &ours, NULL) == 0;
    bool dead = effective && in->deleted != head->effective_deleted;
    if (have && !dead && json_equal(body, ours))
        return weight;
    if (cs_indoc_judge(store, in, &serial, &result) < 0)
        return CS_WEIGHT_NONE;
    return effective && have && (dead || !cs_same_content(body, ours)) ? CS_WEIGHT_NONE : weight;
}

enum cs_weight cs_weigh(struct cs_store *store, const json_t *doc)
{
    struct cs_indoc in;
    struct cs_result result;
    struct cs_entry entry = CS_ENTRY_INIT;
    enum cs_weight weight = CS_WEIGHT_NONE;
    int64_t serial = 0;
    int rc = cs_indoc_read(doc, store->policy, &in, &result);
    if (rc == 0 && in.path_len > 0) {
        weight = CS_WEIGHT_NEWER;
        rc = cs_batch(store, NULL);
        if (rc == 0)
            rc = cs_entry_load(&store->txn, in.id, &entry, NULL);
        if (rc == 0 && cs_tree_find(&entry.tree, &in.path[0]) != CS_NO_NODE)
            weight = weigh_known(store, &entry, &in);
        else if (rc == 0 && (check_generation(store, &entry, &in, &result) < 0 ||
                             cs_indoc_judge(store, &in, &serial, &result) < 0))
            weight = CS_WEIGHT_NONE;
        else if (rc == 0) {
            rc = check_serial(store, &entry, &in, serial, &result, NULL);
            weight = rc == 1 ? CS_WEIGHT_SAME : rc == CM_ECONFLICT ? CS_WEIGHT_NONE : weight;
        }
    }
    cs_entry_fini(&entry);
    cs_indoc_fini(&in);
    return weight;
}
