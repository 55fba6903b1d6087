/*
 * POST /db/_bulk_get: many revisions in one answer, one entry per request entry and in its order
 * (clients zip the two, reference/replication.md 2.2).  Streamed: the answer is larger than any
 * buffer should be.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certstore/rev.h"
#include "replicator/serve.h"

#define STEP_ENTRIES 100
#define STEP_BYTES   (128u << 10)

struct bulk_get {
    struct rp_stream s; /* first */
    json_t *docs;
    size_t at;
    bool manager, revs, latest;
};

/* What one entry gets when there is nothing to send. */
static void add_error(struct cm_buf *out, const char *id, const char *rev, const char *error,
                      const char *reason)
{
    CM_AUTO_JSON row = json_object();
    json_t *why = json_object();
    cm_json_set_str(why, "id", id);
    cm_json_set_str(why, "rev", rev);
    cm_json_set_str(why, "error", error);
    cm_json_set_str(why, "reason", reason);
    cm_json_set(row, "error", why);
    CM_AUTO_STR text = cm_json_dump(row, NULL);
    cm_buf_puts(out, text);
}

static void add_entry(struct bulk_get *get, const json_t *entry)
{
    struct cm_buf *out = &get->s.out;
    const char *id = cm_json_str(entry, "id"), *rev = cm_json_str(entry, "rev");
    struct cs_rev parsed;
    cm_buf_puts(out, "{\"id\":");
    rp_json_str(out, id ? id : "");
    cm_buf_puts(out, ",\"docs\":[");
    if (!id) {
        add_error(out, "", rev, "bad_request", "document id missed");
    } else if (rev && cs_rev_parse(rev, &parsed) < 0) {
        add_error(out, id, rev, "bad_request", "Invalid rev format");
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

void rp_serve_bulk_get(struct rp_req *req)
{
    CM_AUTO_JSON body = rp_body(req);
    if (!body)
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
