/*
 * POST /db/_revs_diff (_missing_revs) and POST /db/_bulk_docs: what a pushing client asks and
 * sends.
 *
 * A document is refused alone (`forbidden`), never its batch: any other status would end the
 * client's job (reference/replication.md 2.4).  The answer waits for the commit.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/policy.h"
#include "replicator/serve.h"

/* ---- _revs_diff --------------------------------------------------------------------------- */

/* The whole request, or answered: 400 for a wrong name, as CouchDB. */
static json_t *asked_revs(struct rp_req *req)
{
    CM_AUTO_JSON body = rp_body(req);
    size_t asked = 0;
    const char *id;
    json_t *revs;
    if (!body)
        return NULL;
    json_object_foreach(body, id, revs)
    {
        asked += json_array_size(revs);
        if (asked > RP_DIFF_MAX) {
            rp_error(req, 413, "too_large", "too many revisions in one request");
            return NULL;
        }
    }
    return json_incref(body);
}

/* id -> {missing, possible_ancestors} (or the missing ones alone) of what is not known; false when
 * answered. */
static bool diff_all(struct rp_req *req, const json_t *asked, bool plain, json_t *ret)
{
    const char *id;
    json_t *revs;
    struct cm_err err = CM_ERR_INIT;
    int rc = 0;
    json_object_foreach((json_t *)(uintptr_t)asked, id, revs)
    {
        CM_AUTO_JSON missing = NULL;
        CM_AUTO_JSON ancestors = NULL;
        bool named = !plain && rp_readable(req->server, req->manager, id);
        rc = cs_missing_revs(req->server->store, id, revs, &missing, named ? &ancestors : NULL,
                             &err);
        if (rc < 0)
            break;
        if (json_array_size(missing) == 0)
            continue;
        if (plain) {
            json_object_set(ret, id, missing);
            continue;
        }
        json_t *entry = json_object();
        json_object_set(entry, "missing", missing);
        if (json_array_size(ancestors) > 0)
            json_object_set(entry, "possible_ancestors", ancestors);
        cm_json_set(ret, id, entry);
    }
    if (rc == CM_EMALF)
        rp_bad_request(req, "Invalid rev format");
    else if (rc < 0)
        rp_store_failed(req, &err);
    cm_err_fini(&err);
    return rc == 0;
}

void rp_serve_revs_diff(struct rp_req *req)
{
    CM_AUTO_JSON asked = asked_revs(req);
    CM_AUTO_JSON reply = json_object();
    if (asked && diff_all(req, asked, false, reply))
        rp_reply(req, 200, json_incref(reply));
}

void rp_serve_missing_revs(struct rp_req *req)
{
    CM_AUTO_JSON asked = asked_revs(req);
    CM_AUTO_JSON missing = json_object();
    if (!asked || !diff_all(req, asked, true, missing))
        return;
    json_t *reply = json_object();
    json_object_set(reply, "missing_revs", missing);
    rp_reply(req, 200, reply);
}

/* ---- _bulk_docs --------------------------------------------------------------------------- */

json_t *rp_refusal(const char *id, const char *rev, const char *error, const char *reason)
{
    json_t *row = json_object();
    cm_json_set_str(row, "id", id);
    cm_json_set_str(row, "rev", rev);
    cm_json_set_str(row, "error", error);
    cm_json_set_str(row, "reason", reason);
    return row;
}

/* A document that a worker thread has read while it was there for its signature. */
struct posted_doc {
    struct cs_ready *ready;
    const char *id, *rev; /* live in it */
};

/* Why the client may not write this document at all, or NULL. */
static const char *write_refusal(const struct rp_req *req, const char *id)
{
    if (id[0] == '\0' || strlen(id) > CS_ID_MAX)
        return "the document id is missing or too long";
    if (!req->server->lab)
        return rp_write_refusal(req->manager || rp_wants_back(req), id);
    if (id[0] == '_' && strncmp(id, "_design/", 8) != 0)
        return "Only reserved document ids may start with underscore.";
    return NULL;
}

/* One replicated document; *ret_row (owned) = its refusal, NULL when it was taken.  read NULL: it
 * has not been read ahead. */
static int put_one(struct rp_req *req, const json_t *doc, const struct posted_doc *read,
                   json_t **ret_row, struct cm_err *err)
{
    const struct rp_server *server = req->server;
    const char *id = read ? read->id : cm_json_str_or(doc, "_id", "");
    const char *rev = read ? read->rev : cm_json_str(doc, "_rev");
    const char *refusal = write_refusal(req, id), *peer = server->lab ? "lab" : req->peer;
    if (refusal) {
        *ret_row = rp_refusal(id, rev, "forbidden", refusal);
        return 0;
    }
    struct cs_result res = {0};
    int rc = read ? cs_put_ready(server->store, read->ready, peer, &res, err)
                  : cs_put_replicated(server->store, doc, peer, &res, err);
    if (rc == 0 && res.code != 0)
        *ret_row =
            rp_refusal(id, rev, "forbidden", res.reason[0] ? res.reason : cm_code_name(res.code));
    return rc;
}

/* Without a revision there is nothing to merge: the client is broken, not the document. */
static bool all_have_revs(const json_t *docs)
{
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *doc = json_array_get(docs, i);
        if (!cm_json_str(doc, "_rev") && !cm_json_obj(doc, "_revisions"))
            return false;
    }
    return true;
}

/* read NULL: none of them has been read ahead (the lab's edits never are). */
static int put_each(struct rp_req *req, const json_t *docs, const struct posted_doc *read,
                    bool new_edits, json_t *rows, struct cm_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < json_array_size(docs) && rc >= 0; i++) {
        json_t *row = NULL;
        const json_t *doc = json_array_get(docs, i);
        if (new_edits)
            rc = rp_edit(req->server, doc, &row, err);
        else
            rc = put_one(req, doc, read ? &read[i] : NULL, &row, err);
        if (row)
            json_array_append_new(rows, row);
    }
    return rc < 0 ? rc : 0;
}

/* Why the envelope as a whole cannot be taken (answered); true = go on. */
static bool envelope_ok(struct rp_req *req, const json_t *docs, bool new_edits)
{
    bool lab = req->server->lab;
    if (!docs)
        rp_bad_request(req, "POST body must include `docs` parameter.");
    else if (!json_is_array(docs))
        rp_bad_request(req, "`docs` parameter must be an array.");
    else if (!lab && json_array_size(docs) > CS_BATCH_MAX)
        rp_error(req, 413, "too_large", "too many documents in one request");
    else if (new_edits && !lab)
        rp_error(req, 403, "forbidden",
                 "documents are signed: they are written by certmgr, not edited here");
    else if (!new_edits && !all_have_revs(docs))
        rp_bad_request(req, "When `new_edits: false`, the document needs `_rev` or `_revisions` "
                            "specified");
    else
        return true;
    return false;
}

static void put_and_reply(struct rp_req *req, const json_t *docs, const struct posted_doc *read,
                          bool new_edits)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON rows = json_array();
    if (put_each(req, docs, read, new_edits, rows, &err) < 0)
        rp_store_failed(req, &err);
    else
        rp_reply_durable(req, 201, json_incref(rows));
    cm_err_fini(&err);
}

/* Documents with worker threads, which check their signatures and read them. */
struct posted {
    struct rp_server *server;
    struct http_exchange *ex; /* NULL: the client went away, or the server has ended */
    struct cm_loop *loop;
    bool policy;
    json_t *docs;
    struct posted_doc *doc; /* one for each */
};

static void on_gone(void *arg)
{
    struct posted *posted = arg;
    posted->ex = NULL;
}

/* On a worker thread. */
static void read_one(void *arg, size_t at)
{
    struct posted *posted = arg;
    json_t *doc = json_array_get(posted->docs, at);
    posted->doc[at].ready = cs_ready_new(json_incref(doc), posted->policy);
}

/* On a worker thread: hundreds of small values for each document. */
static void free_posted(void *arg)
{
    struct posted *posted = arg;
    for (size_t i = 0; i < json_array_size(posted->docs); i++)
        if (posted->doc[i].ready)
            cs_ready_free(posted->doc[i].ready);
    cm_free(posted->doc);
    json_decref(posted->docs);
    cm_free(posted);
}

static void freed(void *arg)
{
    (void)arg;
}

static void on_proved(void *arg)
{
    struct posted *posted = arg;
    struct rp_req req;
    if (posted->ex && rp_resume(posted->server, posted->ex, &req))
        put_and_reply(&req, posted->docs, posted->doc, false);
    cm_loop_work(posted->loop, free_posted, freed, posted);
}

static void prove(struct rp_req *req, json_t *docs)
{
    struct rp_server *server = req->server;
    struct posted *posted = cm_malloc(sizeof(*posted));
    *posted = (struct posted){.server = server,
                              .ex = req->ex,
                              .loop = server->loop,
                              .policy = !server->lab,
                              .docs = json_incref(docs),
                              .doc = cm_calloc(json_array_size(docs), sizeof(*posted->doc))};
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *doc = json_array_get(docs, i);
        posted->doc[i].id = cm_json_str_or(doc, "_id", "");
        posted->doc[i].rev = cm_json_str(doc, "_rev");
    }
    http_ex_on_close(req->ex, on_gone, posted);
    server->prove(server->prove_arg, docs, read_one, on_proved, posted);
}

void rp_serve_bulk_docs(struct rp_req *req)
{
    CM_AUTO_JSON body = rp_body(req);
    if (!body)
        return;
    json_t *docs = json_object_get(body, "docs"), *mode = json_object_get(body, "new_edits");
    bool new_edits = !json_is_false(mode);
    if (mode && !json_is_boolean(mode)) {
        rp_bad_request(req, "`new_edits` parameter must be a boolean.");
        return;
    }
    if (!envelope_ok(req, docs, new_edits))
        return;
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *doc = json_array_get(docs, i);
        if (!json_is_object(doc)) {
            rp_bad_request(req, "Document must be a JSON object");
            return;
        }
        if (new_edits && !rp_edit_ok(req, doc)) /* as CouchDB: none of the batch is taken */
            return;
    }
    if (req->server->prove && !new_edits && json_array_size(docs) >= RP_PROVE_MIN)
        prove(req, docs);
    else
        put_and_reply(req, docs, NULL, new_edits);
}
