/* GET and POST /db/_all_docs, the basic form for tools: keys, range, limit, order, documents. */
#include <stdlib.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "replicator/serve.h"

#define PAGE     1000
#define ROWS_MAX 1000000

struct item {
    char *id, *rev;
};
struct items {
    struct item *list;
    size_t count, size;
    int64_t last;
};

static int collect(void *arg, const struct cs_change *change)
{
    struct items *items = arg;
    items->last = change->seq;
    if (change->deleted)
        return 0;
    if (items->count == items->size) {
        items->size = items->size ? 2 * items->size : PAGE;
        items->list = cm_realloc(items->list, items->size * sizeof(*items->list));
    }
    items->list[items->count++] =
        (struct item){.id = cm_strdup(change->id), .rev = cm_strdup(change->leaf_rev[0])};
    return items->count >= ROWS_MAX;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->id, ((const struct item *)b)->id);
}

static void load(struct cs_store *store, struct items *items)
{
    int64_t since = -1;
    while (items->last != since && items->count < ROWS_MAX) {
        since = items->last;
        if (cs_changes(store, since, PAGE, collect, items, NULL) < 0)
            break;
    }
    if (items->count > 0)
        qsort(items->list, items->count, sizeof(*items->list), by_id);
}

static void items_fini(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        cm_free(items->list[i].id);
        cm_free(items->list[i].rev);
    }
    cm_free(items->list);
}

/* A parameter that is JSON text, e.g. "\"a\""; NULL when absent or not a string. */
static char *text_param(const struct rp_req *req, const char *name, const char *other)
{
    const char *raw = rp_query(&req->route, name);
    CM_AUTO_JSON value = NULL;
    if (!raw)
        raw = rp_query(&req->route, other);
    if (!raw || cm_json_parse(raw, strlen(raw), &value, NULL) < 0 || !json_is_string(value))
        return NULL;
    return cm_strdup(json_string_value(value));
}

static json_t *make_row(struct cs_store *store, const char *id, const char *rev, bool with_doc)
{
    json_t *row = json_object(), *value = json_object();
    cm_json_set_str(row, "id", id);
    cm_json_set_str(row, "key", id);
    cm_json_set_str(value, "rev", rev);
    cm_json_set(row, "value", value);
    json_t *doc = NULL;
    if (with_doc && cs_read_rev(store, id, rev, false, false, &doc, NULL) == 0)
        cm_json_set(row, "doc", doc);
    return row;
}

/* Rows of an explicit list of ids: in its order, with what is deleted or unknown. */
static json_t *rows_of_keys(struct cs_store *store, const json_t *keys, bool with_doc)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *id = json_string_value(json_array_get(keys, i));
        CM_AUTO_JSON doc = NULL;
        if (!id || strlen(id) > CS_ID_MAX ||
            cs_read_rev(store, id, NULL, false, false, &doc, NULL) < 0) {
            json_t *row = json_object();
            json_object_set(row, "key", json_array_get(keys, i));
            cm_json_set_str(row, "error", "not_found");
            json_array_append_new(rows, row);
            continue;
        }
        bool deleted = cm_json_bool(doc, "_deleted", false);
        json_t *row = make_row(store, id, cm_json_str(doc, "_rev"), with_doc && !deleted);
        if (deleted)
            cm_json_set_bool(json_object_get(row, "value"), "deleted", true);
        if (deleted && with_doc)
            cm_json_set(row, "doc", json_null());
        json_array_append_new(rows, row);
    }
    return rows;
}

static bool in_range(const char *id, const char *from, const char *to, bool descending,
                     bool inclusive)
{
    int after_from = from ? strcmp(id, from) : 0;
    int after_to = to ? strcmp(id, to) : (inclusive ? 0 : -1);
    if (descending) {
        after_from = -after_from;
        after_to = to ? -after_to : after_to;
    }
    return after_from >= 0 && (inclusive ? after_to <= 0 : after_to < 0);
}

static json_t *rows_of_range(struct rp_req *req, const struct items *items, bool with_doc)
{
    CM_AUTO_STR key = text_param(req, "key", "key");
    CM_AUTO_STR start = text_param(req, "startkey", "start_key");
    CM_AUTO_STR end = text_param(req, "endkey", "end_key");
    const char *from = key ? key : start, *to = key ? key : end;
    const char *inclusive_end = rp_query(&req->route, "inclusive_end");
    bool inclusive = key || !inclusive_end || strcmp(inclusive_end, "false") != 0;
    bool descending = rp_query_true(&req->route, "descending");
    int64_t skip = 0, limit = ROWS_MAX;
    const char *text = rp_query(&req->route, "skip");
    if (text)
        cm_num_i64(text, 0, ROWS_MAX, &skip);
    text = rp_query(&req->route, "limit");
    if (text)
        cm_num_i64(text, 0, ROWS_MAX, &limit);
    json_t *rows = json_array();
    for (size_t i = 0; i < items->count && (int64_t)json_array_size(rows) < limit; i++) {
        const struct item *item = &items->list[descending ? items->count - 1 - i : i];
        if (in_range(item->id, from, to, descending, inclusive) && skip-- <= 0)
            json_array_append_new(rows,
                                  make_row(req->server->store, item->id, item->rev, with_doc));
    }
    return rows;
}

void rp_serve_all_docs(struct rp_req *req)
{
    bool with_doc = rp_query_true(&req->route, "include_docs");
    CM_AUTO_JSON body = NULL;
    CM_AUTO_JSON asked = NULL;
    const json_t *keys = NULL;
    const char *raw = rp_query(&req->route, "keys");
    if (req->http->body_len > 0) {
        body = rp_body(req);
        if (!body)
            return;
        keys = cm_json_arr(body, "keys");
    } else if (raw && cm_json_parse(raw, strlen(raw), &asked, NULL) == 0 && json_is_array(asked)) {
        keys = asked;
    }
    json_t *reply = json_object();
    cm_json_set_int(reply, "total_rows", cs_doc_count(req->server->store));
    cm_json_set_int(reply, "offset", 0);
    if (keys) {
        cm_json_set(reply, "rows", rows_of_keys(req->server->store, keys, with_doc));
    } else {
        struct items items = {0};
        load(req->server->store, &items);
        cm_json_set(reply, "rows", rows_of_range(req, &items, with_doc));
        items_fini(&items);
    }
    rp_reply(req, 200, reply);
}
