/* Server and database information. */
#include "base/core/json.h"
#include "replicator/seq.h"
#include "replicator/serve.h"

#define PROFILE_VERSION "3.5.0" /* of CouchDB's protocol that clients may expect */
#define DISK_FORMAT     8

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
    cm_json_set_int(body, "purge_seq", 0);
    cm_json_set_bool(body, "compact_running", false);
    cm_json_set_int(body, "disk_format_version", DISK_FORMAT);
    cm_json_set_int(sizes, "file", 0);
    cm_json_set_int(sizes, "external", 0);
    cm_json_set_int(sizes, "active", 0);
    cm_json_set(body, "sizes", sizes);
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
