/*
 * What CouchDB lets an administrator do with a database: _revs_limit, _security, _purge, _compact.
 * In the lab only; the fleet's store shows the first two and keeps its own rules.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/rev.h"
#include "replicator/serve.h"

#define TABLE          "database"
#define SECURITY_NAME  "security"
#define PURGE_SEQ_NAME "purge_seq"
#define PURGE_IDS_MAX  1000  /* documents of one _purge */
#define PURGE_REVS_MAX 20000 /* … and their revisions */
#define COMPACT_PAGE   200   /* documents of one turn */

/* false = answered. */
static bool lab_only(struct rp_req *req)
{
    if (!req->server->lab)
        rp_error(req, 403, "forbidden", "the store of a fleet keeps its own rules");
    return req->server->lab;
}

static bool is_put(const struct rp_req *req)
{
    return req->http->head.method == HTTP_PUT;
}

static void reply_ok(struct rp_req *req, int status)
{
    json_t *body = json_object();
    cm_json_set_bool(body, "ok", true);
    rp_reply_durable(req, status, body);
}

/* ---- _revs_limit, _security --------------------------------------------------------------- */

void rp_serve_revs_limit(struct rp_req *req)
{
    struct cs_store *store = req->server->store;
    if (!is_put(req)) {
        rp_reply(req, 200, json_integer(cs_revs_limit(store)));
        return;
    }
    if (!lab_only(req))
        return;
    CM_AUTO_JSON value = NULL;
    struct cm_err err = CM_ERR_INIT;
    cm_json_parse_lax(req->http->body, req->http->body_len, &value, NULL);
    int rc = cs_set_revs_limit(store, json_integer_value(value), &err);
    if (rc == CM_EINVAL)
        rp_bad_request(req, err.what);
    else if (rc < 0)
        rp_store_failed(req, &err);
    else
        reply_ok(req, 200);
    cm_err_fini(&err);
}

void rp_serve_security(struct rp_req *req)
{
    struct cs_store *store = req->server->store;
    if (!is_put(req)) {
        json_t *object = req->server->lab ? cs_kv_get(store, TABLE, SECURITY_NAME) : NULL;
        rp_reply(req, 200, object ? object : json_object());
        return;
    }
    CM_AUTO_JSON object = lab_only(req) ? rp_body(req) : NULL;
    if (!object)
        return;
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_kv_put(store, TABLE, SECURITY_NAME, object, &err);
    if (rc == CM_ELIMIT)
        rp_error(req, 413, "document_too_large", err.what);
    else if (rc < 0)
        rp_store_failed(req, &err);
    else
        reply_ok(req, 200);
    cm_err_fini(&err);
}

/* ---- _purge ------------------------------------------------------------------------------- */

int64_t rp_purge_seq(struct cs_store *store)
{
    CM_AUTO_JSON value = cs_kv_get(store, TABLE, PURGE_SEQ_NAME);
    return json_integer_value(value);
}

static int purge_each(struct cs_store *store, const json_t *asked, json_t *purged,
                      struct cm_err *err)
{
    const char *id;
    json_t *revs;
    bool any = false;
    json_object_foreach((json_t *)(uintptr_t)asked, id, revs)
    {
        CM_AUTO_JSON went = NULL;
        int rc = cs_purge(store, id, revs, &went, err);
        if (rc < 0)
            return rc;
        any = any || json_array_size(went) > 0;
        json_object_set(purged, id, went);
    }
    if (!any)
        return 0;
    CM_AUTO_JSON seq = json_integer(rp_purge_seq(store) + 1);
    return cs_kv_put(store, TABLE, PURGE_SEQ_NAME, seq, err);
}

/* Everything is looked at before anything is removed.  NULL or what is wrong. */
static const char *purge_refusal(const json_t *asked)
{
    const char *id;
    json_t *revs;
    size_t count = 0;
    if (json_object_size(asked) > PURGE_IDS_MAX)
        return "Exceeded maximum number of documents.";
    json_object_foreach((json_t *)(uintptr_t)asked, id, revs)
    {
        if (!json_is_array(revs))
            return "Invalid list of revisions";
        count += json_array_size(revs);
        if (count > PURGE_REVS_MAX)
            return "Exceeded maximum number of revisions.";
        for (size_t i = 0; i < json_array_size(revs); i++) {
            struct cs_rev rev;
            const char *text = json_string_value(json_array_get(revs, i));
            if (!text || cs_rev_parse(text, &rev) < 0)
                return "Invalid rev format";
        }
    }
    return NULL;
}

void rp_serve_purge(struct rp_req *req)
{
    CM_AUTO_JSON asked = lab_only(req) ? rp_body(req) : NULL;
    if (!asked)
        return;
    const char *why = purge_refusal(asked);
    if (why) {
        rp_bad_request(req, why);
        return;
    }
    struct cm_err err = CM_ERR_INIT;
    json_t *reply = json_object(), *purged = json_object();
    cm_json_set(reply, "purge_seq", json_null());
    cm_json_set(reply, "purged", purged);
    if (purge_each(req->server->store, asked, purged, &err) < 0) {
        json_decref(reply);
        rp_store_failed(req, &err);
    } else {
        rp_reply_durable(req, 201, reply);
    }
    cm_err_fini(&err);
}

/* ---- _compact ----------------------------------------------------------------------------- */

/* A page per loop turn, so that everybody else goes on. */
void rp_compact_turn(void *arg)
{
    struct rp_server *server = arg;
    struct cm_err err = CM_ERR_INIT;
    char next[CS_ID_MAX + 2];
    if (cs_compact(server->store, server->compact_from, COMPACT_PAGE, next, &err) < 0) {
        cm_log_err(CM_LOG_ERROR, "replicator", &err);
        next[0] = '\0';
    }
    cm_err_fini(&err);
    memcpy(server->compact_from, next, sizeof(next));
    server->compacting = next[0] != '\0';
    if (server->compacting)
        cm_timer_start(server->compact, 0);
}

void rp_serve_compact(struct rp_req *req)
{
    struct rp_server *server = req->server;
    if (!lab_only(req))
        return;
    if (!server->compacting) {
        server->compacting = true;
        server->compact_from[0] = '\0';
        cm_timer_start(server->compact, 0);
    }
    reply_ok(req, 202);
}
