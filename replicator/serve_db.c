/* Server and database information. */
#include "base/core/bytes.h"
#include "base/core/json.h"
#include "replicator/seq.h"
#include "replicator/serve.h"

#define PROFILE_VERSION "3.5.0" /* of CouchDB's protocol that clients may expect */
#define DISK_FORMAT     8
#define UUID_BYTES      16
#define UUIDS_MAX       1000

void rp_serve_root(struct rp_req *req)
{
    json_t *body = json_object();
    json_t *vendor = json_object();
    cm_json_set_str(body, "couchdb", "Welcome");
    cm_json_set_str(body, "version", PROFILE_VERSION);
    cm_json_set_str(body, "uuid", cs_uuid(req->server->store));
    cm_json_set_str(vendor, "name", "CertMgr");
    cm_json_set(body, "vendor", vendor);
    rp_reply(req, 200, body);
}

void rp_serve_up(struct rp_req *req)
{
    json_t *body = json_object();
    cm_json_set_str(body, "status", "ok");
    rp_reply(req, 200, body);
}

void rp_serve_all_dbs(struct rp_req *req)
{
    json_t *list = json_array();
    json_array_append_new(list, json_string(req->server->db));
    rp_reply(req, 200, list);
}

json_t *rp_make_uuids(const struct rp_route *route, const char **ret_why)
{
    const char *text = rp_query(route, "count");
    int64_t count = 1;
    if (text && !rp_count(text, &count)) {
        *ret_why = "count must be a non-negative integer";
        return NULL;
    }
    if (count > UUIDS_MAX) {
        *ret_why = "count parameter too large";
        return NULL;
    }
    json_t *body = json_object(), *list = json_array();
    for (int64_t i = 0; i < count; i++) {
        uint8_t bytes[UUID_BYTES];
        char uuid[2 * UUID_BYTES + 1];
        cm_random(bytes, sizeof(bytes));
        cm_hex(bytes, sizeof(bytes), uuid);
        json_array_append_new(list, json_string(uuid));
    }
    cm_json_set(body, "uuids", list);
    return body;
}

void rp_serve_uuids(struct rp_req *req)
{
    const char *why = NULL;
    json_t *body = rp_make_uuids(&req->route, &why);
    if (body)
        rp_reply(req, 200, body);
    else
        rp_bad_request(req, why);
}

void rp_serve_db(struct rp_req *req)
{
    struct cs_store *store = req->server->store;
    char seq[RP_SEQ_TEXT];
    rp_seq_format(cs_seq(store), cs_epoch(store), seq);
    json_t *body = json_object();
    json_t *sizes = json_object();
    cm_json_set_str(body, "db_name", req->server->db);
    cm_json_set_str(body, "update_seq", seq);
    cm_json_set_str(body, "instance_start_time", "0");
    cm_json_set_int(body, "doc_count", cs_doc_count(store));
    cm_json_set_int(body, "doc_del_count", cs_deleted_count(store));
    cm_json_set_int(body, "purge_seq", rp_purge_seq(store));
    cm_json_set_bool(body, "compact_running", req->server->compacting);
    cm_json_set_int(body, "disk_format_version", DISK_FORMAT);
    cm_json_set_int(sizes, "file", 0);
    cm_json_set_int(sizes, "external", 0);
    cm_json_set_int(sizes, "active", 0);
    cm_json_set(body, "sizes", sizes);
    if (rp_wants_back(req))
        cm_json_set_bool(body, "give_back", true);
    rp_reply(req, 200, body);
}

/* Every write is answered after its commit, so this only waits for the batch that is open. */
void rp_serve_full_commit(struct rp_req *req)
{
    json_t *body = json_object();
    cm_json_set_bool(body, "ok", true);
    cm_json_set_str(body, "instance_start_time", "0");
    rp_reply_durable(req, 201, body);
}

/* ---- after a restore ---------------------------------------------------------------------- */

bool rp_wants_back(const struct rp_req *req)
{
    const struct rp_server *server = req->server;
    return !server->lab && server->wants_back && server->wants_back(server->arg, req->peer);
}

void rp_serve_gave_back(struct rp_req *req)
{
    json_t *body = json_object();
    cm_json_set_bool(body, "ok", true);
    if (rp_wants_back(req) && req->server->gave_back)
        req->server->gave_back(req->server->arg, req->peer);
    rp_reply_durable(req, 201, body);
}

void rp_serve_take_back(struct rp_req *req)
{
    const struct rp_server *server = req->server;
    json_t *body = json_object();
    cm_json_set_bool(body, "ok", true);
    if (!server->lab && server->take_back)
        server->take_back(server->arg, req->peer);
    rp_reply_durable(req, 201, body);
}
