/*
 * The many documents of one _bulk_docs whose signatures are to be checked.
 *
 * The loop only finds where each document begins and ends.  A worker thread does with a document
 * all that needs neither store nor trust root while it lies in that processor's cache: parse it,
 * check its signature, read it for the store, free what its text says once more.  The text that
 * will be stored takes the place of the one that came: it is the same without CouchDB's members.
 * Then the loop puts all of them in their order, for one commit and one answer.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/salvage.h"
#include "replicator/serve.h"
#include "replicator/values.h"

struct document {
    struct rp_posted_doc posted;
    json_t *parsed; /* until it is read for the store */
    json_t *row;    /* that refuses it: its text is JSON, but cannot be read */
};

struct posted {
    struct rp_server *server;
    struct http_exchange *ex; /* NULL: the client went away, or the server has ended */
    struct cm_loop *loop;
    bool policy;
    char *text; /* of the request */
    struct cm_json_span *span;
    struct document *doc;
    size_t count;
};

static void on_gone(void *arg)
{
    struct posted *posted = arg;
    posted->ex = NULL;
}

/* ---- on worker threads -------------------------------------------------------------------- */

static const json_t *parse_one(void *arg, size_t at)
{
    struct posted *posted = arg;
    const struct cm_json_span *span = &posted->span[at];
    struct document *doc = &posted->doc[at];
    if (cm_json_parse_lax(span->at, span->len, &doc->parsed, NULL) < 0)
        doc->row = rp_salvage_row(span->at, span->len);
    return doc->parsed;
}

/* Where the document came, there is room for what will be stored of it. */
static struct cs_place place_of(const struct posted *posted, size_t at, const char *text,
                                size_t len)
{
    const struct cm_json_span *span = &posted->span[at];
    struct cs_place place = {.at = posted->text + (span->at - posted->text), .size = span->len};
    if (text && len <= span->len) {
        memcpy(place.at, text, len);
        place.len = len;
    }
    return place;
}

static void read_one(void *arg, size_t at, bool good, const char *text, size_t len)
{
    struct posted *posted = arg;
    struct document *doc = &posted->doc[at];
    if (!doc->parsed || !rp_has_rev(doc->parsed))
        return;
    doc->posted = rp_posted_doc(doc->parsed);
    doc->posted.ready = cs_ready_new(doc->parsed, posted->policy, place_of(posted, at, text, len));
    doc->parsed = NULL;
    if (good)
        cs_ready_slim(doc->posted.ready);
}

static void free_posted(void *arg)
{
    struct posted *posted = arg;
    for (size_t i = 0; i < posted->count; i++) {
        json_decref(posted->doc[i].parsed);
        json_decref(posted->doc[i].row);
        if (posted->doc[i].posted.ready)
            cs_ready_free(posted->doc[i].posted.ready);
    }
    cm_free(posted->doc);
    cm_free(posted->span);
    cm_free(posted->text);
    cm_free(posted);
}

static void freed(void *arg)
{
    (void)arg;
}

/* ---- on the loop -------------------------------------------------------------------------- */

/* Is it to be put, or refused alone? */
static bool is_document(const struct document *doc)
{
    return doc->posted.ready || doc->row;
}

/* One of them is no document: the request as a whole is wrong, and nothing of it is put.  Whose
 * text could not be read, that one's is still as it came. */
static void refuse(const struct posted *posted, struct rp_req *req)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON again = NULL;
    int rc = 0;
    for (size_t i = 0; i < posted->count && rc == 0; i++)
        if (!posted->doc[i].parsed && !is_document(&posted->doc[i]))
            rc = cm_json_parse_lax(posted->span[i].at, posted->span[i].len, &again, &err);
    if (rc < 0)
        rp_bad_json(req, &err);
    else
        rp_lacks_rev(req);
    cm_err_fini(&err);
}

static void put_all(struct posted *posted, struct rp_req *req)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON rows = json_array();
    int rc = 0;
    for (size_t i = 0; i < posted->count && rc == 0; i++) {
        struct document *doc = &posted->doc[i];
        rc = doc->row ? rp_put_unread(req, false, doc->row, rows, &err)
                      : rp_put_posted(req, &doc->posted, rows, &err);
    }
    if (rc < 0)
        rp_store_failed(req, &err);
    else
        rp_reply_durable(req, 201, json_incref(rows));
    cm_err_fini(&err);
}

static void on_proved(void *arg)
{
    struct posted *posted = arg;
    struct rp_req req;
    bool all = true;
    for (size_t i = 0; i < posted->count; i++)
        all = all && is_document(&posted->doc[i]);
    if (posted->ex && rp_resume(posted->server, posted->ex, &req)) {
        if (all)
            put_all(posted, &req);
        else
            refuse(posted, &req);
    }
    cm_loop_work(posted->loop, free_posted, freed, posted);
}

/* Many documents, each with its place in the text; false: the text is not for this file. */
static bool split(const char *text, size_t len, struct posted *posted)
{
    CM_AUTO_JSON rest = NULL;
    return cm_json_split(text, len, "docs", CS_BATCH_MAX, &posted->span, &posted->count, &rest) &&
           posted->count >= RP_PROVE_MIN && json_is_false(json_object_get(rest, "new_edits"));
}

/* own_text NULL: that of the request. */
static bool start(struct rp_req *req, char *own_text, size_t len)
{
    struct rp_server *server = req->server;
    struct posted *posted = cm_calloc(1, sizeof(*posted));
    if (!split(own_text ? own_text : req->http->body, len, posted)) {
        cm_free(posted->span);
        cm_free(posted);
        return false;
    }
    posted->server = server;
    posted->ex = req->ex;
    posted->loop = server->loop;
    posted->policy = !server->lab;
    posted->doc = cm_calloc(posted->count, sizeof(*posted->doc));
    posted->text = own_text ? own_text : http_ex_take_body(req->ex, &len);
    http_ex_on_close(req->ex, on_gone, posted);
    const struct cs_proof proof = {.count = posted->count,
                                   .doc = parse_one,
                                   .also = read_one,
                                   .done = on_proved,
                                   .arg = posted};
    server->prove(server->prove_arg, &proof);
    return true;
}

bool rp_posted_start(struct rp_req *req)
{
    return req->server->prove && req->http->body_len > 0 &&
           rp_values_ok(req->http->body, req->http->body_len) &&
           start(req, NULL, req->http->body_len);
}

bool rp_posted_start_parsed(struct rp_req *req, const json_t *docs)
{
    if (!req->server->prove)
        return false;
    CM_AUTO_STR list = cm_json_dump(docs, NULL);
    char *text = cm_asprintf("{\"new_edits\":false,\"docs\":%s}", list);
    size_t len = strlen(text);
    bool started = start(req, text, len);
    if (!started)
        cm_free(text);
    return started;
}
