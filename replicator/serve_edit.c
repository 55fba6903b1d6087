/*
 * Interactive edits (new_edits=true): PUT, DELETE /db/ID and POST /db.  Reached only in
 * certstore-lab: a fleet's documents are signed, so nobody edits them over HTTP.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certstore/rev.h"
#include "replicator/members.h"
#include "replicator/serve.h"

#define UUID_BYTES 16

static json_t *row_ok(const char *id, const char *rev)
{
    json_t *row = json_object();
    cm_json_set_bool(row, "ok", true);
    cm_json_set_str(row, "id", id);
    cm_json_set_str(row, "rev", rev);
    return row;
}

bool rp_edit_ok(struct rp_req *req, const json_t *doc)
{
    struct rp_wrong wrong;
    if (!rp_members_wrong(doc, false, &wrong))
        return true;
    rp_error(req, wrong.status, wrong.error, wrong.reason);
    return false;
}

int rp_edit(struct rp_server *server, const json_t *doc, json_t **ret_row, struct cm_err *err)
{
    CM_AUTO_JSON copy = json_copy((json_t *)(uintptr_t)doc);
    if (!json_object_get(copy, "_id")) {
        uint8_t random[UUID_BYTES];
        char id[2 * UUID_BYTES + 1];
        cm_random(random, sizeof(random));
        cm_hex(random, sizeof(random), id);
        cm_json_set_str(copy, "_id", id);
    }
    const char *id = cm_json_str_or(copy, "_id", "");
    struct rp_wrong wrong;
    if (rp_members_wrong(copy, false, &wrong)) {
        *ret_row = rp_refusal(id, NULL, wrong.error, wrong.reason);
        return wrong.status;
    }
    struct cs_result res = {0};
    struct cs_rev held;
    const char *rev = cm_json_str(copy, "_rev");
    int rc = CM_ECONFLICT; /* no document of ours has a revision that the store cannot hold */
    if (!rev || cs_rev_parse(rev, &held) == 0)
        rc = cs_put_edit(server->store, copy, &res, err);
    if (rc == CM_EIO || rc == CM_EFULL || rc == CM_EBUSY)
        return rc;
    if (rc == 0) {
        *ret_row = row_ok(id, res.rev);
        return 201;
    }
    if (rc == CM_ECONFLICT) {
        *ret_row = rp_refusal(id, NULL, "conflict", RP_CONFLICT);
        return 409;
    }
    if (rc == CM_ELIMIT) {
        *ret_row = rp_refusal(id, NULL, "document_too_large", res.reason);
        return 413;
    }
    *ret_row = rp_refusal(id, NULL, rc == CM_EMALF ? "bad_request" : "forbidden", res.reason);
    return rc == CM_EMALF ? 400 : 403;
}

/* Answers a single edit: the row itself, or CouchDB's error body.  With batch=ok the revision is
 * not told and the status says so, as CouchDB does, which has not made it by then. */
static void reply_edit(struct rp_req *req, int status, json_t *take_row)
{
    CM_AUTO_JSON row = take_row;
    const char *batch = rp_query(&req->route, "batch");
    if (status >= 400) {
        rp_error(req, status, cm_json_str_or(row, "error", ""), cm_json_str_or(row, "reason", ""));
        return;
    }
    if (batch && strcmp(batch, "ok") == 0) {
        cm_json_set(row, "rev", NULL);
        rp_reply_durable(req, 202, json_incref(row));
        return;
    }
    CM_AUTO_STR tag = cm_asprintf("\"%s\"", cm_json_str_or(row, "rev", ""));
    http_ex_header(req->ex, "ETag", tag);
    rp_location(req, cm_json_str_or(row, "id", ""));
    rp_reply_durable(req, status, json_incref(row));
}

static void edit_and_reply(struct rp_req *req, const json_t *doc, int ok_status)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *row = NULL;
    int status = rp_edit(req->server, doc, &row, &err);
    if (status < 0)
        rp_store_failed(req, &err);
    else
        reply_edit(req, status == 201 ? ok_status : status, row);
    cm_err_fini(&err);
}

/* PUT ?new_edits=false: one replicated document. */
static void put_replicated(struct rp_req *req, json_t *doc)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result res = {0};
    if (!cm_json_str(doc, "_rev") && !cm_json_obj(doc, "_revisions"))
        rp_bad_request(req, RP_NO_REV);
    else if (cs_put_replicated(req->server->store, doc, "lab", &res, &err) < 0)
        rp_store_failed(req, &err);
    else if (res.code != 0)
        rp_error(req, res.code == CM_EMALF ? 400 : 403,
                 res.code == CM_EMALF ? "bad_request" : "forbidden", res.reason);
    else
        reply_edit(req, cm_json_bool(doc, "_deleted", false) ? 200 : 201,
                   row_ok(req->route.name, res.rev));
    cm_err_fini(&err);
}

/* The revision in If-Match, with or without quotes; "" when it is too long for one. */
static void match_rev(const char *match, char out[CS_REV_MAX + 1])
{
    size_t len = strlen(match);
    bool quoted = len >= 2 && match[0] == '"' && match[len - 1] == '"';
    size_t n = quoted ? len - 2 : len;
    if (n > CS_REV_MAX)
        n = 0;
    memcpy(out, match + (quoted ? 1 : 0), n);
    out[n] = '\0';
}

bool rp_take_rev(struct rp_req *req, json_t *doc)
{
    const char *rev = rp_query(&req->route, "rev"), *body_rev = cm_json_str(doc, "_rev");
    const char *match = http_head_field(&req->http->head, "if-match");
    char matched[CS_REV_MAX + 1];
    if (rev && body_rev && strcmp(rev, body_rev) != 0) {
        rp_bad_request(req,
                       "Document rev from request body and query string have different values");
        return false;
    }
    if (!rev)
        rev = body_rev;
    if (match) {
        match_rev(match, matched);
        if (rev && strcmp(rev, matched) != 0) {
            rp_bad_request(req, "Document rev and etag have different values");
            return false;
        }
        rev = matched;
    }
    if (rev && rev != body_rev)
        cm_json_set_str(doc, "_rev", rev);
    return true;
}

void rp_serve_edit(struct rp_req *req)
{
    bool remove = req->http->head.method == HTTP_DELETE;
    CM_AUTO_JSON doc = remove ? json_object() : rp_doc_body(req);
    if (!doc || !rp_edit_ok(req, doc) || (remove && !rp_doc_lives(req)))
        return;
    cm_json_set_str(doc, "_id", req->route.name); /* whatever the body says, as in CouchDB */
    if (remove)
        cm_json_set_bool(doc, "_deleted", true);
    if (!rp_take_rev(req, doc) || !rp_edit_ok(req, doc))
        return;
    const char *new_edits = rp_query(&req->route, "new_edits");
    if (!remove && new_edits && strcmp(new_edits, "false") == 0)
        put_replicated(req, doc);
    else
        edit_and_reply(req, doc, cm_json_bool(doc, "_deleted", false) ? 200 : 201);
}

void rp_serve_new_doc(struct rp_req *req)
{
    CM_AUTO_JSON doc = rp_doc_body(req);
    if (doc)
        edit_and_reply(req, doc, 201);
}
