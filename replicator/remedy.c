/*
 * What is posted to put a spoiled document right, and what is asked for first.  The names of our
 * own revisions decide who can stop us: that of a mark follows from the leaf it prunes, so that
 * servers know it as such a mark and say nothing; that of a good version posted again is one that
 * nobody can foretell (who could would post that first, with something below it).
 */
#include "replicator/remedy.h"

#include <stdint.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certstore/rev.h"

/* ---- names of our own revisions ----------------------------------------------------------- */

/* Of the mark below a revision: first 16 bytes of a SHA-256. */
static void name_of_mark(const char *rev, char out[33])
{
    char hex[CM_SHA256_HEX];
    CM_AUTO_STR text = cm_asprintf("certmgr-prune\n%s", rev);
    cm_sha256_hex(text, strlen(text), hex);
    memcpy(out, hex, 32);
    out[32] = '\0';
}

static const char *history_id(const json_t *doc, size_t i)
{
    const json_t *ids = cm_json_arr(cm_json_obj(doc, "_revisions"), "ids");
    return json_string_value(json_array_get(ids, i));
}

bool rp_remedy_is_mark(const json_t *doc)
{
    char name[33];
    int64_t start = cm_json_int(cm_json_obj(doc, "_revisions"), "start", 0);
    const char *own = history_id(doc, 0), *parent = history_id(doc, 1);
    if (!cm_json_bool(doc, "_deleted", false) || json_object_size(doc) != 4 || !own || !parent ||
        !json_object_get(doc, "_id") || !json_object_get(doc, "_rev") ||
        strlen(parent) > CS_REV_MAX)
        return false;
    CM_AUTO_STR about = cm_asprintf("%lld-%s", (long long)(start - 1), parent);
    name_of_mark(about, name);
    return strcmp(name, own) == 0;
}

static json_t *revisions(int64_t start, json_t *take_ids)
{
    json_t *all = json_object();
    cm_json_set_int(all, "start", start);
    cm_json_set(all, "ids", take_ids);
    return all;
}

static void set_rev(json_t *doc, int64_t gen, const char *name)
{
    CM_AUTO_STR rev = cm_asprintf("%lld-%s", (long long)gen, name);
    cm_json_set_str(doc, "_rev", rev);
}

/* The empty tombstone below a leaf (owned), NULL when no generation is left above it. */
static json_t *mark_below(const json_t *leaf)
{
    char name[33];
    const char *rev = cm_json_str_or(leaf, "_rev", "");
    struct cs_rev parsed;
    if (cs_rev_parse(rev, &parsed) < 0 || parsed.gen >= CS_GENERATION_MAX)
        return NULL;
    name_of_mark(rev, name);
    json_t *doc = json_object(), *ids = json_array();
    json_array_append_new(ids, json_string(name));
    json_array_append_new(ids, json_string(strchr(rev, '-') + 1));
    cm_json_set_str(doc, "_id", cm_json_str(leaf, "_id"));
    set_rev(doc, parsed.gen + 1, name);
    cm_json_set_bool(doc, "_deleted", true);
    cm_json_set(doc, "_revisions", revisions(parsed.gen + 1, ids));
    return doc;
}

/* ---- what is to be posted ----------------------------------------------------------------- */

json_t *rp_remedy_ours(struct cs_store *store, const char *id, bool revs)
{
    json_t *leaves = NULL, *best = NULL;
    if (cs_read_leaves(store, id, revs, &leaves, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        json_t *leaf = json_array_get(leaves, i);
        if (!best || cm_json_int(leaf, "serial", 0) > cm_json_int(best, "serial", 0))
            best = leaf;
    }
    json_incref(best);
    json_decref(leaves);
    return best;
}

/* Does a leaf come after this revision, or has its name? */
static bool is_below(const json_t *leaf, const struct cs_rev *rev)
{
    const json_t *history = cm_json_obj(leaf, "_revisions");
    int64_t at = cm_json_int(history, "start", 0) - rev->gen;
    const char *id = at >= 0 ? history_id(leaf, (size_t)at) : NULL;
    struct cs_rev other;
    return id && cs_rev_parse_id(id, rev->gen, &other) == 0 && cs_rev_eq(&other, rev);
}

/* The good version under the next name, beside what was written below it. */
static void rename_beside(json_t *doc)
{
    uint8_t random[16];
    char name[2 * sizeof(random) + 1];
    struct cs_rev rev;
    if (cs_rev_parse(cm_json_str_or(doc, "_rev", ""), &rev) < 0 || rev.gen >= CS_GENERATION_MAX)
        return;
    cm_random(random, sizeof(random));
    cm_hex(random, sizeof(random), name);
    json_t *ids = json_copy(cm_json_arr(cm_json_obj(doc, "_revisions"), "ids"));
    json_array_insert_new(ids, 0, json_string(name));
    set_rev(doc, rev.gen + 1, name);
    cm_json_set(doc, "_revisions", revisions(rev.gen + 1, ids));
}

json_t *rp_remedy_docs(struct cs_store *store, const char *id, const json_t *leaves)
{
    json_t *docs = json_array();
    bool good = false, bad = false, known = false, hidden = false;
    CM_AUTO_JSON ours = rp_remedy_ours(store, id, true);
    struct cs_rev rev = {0};
    bool has_rev = ours && cs_rev_parse(cm_json_str_or(ours, "_rev", ""), &rev) == 0;
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        const json_t *leaf = cm_json_obj(json_array_get(leaves, i), "ok");
        bool below = leaf && has_rev && is_below(leaf, &rev);
        if (leaf && rp_remedy_is_mark(leaf)) {
            hidden |= below;
            continue;
        }
        enum cs_weight weight = leaf ? cs_weigh(store, leaf) : CS_WEIGHT_NEWER;
        hidden |= below && weight != CS_WEIGHT_SAME;
        good |= weight == CS_WEIGHT_SAME || weight == CS_WEIGHT_NEWER;
        known |= weight == CS_WEIGHT_KNOWN;
        bad |= weight == CS_WEIGHT_NONE;
        if (weight != CS_WEIGHT_NONE || json_array_size(docs) >= RP_REMEDY_MARKS_MAX)
            continue;
        json_t *mark = mark_below(leaf);
        if (mark)
            json_array_append_new(docs, mark);
    }
    /* A version of ours that is merely old: the newer one is on its way. */
    if (good || !has_rev || (known && !bad && !hidden))
        return docs;
    if (hidden)
        rename_beside(ours);
    json_array_append(docs, ours);
    return docs;
}

/* ---- what was buried before it came here -------------------------------------------------- */

/* Revisions that this leaf lies above, the nearest first, up to one that is known here. */
static void add_buried(struct cs_store *store, const char *id, const json_t *leaf, json_t *revs)
{
    int64_t start = cm_json_int(cm_json_obj(leaf, "_revisions"), "start", 0);
    for (size_t i = 1; i <= RP_REMEDY_DIG_DEPTH && json_array_size(revs) < RP_REMEDY_DIG_MAX; i++) {
        struct cs_rev rev;
        char text[CS_REV_MAX + 1];
        const char *name = history_id(leaf, i);
        if (!name || cs_rev_parse_id(name, start - (int64_t)i, &rev) < 0)
            return;
        cs_rev_format(&rev, text);
        if (cs_has_rev(store, id, text))
            return;
        if (!cm_json_has_str(revs, text))
            json_array_append_new(revs, json_string(text));
    }
}

json_t *rp_remedy_buried(struct cs_store *store, const char *id, const json_t *leaves)
{
    json_t *revs = json_array();
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        const json_t *leaf = cm_json_obj(json_array_get(leaves, i), "ok");
        if (leaf && cs_weigh(store, leaf) == CS_WEIGHT_NONE)
            add_buried(store, id, leaf, revs);
    }
    return revs;
}
