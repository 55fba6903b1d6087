/*
 * The audit of a hub (heal.c is its hand): has it, under the names of our versions, their texts?
 *
 * A revision is known by its name, so nobody asks for it again: not the servers that have it, and
 * not the manager.  But on a hub that is new, or has lost something, a member may be the first to
 * post it, with another text; the hub keeps that, whoever posts the right one later, and who joins
 * afterwards finds nothing that counts.  Names of new versions cannot be foretold (there is a
 * signature in them), so it is enough to look when everything was offered from the beginning: when
 * that is through, for before somebody could still be faster.
 *
 * Page by page in the order of ids: the versions that count here are fetched, and weighed; what is
 * not as it should be goes to the queue of heal.c.  Where it is, is kept over a restart.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/schema.h"
#include "replicator/job.h"
#include "replicator/remedy.h"

#define TABLE      "state"
#define KEY        "hub_audit" /* {after}: the id looked at last */
#define PAGE       100         /* documents asked for at a time */
#define PAGE_BYTES (1u << 20)  /* … or so many bytes of our texts, but at least one document */
#define WAITS_MAX  1000        /* of heal.c: then it goes first */
#define KEEP_EVERY 50          /* pages until the place is written down */
#define NEXT_MS    20
#define BUSY_MS    1000
#define AGAIN_MS   15000 /* after a failure */

struct rp_audit {
    struct cm_timer *timer;
    struct http_call *call;
    json_t *page;              /* id -> revision: asked for, and not found right yet */
    char after[CS_ID_MAX + 1]; /* looked at up to here … */
    char last[CS_ID_MAX + 1];  /* … and, when the page is through, up to here */
    unsigned pages;
    bool on, again; /* again: from the beginning when it is through */
};

static void keep(const struct rp_client *client)
{
    CM_AUTO_JSON place = json_object();
    cm_json_set_str(place, "after", client->audit->after);
    if (client->audit->on)
        (void)cs_kv_put(client->store, TABLE, KEY, place, NULL); /* else it begins earlier */
    else
        (void)cs_kv_del(client->store, TABLE, KEY, NULL);
}

/* ---- a page ------------------------------------------------------------------------------- */

struct ids {
    char id[PAGE + 1][CS_ID_MAX + 1];
    size_t count;
};

static int add_id(void *arg, const struct cs_change *change)
{
    struct ids *ids = arg;
    return cm_strcpy(ids->id[ids->count], CS_ID_MAX + 1, change->id) < 0 ||
           ++ids->count == PAGE + 1;
}

/* What the hub is to have: the rest is nobody else's business. */
static bool is_shared(const char *id)
{
    const struct cs_type *type = cs_type_of(id);
    return type && (type->down || type->up);
}

/* The next ids behind `after`; false = there are none. */
static bool fill(struct rp_client *client)
{
    struct rp_audit *audit = client->audit;
    struct ids *ids = cm_calloc(1, sizeof(*ids));
    size_t bytes = 0;
    json_decref(audit->page);
    audit->page = json_object();
    audit->last[0] = '\0';
    (void)cs_docs(client->store, audit->after[0] ? audit->after : NULL, false, PAGE + 1, add_id,
                  ids, NULL);
    for (size_t i = 0; i < ids->count && bytes < PAGE_BYTES; i++) {
        const char *id = ids->id[i];
        if (strcmp(id, audit->after) == 0)
            continue;
        cm_strcpy(audit->last, sizeof(audit->last), id);
        CM_AUTO_JSON ours = is_shared(id) ? rp_remedy_ours(client->store, id, false) : NULL;
        if (!ours)
            continue;
        bytes += json_dumpb(ours, NULL, 0, JSON_COMPACT);
        json_object_set(audit->page, id, json_object_get(ours, "_rev"));
    }
    cm_free(ids);
    return audit->last[0] != '\0';
}

/* What was not found right is looked at closely. */
static void page_over(struct rp_client *client)
{
    struct rp_audit *audit = client->audit;
    const char *id;
    json_t *rev;
    json_object_foreach(audit->page, id, rev) rp_heal_note(client, id);
    (void)rev;
    memcpy(audit->after, audit->last, sizeof(audit->after));
    if (++audit->pages % KEEP_EVERY == 0)
        keep(client);
    cm_timer_start(audit->timer, NEXT_MS);
}

static void take_row(struct rp_client *client, const json_t *row)
{
    struct rp_audit *audit = client->audit;
    const json_t *docs = cm_json_arr(row, "docs");
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *doc = cm_json_obj(json_array_get(docs, i), "ok");
        const char *id = cm_json_str_or(doc, "_id", "");
        const char *rev = json_string_value(json_object_get(audit->page, id));
        if (rev && strcmp(cm_json_str_or(doc, "_rev", ""), rev) == 0 &&
            cs_weigh(client->store, doc) == CS_WEIGHT_SAME)
            json_object_del(audit->page, id);
    }
}

static void on_page(void *arg, const struct http_result *res)
{
    struct rp_client *client = arg;
    struct rp_audit *audit = client->audit;
    audit->call = NULL;
    bool passing = res->err->code != 0
                       ? res->err->code != CM_ELIMIT
                       : res->status >= 500 || res->status == 401 || res->status == 403 ||
                             res->status == 408 || res->status == 429 || rp_reply_no_database(res);
    if (passing) {
        cm_timer_start(audit->timer, AGAIN_MS);
        return;
    }
    CM_AUTO_JSON reply = res->err->code == 0 && res->status == 200 ? rp_reply_json(res) : NULL;
    const json_t *rows = cm_json_arr(reply, "results");
    for (size_t i = 0; i < json_array_size(rows); i++)
        take_row(client, json_array_get(rows, i));
    page_over(client); /* of a peer without _bulk_get: one by one */
}

static void ask(struct rp_client *client)
{
    struct rp_audit *audit = client->audit;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON body = json_object();
    json_t *docs = json_array();
    const char *id;
    json_t *rev;
    json_object_foreach(audit->page, id, rev)
    {
        json_t *doc = json_object();
        cm_json_set_str(doc, "id", id);
        json_object_set(doc, "rev", rev);
        json_array_append_new(docs, doc);
    }
    cm_json_set(body, "docs", docs);
    audit->call = rp_start_call(
        client, &(struct rp_call_spec){.method = "POST", .path = "/_bulk_get", .body = body},
        on_page, client, &err);
    if (!audit->call)
        cm_timer_start(audit->timer, AGAIN_MS);
    cm_err_fini(&err);
}

static void over(struct rp_client *client)
{
    struct rp_audit *audit = client->audit;
    audit->on = audit->again;
    audit->again = false;
    audit->after[0] = '\0';
    keep(client);
    if (audit->on)
        cm_timer_start(audit->timer, NEXT_MS);
}

static void turn(void *arg)
{
    struct rp_client *client = arg;
    struct rp_audit *audit = client->audit;
    if (!audit->on || audit->call)
        return;
    if (!client->url || rp_heal_waits(client) >= WAITS_MAX)
        cm_timer_start(audit->timer, BUSY_MS);
    else if (!fill(client))
        over(client);
    else if (json_object_size(audit->page) == 0)
        page_over(client);
    else
        ask(client);
}

/* ---- life --------------------------------------------------------------------------------- */

void rp_audit_begin(struct rp_client *client)
{
    struct rp_audit *audit = client->audit;
    if (!audit)
        return;
    audit->again = audit->on;
    if (audit->on)
        return;
    audit->on = true;
    keep(client);
    cm_timer_start(audit->timer, NEXT_MS);
}

void rp_audit_new(struct rp_client *client)
{
    if (!client->heal)
        return;
    struct rp_audit *audit = cm_calloc(1, sizeof(*audit));
    CM_AUTO_JSON place = cs_kv_get(client->store, TABLE, KEY);
    client->audit = audit;
    audit->timer = cm_timer_new(client->loop, turn, client);
    audit->on = place && cm_strcpy(audit->after, sizeof(audit->after),
                                   cm_json_str_or(place, "after", "")) == 0;
    if (audit->on)
        cm_timer_start(audit->timer, BUSY_MS);
}

void rp_audit_free(struct rp_client *client)
{
    struct rp_audit *audit = client->audit;
    if (!audit)
        return;
    if (audit->call)
        http_call_cancel(audit->call);
    cm_timer_free(audit->timer);
    json_decref(audit->page);
    cm_free(audit);
    client->audit = NULL;
}
