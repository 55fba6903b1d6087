/* Reading one document: GET /db/ID with rev, revs, open_revs, latest, conflicts, revs_info.  What
 * goes with what is CouchDB 3's (chttpd_db, fabric_doc_open_revs). */
#include <stdlib.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/etag.h"
#include "certstore/rev.h"
#include "replicator/serve.h"

#define OPEN_REVS_MAX 1000

/* Is rev on the path of this leaf (`_revisions`)? */
static bool on_path(const json_t *leaf, const struct cs_rev *rev)
{
    const json_t *path = cm_json_obj(leaf, "_revisions");
    const json_t *ids = cm_json_arr(path, "ids");
    int64_t index = cm_json_int(path, "start", 0) - rev->gen;
    if (index < 0 || (size_t)index >= json_array_size(ids))
        return false;
    char id[CS_REV_MAX + 1];
    cs_rev_format_id(rev, id);
    const char *found = json_string_value(json_array_get(ids, (size_t)index));
    return found && strcmp(found, id) == 0;
}

/* Leaves at or below a revision as documents: *ret is an array (owned).  0, CM_ENOENT or the
 * store's failure. */
static int read_latest(struct cs_store *store, const char *id, const char *rev, bool revs,
                       json_t **ret)
{
    struct cs_rev wanted;
    json_t *leaf = NULL;
    *ret = NULL;
    int rc = cs_rev_parse(rev, &wanted) < 0 ? CM_ENOENT
                                            : cs_read_rev(store, id, rev, revs, true, &leaf, NULL);
    if (rc < 0)
        return rc;
    char text[CS_REV_MAX + 1];
    cs_rev_format(&wanted, text);
    CM_AUTO_JSON found = json_array();
    const char *leaf_rev = cm_json_str(leaf, "_rev");
    if (leaf_rev && strcmp(leaf_rev, text) == 0) {
        json_array_append_new(found, leaf);
        *ret = json_incref(found);
        return 0;
    }
    json_decref(leaf);
    CM_AUTO_JSON leaves = NULL;
    rc = cs_read_leaves(store, id, true, &leaves, NULL);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < json_array_size(leaves); i++) {
        json_t *doc = json_array_get(leaves, i);
        if (!on_path(doc, &wanted))
            continue;
        if (!revs)
            cm_json_set(doc, "_revisions", NULL);
        json_array_append(found, doc);
    }
    *ret = json_incref(found);
    return 0;
}

void rp_add_conflicts(struct cs_store *store, const char *id, json_t *doc, bool live, bool deleted)
{
    CM_AUTO_JSON leaves = NULL;
    if ((!live && !deleted) || cs_read_leaves(store, id, false, &leaves, NULL) < 0)
        return;
    if (!json_equal(json_object_get(json_array_get(leaves, 0), "_rev"),
                    json_object_get(doc, "_rev")))
        return; /* a leaf that lost, asked for by its revision: only the winner has conflicts */
    json_t *live_list = json_array(), *deleted_list = json_array();
    for (size_t i = 1; i < json_array_size(leaves); i++) {
        const json_t *leaf = json_array_get(leaves, i);
        json_array_append(cm_json_bool(leaf, "_deleted", false) ? deleted_list : live_list,
                          json_object_get(leaf, "_rev"));
    }
    if (live && json_array_size(live_list) > 0)
        json_object_set(doc, "_conflicts", live_list);
    if (deleted && json_array_size(deleted_list) > 0)
        json_object_set(doc, "_deleted_conflicts", deleted_list);
    json_decref(live_list);
    json_decref(deleted_list);
}

static void add_revs_info(struct cs_store *store, const char *id, json_t *doc)
{
    json_t *info = NULL;
    if (cs_revs_info(store, id, &info, NULL) == 0)
        cm_json_set(doc, "_revs_info", info);
}

static int take_seq(void *arg, const struct cs_change *change)
{
    *(int64_t *)arg = change->seq;
    return 1;
}

static void add_local_seq(struct cs_store *store, const char *id, json_t *doc)
{
    int64_t seq = 0;
    if (cs_docs(store, id, false, 1, take_seq, &seq, NULL) >= 0)
        cm_json_set_int(doc, "_local_seq", seq);
}

static void add_ok(json_t *list, json_t *doc)
{
    json_t *row = json_object();
    json_object_set(row, "ok", doc);
    json_array_append_new(list, row);
}

static void add_missing(json_t *list, const char *rev)
{
    json_t *row = json_object();
    cm_json_set_str(row, "missing", rev);
    json_array_append_new(list, row);
}

static void add_open_rev(struct rp_req *req, const char *rev, bool revs, bool latest, json_t *list)
{
    struct cs_store *store = req->server->store;
    const char *id = req->route.name;
    bool readable = rp_readable(req->server, req->manager, id);
    if (latest) {
        CM_AUTO_JSON leaves = NULL;
        if (readable)
            read_latest(store, id, rev, revs, &leaves);
        for (size_t i = 0; i < json_array_size(leaves); i++)
            add_ok(list, json_array_get(leaves, i));
        if (json_array_size(leaves) == 0)
            add_missing(list, rev);
        return;
    }
    CM_AUTO_JSON doc = NULL;
    if (readable && cs_read_rev(store, id, rev, revs, false, &doc, NULL) == 0)
        add_ok(list, doc);
    else
        add_missing(list, rev);
}

/* What was found before what was not, each by its revision: CouchDB's order. */
static int row_order(const void *a, const void *b)
{
    const json_t *row[] = {*(json_t *const *)a, *(json_t *const *)b};
    const char *text[2];
    struct cs_rev rev[2];
    int held[2];
    for (int i = 0; i < 2; i++) {
        const json_t *doc = cm_json_obj(row[i], "ok");
        text[i] = doc ? cm_json_str_or(doc, "_rev", "") : cm_json_str_or(row[i], "missing", "");
        held[i] = cs_rev_parse(text[i], &rev[i]) == 0;
        held[i] += doc != NULL;
    }
    if (held[0] != held[1])
        return held[1] - held[0];
    return held[0] ? cs_rev_cmp(&rev[0], &rev[1]) : strcmp(text[0], text[1]);
}

/* Answers with the rows of take_list in that order and none of them twice: the same leaf may lie
 * below several asked revisions. */
static void reply_open_revs(struct rp_req *req, json_t *take_list)
{
    CM_AUTO_JSON list = take_list;
    size_t count = json_array_size(list);
    json_t *sorted = json_array();
    const json_t **row = cm_calloc(count + 1, sizeof(json_t *));
    for (size_t i = 0; i < count; i++)
        row[i] = json_array_get(list, i);
    qsort(row, count, sizeof(json_t *), row_order);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || row_order(&row[i - 1], &row[i]) != 0)
            json_array_append(sorted, (json_t *)(uintptr_t)row[i]);
    cm_free(row);
    rp_reply(req, 200, sorted);
}

static void serve_all_leaves(struct rp_req *req)
{
    CM_AUTO_JSON leaves = NULL;
    const char *id = req->route.name;
    bool revs = rp_query_true(&req->route, "revs");
    if (!rp_readable(req->server, req->manager, id) ||
        cs_read_leaves(req->server->store, id, revs, &leaves, NULL) < 0) {
        rp_not_found(req, "missing");
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(leaves); i++)
        add_ok(list, json_array_get(leaves, i));
    reply_open_revs(req, list);
}

/* The revisions of open_revs=[…] (owned), or NULL when answered. */
static json_t *asked_revs(struct rp_req *req, const char *open_revs)
{
    CM_AUTO_JSON asked = NULL;
    if (cm_json_parse(open_revs, strlen(open_revs), &asked, NULL) < 0) {
        rp_bad_request(req, RP_NO_JSON);
        return NULL;
    }
    if (!json_is_array(asked) || json_array_size(asked) > OPEN_REVS_MAX) {
        rp_bad_request(req, "Invalid list of revisions");
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(asked); i++) {
        const char *rev = json_string_value(json_array_get(asked, i));
        if (!rev || !cs_rev_named(rev)) {
            rp_bad_request(req, "Invalid rev format");
            return NULL;
        }
    }
    return json_incref(asked);
}

static void serve_open_revs(struct rp_req *req, const json_t *asked)
{
    bool revs = rp_query_true(&req->route, "revs"), latest = rp_query_true(&req->route, "latest");
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(asked); i++)
        add_open_rev(req, json_string_value(json_array_get(asked, i)), revs, latest, list);
    reply_open_revs(req, list);
}

/* ---- one revision ------------------------------------------------------------------------- */

/* What the query adds beside the revision.  True when there is any of it: the answer is no function
 * of the revision alone, and has no ETag. */
static bool add_meta(struct rp_req *req, json_t *doc)
{
    static const char *const members[] = {"_revs_info", "_conflicts", "_deleted_conflicts",
                                          "_local_seq"};
    const struct rp_route *route = &req->route;
    struct cs_store *store = req->server->store;
    bool meta = rp_query_true(route, "meta"), any = false; /* the first three */
    if (meta || rp_query_true(route, "revs_info"))
        add_revs_info(store, route->name, doc);
    rp_add_conflicts(store, route->name, doc, meta || rp_query_true(route, "conflicts"),
                     meta || rp_query_true(route, "deleted_conflicts"));
    if (rp_query_true(route, "local_seq"))
        add_local_seq(store, route->name, doc);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        any = any || json_object_get(doc, members[i]);
    return any;
}

static bool not_modified(struct rp_req *req, const json_t *doc)
{
    CM_AUTO_STR tag = cm_asprintf("\"%s\"", cm_json_str_or(doc, "_rev", ""));
    http_ex_header(req->ex, "ETag", tag);
    const char *seen = http_head_field(&req->http->head, "if-none-match");
    return seen && http_etag_listed(seen, tag, true);
}

/* The winner, or the revision rev; NULL when answered. */
static json_t *read_doc(struct rp_req *req, const char *rev, bool revs, bool deleted)
{
    const char *id = req->route.name;
    CM_AUTO_JSON doc = NULL;
    struct cm_err err = CM_ERR_INIT;
    int rc = CM_ENOENT;
    if (rp_readable(req->server, req->manager, id))
        rc = cs_read_rev(req->server->store, id, rev, revs, false, &doc, &err);
    if (rc == CM_ENOENT)
        rp_not_found(req, "missing");
    else if (rc < 0)
        rp_store_failed(req, &err);
    cm_err_fini(&err);
    if (rc < 0)
        return NULL;
    if (!rev && !deleted && cm_json_bool(doc, "_deleted", false)) {
        rp_not_found(req, "deleted");
        return NULL;
    }
    return json_incref(doc);
}

bool rp_doc_lives(struct rp_req *req)
{
    CM_AUTO_JSON doc = read_doc(req, NULL, false, false);
    return doc != NULL;
}

void rp_serve_doc(struct rp_req *req)
{
    const struct rp_route *route = &req->route;
    const char *open_revs = rp_query(route, "open_revs"), *rev = rp_query(route, "rev");
    if (open_revs && strcmp(open_revs, "all") == 0) {
        serve_all_leaves(req);
        return;
    }
    CM_AUTO_JSON asked = open_revs ? asked_revs(req, open_revs) : NULL;
    if (open_revs && !asked)
        return;
    if (json_array_size(asked) > 0) { /* an empty list asks for the document, as in CouchDB */
        serve_open_revs(req, asked);
        return;
    }
    if (rev && !cs_rev_named(rev)) {
        rp_bad_request(req, "Invalid rev format");
        return;
    }
    if (rp_query_true(route, "latest"))
        rev = NULL; /* the winner, whatever revision is named: so CouchDB since 3.2 */
    CM_AUTO_JSON doc =
        read_doc(req, rev, rp_query_true(route, "revs"), rp_query_true(route, "deleted"));
    if (!doc)
        return;
    bool more = !rev && add_meta(req, doc); /* CouchDB adds nothing to a revision that was named */
    if (!more && not_modified(req, doc))
        http_ex_reply(req->ex, 304, NULL, NULL, 0);
    else
        rp_reply(req, 200, json_incref(doc));
}
