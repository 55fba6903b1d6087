/*
 * Healing a hub (reference/replication.md 6): on a CouchDB any member may post revisions of any
 * document, and the highest generation wins there.  Our servers judge by signature and do not care;
 * the manager puts the hub right all the same, so that new servers find every document and
 * everybody sees the same winner.
 *
 * One document at a time: its leaves are read and weighed by the store.  A leaf that does not
 * count gets an empty tombstone below it, of a name that follows from the leaf, so that servers
 * know it as such a mark and say nothing; a document whose good version is a leaf no more (somebody
 * wrote below it) is posted once more beside that, under a name that nobody can foretell (who could
 * would post that first, with something below it).  A version that was buried before it came here
 * is dug out: the hub still has the texts of what lies below a leaf that does not count, until it
 * is compacted.  Marks are looked at like everything else: anybody can make one.  What waits
 * survives a restart in the table "heal".
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "certstore/rev.h"
#include "replicator/job.h"
#include "replicator/rows.h"

#define TABLE     "heal"
#define MORE      "more" /* in it, and no id: the queue was full, everything has to be read again */
#define QUEUE_MAX 10000
#define FIRST_MS  200   /* what else comes with the same batch is done in one go */
#define NEXT_MS   20    /* a member who goes on spoiling does not keep us busy */
#define AGAIN_MS  15000 /* after a failure */
#define MARKS_MAX 200   /* leaves pruned at a time */
#define DIG_DEPTH 10    /* revisions below one leaf that are dug for */
#define DIG_MAX   50    /* … below all leaves of a document */
#define PATH_SIZE (3 * CS_ID_MAX + 64 + DIG_MAX * (CS_REV_MAX + 16))

/* Waits for the commit of what was dug out; outlives a client that is gone. */
struct dug {
    struct rp_client *client; /* NULL: nobody waits any more */
};

struct rp_heal {
    json_t *queue; /* id -> true, oldest first */
    struct cm_timer *timer;
    struct http_call *call;
    char id[CS_ID_MAX + 1]; /* under way */
    json_t *leaves;         /* of it, while what lies below them is read and kept */
    struct dug *dug;
    bool more; /* MORE */
    int64_t healed;
};

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
        rename_beside(ours);
    json_array_append(docs, ours);
    return docs;
}

/* ---- what was buried before it came here -------------------------------------------------- */

/* Revisions that this leaf lies above, the nearest first, up to one that is known here. */
static void add_buried(struct cs_store *store, const char *id, const json_t *leaf, json_t *revs)
{
    int64_t start = cm_json_int(cm_json_obj(leaf, "_revisions"), "start", 0);
    for (size_t i = 1; i <= DIG_DEPTH && json_array_size(revs) < DIG_MAX; i++) {
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

/* What to ask for (owned): what lies below leaves that do not count (a mark is one of them) and is
 * not known here. */
static json_t *buried(struct cs_store *store, const char *id, const json_t *leaves)
{
    json_t *revs = json_array();
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        const json_t *leaf = cm_json_obj(json_array_get(leaves, i), "ok");
        if (leaf && cs_weigh(store, leaf) == CS_WEIGHT_NONE)
            add_buried(store, id, leaf, revs);
    }
    return revs;
}

/* Takes what counts of it; the rest was somebody's litter and is not even listed.  How many. */
static size_t take_buried(struct rp_client *client, const json_t *found)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result res;
    size_t taken = 0;
    for (size_t i = 0; i < json_array_size(found); i++) {
        const json_t *doc = cm_json_obj(json_array_get(found, i), "ok");
        if (!doc || strcmp(cm_json_str_or(doc, "_id", ""), client->heal->id) != 0 ||
            cs_weigh(client->store, doc) != CS_WEIGHT_NEWER)
            continue;
        if (cs_put_replicated(client->store, doc, client->peer, &res, &err) < 0) {
            cm_log_err(CM_LOG_WARN, "replicator", &err); /* its commit fails, and is tried again */
            taken++;
        } else if (res.code == 0) {
            cm_log(CM_LOG_WARN, "replicator", client->heal->id,
                   "the hub had a version that counts below one that does not; it is dug out");
            taken++;
        }
        cm_err_fini(&err);
    }
    return taken;
}

/* ---- one after the other ------------------------------------------------------------------ */

static void go_on(struct rp_client *client, int64_t ms)
{
    struct rp_heal *heal = client->heal;
    if (!heal->call && !heal->dug && (heal->more || json_object_size(heal->queue) > 0))
        cm_timer_start(heal->timer, ms);
}

static void finished(struct rp_client *client)
{
    struct rp_heal *heal = client->heal;
    json_object_del(heal->queue, heal->id);
    (void)cs_kv_del(client->store, TABLE, heal->id, NULL); /* else it is looked at once more */
    go_on(client, NEXT_MS);
}

/* Later, and behind the others, who need not wait for this one. */
static void postpone(struct rp_client *client)
{
    struct rp_heal *heal = client->heal;
    json_object_del(heal->queue, heal->id);
    json_object_set_new(heal->queue, heal->id, json_true());
    go_on(client, AGAIN_MS);
}

/* True when the reply is of no use: told, and tried again later. */
static bool failed(struct rp_client *client, const struct http_result *res, const char *what)
{
    const char *why = res->err->code ? res->err->what : "refused";
    if (res->err->code == 0 && res->status < 400) {
        if (rp_rows_whole(res->body, res->body_len))
            return false;
        why = "the answer breaks off";
    }
    cm_log(CM_LOG_WARN, "replicator", client->heal->id, "healing the hub: %s: %s (HTTP %d)", what,
           why, res->status);
    postpone(client);
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
    const char *passing = json_is_array(rows) ? NULL : "its answer does not parse";
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *error = cm_json_str(json_array_get(rows, i), "error");
        refused += error != NULL;
        if (error && !rp_row_final(error))
            passing = error;
    }
    if (passing) {
        cm_log(CM_LOG_WARN, "replicator", heal->id,
               "healing the hub: it could not store what puts it right: %s", passing);
        postpone(client);
        return;
    }
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

/* Posts what puts the document right, if anything does. */
static void put_right(struct rp_client *client, const json_t *leaves)
{
    struct rp_heal *heal = client->heal;
    struct cm_err err = CM_ERR_INIT;
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

/* Asks for revisions of the document under way; which: the value of open_revs. */
static void ask_revs(struct rp_client *client, const char *which, http_done_fn done)
{
    struct rp_heal *heal = client->heal;
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf path;
    cm_buf_init(&path, PATH_SIZE);
    cm_buf_putc(&path, '/');
    url_encode(&path, heal->id);
    cm_buf_puts(&path, "?revs=true&open_revs=");
    url_encode(&path, which);
    const struct rp_call_spec spec = {.method = "GET", .path = cm_buf_str(&path)};
    heal->call = rp_start_call(client, &spec, done, client, &err);
    if (!heal->call)
        go_on(client, AGAIN_MS);
    cm_buf_fini(&path);
    cm_err_fini(&err);
}

static void on_dug(void *arg, int code, const struct cm_err *err)
{
    struct dug *dug = arg;
    struct rp_client *client = dug->client;
    (void)err; /* the pull meets a failing store, and tells it */
    cm_free(dug);
    if (!client)
        return;
    client->heal->dug = NULL;
    if (code == 0)
        put_right(client, client->heal->leaves);
    else
        go_on(client, AGAIN_MS);
}

/* What cannot be read any more (compacted, or too much) is lost on the hub; the rest goes on. */
static void on_buried(void *arg, const struct http_result *res)
{
    struct rp_client *client = arg;
    struct rp_heal *heal = client->heal;
    bool lost =
        res->err->code != 0 ? res->err->code == CM_ELIMIT : res->status >= 400 && res->status < 500;
    heal->call = NULL;
    if (!lost && failed(client, res, "reading"))
        return;
    CM_AUTO_JSON found = res->status == 200 && res->err->code == 0 ? rp_reply_json(res) : NULL;
    if (take_buried(client, found) == 0) {
        put_right(client, heal->leaves);
        return;
    }
    heal->dug = cm_malloc(sizeof(*heal->dug));
    heal->dug->client = client;
    cs_after_commit(client->store, on_dug, heal->dug);
}

static void on_leaves(void *arg, const struct http_result *res)
{
    struct rp_client *client = arg;
    struct rp_heal *heal = client->heal;
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
    CM_AUTO_JSON revs = buried(client->store, heal->id, leaves);
    if (json_array_size(revs) == 0) {
        put_right(client, leaves);
        return;
    }
    CM_AUTO_STR which = cm_json_dump(revs, NULL);
    heal->leaves = json_incref(leaves);
    ask_revs(client, which, on_buried);
}

/* What found no room in the queue is found once more. */
static void read_again(struct rp_client *client)
{
    struct rp_heal *heal = client->heal;
    if (!heal->more)
        return;
    heal->more = false;
    (void)cs_kv_del(client->store, TABLE, MORE, NULL); /* else everything is read once more */
    rp_client_again(client);                           /* which is noted in the same commit */
}

static void turn(void *arg)
{
    struct rp_client *client = arg;
    struct rp_heal *heal = client->heal;
    const char *id = json_object_iter_key(json_object_iter(heal->queue));
    if (!client->url || heal->call || heal->dug)
        return;
    if (!id) {
        read_again(client);
        return;
    }
    cm_strcpy(heal->id, sizeof(heal->id), id);
    json_decref(heal->leaves);
    heal->leaves = NULL;
    ask_revs(client, "all", on_leaves);
}

/* ---- life --------------------------------------------------------------------------------- */

void rp_heal_note(struct rp_client *client, const char *id)
{
    struct rp_heal *heal = client->heal;
    size_t len = strlen(id);
    if (!heal || len == 0 || len > CS_KV_KEY_MAX || json_object_get(heal->queue, id))
        return;
    CM_AUTO_JSON yes = json_true();
    if (json_object_size(heal->queue) >= QUEUE_MAX) {
        if (!heal->more)
            (void)cs_kv_put(client->store, TABLE, MORE, yes, NULL);
        heal->more = true;
        return;
    }
    json_object_set(heal->queue, id, yes);
    (void)cs_kv_put(client->store, TABLE, id, yes, NULL);
    if (!cm_timer_active(heal->timer))
        go_on(client, FIRST_MS);
}

static int load(void *arg, const char *key, const json_t *value)
{
    struct rp_heal *heal = arg;
    (void)value;
    if (strcmp(key, MORE) == 0)
        heal->more = true;
    else
        json_object_set_new(heal->queue, key, json_true());
    return 0; /* no more were kept than the queue holds */
}

void rp_heal_new(struct rp_client *client)
{
    struct rp_heal *heal = cm_calloc(1, sizeof(*heal));
    heal->queue = json_object();
    heal->timer = cm_timer_new(client->loop, turn, client);
    client->heal = heal;
    (void)cs_kv_each(client->store, TABLE, "", load, heal);
    go_on(client, json_object_size(heal->queue) > 0 ? AGAIN_MS : FIRST_MS);
}

void rp_heal_free(struct rp_client *client)
{
    struct rp_heal *heal = client->heal;
    if (!heal)
        return;
    if (heal->call)
        http_call_cancel(heal->call);
    if (heal->dug)
        heal->dug->client = NULL;
    cm_timer_free(heal->timer);
    json_decref(heal->leaves);
    json_decref(heal->queue);
    cm_free(heal);
    client->heal = NULL;
}

int64_t rp_heal_count(const struct rp_client *client)
{
    return client->heal ? client->heal->healed : 0;
}
