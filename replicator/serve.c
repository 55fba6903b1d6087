/*
 * The replication server: routes, peers, limits.
 */
#include <string.h>
#include <strings.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "replicator/policy.h"
#include "replicator/seq.h"
#include "replicator/serve.h"

#define ALLOW_GET "GET,HEAD"

/* ---- life --------------------------------------------------------------------------------- */

static void on_change(void *arg, const char *id)
{
    (void)id;
    rp_stream_wake_all(arg);
}

struct rp_server *rp_server_new(const struct rp_server_opts *opts)
{
    struct rp_server *server = cm_calloc(1, sizeof(*server));
    server->loop = opts->loop;
    server->store = opts->store;
    server->db = cm_strdup(opts->db);
    server->lab = opts->lab;
    server->peer = opts->peer;
    server->arg = opts->arg;
    server->prove = opts->prove;
    server->prove_arg = opts->prove_arg;
    server->wants_back = opts->wants_back;
    server->gave_back = opts->gave_back;
    server->take_back = opts->take_back;
    server->brought = opts->brought;
    server->seen = json_object();
    server->kick = cm_timer_new(opts->loop, rp_stream_on_kick, server);
    server->beat = cm_timer_new(opts->loop, rp_stream_on_beat, server);
    server->compact = cm_timer_new(opts->loop, rp_compact_turn, server);
    cs_listen(opts->store, on_change, server);
    return server;
}

void rp_server_free(struct rp_server *server)
{
    if (!server)
        return;
    rp_stream_end_all(server);
    cm_timer_free(server->kick);
    cm_timer_free(server->beat);
    cm_timer_free(server->compact);
    json_decref(server->seen);
    cm_free(server->db);
    cm_free(server);
}

/* ---- peers -------------------------------------------------------------------------------- */

bool rp_readable(const struct rp_server *server, bool manager, const char *id)
{
    if (strlen(id) > CS_ID_MAX)
        return false;
    return server->lab || rp_may_read(manager, id);
}

static bool find_peer(const struct rp_server *server, const struct http_request *http, char *name,
                      bool *manager)
{
    struct rp_peer peer = {0};
    if (server->lab) {
        name[0] = '\0';
        *manager = true;
        return true;
    }
    if (!server->peer || !server->peer(server->arg, http, &peer) || !peer.name ||
        cm_strcpy(name, RP_PEER_NAME_MAX + 1, peer.name) < 0)
        return false;
    *manager = peer.manager;
    return true;
}

bool rp_still_peer(struct rp_server *server, struct http_exchange *ex)
{
    char name[RP_PEER_NAME_MAX + 1];
    bool manager;
    return find_peer(server, http_ex_request(ex), name, &manager);
}

void rp_seen(struct rp_server *server, const char *peer, const char *since)
{
    if (peer[0] == '\0')
        return;
    json_t *entry = json_object_get(server->seen, peer);
    if (!entry) {
        if (json_object_size(server->seen) >= RP_SEEN_MAX)
            return;
        entry = json_object();
        json_object_set_new(server->seen, peer, entry);
    }
    cm_json_set_int(entry, "at", cm_boot_ms());
    if (since && strlen(since) < RP_SEQ_TEXT) /* ours; a longer one is nobody's */
        cm_json_set_str(entry, "since", since);
}

json_t *rp_server_peers(struct rp_server *server)
{
    json_t *list = json_array();
    CM_AUTO_JSON feeds = json_object();
    for (const struct rp_stream *s = server->streams; s; s = s->next) {
        char name[RP_PEER_NAME_MAX + 1];
        bool manager;
        if (s->parked && find_peer(server, http_ex_request(s->ex), name, &manager))
            cm_json_set_bool(feeds, name, true);
    }
    const char *name;
    json_t *entry;
    json_object_foreach(server->seen, name, entry)
    {
        json_t *row = json_object();
        cm_json_set_str(row, "peer", name);
        cm_json_set_str(row, "since", cm_json_str(entry, "since"));
        bool parked = cm_json_bool(feeds, name, false);
        cm_json_set_bool(row, "feed", parked);
        int64_t newest = cs_seq(server->store), since = 0;
        if (parked) /* it waits for the next change */
            cm_json_set_int(row, "lag_documents", 0);
        else if (cm_json_str(entry, "since") &&
                 rp_seq_parse(cm_json_str(entry, "since"), cs_epoch(server->store), newest,
                              &since) == 0)
            cm_json_set_int(row, "lag_documents", newest > since ? newest - since : 0);
        int64_t ago = cm_boot_ms() - cm_json_int(entry, "at", 0);
        cm_json_set_int(row, "lag_seconds", parked ? 0 : ago / 1000);
        cm_json_set_time(row, "last_seen_at", cm_now_ms() - ago);
        json_array_append_new(list, row);
    }
    return list;
}

/* ---- routes ------------------------------------------------------------------------------- */

int64_t rp_server_limit(void *arg, const struct http_request *http)
{
    const struct rp_server *server = arg;
    char name[RP_PEER_NAME_MAX + 1];
    bool manager;
    if (http->head.content_length == 0)
        return 0;
    return find_peer(server, http, name, &manager) ? (int64_t)RP_BODY_MAX : -401;
}

void rp_server_too_large(void *arg, struct http_exchange *ex)
{
    struct rp_req req = {.ex = ex, .http = http_ex_request(ex)};
    (void)arg;
    rp_error(&req, 413, "too_large", "the request entity is too large");
}

enum { GET = 1, POST = 2, PUT = 4 };

struct verb {
    const char *name;
    int methods;
    const char *allow;
    void (*serve)(struct rp_req *req);
};

static const struct verb verbs[] = {
    {"_changes", GET | POST, "GET,HEAD,POST", rp_serve_changes},
    {"_revs_diff", POST, "POST", rp_serve_revs_diff},
    {"_missing_revs", POST, "POST", rp_serve_missing_revs},
    {"_bulk_get", POST, "POST", rp_serve_bulk_get},
    {"_bulk_docs", POST, "POST", rp_serve_bulk_docs},
    {"_ensure_full_commit", POST, "POST", rp_serve_full_commit},
    {"_gave_back", POST, "POST", rp_serve_gave_back},
    {"_take_back", POST, "POST", rp_serve_take_back},
    {"_all_docs", GET | POST, "GET,HEAD,POST", rp_serve_all_docs},
    {"_revs_limit", GET | PUT, "GET,HEAD,PUT", rp_serve_revs_limit},
    {"_security", GET | PUT, "GET,HEAD,PUT", rp_serve_security},
    {"_purge", POST, "POST", rp_serve_purge},
    {"_compact", POST, "POST", rp_serve_compact},
};

static bool is_read(const struct rp_req *req)
{
    return req->http->head.method == HTTP_GET || req->http->head.method == HTTP_HEAD;
}

/* Media types are case-insensitive (RFC 9110 8.3.1). */
static bool starts(const char *type, const char *prefix)
{
    return type && strncasecmp(type, prefix, strlen(prefix)) == 0;
}

/* Is what is posted JSON, with whatever parameters, or nothing at all?  False when answered. */
static bool is_json(struct rp_req *req)
{
    const char *type = http_head_field(&req->http->head, "content-type");
    if (req->http->body_len == 0 ||
        (starts(type, RP_JSON) && strchr("; \t", type[strlen(RP_JSON)])))
        return true;
    rp_error(req, 415, "bad_content_type", "Content-Type must be application/json");
    return false;
}

static int method_bit(const struct rp_req *req)
{
    switch (req->http->head.method) {
    case HTTP_GET:
    case HTTP_HEAD:
        return GET;
    case HTTP_POST:
        return POST;
    case HTTP_PUT:
        return PUT;
    default:
        return 0;
    }
}

/* Bodies are taken as they are: no decoder, and nothing that would unpack to a thousand times its
 * size.  False when answered. */
static bool is_not_encoded(struct rp_req *req)
{
    const char *coding = http_head_field(&req->http->head, "content-encoding");
    if (req->http->body_len == 0 || !coding || strcasecmp(coding, "identity") == 0)
        return true;
    rp_error(req, 415, "bad_content_type",
             "this is not a supported content encoding: send the body without one");
    return false;
}

static void serve_verb(struct rp_req *req)
{
    int method = method_bit(req);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        const struct verb *verb = &verbs[i];
        if (strcmp(verb->name, req->route.name) != 0)
            continue;
        if ((verb->methods & method) == 0)
            rp_method_not_allowed(req, verb->allow);
        else if (method != POST || is_json(req))
            verb->serve(req);
        return;
    }
    if (strcmp(req->route.name, "_local") == 0)
        rp_bad_request(req, RP_NO_LOCAL);
    else if (method == PUT)
        rp_error(req, 400, "illegal_docid",
                 "Only reserved document ids may start with underscore.");
    else if (is_read(req))
        rp_serve_doc(req); /* there is none */
    else
        rp_not_found(req, "missing");
}

/* Attachments are no part of the profile: 415 makes CouchDB's replicator skip the document and go
 * on, while a 400 would end its job (reference/replication.md 2.3). */
static bool is_multipart(const struct rp_req *req)
{
    return starts(http_head_field(&req->http->head, "content-type"), "multipart/");
}

static void no_attachments(struct rp_req *req)
{
    rp_error(req, 415, "bad_content_type", "Attachments are not supported");
}

/* What lies below a document, or below something that is none. */
static void serve_below(struct rp_req *req)
{
    const char *name = req->route.name;
    if (req->route.place == RP_AT_BELOW_LOCAL)
        rp_bad_request(req, "_local documents do not accept attachments.");
    else if (name[0] == '_' && strncmp(name, "_design/", 8) != 0)
        rp_not_found(req, "missing");
    else if (!is_read(req))
        no_attachments(req);
    else if (rp_doc_lives(req))
        rp_not_found(req, "Document is missing attachment");
}

static void serve_doc_route(struct rp_req *req)
{
    enum http_method method = req->http->head.method;
    if (is_read(req))
        rp_serve_doc(req);
    else if (method == HTTP_PUT && is_multipart(req))
        no_attachments(req);
    else if (req->server->lab && (method == HTTP_PUT || method == HTTP_DELETE))
        rp_serve_edit(req);
    else if (method == HTTP_PUT || method == HTTP_DELETE)
        rp_error(req, 403, "forbidden",
                 "documents are signed: they are written by certmgr, not edited here");
    else
        rp_method_not_allowed(req, "DELETE,GET,HEAD,PUT");
}

/* What belongs to the server and not to its database. */
static void serve_wide(struct rp_req *req)
{
    static const struct {
        const char *name;
        void (*serve)(struct rp_req *req);
    } wide[] = {{"_up", rp_serve_up}, {"_all_dbs", rp_serve_all_dbs}, {"_uuids", rp_serve_uuids}};
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        if (req->route.place != RP_AT_DB || strcmp(wide[i].name, req->route.db) != 0)
            continue;
        if (is_read(req))
            wide[i].serve(req);
        else
            rp_method_not_allowed(req, ALLOW_GET);
        return;
    }
    rp_not_found(req, "Database does not exist.");
}

static void serve_route(struct rp_req *req)
{
    enum http_method method = req->http->head.method;
    const struct rp_route *route = &req->route;
    if (route->place == RP_AT_ROOT) {
        if (is_read(req))
            rp_serve_root(req);
        else
            rp_method_not_allowed(req, ALLOW_GET);
        return;
    }
    if (strcmp(route->db, req->server->db) != 0) {
        serve_wide(req);
        return;
    }
    switch (route->place) {
    case RP_AT_DB:
        if (is_read(req)) {
            rp_serve_db(req);
        } else if (method == HTTP_POST && req->server->lab) {
            if (is_json(req))
                rp_serve_new_doc(req);
        } else {
            rp_method_not_allowed(req, req->server->lab ? "DELETE,GET,HEAD,POST" : ALLOW_GET);
        }
        break;
    case RP_AT_VERB:
        serve_verb(req);
        break;
    case RP_AT_LOCAL:
        if (method == HTTP_PUT && is_multipart(req))
            no_attachments(req);
        else
            rp_serve_local(req);
        break;
    case RP_AT_DOC:
        serve_doc_route(req);
        break;
    default:
        serve_below(req);
        break;
    }
}

static void refuse_stranger(struct rp_req *req)
{
    rp_error(req, 401, "unauthorized",
             "this fleet's trust root does not list your TLS key: ask its manager to add you");
}

bool rp_resume(struct rp_server *server, struct http_exchange *ex, struct rp_req *ret)
{
    *ret = (struct rp_req){.server = server, .ex = ex, .http = http_ex_request(ex)};
    if (find_peer(server, ret->http, ret->peer, &ret->manager))
        return true;
    refuse_stranger(ret);
    return false;
}

void rp_server_handle(void *arg, struct http_exchange *ex)
{
    struct rp_req req = {.server = arg, .ex = ex, .http = http_ex_request(ex)};
    struct cm_err err = CM_ERR_INIT;
    if (rp_route_parse(req.http->head.target, &req.route, &err) < 0) {
        rp_bad_request(&req, err.what);
    } else if (!find_peer(req.server, req.http, req.peer, &req.manager)) {
        refuse_stranger(&req);
    } else if (is_not_encoded(&req)) {
        rp_seen(req.server, req.peer, NULL);
        serve_route(&req);
    }
    rp_route_fini(&req.route);
    cm_err_fini(&err);
}
