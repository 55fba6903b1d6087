/*
 * Healing a hub (reference/replication.md 6): on a CouchDB any member may post revisions of any
 * document, and the highest generation wins there.  Our servers judge by signature and do not care;
 * the manager puts the hub right all the same, so that new servers find every document and
 * everybody sees the same winner.
 *
 * One document at a time: its leaves are read and weighed by the store.  A leaf that does not
 * count gets an empty tombstone below it, of a name that follows from the leaf, so that servers
 * know it as such a mark and say nothing; a document whose good version is a leaf no more (somebody
 * wrote below it) is posted once more beside that.  What waits survives a restart in the table
 * "heal".
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "certstore/rev.h"
#include "replicator/job.h"

#define TABLE     "heal"
#define QUEUE_MAX 10000
#define FIRST_MS  200   /* what else comes with the same batch is done in one go */
#define NEXT_MS   20    /* a member who goes on spoiling does not keep us busy */
#define AGAIN_MS  15000 /* after a failure */
#define MARKS_MAX 200   /* leaves pruned at a time */
#define PATH_SIZE (3 * CS_ID_MAX + 64)

struct rp_heal {
    json_t *queue; /* id -> true, oldest first */
    struct cm_timer *timer;
    struct http_call *call;
    char id[CS_ID_MAX + 1]; /* under way */
    int64_t healed;
};

/* ---- names of our own revisions ----------------------------------------------------------- */

/* First 16 bytes of the SHA-256 of a purpose and what it is about. */
static void name_of(const char *purpose, const char *about, char out[33])
{
    char hex[CM_SHA256_HEX];
    CM_AUTO_STR text = cm_asprintf("certmgr-%s\n%s", purpose, about);
    cm_sha256_hex(text, strlen(text), hex);
    memcpy(out, hex, 32);
    out[32] = '\0';
}

static const char *history_id(const json_t *doc, size_t i)
{
    const json_t *ids = cm_json_arr(cm_json_obj(doc, "_revisions"), "ids");
    return json_string_value(json_array_get(ids, i));
}

bool rp_heal_is_mark(const json_t *doc)
{
    char name[33];
    int64_t start = cm_json_int(cm_json_obj(doc, "_revisions"), "start", 0);
    const char *own = history_id(doc, 0), *parent = history_id(doc, 1);
    if (!cm_json_bool(doc, "_deleted", false) || json_object_size(doc) != 4 || !own || !parent ||
        !json_object_get(doc, "_id") || !json_object_get(doc, "_rev") ||
        strlen(parent) > CS_REV_MAX)
        return false;
    CM_AUTO_STR about = cm_asprintf("%lld-%s", (long long)(start - 1), parent);
    name_of("prune", about, name);
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
    name_of("prune", rev, name);
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

/* Our own good version with its history (owned), or NULL. */
static json_t *effective(struct cs_store *store, const char *id)
{
    json_t *leaves = NULL, *best = NULL;
    if (cs_read_leaves(store, id, true, &leaves, NULL) < 0)
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

/* Does a leaf come after this revision? */
static bool is_below(const json_t *leaf, const struct cs_rev *rev)
{
    const json_t *history = cm_json_obj(leaf, "_revisions");
    int64_t at = cm_json_int(history, "start", 0) - rev->gen;
    const char *id = at > 0 ? history_id(leaf, (size_t)at) : NULL;
    struct cs_rev other;
    return id && cs_rev_parse_id(id, rev->gen, &other) == 0 && cs_rev_eq(&other, rev);
}

/* The good version under the next name, beside what was written below it. */
static void rename_beside(json_t *doc, const json_t *leaves)
{
    char name[33];
    struct cm_buf about;
    struct cs_rev rev;
    cm_buf_init(&about, RP_BODY_MAX);
    cm_buf_puts(&about, cm_json_str_or(doc, "_rev", ""));
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        const json_t *leaf = cm_json_obj(json_array_get(leaves, i), "ok");
        cm_buf_puts(&about, "\n");
        cm_buf_puts(&about, cm_json_str_or(leaf, "_rev", ""));
    }
    name_of("again", cm_buf_str(&about), name);
    cm_buf_fini(&about);
    if (cs_rev_parse(cm_json_str_or(doc, "_rev", ""), &rev) < 0 || rev.gen >= CS_GENERATION_MAX)
        return;
    json_t *ids = json_copy(cm_json_arr(cm_json_obj(doc, "_revisions"), "ids"));
    json_array_insert_new(ids, 0, json_string(name));
    set_rev(doc, rev.gen + 1, name);
    cm_json_set(doc, "_revisions", revisions(rev.gen + 1, ids));
}

/* What puts the document right (an array, owned); empty when nothing is wrong. */
static json_t *remedies(struct cs_store *store, const char *id, const json_t *leaves)
{
    json_t *docs = json_array();
    bool good = false, bad = false, known = false, hidden = false;
    CM_AUTO_JSON ours = effective(store, id);
    struct cs_rev rev = {0};
    bool has_rev = ours && cs_rev_parse(cm_json_str_or(ours, "_rev", ""), &rev) == 0;
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        const json_t *leaf = cm_json_obj(json_array_get(leaves, i), "ok");
        hidden |= leaf && has_rev && is_below(leaf, &rev);
        if (leaf && rp_heal_is_mark(leaf))
            continue;
        enum cs_weight weight = leaf ? cs_weigh(store, leaf) : CS_WEIGHT_NEWER;
        good |= weight == CS_WEIGHT_SAME || weight == CS_WEIGHT_NEWER;
        known |= weight == CS_WEIGHT_KNOWN;
        bad |= weight == CS_WEIGHT_NONE;
        if (weight != CS_WEIGHT_NONE || json_array_size(docs) >= MARKS_MAX)
            continue;
        json_t *mark = mark_below(leaf);
        if (mark)
            json_array_append_new(docs, mark);
    }
    /* A version of ours that is merely old: the newer one is on its way. */
    if (good || !has_rev || (known && !bad && !hidden))
        return docs;
    if (hidden)
        rename_beside(ours, leaves);
    json_array_append(docs, ours);
    return docs;
}

/* ---- one after the other ------------------------------------------------------------------ */

static void go_on(struct rp_client *client, int64_t ms)
{
    struct rp_heal *heal = client->heal;
    if (!heal->call && json_object_size(heal->queue) > 0)
        cm_timer_start(heal->timer, ms);
}

static void finished(struct rp_client *client)
{
    struct rp_heal *heal = client->heal;
    json_object_del(heal->queue, heal->id);
    (void)cs_kv_del(client->store, TABLE, heal->id, NULL); /* else it is looked at once more */
    go_on(client, NEXT_MS);
}

/* True when the reply is of no use: told, and tried again later. */
static bool failed(struct rp_client *client, const struct http_result *res, const char *what)
{
    if (res->err->code == 0 && res->status < 400)
        return false;
    cm_log(CM_LOG_WARN, "replicator", client->heal->id, "healing the hub: %s: %s (HTTP %d)", what,
           res->err->code ? res->err->what : "refused", res->status);
    go_on(client, AGAIN_MS);
    return true;
}

static void on_posted(void *arg, const struct http_result *res)
{
    struct rp_client *client = arg;
    struct rp_heal *heal = client->heal;
    heal->call = NULL;
    if (failed(client, res, "posting"))
        return;
    CM_AUTO_JSON rows = rp_reply_json(res);
    size_t refused = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        refused += cm_json_str(json_array_get(rows, i), "error") != NULL;
    if (refused > 0)
        cm_log(CM_LOG_ERROR, "replicator", heal->id,
               "the hub refuses %zu of the revisions that would put it right: look at its members "
               "and its validation",
               refused);
    else
        cm_log(CM_LOG_WARN, "replicator", heal->id,
               "the hub had a version that does not count; it is put right");
    heal->healed += refused == 0;
    finished(client);
}

static void on_leaves(void *arg, const struct http_result *res)
{
    struct rp_client *client = arg;
    struct rp_heal *heal = client->heal;
    struct cm_err err = CM_ERR_INIT;
    heal->call = NULL;
    bool large = res->err->code == CM_ELIMIT;
    if (!large && res->status != 404 && failed(client, res, "reading"))
        return;
    CM_AUTO_JSON leaves = res->status == 200 && !large ? rp_reply_json(res) : NULL;
    if (!json_is_array(leaves)) {
        if (res->status != 404)
            cm_log(CM_LOG_ERROR, "replicator", heal->id,
                   "the hub has more of it than can be read: purge the document there");
        finished(client);
        return;
    }
    CM_AUTO_JSON body = json_object();
    json_t *docs = remedies(client->store, heal->id, leaves);
    cm_json_set_bool(body, "new_edits", false);
    cm_json_set(body, "docs", docs);
    if (json_array_size(docs) == 0) {
        finished(client);
        return;
    }
    const struct rp_call_spec spec = {.method = "POST", .path = "/_bulk_docs", .body = body};
    heal->call = rp_start_call(client, &spec, on_posted, client, &err);
    if (!heal->call)
        go_on(client, AGAIN_MS);
    cm_err_fini(&err);
}

static void turn(void *arg)
{
    struct rp_client *client = arg;
    struct rp_heal *heal = client->heal;
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf path;
    const char *id = json_object_iter_key(json_object_iter(heal->queue));
    if (!id || !client->url || heal->call)
        return;
    cm_strcpy(heal->id, sizeof(heal->id), id);
    cm_buf_init(&path, PATH_SIZE);
    cm_buf_putc(&path, '/');
    url_encode(&path, id);
    cm_buf_puts(&path, "?open_revs=all&revs=true");
    const struct rp_call_spec spec = {.method = "GET", .path = cm_buf_str(&path)};
    heal->call = rp_start_call(client, &spec, on_leaves, client, &err);
    if (!heal->call)
        go_on(client, AGAIN_MS);
    cm_buf_fini(&path);
    cm_err_fini(&err);
}

/* ---- life --------------------------------------------------------------------------------- */

void rp_heal_note(struct rp_client *client, const char *id)
{
    struct rp_heal *heal = client->heal;
    size_t len = strlen(id);
    if (!heal || len == 0 || len > CS_KV_KEY_MAX || json_object_get(heal->queue, id) ||
        json_object_size(heal->queue) >= QUEUE_MAX)
        return;
    CM_AUTO_JSON yes = json_true();
    json_object_set(heal->queue, id, yes);
    (void)cs_kv_put(client->store, TABLE, id, yes, NULL);
    if (!cm_timer_active(heal->timer))
        go_on(client, FIRST_MS);
}

static int load(void *arg, const char *key, const json_t *value)
{
    struct rp_heal *heal = arg;
    (void)value;
    json_object_set_new(heal->queue, key, json_true());
    return json_object_size(heal->queue) >= QUEUE_MAX;
}

void rp_heal_new(struct rp_client *client)
{
    struct rp_heal *heal = cm_calloc(1, sizeof(*heal));
    heal->queue = json_object();
    heal->timer = cm_timer_new(client->loop, turn, client);
    client->heal = heal;
    (void)cs_kv_each(client->store, TABLE, "", load, heal);
    go_on(client, AGAIN_MS);
}

void rp_heal_free(struct rp_client *client)
{
    struct rp_heal *heal = client->heal;
    if (!heal)
        return;
    if (heal->call)
        http_call_cancel(heal->call);
    cm_timer_free(heal->timer);
    json_decref(heal->queue);
    cm_free(heal);
    client->heal = NULL;
}

int64_t rp_heal_count(const struct rp_client *client)
{
    return client->heal ? client->heal->healed : 0;
}
