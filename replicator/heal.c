/*
 * Healing a hub (reference/replication.md 6): on a CouchDB any member may post revisions of any
 * document, and the highest generation wins there.  Our servers judge by signature and do not care;
 * the manager puts the hub right all the same, so that new servers find every document and
 * everybody sees the same winner.
 *
 * One document at a time: its leaves are read, the store weighs each, and what puts the document
 * right (remedy.h) is posted.  A version that was buried before it came here is dug out: the hub
 * still has the texts of what lies below a leaf that does not count, until it is compacted.  What
 * waits survives a restart in the table "heal".
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/core/told.h"
#include "base/net/url.h"
#include "replicator/job.h"
#include "replicator/remedy.h"
#include "replicator/rows.h"
#include "replicator/salvage.h"
#include "replicator/values.h"

#define TABLE     "heal"
#define MORE      "more" /* in it, and no id: the queue was full, everything has to be read again */
#define QUEUE_MAX 10000
#define FIRST_MS  200   /* what else comes with the same batch is done in one go */
#define NEXT_MS   20    /* a member who goes on spoiling does not keep us busy */
#define AGAIN_MS  15000 /* after a failure */
#define PATH_SIZE (3 * CS_ID_MAX + 64 + RP_REMEDY_DIG_MAX * (CS_REV_MAX + 16))

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
    struct cm_told told;
    int64_t healed;
};

/* Who spoils a hub all the time does not fill the log as well. */
static void tell(struct rp_client *client, enum cm_level level, const char *what)
{
    struct rp_heal *heal = client->heal;
    int64_t left_out;
    bool told = cm_told_more(&heal->told, &left_out);
    if (left_out > 0)
        cm_log(CM_LOG_WARN, "replicator", client->url, "%lld more documents of the hub like these",
               (long long)left_out);
    if (told)
        cm_log(level, "replicator", heal->id, "%s", what);
}

/* ---- what was buried before it came here -------------------------------------------------- */

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
            tell(client, CM_LOG_WARN,
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
        tell(client, CM_LOG_ERROR,
             "the hub refuses revisions that would put it right: look at its members and its "
             "validation");
    else
        tell(client, CM_LOG_WARN, "the hub had a version that does not count; it is put right");
    heal->healed += refused == 0;
    finished(client);
}

/* Posts what puts the document right, if anything does. */
static void put_right(struct rp_client *client, const json_t *leaves)
{
    struct rp_heal *heal = client->heal;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON body = json_object();
    json_t *docs = rp_remedy_docs(client->store, heal->id, leaves);
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

/* Somebody may have written a leaf that nobody here can read: it is pruned as any other, for which
 * its names are enough. */
static json_t *leaves_of(const struct http_result *res)
{
    json_t *leaves = rp_reply_json(res);
    if (leaves || !rp_values_ok(res->body, res->body_len))
        return leaves;
    return rp_salvage_leaves(res->body, res->body_len);
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
    CM_AUTO_JSON found = res->status == 200 && res->err->code == 0 ? leaves_of(res) : NULL;
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
    CM_AUTO_JSON leaves = res->status == 200 && !large ? leaves_of(res) : NULL;
    if (!json_is_array(leaves)) {
        if (res->status != 404)
            tell(client, CM_LOG_ERROR,
                 "the hub has more of it than can be read: purge the document there");
        finished(client);
        return;
    }
    CM_AUTO_JSON revs = rp_remedy_buried(client->store, heal->id, leaves);
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

size_t rp_heal_waits(const struct rp_client *client)
{
    return client->heal ? json_object_size(client->heal->queue) : 0;
}

int64_t rp_heal_count(const struct rp_client *client)
{
    return client->heal ? client->heal->healed : 0;
}
