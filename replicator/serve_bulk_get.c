/*
 * POST /db/_bulk_get: many revisions in one answer, one entry per request entry and in its order
 * (clients zip the two, reference/replication.md 2.2).  Streamed: the answer is larger than any
 * buffer should be.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certstore/rev.h"
#include "replicator/members.h"
#include "replicator/serve.h"

#define STEP_ENTRIES 100
#define STEP_BYTES   (128u << 10)

struct bulk_get {
    struct rp_stream s; /* first */
    json_t *docs;
    size_t at;
    bool manager, revs, latest;
};

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* What one entry gets when there is nothing to send. */
static void add_error(struct cm_buf *out, const char *id, const char *rev, const char *error,
                      const char *reason)
{
    CM_AUTO_JSON row = json_object();
    json_t *why = json_object();
    cm_json_set(why, "id", text_or_null(id));
    cm_json_set(why, "rev", text_or_null(rev));
    cm_json_set_str(why, "error", error);
    cm_json_set_str(why, "reason", reason);
    cm_json_set(row, "error", why);
    CM_AUTO_STR text = cm_json_dump(row, NULL);
    cm_buf_puts(out, text);
}

/* What is asked for in a way that no document could answer: NULL or the reason. */
static const char *entry_wrong(const json_t *entry, struct rp_wrong *wrong, const char **ret_error)
{
    const json_t *rev = json_object_get(entry, "rev");
    const char *id = cm_json_str(entry, "id");
    *ret_error = "bad_request";
    if (json_object_size(entry) == 0)
        return "document must be a JSON object";
    if (!json_object_get(entry, "id"))
        return "document id missed";
    *ret_error = "illegal_docid";
    if (!id)
        return "Document id must be a string";
    if (strlen(id) <= CS_ID_MAX && strncmp(id, "_local/", 7) != 0 && rp_id_wrong(id, wrong))
        return wrong->reason;
    *ret_error = "bad_request";
    return rev && !(json_is_string(rev) && cs_rev_named(json_string_value(rev)))
               ? "Invalid rev format"
               : NULL;
}

static void add_entry(struct bulk_get *get, const json_t *entry)
{
    struct cm_buf *out = &get->s.out;
    const char *id = cm_json_str(entry, "id"), *rev = cm_json_str(entry, "rev"), *error = NULL;
    struct rp_wrong wrong;
    const char *why = entry_wrong(entry, &wrong, &error);
    cm_buf_puts(out, "{\"id\":");
    if (id)
        rp_json_str(out, id);
    else
        cm_buf_puts(out, "null");
    cm_buf_puts(out, ",\"docs\":[");
    if (why) {
        add_error(out, id, rev, error, why);
    } else {
        size_t count = 0;
        int rc = CM_ENOENT;
        if (rp_readable(get->s.server, get->manager, id))
            rc = cs_write_revs(get->s.server->store, id, rev, get->revs, get->latest, out, &count,
                               NULL);
        if (rc == CM_ENOENT)
            add_error(out, id, rev ? rev : "undefined", "not_found", "missing");
        else if (rc < 0)
            add_error(out, id, rev, "internal_server_error", "the document cannot be read");
    }
    cm_buf_puts(out, "]}");
}

static enum rp_step step(struct rp_stream *stream)
{
    struct bulk_get *get = (struct bulk_get *)stream;
    size_t count = json_array_size(get->docs);
    if (get->at == 0)
        cm_buf_puts(&stream->out, "{\"results\":[");
    for (size_t n = 0; n < STEP_ENTRIES && get->at < count && stream->out.len < STEP_BYTES; n++) {
        if (get->at > 0)
            cm_buf_puts(&stream->out, ",\n");
        add_entry(get, json_array_get(get->docs, get->at++));
    }
    if (get->at < count)
        return RP_MORE;
    cm_buf_puts(&stream->out, "]}\n");
    return RP_END;
}

static void fini(struct rp_stream *stream)
{
    struct bulk_get *get = (struct bulk_get *)stream;
    json_decref(get->docs);
    cm_free(get);
}

/* Parameters of one document say nothing here, and would be missed.  False when answered. */
static bool query_ok(struct rp_req *req)
{
    static const char *const foreign[] = {"open_revs", "new_edits", "w", "rev", "atts_since"};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (!rp_query(&req->route, foreign[i]))
            continue;
        CM_AUTO_STR why = cm_asprintf("\"%s\" query parameter is not acceptable", foreign[i]);
        rp_bad_request(req, why);
        return false;
    }
    return true;
}

void rp_serve_bulk_get(struct rp_req *req)
{
    CM_AUTO_JSON body = rp_body(req);
    if (!body || !query_ok(req))
        return;
    json_t *docs = cm_json_arr(body, "docs");
    if (!docs) {
        rp_bad_request(req, "Missing JSON list of 'docs'.");
        return;
    }
    if (req->server->stream_count >= RP_FEED_MAX) {
        rp_error(req, 503, "service_unavailable", "too many feeds are open; try again later");
        return;
    }
    struct bulk_get *get = cm_calloc(1, sizeof(*get));
    get->docs = json_incref(docs);
    get->manager = req->manager;
    get->revs = rp_query_true(&req->route, "revs") || cm_json_bool(body, "revs", false);
    get->latest = rp_query_true(&req->route, "latest") || cm_json_bool(body, "latest", false);
    get->s.step = step;
    get->s.fini = fini;
    rp_stream_start(req, &get->s);
}
