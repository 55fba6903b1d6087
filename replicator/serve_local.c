/*
 * `_local/` documents: checkpoints of replication clients, not replicated, revision "0-K".
 *
 * Each peer of a fleet has a room of its own ("peer/ID"), so that none can move another one's
 * checkpoint; our own client's checkpoints (plain ids) are out of reach for all.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "replicator/members.h"
#include "replicator/serve.h"

#define TABLE   "local"
#define LOCAL_K INT64_C(1000000000000000) /* highest K */

static int64_t local_number(const json_t *doc)
{
    const char *rev = cm_json_str(doc, "_rev");
    int64_t k = 0;
    if (!rev || strncmp(rev, "0-", 2) != 0 || cm_num_i64(rev + 2, 0, LOCAL_K, &k) < 0)
        return 0;
    return k;
}

static int count_one(void *arg, const char *key, const json_t *value)
{
    (void)key;
    (void)value;
    return ++*(int *)arg >= RP_LOCALS_MAX ? 1 : 0;
}

static bool room_left(struct rp_req *req)
{
    int count = 0;
    CM_AUTO_STR prefix = cm_asprintf("%s/", req->peer);
    cs_kv_each(req->server->store, TABLE, prefix, count_one, &count);
    return count < RP_LOCALS_MAX;
}

static void reply_written(struct rp_req *req, int status, const char *rev)
{
    CM_AUTO_STR id = cm_asprintf("_local/%s", req->route.name);
    json_t *body = json_object();
    cm_json_set_bool(body, "ok", true);
    cm_json_set_str(body, "id", id);
    cm_json_set_str(body, "rev", rev);
    rp_reply_durable(req, status, body);
}

static void serve_get(struct rp_req *req, const char *key)
{
    json_t *doc = cs_kv_get(req->server->store, TABLE, key);
    if (!doc) {
        rp_not_found(req, "missing");
        return;
    }
    CM_AUTO_STR id = cm_asprintf("_local/%s", req->route.name);
    cm_json_set_str(doc, "_id", id);
    rp_reply(req, 200, doc);
}

static void remove_local(struct rp_req *req, const char *key, bool known)
{
    struct cm_err err = CM_ERR_INIT;
    if (!known)
        rp_not_found(req, "missing");
    else if (cs_kv_del(req->server->store, TABLE, key, &err) < 0)
        rp_store_failed(req, &err);
    else
        reply_written(req, 200, "0-0");
    cm_err_fini(&err);
}

/* As in CouchDB the revision that the client names is not compared with the present one, and
 * counted on from: clients go on from what they have read. */
static void serve_put(struct rp_req *req, const char *key, const json_t *old)
{
    bool lab = req->server->lab;
    if (!lab && req->http->body_len > RP_LOCAL_SIZE) {
        rp_error(req, 413, "document_too_large", req->route.name);
        return;
    }
    if (!lab && !old && !room_left(req)) {
        rp_error(req, 403, "forbidden", "too many _local documents: delete some of them");
        return;
    }
    CM_AUTO_JSON doc = rp_doc_body(req);
    struct rp_wrong wrong;
    if (!doc)
        return;
    if (rp_members_wrong(doc, true, &wrong)) {
        rp_error(req, wrong.status, wrong.error, wrong.reason);
        return;
    }
    if (!rp_take_rev(req, doc))
        return;
    if (cm_json_bool(doc, "_deleted", false)) {
        remove_local(req, key, true); /* of none, too, as in CouchDB */
        return;
    }
    struct cm_err err = CM_ERR_INIT;
    char rev[32];
    snprintf(rev, sizeof(rev), "0-%lld", (long long)local_number(doc) + 1);
    cm_json_set(doc, "_id", NULL);
    cm_json_set_str(doc, "_rev", rev);
    int rc = cs_kv_put(req->server->store, TABLE, key, doc, &err);
    if (rc == CM_ELIMIT)
        rp_error(req, 413, "document_too_large", req->route.name);
    else if (rc < 0)
        rp_store_failed(req, &err);
    else
        reply_written(req, 201, rev);
    cm_err_fini(&err);
}

void rp_serve_local(struct rp_req *req)
{
    CM_AUTO_STR key = req->server->lab ? cm_strdup(req->route.name)
                                       : cm_asprintf("%s/%s", req->peer, req->route.name);
    if (strlen(key) > CS_KV_KEY_MAX || req->route.name[0] == '\0') {
        rp_bad_request(req, RP_NO_LOCAL);
        return;
    }
    CM_AUTO_JSON old = cs_kv_get(req->server->store, TABLE, key);
    switch (req->http->head.method) {
    case HTTP_GET:
    case HTTP_HEAD:
        serve_get(req, key);
        break;
    case HTTP_PUT:
        serve_put(req, key, old);
        break;
    case HTTP_DELETE:
        remove_local(req, key, old != NULL);
        break;
    default:
        rp_method_not_allowed(req, "DELETE,GET,HEAD,PUT");
        break;
    }
}
