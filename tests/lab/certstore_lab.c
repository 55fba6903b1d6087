/*
 * certstore-lab: the replication engine with any number of databases over plain HTTP on loopback,
 * without policy and signatures, so that CouchDB's own tools and suites can judge it.
 *
 *   certstore-lab --listen 127.0.0.1:PORT --dir DIR
 *
 * Prints "listening on http://ADDRESS" once it serves (port 0 = any).  POST /_lab/replicate
 * {"source": URL or database, "target": database or URL} starts our own replicator; GET shows it.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "replicator/serve.h"
#include "tests/lab/lab_db.h"

#define UUID_BYTES       16
#define REPLICATIONS_MAX 64
#define CONNECTIONS_MAX  2000
#define URL_MAX          8192

struct replication {
    struct rp_client *client;
    char *source, *target;
    struct lab_db *db;
};

struct lab {
    struct cm_loop *loop;
    struct lab_dbs dbs;
    struct http_client *http;
    char uuid[2 * UUID_BYTES + 1];
    struct replication replication[REPLICATIONS_MAX];
    size_t replications;
};

/* ---- answers ------------------------------------------------------------------------------ */

static void reply(struct http_exchange *ex, int status, json_t *take)
{
    CM_AUTO_JSON body = take;
    size_t len = 0;
    CM_AUTO_STR text = cm_json_dump(body, &len);
    CM_AUTO_STR line = cm_asprintf("%s\n", text);
    http_ex_header(ex, "Cache-Control", "must-revalidate");
    http_ex_reply(ex, status, "application/json", line, len + 1);
}

static void reply_error(struct http_exchange *ex, int status, const char *error, const char *reason)
{
    json_t *body = json_object();
    cm_json_set_str(body, "error", error);
    cm_json_set_str(body, "reason", reason);
    reply(ex, status, body);
}

static void reply_ok(struct http_exchange *ex, int status)
{
    json_t *body = json_object();
    cm_json_set_bool(body, "ok", true);
    reply(ex, status, body);
}

static void new_uuid(char out[2 * UUID_BYTES + 1])
{
    uint8_t bytes[UUID_BYTES];
    cm_random(bytes, sizeof(bytes));
    cm_hex(bytes, sizeof(bytes), out);
}

/* ---- server-wide routes ------------------------------------------------------------------- */

static void serve_root(struct lab *lab, struct http_exchange *ex)
{
    json_t *body = json_object(), *vendor = json_object();
    cm_json_set_str(body, "couchdb", "Welcome");
    cm_json_set_str(body, "version", "3.5.0");
    cm_json_set_str(body, "uuid", lab->uuid);
    cm_json_set_str(vendor, "name", "certstore-lab");
    cm_json_set(body, "vendor", vendor);
    cm_json_set(body, "features", json_array());
    reply(ex, 200, body);
}

static void serve_all_dbs(struct lab *lab, struct http_exchange *ex)
{
    json_t *list = json_array();
    for (const struct lab_db *db = lab->dbs.first; db; db = db->next) {
        size_t at = 0;
        while (at < json_array_size(list) &&
               strcmp(json_string_value(json_array_get(list, at)), db->name) < 0)
            at++;
        json_array_insert_new(list, at, json_string(db->name));
    }
    reply(ex, 200, list);
}

static void serve_up(struct http_exchange *ex)
{
    json_t *body = json_object();
    cm_json_set_str(body, "status", "ok");
    reply(ex, 200, body);
}

static void serve_uuids(const struct rp_route *route, struct http_exchange *ex)
{
    const char *why = NULL;
    json_t *body = rp_make_uuids(route, &why);
    if (body)
        reply(ex, 200, body);
    else
        reply_error(ex, 400, "bad_request", why);
}

/* ---- our own replicator, for tests -------------------------------------------------------- */

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0;
}

static void start_replication(struct lab *lab, struct http_exchange *ex, const char *source,
                              const char *target)
{
    bool pull = is_url(source);
    struct lab_db *db = lab_db_find(&lab->dbs, pull ? target : source);
    if (!db || is_url(source) == is_url(target) || lab->replications == REPLICATIONS_MAX) {
        reply_error(ex, 400, "bad_request", "one of source and target is a URL, one a database");
        return;
    }
    struct replication *r = &lab->replication[lab->replications];
    const struct rp_client_opts opts = {.loop = lab->loop,
                                        .store = db->store,
                                        .http = lab->http,
                                        .url = pull ? source : target,
                                        .allow_http = true,
                                        .lab = true,
                                        .pull_only = pull,
                                        .push_only = !pull};
    struct cm_err err = CM_ERR_INIT;
    if (rp_client_new(&opts, &r->client, &err) < 0) {
        reply_error(ex, 400, "bad_request", err.what);
    } else {
        r->db = db;
        r->source = cm_strdup(source);
        r->target = cm_strdup(target);
        lab->replications++;
        reply_ok(ex, 201);
    }
    cm_err_fini(&err);
}

/* Ends the replications of a database whose store is closed. */
static void stop_replications(struct lab *lab, const struct lab_db *db)
{
    for (size_t i = 0; i < lab->replications;) {
        struct replication *r = &lab->replication[i];
        if (db && r->db != db) {
            i++;
            continue;
        }
        rp_client_free(r->client);
        cm_free(r->source);
        cm_free(r->target);
        *r = lab->replication[--lab->replications];
    }
}

static void serve_replicate(struct lab *lab, struct http_exchange *ex)
{
    const struct http_request *req = http_ex_request(ex);
    CM_AUTO_JSON body = NULL;
    if (req->head.method == HTTP_GET) {
        json_t *list = json_array();
        for (size_t i = 0; i < lab->replications; i++) {
            json_t *row = rp_client_status(lab->replication[i].client);
            cm_json_set_str(row, "source", lab->replication[i].source);
            cm_json_set_str(row, "target", lab->replication[i].target);
            json_array_append_new(list, row);
        }
        reply(ex, 200, list);
        return;
    }
    if (cm_json_parse(req->body, req->body_len, &body, NULL) < 0 || !cm_json_str(body, "source") ||
        !cm_json_str(body, "target")) {
        reply_error(ex, 400, "bad_request", "source and target are needed");
        return;
    }
    start_replication(lab, ex, cm_json_str(body, "source"), cm_json_str(body, "target"));
}

/* ---- databases ---------------------------------------------------------------------------- */

static void reply_made(struct http_exchange *ex, const char *name)
{
    const char *host = http_head_field(&http_ex_request(ex)->head, "host");
    struct cm_buf url;
    cm_buf_init(&url, URL_MAX);
    cm_buf_printf(&url, "http://%s/", host ? host : "");
    url_encode(&url, name);
    if (host && !url.failed)
        http_ex_header(ex, "Location", cm_buf_str(&url));
    cm_buf_fini(&url);
    reply_ok(ex, 201);
}

static void create_db(struct lab *lab, struct http_exchange *ex, const char *name)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR illegal = cm_asprintf(
        "Name: '%s'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, "
        "$, (, ), +, -, and / are allowed. Must begin with a letter.",
        name);
    if (strlen(name) > LAB_NAME_MAX)
        reply_error(ex, 400, "database_name_too_long", "The database's name is too long.");
    else if (!lab_name_ok(name))
        reply_error(ex, 400, "illegal_database_name", illegal);
    else if (lab_db_find(&lab->dbs, name))
        reply_error(ex, 412, "file_exists",
                    "The database could not be created, the file already exists.");
    else if (lab_db_create(&lab->dbs, name, &err) < 0)
        reply_error(ex, 500, "internal_server_error", err.what);
    else
        reply_made(ex, name);
    cm_err_fini(&err);
}

static void serve_db(struct lab *lab, struct http_exchange *ex, const struct rp_route *route)
{
    enum http_method method = http_ex_request(ex)->head.method;
    struct lab_db *db = lab_db_find(&lab->dbs, route->db);
    if (route->place == RP_AT_DB && method == HTTP_PUT) {
        create_db(lab, ex, route->db);
    } else if (!db) {
        reply_error(ex, 404, "not_found", "Database does not exist.");
    } else if (route->place == RP_AT_DB && method == HTTP_DELETE && rp_query(route, "rev")) {
        /* A script whose document id came out empty. */
        reply_error(ex, 400, "bad_request",
                    "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE "
                    "a document instead?");
    } else if (route->place == RP_AT_DB && method == HTTP_DELETE) {
        lab_db_close_store(db); /* before its listeners go */
        stop_replications(lab, db);
        lab_db_delete(&lab->dbs, db);
        reply_ok(ex, 200);
    } else {
        rp_server_handle(db->server, ex);
    }
}

/* What is read only; false: it is something else. */
static bool serve_wide(struct lab *lab, struct http_exchange *ex, const struct rp_route *route)
{
    enum http_method method = http_ex_request(ex)->head.method;
    bool root = route->place == RP_AT_ROOT, wide = route->place == RP_AT_DB;
    bool up = wide && strcmp(route->db, "_up") == 0;
    bool all_dbs = wide && strcmp(route->db, "_all_dbs") == 0;
    bool uuids = wide && strcmp(route->db, "_uuids") == 0;
    if (!root && !up && !all_dbs && !uuids)
        return false;
    if (method != HTTP_GET && method != HTTP_HEAD) {
        http_ex_header(ex, "Allow", "GET,HEAD");
        reply_error(ex, 405, "method_not_allowed", "Only GET,HEAD allowed");
    } else if (root) {
        serve_root(lab, ex);
    } else if (up) {
        serve_up(ex);
    } else if (all_dbs) {
        serve_all_dbs(lab, ex);
    } else {
        serve_uuids(route, ex);
    }
    return true;
}

static void handle(void *arg, struct http_exchange *ex)
{
    struct lab *lab = arg;
    struct rp_route route;
    struct cm_err err = CM_ERR_INIT;
    if (rp_route_parse(http_ex_request(ex)->head.target, &route, &err) < 0) {
        reply_error(ex, 400, "bad_request", err.what);
    } else if (strcmp(route.db, "_lab") == 0 && strcmp(route.name, "replicate") == 0) {
        serve_replicate(lab, ex);
    } else if (!serve_wide(lab, ex, &route)) {
        serve_db(lab, ex, &route);
    }
    rp_route_fini(&route);
    cm_err_fini(&err);
}

static int64_t limit(void *arg, const struct http_request *req)
{
    (void)arg;
    (void)req;
    return RP_BODY_MAX;
}

/* ---- program ------------------------------------------------------------------------------ */

/* The server's id must be stable for ever: clients name their checkpoints after it. */
static int load_uuid(struct lab *lab, const char *dir, struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/uuid", dir);
    CM_AUTO_STR text = NULL;
    size_t len = 0;
    if (cm_path_exists(path)) {
        int rc = cm_file_read(path, sizeof(lab->uuid), &text, &len, err);
        return rc < 0 ? rc : cm_strcpy(lab->uuid, sizeof(lab->uuid), text);
    }
    new_uuid(lab->uuid);
    return cm_file_write(path, lab->uuid, strlen(lab->uuid), 0600, err);
}

static void on_term(void *arg)
{
    cm_loop_stop(arg);
}

static int run(const char *address, const char *dir, struct cm_err *err)
{
    struct lab lab = {.loop = cm_loop_new()};
    struct http_listener *listener = NULL;
    const struct http_listen_opts opts = {.address = address,
                                          .fd = -1,
                                          .limit = limit,
                                          .handler = handle,
                                          .too_large = rp_server_too_large,
                                          .arg = &lab,
                                          .conns_max = CONNECTIONS_MAX,
                                          .conns_per_addr = CONNECTIONS_MAX};
    int rc = lab_dbs_open(&lab.dbs, lab.loop, dir, err);
    if (rc == 0)
        rc = load_uuid(&lab, dir, err);
    lab.http = http_client_new(lab.loop);
    if (rc == 0)
        rc = http_listen(lab.loop, &opts, &listener, err);
    if (rc == 0) {
        printf("listening on http://%s\n", http_listener_address(listener));
        fflush(stdout);
        cm_loop_on_term(lab.loop, on_term, lab.loop);
        cm_loop_run(lab.loop);
        http_listener_free(listener);
    }
    for (struct lab_db *db = lab.dbs.first; db; db = db->next)
        lab_db_close_store(db);
    stop_replications(&lab, NULL);
    lab_dbs_close(&lab.dbs);
    http_client_free(lab.http);
    cm_loop_free(lab.loop);
    return rc;
}

int main(int argc, char **argv)
{
    const char *address = NULL, *dir = NULL;
    struct cm_err err = CM_ERR_INIT;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--listen") == 0)
            address = argv[i + 1];
        else if (strcmp(argv[i], "--dir") == 0)
            dir = argv[i + 1];
    }
    if (argc != 5 || !address || !dir || strncmp(address, "127.", 4) != 0) {
        fprintf(stderr, "usage: certstore-lab --listen 127.0.0.1:PORT --dir DIR\n");
        return 2;
    }
    cm_log_init("lab", CM_LOG_INFO);
    int rc = run(address, dir, &err);
    if (rc < 0)
        cm_log_err(CM_LOG_ERROR, "lab", &err);
    cm_err_fini(&err);
    return rc < 0 ? 1 : 0;
}
