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
#include "certstore/rev.h"
#include "replicator/policy.h"
#include "replicator/salvage.h"
#include "replicator/serve.h"

/* ---- _revs_diff --------------------------------------------------------------------------- */

/* The whole request, or answered: 400 for a wrong name, as CouchDB. */
static json_t *asked_revs(struct rp_req *req)
{
    CM_AUTO_JSON none = NULL;
    CM_AUTO_JSON body = rp_body_or(req, rp_salvage_members, &none);
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

int rp_put_posted(struct rp_req *req, const struct rp_posted_doc *doc, json_t *rows,
                  struct cm_err *err)
{
    const struct rp_server *server = req->server;
    const char *refusal = write_refusal(req, doc->id), *peer = server->lab ? "lab" : req->peer;
    struct cs_result res = {0};
    int rc = 0;
    if (!refusal) {
        rc = doc->ready ? cs_put_ready(server->store, doc->ready, peer, &res, err)
                        : cs_put_replicated(server->store, doc->body, peer, &res, err);
        if (rc == 0 && res.code != 0)
            refusal = res.reason[0] ? res.reason : cm_code_name(res.code);
        else if (rc == 0 && res.newer && server->brought && rp_wants_back(req))
            server->brought(server->arg, req->peer,
                            doc->ready ? cs_ready_body(doc->ready) : doc->body);
    }
    if (refusal)
        json_array_append_new(rows, rp_refusal(doc->id, doc->rev, "forbidden", refusal));
    return rc;
}

struct rp_posted_doc rp_posted_doc(const json_t *doc)
{
    return (struct rp_posted_doc){
        .body = doc, .id = cm_json_str_or(doc, "_id", ""), .rev = cm_json_str(doc, "_rev")};
}

bool rp_has_rev(const json_t *doc)
{
    return cm_json_str(doc, "_rev") || cm_json_obj(doc, "_revisions");
}

/* The documents of one request. */
struct batch {
    const json_t *docs;
    const json_t *rows; /* NULL, or as long: what refuses a document whose text was not read */
    bool new_edits;
};

/* The row (borrowed) that refuses the document without a look at it, or NULL. */
static json_t *row_of(const struct batch *batch, size_t at)
{
    json_t *row = json_array_get(batch->rows, at);
    return json_is_object(row) ? row : NULL;
}

static bool all_have_revs(const struct batch *batch)
{
    for (size_t i = 0; i < json_array_size(batch->docs); i++)
        if (!row_of(batch, i) && !rp_has_rev(json_array_get(batch->docs, i)))
            return false;
    return true;
}

void rp_lacks_rev(struct rp_req *req)
{
    rp_bad_request(req, RP_NO_REV);
}

int rp_put_unread(struct rp_req *req, bool edit, json_t *row, json_t *rows, struct cm_err *err)
{
    const struct rp_server *server = req->server;
    const char *id = cm_json_str_or(row, "id", ""), *rev = cm_json_str_or(row, "rev", "");
    const char *refusal = edit ? NULL : write_refusal(req, id);
    int rc = 0;
    if (refusal)
        cm_json_set_str(row, "reason", refusal);
    else if (!server->lab)
        rc = cs_quarantine_note(server->store, id, rev, req->peer,
                                cm_json_str_or(row, "reason", ""), err);
    if (edit)
        cm_json_set(row, "rev", NULL);
    json_array_append(rows, row);
    return rc;
}

/* The revision that an edit continues; false: it names none. */
static bool parent_of(const json_t *doc, struct cs_rev *ret)
{
    const json_t *path = cm_json_obj(doc, "_revisions");
    const char *first = json_string_value(json_array_get(cm_json_arr(path, "ids"), 0));
    const char *rev = cm_json_str(doc, "_rev");
    if (first)
        return cs_rev_parse_id(first, cm_json_int(path, "start", 0), ret) == 0;
    return rev && cs_rev_parse(rev, ret) == 0;
}

/* As in CouchDB all edits of one request are judged by what was there before it: who edits a
 * document twice has not seen what the first edit made.  made: id -> the revisions made so far. */
static bool is_second(const json_t *made, const json_t *doc)
{
    const json_t *revs = cm_json_obj(made, cm_json_str_or(doc, "_id", ""));
    struct cs_rev parent;
    char text[CS_REV_MAX + 1];
    if (!revs || !parent_of(doc, &parent))
        return revs != NULL;
    cs_rev_format(&parent, text);
    return json_object_get(revs, text) != NULL;
}

static void note_made(json_t *made, const json_t *row)
{
    const char *id = cm_json_str(row, "id"), *rev = cm_json_str(row, "rev");
    if (!rev)
        return;
    if (!json_object_get(made, id))
        cm_json_set(made, id, json_object());
    cm_json_set_bool(cm_json_obj(made, id), rev, true);
}

static int edit_one(struct rp_req *req, const json_t *doc, json_t *made, json_t *rows,
                    struct cm_err *err)
{
    json_t *row = NULL;
    int rc = 0;
    if (is_second(made, doc))
        row = rp_refusal(cm_json_str_or(doc, "_id", ""), NULL, "conflict", RP_CONFLICT);
    else
        rc = rp_edit(req->server, doc, &row, err);
    if (!row)
        return rc;
    note_made(made, row);
    json_array_append_new(rows, row);
    return rc;
}

static int put_each(struct rp_req *req, const struct batch *batch, json_t *rows, struct cm_err *err)
{
    CM_AUTO_JSON made = json_object();
    int rc = 0;
    for (size_t i = 0; i < json_array_size(batch->docs) && rc >= 0; i++) {
        const json_t *doc = json_array_get(batch->docs, i);
        const struct rp_posted_doc posted = rp_posted_doc(doc);
        if (row_of(batch, i))
            rc = rp_put_unread(req, batch->new_edits, row_of(batch, i), rows, err);
        else if (batch->new_edits)
            rc = edit_one(req, doc, made, rows, err);
        else
            rc = rp_put_posted(req, &posted, rows, err);
    }
    return rc < 0 ? rc : 0;
}

/* Why the envelope as a whole cannot be taken (answered); true = go on. */
static bool envelope_ok(struct rp_req *req, const struct batch *batch)
{
    bool lab = req->server->lab;
    if (!batch->docs)
        rp_bad_request(req, "POST body must include `docs` parameter.");
    else if (!json_is_array(batch->docs))
        rp_bad_request(req, "`docs` parameter must be an array.");
    else if (!lab && json_array_size(batch->docs) > CS_BATCH_MAX)
        rp_error(req, 413, "too_large", "too many documents in one request");
    else if (batch->new_edits && !lab)
        rp_error(req, 403, "forbidden",
                 "documents are signed: they are written by certmgr, not edited here");
    else if (!batch->new_edits && !all_have_revs(batch))
        rp_lacks_rev(req);
    else
        return true;
    return false;
}

/* The same of its documents.  As in CouchDB none of the edits is taken when one is no document. */
static bool docs_ok(struct rp_req *req, const struct batch *batch)
{
    for (size_t i = 0; i < json_array_size(batch->docs); i++) {
        const json_t *doc = json_array_get(batch->docs, i);
        if (row_of(batch, i))
            continue;
        if (!json_is_object(doc)) {
            rp_bad_request(req, "Document must be a JSON object");
            return false;
        }
        if (batch->new_edits && !rp_edit_ok(req, doc))
            return false;
    }
    return true;
}

static void put_and_reply(struct rp_req *req, const struct batch *batch)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON rows = json_array();
    if (put_each(req, batch, rows, &err) < 0)
        rp_store_failed(req, &err);
    else
        rp_reply_durable(req, 201, json_incref(rows));
    cm_err_fini(&err);
}

void rp_serve_bulk_docs(struct rp_req *req)
{
    if (rp_posted_start(req))
        return;
    CM_AUTO_JSON rows = NULL;
    CM_AUTO_JSON body = rp_body_or(req, rp_salvage_docs, &rows);
    if (!body)
        return;
    const json_t *mode = json_object_get(body, "new_edits");
    const struct batch batch = {
        .docs = json_object_get(body, "docs"), .rows = rows, .new_edits = !json_is_false(mode)};
    if (mode && !json_is_boolean(mode)) {
        rp_bad_request(req, "`new_edits` parameter must be a boolean.");
        return;
    }
    if (!envelope_ok(req, &batch) || !docs_ok(req, &batch))
        return;
    bool many = !batch.new_edits && !rows && json_array_size(batch.docs) >= RP_PROVE_MIN;
    if (!many || !rp_posted_start_parsed(req, batch.docs))
        put_and_reply(req, &batch);
}
