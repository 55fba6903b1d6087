/*
 * GET and POST /db/_all_docs: documents by id, a range or a list of keys.  Streamed: the answer is
 * as large as the database.
 */
#include <string.h>
#include <strings.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
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
    bool behind; /* the range begins behind start: what was asked for is longer than any id */
    bool opened, over;
    struct bound start, end;
    json_t *keys; /* NULL: the range */
    size_t at;    /* of keys */
    int64_t skip, limit, sent;
    json_t *page; /* array of [id, rev], sent up to page_at */
    size_t page_at, looked_at;
};

/* ---- options ------------------------------------------------------------------------------ */

/* What is wrong with the options; error NULL = nothing so far.  The first is told. */
struct refusal {
    const char *error;
    char reason[120];
};

static void refuse(struct refusal *ret, const char *error, const char *reason)
{
    if (ret->error)
        return;
    ret->error = error;
    snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
}

/* The value is repeated as CouchDB does, where it is short and plain. */
static void refuse_value(struct refusal *ret, const char *what, const char *value)
{
    char reason[sizeof(ret->reason)];
    bool plain = strlen(value) <= 40;
    for (const char *p = value; *p && plain; p++)
        plain = *p > ' ' && *p < 0x7f && *p != '"' && *p != '\\';
    if (plain)
        snprintf(reason, sizeof(reason), "%s: \"%s\"", what, value);
    refuse(ret, "query_parse_error", plain ? reason : what);
}

/* A parameter from the query (JSON text) or the body (JSON value), under one of two names.  NULL
 * when absent. */
static json_t *param(const struct rp_req *req, const json_t *body, const char *name,
                     const char *other, struct refusal *wrong)
{
    const char *text = rp_query(&req->route, name);
    json_t *value = NULL;
    if (!text)
        text = rp_query(&req->route, other);
    if (text) {
        if (cm_json_parse_lax(text, strlen(text), &value, NULL) < 0)
            refuse(wrong, "query_parse_error", "a key is not JSON: text stands in double quotes");
        return value;
    }
    value = json_object_get(body, name);
    return json_incref(value ? value : json_object_get(body, other));
}

/* The same where the value of the query is no JSON; in the body text is as good as the value. */
static json_t *plain_param(const struct rp_req *req, const json_t *body, const char *name)
{
    const char *text = rp_query(&req->route, name);
    if (!text)
        return json_incref(json_object_get(body, name));
    json_t *value = json_string(text);
    return value ? value : json_string("");
}

static bool flag(const struct rp_req *req, const json_t *body, const char *name, bool fallback,
                 struct refusal *wrong)
{
    CM_AUTO_JSON value = plain_param(req, body, name);
    const char *text = json_string_value(value);
    if (!value)
        return fallback;
    if (json_is_true(value) || (text && strcasecmp(text, "true") == 0))
        return true;
    if (!json_is_false(value) && !(text && strcasecmp(text, "false") == 0))
        refuse_value(wrong, "Invalid boolean parameter", text ? text : name);
    return false;
}

static int64_t number(const struct rp_req *req, const json_t *body, const char *name,
                      int64_t fallback, struct refusal *wrong)
{
    CM_AUTO_JSON value = plain_param(req, body, name);
    const char *text = json_string_value(value);
    int64_t n = json_integer_value(value), any;
    if (!value)
        return fallback;
    if (text ? !rp_count(text, &n) : !json_is_integer(value) || n < 0) {
        bool integer = text ? cm_num_i64(text, INT64_MIN, INT64_MAX, &any) != CM_EMALF
                            : json_is_integer(value);
        refuse_value(wrong,
                     integer ? "Invalid value for positive integer" : "Invalid value for integer",
                     text ? text : name);
    }
    return n < ROWS_MAX ? n : ROWS_MAX;
}

static void bound(const struct rp_req *req, const json_t *body, const char *name, const char *other,
                  struct bound *ret, struct refusal *wrong)
{
    CM_AUTO_JSON value = param(req, body, name, other, wrong);
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

static void take_options(const struct rp_req *req, const json_t *body, struct all_docs *all,
                         struct refusal *wrong)
{
    all->include_docs = flag(req, body, "include_docs", false, wrong);
    all->conflicts = flag(req, body, "conflicts", false, wrong);
    all->update_seq = flag(req, body, "update_seq", false, wrong);
    all->descending = flag(req, body, "descending", false, wrong);
    all->exclusive = !flag(req, body, "inclusive_end", true, wrong);
    all->skip = number(req, body, "skip", 0, wrong);
    all->limit = number(req, body, "limit", ROWS_MAX, wrong);
    bound(req, body, "startkey", "start_key", &all->start, wrong);
    bound(req, body, "endkey", "end_key", &all->end, wrong);
    CM_AUTO_JSON key = param(req, body, "key", "key", wrong);
    if (key) {
        bound(req, body, "key", "key", &all->start, wrong);
        bound(req, body, "key", "key", &all->end, wrong);
    }
    if (all->start.kind == AT_TEXT && strlen(all->start.text) > CS_ID_MAX) {
        all->start.text[CS_ID_MAX] = '\0';
        all->behind = !all->descending;
    }
    all->keys = param(req, body, "keys", "keys", wrong);
    if (all->keys && !json_is_array(all->keys))
        refuse(wrong, "bad_request",
               body ? "`keys` body member must be an array."
                    : "`keys` parameter must be an array.");
    if (json_array_size(all->keys) > 0 && (all->start.kind != ABSENT || all->end.kind != ABSENT))
        refuse(wrong, "query_parse_error",
               "`keys` is incompatible with `key`, `start_key` and `end_key`");
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

/* A later step begins with the last row of the one before: not once more. */
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
    return (int)all->start.kind == first || (int)all->end.kind == last;
}

static int next_page(struct all_docs *all, bool first)
{
    all->looked_at = all->page_at = 0;
    json_array_clear(all->page);
    CM_AUTO_STR from = all->start.text ? cm_strdup(all->start.text) : NULL;
    bool with_start = first && !all->behind;
    int rc = cs_docs(all->s.server->store, from, all->descending, with_start ? PAGE : PAGE + 1,
                     with_start ? collect : collect_next, all, NULL);
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
    if (req->http->head.method == HTTP_POST) {
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
    struct refusal wrong = {0};
    take_options(req, body, all, &wrong);
    if (!wrong.error) {
        rp_stream_start(req, &all->s);
        return;
    }
    fini(&all->s);
    rp_error(req, 400, wrong.error, wrong.reason);
}
