/*
 * GET and POST /db/_all_docs: documents by id, a range or a list of keys.  Streamed: the answer is
 * as large as the database.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/seq.h"
#include "replicator/serve.h"

#define PAGE       200          /* documents looked at in one step */
#define STEP_BYTES (128u << 10) /* sent in one step, and what the last row is over it */
#define ROWS_MAX   INT64_C(1000000000000000)

/* A bound of the range.  Ids are text; in CouchDB's order of JSON values null, booleans and numbers
 * come before all text, arrays and objects behind it. */
struct bound {
    enum { ABSENT, BEFORE_ALL, AT_TEXT, BEHIND_ALL } kind;
    char *text;
};

struct all_docs {
    struct rp_stream s; /* first */
    bool manager, include_docs, conflicts, update_seq, descending, exclusive;
    bool opened, over;
    struct bound start, end;
    json_t *keys; /* NULL: the range */
    size_t at;    /* of keys */
    int64_t skip, limit, sent;
    json_t *page; /* array of [id, rev], sent up to page_at */
    size_t page_at, looked_at;
};

/* ---- options ------------------------------------------------------------------------------ */

/* A parameter from the query (JSON text) or the body (JSON value), under one of two names.  NULL
 * when absent; *ret_bad when it is no JSON. */
static json_t *param(const struct rp_req *req, const json_t *body, const char *name,
                     const char *other, bool *ret_bad)
{
    const char *text = rp_query(&req->route, name);
    json_t *value = NULL;
    if (!text)
        text = rp_query(&req->route, other);
    if (text) {
        if (cm_json_parse_lax(text, strlen(text), &value, NULL) < 0)
            *ret_bad = true;
        return value;
    }
    value = json_object_get(body, name);
    return json_incref(value ? value : json_object_get(body, other));
}

static bool flag(const struct rp_req *req, const json_t *body, const char *name, bool fallback,
                 bool *ret_bad)
{
    CM_AUTO_JSON value = param(req, body, name, name, ret_bad);
    if (value && !json_is_boolean(value))
        *ret_bad = true;
    return value ? json_is_true(value) : fallback;
}

static int64_t number(const struct rp_req *req, const json_t *body, const char *name,
                      int64_t fallback, bool *ret_bad)
{
    CM_AUTO_JSON value = param(req, body, name, name, ret_bad);
    if (!value)
        return fallback;
    int64_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0)
        *ret_bad = true;
    return n < ROWS_MAX ? n : ROWS_MAX;
}

static void bound(const struct rp_req *req, const json_t *body, const char *name, const char *other,
                  struct bound *ret, bool *ret_bad)
{
    CM_AUTO_JSON value = param(req, body, name, other, ret_bad);
    if (!value)
        return;
    cm_free(ret->text);
    *ret = (struct bound){0};
    if (json_is_array(value) || json_is_object(value)) {
        ret->kind = BEHIND_ALL;
    } else if (!json_is_string(value)) {
        ret->kind = BEFORE_ALL;
    } else {
        ret->kind = AT_TEXT;
        ret->text = cm_strdup(json_string_value(value));
    }
}

/* false: a parameter is wrong. */
static bool take_options(const struct rp_req *req, const json_t *body, struct all_docs *all)
{
    bool bad = false;
    all->include_docs = flag(req, body, "include_docs", false, &bad);
    all->conflicts = flag(req, body, "conflicts", false, &bad);
    all->update_seq = flag(req, body, "update_seq", false, &bad);
    all->descending = flag(req, body, "descending", false, &bad);
    all->exclusive = !flag(req, body, "inclusive_end", true, &bad);
    all->skip = number(req, body, "skip", 0, &bad);
    all->limit = number(req, body, "limit", ROWS_MAX, &bad);
    bound(req, body, "startkey", "start_key", &all->start, &bad);
    bound(req, body, "endkey", "end_key", &all->end, &bad);
    CM_AUTO_JSON key = param(req, body, "key", "key", &bad);
    if (key) {
        bound(req, body, "key", "key", &all->start, &bad);
        bound(req, body, "key", "key", &all->end, &bad);
        all->exclusive = false;
    }
    all->keys = param(req, body, "keys", "keys", &bad);
    return !bad;
}

/* ---- rows --------------------------------------------------------------------------------- */

static void begin_row(struct all_docs *all)
{
    cm_buf_puts(&all->s.out, all->sent++ > 0 ? ",\n" : "");
}

static void add_doc(struct all_docs *all, const char *id, const char *rev)
{
    struct cs_store *store = all->s.server->store;
    CM_AUTO_JSON doc = NULL;
    if (cs_read_rev(store, id, rev, false, false, &doc, NULL) < 0)
        return;
    rp_add_conflicts(store, id, doc, all->conflicts, false);
    CM_AUTO_STR text = cm_json_dump(doc, NULL);
    cm_buf_puts(&all->s.out, ",\"doc\":");
    cm_buf_puts(&all->s.out, text);
}

static void add_row(struct all_docs *all, const char *id, const char *rev, bool deleted)
{
    struct cm_buf *out = &all->s.out;
    begin_row(all);
    cm_buf_puts(out, "{\"id\":");
    rp_json_str(out, id);
    cm_buf_puts(out, ",\"key\":");
    rp_json_str(out, id);
    cm_buf_puts(out, ",\"value\":{\"rev\":");
    rp_json_str(out, rev);
    cm_buf_puts(out, deleted ? ",\"deleted\":true}" : "}");
    if (all->include_docs && deleted)
        cm_buf_puts(out, ",\"doc\":null");
    else if (all->include_docs)
        add_doc(all, id, rev);
    cm_buf_putc(out, '}');
}

static void add_unknown(struct all_docs *all, const json_t *key)
{
    CM_AUTO_JSON row = json_object();
    json_object_set(row, "key", (json_t *)(uintptr_t)key);
    cm_json_set_str(row, "error", "not_found");
    CM_AUTO_STR text = cm_json_dump(row, NULL);
    begin_row(all);
    cm_buf_puts(&all->s.out, text);
}

/* The winner of one id, known or not. */
static void add_key(struct all_docs *all, const json_t *key)
{
    const char *id = json_string_value(key);
    CM_AUTO_JSON doc = NULL;
    if (!id || !rp_readable(all->s.server, all->manager, id) ||
        cs_read_rev(all->s.server->store, id, NULL, false, false, &doc, NULL) < 0)
        add_unknown(all, key);
    else
        add_row(all, id, cm_json_str_or(doc, "_rev", ""), cm_json_bool(doc, "_deleted", false));
}

/* ---- the range ---------------------------------------------------------------------------- */

static bool past_end(const struct all_docs *all, const char *id)
{
    if (all->end.kind != AT_TEXT)
        return false;
    int order = strcmp(id, all->end.text);
    if (all->descending)
        order = -order;
    return order > 0 || (all->exclusive && order == 0);
}

static int collect(void *arg, const struct cs_change *change)
{
    struct all_docs *all = arg;
    if (past_end(all, change->id)) {
        all->over = true;
        return 1;
    }
    /* The next step begins behind this one. */
    all->looked_at++;
    cm_free(all->start.text);
    all->start = (struct bound){.kind = AT_TEXT, .text = cm_strdup(change->id)};
    if (change->deleted || !rp_readable(all->s.server, all->manager, change->id))
        return 0;
    if (all->skip > 0) {
        all->skip--;
        return 0;
    }
    json_t *row = json_array();
    json_array_append_new(row, json_string(change->id));
    json_array_append_new(row, json_string(change->leaf_rev[0]));
    json_array_append_new(all->page, row);
    return all->sent + (int64_t)json_array_size(all->page) >= all->limit;
}

/* A later step begins with the last row of the one before. */
static int collect_next(void *arg, const struct cs_change *change)
{
    const struct all_docs *all = arg;
    return strcmp(change->id, all->start.text) == 0 ? 0 : collect(arg, change);
}

/* Nothing can lie in the range. */
static bool is_empty(const struct all_docs *all)
{
    int first = all->descending ? BEFORE_ALL : BEHIND_ALL;
    int last = all->descending ? BEHIND_ALL : BEFORE_ALL;
    return (int)all->start.kind == first || (int)all->end.kind == last ||
           (all->start.kind == AT_TEXT && strlen(all->start.text) > CS_ID_MAX);
}

static int next_page(struct all_docs *all, bool first)
{
    all->looked_at = all->page_at = 0;
    json_array_clear(all->page);
    CM_AUTO_STR from = all->start.text ? cm_strdup(all->start.text) : NULL;
    size_t limit = first ? PAGE : PAGE + 1;
    int rc = cs_docs(all->s.server->store, from, all->descending, limit,
                     first ? collect : collect_next, all, NULL);
    all->over = all->over || all->looked_at < PAGE ||
                all->sent + (int64_t)json_array_size(all->page) >= all->limit;
    return rc < 0 ? rc : 0;
}

/* false: the step has sent enough. */
static bool send_page(struct all_docs *all)
{
    for (; all->page_at < json_array_size(all->page); all->page_at++) {
        const json_t *row = json_array_get(all->page, all->page_at);
        if (all->s.out.len >= STEP_BYTES)
            return false;
        add_row(all, json_string_value(json_array_get(row, 0)),
                json_string_value(json_array_get(row, 1)), false);
    }
    return true;
}

static void send_keys(struct all_docs *all)
{
    size_t count = json_array_size(all->keys);
    for (int n = 0; n < PAGE && all->at < count && all->s.out.len < STEP_BYTES; n++) {
        size_t at = all->descending ? count - 1 - all->at : all->at;
        all->at++;
        if (all->skip > 0)
            all->skip--;
        else if (all->sent < all->limit)
            add_key(all, json_array_get(all->keys, at));
    }
    all->over = all->at >= count || all->sent >= all->limit;
}

/* ---- the stream --------------------------------------------------------------------------- */

static void add_head(struct all_docs *all)
{
    struct cs_store *store = all->s.server->store;
    struct cm_buf *out = &all->s.out;
    cm_buf_printf(out, "{\"total_rows\":%lld,", (long long)cs_doc_count(store));
    /* Rows before the first one: known without counting them only from the beginning on. */
    if (all->keys || all->start.kind != ABSENT)
        cm_buf_puts(out, "\"offset\":null,");
    else
        cm_buf_printf(out, "\"offset\":%lld,", (long long)all->skip);
    if (all->update_seq) {
        char seq[RP_SEQ_TEXT];
        rp_seq_format(cs_seq(store), cs_epoch(store), seq);
        cm_buf_printf(out, "\"update_seq\":\"%s\",", seq);
    }
    cm_buf_puts(out, "\"rows\":[\n");
}

static enum rp_step step(struct rp_stream *stream)
{
    struct all_docs *all = (struct all_docs *)stream;
    bool first = !all->opened;
    all->opened = true;
    if (first) {
        add_head(all);
        all->over = all->limit == 0 || (!all->keys && is_empty(all));
    }
    if (!send_page(all))
        return RP_MORE;
    if (!all->over && all->keys)
        send_keys(all);
    else if (!all->over && next_page(all, first) < 0)
        return RP_END; /* cut: the client sees that it does not parse */
    else if (!send_page(all))
        return RP_MORE;
    if (!all->over)
        return RP_MORE;
    cm_buf_puts(&stream->out, "\n]}\n");
    return RP_END;
}

static void fini(struct rp_stream *stream)
{
    struct all_docs *all = (struct all_docs *)stream;
    cm_free(all->start.text);
    cm_free(all->end.text);
    json_decref(all->keys);
    json_decref(all->page);
    cm_free(all);
}

void rp_serve_all_docs(struct rp_req *req)
{
    CM_AUTO_JSON body = NULL;
    if (req->http->body_len > 0) {
        body = rp_body(req);
        if (!body)
            return;
    }
    if (req->server->stream_count >= RP_FEED_MAX) {
        rp_error(req, 503, "service_unavailable", "too many feeds are open; try again later");
        return;
    }
    struct all_docs *all = cm_calloc(1, sizeof(*all));
    all->page = json_array();
    all->manager = req->manager;
    all->s.step = step;
    all->s.fini = fini;
    bool ok = take_options(req, body, all), keys_ok = !all->keys || json_is_array(all->keys);
    if (ok && keys_ok) {
        rp_stream_start(req, &all->s);
        return;
    }
    fini(&all->s);
    if (ok)
        rp_bad_request(req, body ? "`keys` body member must be an array."
                                 : "`keys` parameter must be an array.");
    else
        rp_error(req, 400, "query_parse_error",
                 "a parameter of _all_docs is not the JSON value that it must be");
}
