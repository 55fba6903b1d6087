/* Where CouchDB 3 has a habit of its own that clients rely on: statuses, reasons, every parameter
 * of documents and feeds, and what is refused as a whole (lab mode). */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "replicator/serve.h"

#define HEX32(x)     x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x
#define REV_B        "1-" HEX32("b")
#define REV_C        "2-" HEX32("c")
#define REV_D        "2-" HEX32("d")
#define REV_E        "3-" HEX32("e")
#define PATH(n, ids) "\"_revisions\":{\"start\":" n ",\"ids\":[" ids "]}"

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
    struct feed_reader feed;
};

/* torn: 1-a below 2-c, 2-d (winner) and the tombstone 3-e on 2-x; gone: a tombstone. */
static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "a", true);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":["
        "{\"_id\":\"torn\",\"v\":1," PATH(
            "2", "\"" HEX32("c") "\",\"" HEX32(
                     "a") "\"") "},"
                                "{\"_id\":\"torn\",\"v\":2," PATH(
                                    "2", "\"" HEX32("d") "\",\"" HEX32(
                                             "a") "\"") "},"
                                                        "{\"_id\":\"torn\",\"_deleted\":true," PATH(
                                                            "3",
                                                            "\"" HEX32("e") "\",\"" HEX32(
                                                                "f") "\"") "},"
                                                                           "{\"_id\":\"gone\",\"_"
                                                                           "rev\":\"" REV_B
                                                                           "\",\"_deleted\":true},"
                                                                           "{\"_id\":\"_design/"
                                                                           "x\",\"_rev\":\"" REV_A
                                                                           "\"}]}");
    assert_int_equal(f->a.status, 201);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    feed_stop(&f->feed);
    answer_fini(&f->a);
    node_close(&f->node);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void refused(struct fixture *f, int status, const char *error, const char *reason)
{
    if (f->a.status != status || strcmp(cm_json_str_or(f->a.body, "error", ""), error) != 0 ||
        (reason && strcmp(cm_json_str_or(f->a.body, "reason", ""), reason) != 0))
        fail_msg("%d %s, not %d %s %s", f->a.status, f->a.text, status, error,
                 reason ? reason : "");
}

/* ---- documents ---------------------------------------------------------------------------- */

static void conflicts_live_and_deleted(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/torn?conflicts=true", NULL);
    assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_D);
    const json_t *live = cm_json_arr(f->a.body, "_conflicts");
    assert_int_equal(json_array_size(live), 1);
    assert_true(cm_json_has_str(live, REV_C));
    assert_null(json_object_get(f->a.body, "_deleted_conflicts"));
    ask(&f->node, &f->a, "GET", "/db/torn?deleted_conflicts=true", NULL);
    const json_t *dead = cm_json_arr(f->a.body, "_deleted_conflicts");
    assert_int_equal(json_array_size(dead), 1);
    assert_true(cm_json_has_str(dead, REV_E));
    assert_null(json_object_get(f->a.body, "_conflicts"));
    ask(&f->node, &f->a, "GET", "/db/torn?conflicts=false&deleted_conflicts=1", NULL);
    assert_null(json_object_get(f->a.body, "_conflicts"));
    assert_null(json_object_get(f->a.body, "_deleted_conflicts"));
}

static void revs_info_tells_what_is_left(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/torn?revs_info=true", NULL);
    const json_t *info = cm_json_arr(f->a.body, "_revs_info");
    assert_int_equal(json_array_size(info), 2);
    assert_string_equal(cm_json_str(json_array_get(info, 0), "rev"), REV_D);
    assert_string_equal(cm_json_str(json_array_get(info, 0), "status"), "available");
    assert_string_equal(cm_json_str(json_array_get(info, 1), "status"), "missing");
    ask(&f->node, &f->a, "GET", "/db/gone?revs_info=true&deleted=true", NULL);
    info = cm_json_arr(f->a.body, "_revs_info");
    assert_string_equal(cm_json_str(json_array_get(info, 0), "status"), "deleted");
}

static void a_tombstone_on_demand(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/gone?deleted=true", NULL);
    assert_int_equal(f->a.status, 200);
    assert_true(cm_json_bool(f->a.body, "_deleted", false));
    ask(&f->node, &f->a, "GET", "/db/gone?deleted=false", NULL);
    refused(f, 404, "not_found", "deleted");
}

/* With rev and latest the winner comes, wherever the revision lies, and none of it or not. */
static void latest_is_the_winner(void **state)
{
    static const char *const revs[] = {REV_C, REV_D, REV_E, "9-none"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(revs) / sizeof(revs[0]); i++) {
        CM_AUTO_STR path = cm_asprintf("/db/torn?latest=true&conflicts=true&rev=%s", revs[i]);
        ask(&f->node, &f->a, "GET", path, NULL);
        assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_D);
        assert_non_null(cm_json_arr(f->a.body, "_conflicts"));
    }
    ask(&f->node, &f->a, "GET", "/db/gone?latest=true&rev=" REV_B, NULL);
    refused(f, 404, "not_found", "deleted");
}

static void tags_match_as_in_http(void **state)
{
    static const struct {
        const char *header;
        int status;
    } rows[] = {
        {"If-None-Match: \"" REV_D "\"", 304},
        {"If-None-Match: W/\"" REV_D "\"", 304},
        {"If-None-Match: \"" REV_C "\", \"" REV_D "\"", 304},
        {"If-None-Match: \"" REV_C "\"", 200},
        {"If-None-Match: " REV_D, 200},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask_as(&f->node, &f->a, "GET", "/db/torn", rows[i].header, NULL);
        if (f->a.status != rows[i].status)
            fail_msg("%s: %d", rows[i].header, f->a.status);
        assert_non_null(strstr(f->a.headers, "\"" REV_D "\""));
    }
    ask(&f->node, &f->a, "HEAD", "/db/torn", NULL);
    assert_int_equal(f->a.status, 200);
    assert_non_null(strstr(f->a.headers, "\"" REV_D "\""));
    ask(&f->node, &f->a, "HEAD", "/db/none", NULL);
    assert_int_equal(f->a.status, 404);
}

static void many_open_revs(void **state)
{
    struct fixture *f = *state;
    struct cm_buf path;
    cm_buf_init(&path, 1u << 20);
    cm_buf_puts(&path, "/db/torn?open_revs=%5B%221-a%22");
    for (int i = 60; i > 0; i--)
        cm_buf_printf(&path, ",%%22%d-a%%22", i);
    cm_buf_puts(&path, ",%221-a%22%5D");
    ask(&f->node, &f->a, "GET", cm_buf_str(&path), NULL);
    assert_int_equal(f->a.status, 200);
    assert_int_equal(json_array_size(f->a.body), 60); /* each once */
    cm_buf_fini(&path);
}

/* What is there first, in the order of revisions, then what is missing: 10^26 as any other. */
static void open_revs_are_in_order(void **state)
{
    static const char *const order[] = {
        REV_C, REV_D, REV_E, "1-zz", "2-z", "10-a", "1" HEX32("0") "-a"};
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET",
        "/db/torn?open_revs=%5B%221" HEX32("0") "-a%22,%2210-a%22,%222-z%22,%22" REV_E
                                                "%22,%22" REV_D "%22,%221-zz%22,%22" REV_C
                                                "%22,%22" REV_D "%22,%222-z%22%5D",
        NULL);
    assert_int_equal(json_array_size(f->a.body), sizeof(order) / sizeof(order[0]));
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const json_t *row = json_array_get(f->a.body, i);
        const json_t *doc = cm_json_obj(row, "ok");
        assert_string_equal(cm_json_str(doc ? doc : row, doc ? "_rev" : "missing"), order[i]);
    }
    ask(&f->node, &f->a, "GET", "/db/_odd?open_revs=%5B%221-a%22%5D", NULL);
    assert_string_equal(f->a.text, "[{\"missing\":\"1-a\"}]\n");
}

/* Asked about a revision that no store of ours can hold, only that is missing: a 400 would end the
 * job of the client, with everything else that it has to bring. */
static void revisions_beyond_all_are_missing(void **state)
{
    static const char giant[] = "1" HEX32("0") "-a";
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_revs_diff",
        "{\"torn\":[\"1" HEX32("0") "-a\",\"" REV_D "\",\"0-a\"],\"gone\":[\"" REV_B "\"]}");
    assert_int_equal(f->a.status, 200);
    assert_int_equal(json_object_size(f->a.body), 1);
    const json_t *missing = cm_json_arr(cm_json_obj(f->a.body, "torn"), "missing");
    assert_int_equal(json_array_size(missing), 2);
    assert_string_equal(json_string_value(json_array_get(missing, 0)), giant);
    ask(&f->node, &f->a, "GET", "/db/torn?rev=1" HEX32("0") "-a", NULL);
    refused(f, 404, "not_found", "missing");
    ask(&f->node, &f->a, "POST", "/db/_revs_diff", "{\"torn\":[\"1" HEX32("0") "\"]}");
    refused(f, 400, "bad_request", "Invalid rev format");
}

static void bulk_get_without_a_revision(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_bulk_get", "{\"docs\":[{\"id\":\"torn\"},{\"id\":\"no\"}]}");
    const json_t *results = cm_json_arr(f->a.body, "results");
    const json_t *leaves = cm_json_arr(json_array_get(results, 0), "docs");
    assert_int_equal(json_array_size(leaves), 3); /* every leaf */
    assert_string_equal(cm_json_str(cm_json_obj(json_array_get(leaves, 0), "ok"), "_rev"), REV_D);
    const json_t *none = json_array_get(cm_json_arr(json_array_get(results, 1), "docs"), 0);
    assert_string_equal(cm_json_str(cm_json_obj(none, "error"), "rev"), "undefined");
    assert_string_equal(cm_json_str(cm_json_obj(none, "error"), "reason"), "missing");
}

/* ---- edits -------------------------------------------------------------------------------- */

static void deletions(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "DELETE", "/db/gone", NULL);
    refused(f, 404, "not_found", "deleted");
    ask(&f->node, &f->a, "DELETE", "/db/gone?rev=" REV_B, NULL);
    refused(f, 404, "not_found", "deleted");
    ask(&f->node, &f->a, "PUT", "/db/torn?rev=" REV_C, "{\"_deleted\":true,\"why\":\"x\"}");
    assert_int_equal(f->a.status, 200); /* not 201: nothing was made */
    assert_int_equal(strncmp(cm_json_str(f->a.body, "rev"), "3-", 2), 0);
    ask(&f->node, &f->a, "DELETE", "/db/torn?rev=" REV_D, NULL);
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "GET", "/db/torn", NULL);
    refused(f, 404, "not_found", "deleted");
    ask(&f->node, &f->a, "PUT", "/db/new?new_edits=false",
        "{\"_rev\":\"" REV_A "\",\"_deleted\":true}");
    assert_int_equal(f->a.status, 200);
}

/* Of a document that is deleted altogether only a living one without a revision goes on. */
static void only_a_new_life_follows_the_end(void **state)
{
    static const char *const bodies[] = {"{\"_rev\":\"" REV_B "\"}",
                                         "{\"_rev\":\"" REV_B "\",\"_deleted\":true}",
                                         "{\"_deleted\":true}"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        ask(&f->node, &f->a, "PUT", "/db/gone", bodies[i]);
        refused(f, 409, "conflict", "Document update conflict.");
    }
    ask(&f->node, &f->a, "PUT", "/db/gone", "{}");
    assert_int_equal(strncmp(cm_json_str(f->a.body, "rev"), "2-", 2), 0);
    /* A branch that ended lives again while another one does. */
    ask(&f->node, &f->a, "PUT", "/db/torn", "{\"_rev\":\"" REV_E "\"}");
    assert_int_equal(f->a.status, 201);
}

static void the_url_names_the_document(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "PUT", "/db/a%2Fb", "{\"_id\":\"other\"}");
    assert_int_equal(f->a.status, 201);
    assert_string_equal(cm_json_str(f->a.body, "id"), "a/b");
    assert_non_null(strstr(f->a.headers, "Location: http://"));
    assert_non_null(strstr(f->a.headers, "/db/a%2Fb\r\n"));
    ask(&f->node, &f->a, "GET", "/db/other", NULL);
    assert_int_equal(f->a.status, 404);
    ask(&f->node, &f->a, "POST", "/db", "{\"_id\":\"made\"}");
    assert_non_null(strstr(f->a.headers, "/db/made\r\n"));
    ask(&f->node, &f->a, "GET", "/db//a%2Fb/", NULL); /* slashes in a row are one */
    assert_int_equal(f->a.status, 200);
}

static void a_revision_is_named_once(void **state)
{
    struct fixture *f = *state;
    ask_as(&f->node, &f->a, "PUT", "/db/torn?rev=" REV_D, "If-Match: \"" REV_C "\"", "{}");
    refused(f, 400, "bad_request", "Document rev and etag have different values");
    ask_as(&f->node, &f->a, "PUT", "/db/torn", "If-Match: \"" REV_C "\"",
           "{\"_rev\":\"" REV_D "\"}");
    refused(f, 400, "bad_request", "Document rev and etag have different values");
    ask(&f->node, &f->a, "PUT", "/db/torn?rev=" REV_C, "{\"_rev\":\"" REV_D "\"}");
    refused(f, 400, "bad_request",
            "Document rev from request body and query string have different values");
    ask_as(&f->node, &f->a, "PUT", "/db/torn?rev=" REV_D, "If-Match: " REV_D,
           "{\"_rev\":\"" REV_D "\",\"v\":9}");
    assert_int_equal(f->a.status, 201);
    CM_AUTO_STR tag = cm_asprintf("\"%s\"", cm_json_str(f->a.body, "rev"));
    assert_non_null(strstr(f->a.headers, tag)); /* the ETag of what was made */
}

static void one_bad_edit_spoils_the_batch(void **state)
{
    static const struct {
        const char *doc;
        const char *error, *reason;
    } rows[] = {
        {"{\"_id\":\"x\",\"_odd\":1}", "doc_validation", "Bad special document member: _odd"},
        {"{\"_id\":\"_x\"}", "illegal_docid",
         "Only reserved document ids may start with underscore."},
        {"{\"_id\":\"\"}", "illegal_docid", NULL},
        {"[]", "bad_request", "Document must be a JSON object"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_STR body = cm_asprintf("{\"docs\":[{\"_id\":\"good\"},%s]}", rows[i].doc);
        ask(&f->node, &f->a, "POST", "/db/_bulk_docs", body);
        refused(f, 400, rows[i].error, rows[i].reason);
    }
    ask(&f->node, &f->a, "GET", "/db/good", NULL);
    assert_int_equal(f->a.status, 404);
    /* Of revisions that others made, the same refusal costs its document only. */
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"_x\",\"_rev\":\"1-a\"},"
        "{\"_id\":\"good\",\"_rev\":\"1-a\"}]}");
    assert_int_equal(f->a.status, 201);
    assert_int_equal(json_array_size(f->a.body), 1);
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 0), "error"), "forbidden");
    ask(&f->node, &f->a, "GET", "/db/good", NULL);
    assert_int_equal(f->a.status, 200);
}

static void envelopes(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", "{\"docs\":{}}");
    refused(f, 400, "bad_request", "`docs` parameter must be an array.");
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", "{\"docs\":[],\"new_edits\":\"no\"}");
    refused(f, 400, "bad_request", "`new_edits` parameter must be a boolean.");
    ask(&f->node, &f->a, "POST", "/db/_all_docs", "{\"keys\":{}}");
    refused(f, 400, "bad_request", "`keys` body member must be an array.");
    ask(&f->node, &f->a, "GET", "/db/_all_docs?keys=1", NULL);
    refused(f, 400, "bad_request", "`keys` parameter must be an array.");
    ask(&f->node, &f->a, "POST", "/db/_all_docs", "");
    refused(f, 400, "bad_request", RP_NO_JSON);
    ask(&f->node, &f->a, "GET", "/_uuids?count=1001", NULL);
    refused(f, 400, "bad_request", "count parameter too large");
    ask(&f->node, &f->a, "GET", "/_uuids?count=x", NULL);
    assert_int_equal(f->a.status, 400);
    ask(&f->node, &f->a, "GET", "/_uuids", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "uuids")), 1);
    ask(&f->node, &f->a, "GET", "/_uuids?count=1000", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "uuids")), 1000);
    ask(&f->node, &f->a, "GET", "/db/_local/", NULL);
    refused(f, 400, "bad_request", "Invalid _local document id.");
    ask_as(&f->node, &f->a, "POST", "/db", "Content-Type: text/plain", "{\"_id\":\"plain\"}");
    refused(f, 415, "bad_content_type", NULL);
    ask(&f->node, &f->a, "PUT", "/db/new", "{\"_attachments\":{}}");
    refused(f, 403, "forbidden", "Attachments are not supported");
    ask(&f->node, &f->a, "GET", "/_up", NULL);
    assert_string_equal(f->a.text, "{\"status\":\"ok\"}\n");
    ask(&f->node, &f->a, "GET", "/_all_dbs", NULL);
    assert_string_equal(f->a.text, "[\"db\"]\n");
    ask(&f->node, &f->a, "POST", "/_up", "{}");
    refused(f, 405, "method_not_allowed", "Only GET,HEAD allowed");
    assert_non_null(strstr(f->a.headers, "Allow"));
}

/* ---- bounds ------------------------------------------------------------------------------- */

static void giants(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR text = cm_malloc(300001);
    memset(text, 'x', 300000);
    text[300000] = '\0';
    CM_AUTO_STR doc = cm_asprintf("{\"v\":\"%s\"}", text);
    ask(&f->node, &f->a, "PUT", "/db/giant", doc);
    refused(f, 413, "document_too_large", NULL);
    CM_AUTO_STR batch = cm_asprintf("{\"docs\":[{\"_id\":\"giant\",\"v\":\"%s\"},{}]}", text);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", batch);
    assert_int_equal(f->a.status, 201);
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 0), "error"), "document_too_large");
    assert_true(cm_json_bool(json_array_get(f->a.body, 1), "ok", false));
    text[401] = '\0';
    CM_AUTO_STR path = cm_asprintf("/db/%s", text);
    ask(&f->node, &f->a, "PUT", path, "{}");
    refused(f, 400, "illegal_docid", NULL);
    ask(&f->node, &f->a, "GET", path, NULL);
    refused(f, 404, "not_found", "missing");
    text[400] = '\0';
    CM_AUTO_STR longest = cm_asprintf("/db/%s", text);
    ask(&f->node, &f->a, "PUT", longest, "{}");
    assert_int_equal(f->a.status, 201);
}

static void purges_are_bounded(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON asked = json_object();
    for (int i = 0; i < 1001; i++) {
        char id[16];
        snprintf(id, sizeof(id), "d%d", i);
        cm_json_set(asked, id, json_array());
    }
    CM_AUTO_STR text = cm_json_dump(asked, NULL);
    ask(&f->node, &f->a, "POST", "/db/_purge", text);
    refused(f, 400, "bad_request", "Exceeded maximum number of documents.");
    ask(&f->node, &f->a, "POST", "/db/_purge", "{\"torn\":1}");
    assert_int_equal(f->a.status, 400);
    ask(&f->node, &f->a, "GET", "/db/_purge", NULL);
    refused(f, 405, "method_not_allowed", "Only POST allowed");
}

/* As many feeds as there may be are open: whatever would open one more is refused, the rest not. */
static void too_many_feeds(void **state)
{
    static const char *const rows[][3] = {
        {"GET", "/db/_changes", NULL},
        {"GET", "/db/_all_docs", NULL},
        {"POST", "/db/_bulk_get", "{\"docs\":[]}"},
    };
    struct fixture *f = *state;
    f->node.server->stream_count = RP_FEED_MAX;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask(&f->node, &f->a, rows[i][0], rows[i][1], rows[i][2]);
        refused(f, 503, "service_unavailable", NULL);
    }
    ask(&f->node, &f->a, "GET", "/db/torn", NULL);
    assert_int_equal(f->a.status, 200);
    f->node.server->stream_count = 0;
    ask(&f->node, &f->a, "GET", "/db/_changes", NULL);
    assert_int_equal(f->a.status, 200);
}

/* ---- feeds -------------------------------------------------------------------------------- */

static size_t rows_of(struct fixture *f, const char *path)
{
    ask(&f->node, &f->a, "GET", path, NULL);
    assert_int_equal(f->a.status, 200);
    return json_array_size(cm_json_arr(f->a.body, "results"));
}

static void feed_parameters(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(rows_of(f, "/db/_changes?filter=_design"), 1);
    const json_t *row = json_array_get(cm_json_arr(f->a.body, "results"), 0);
    assert_string_equal(cm_json_str(row, "id"), "_design/x");
    assert_int_equal(rows_of(f, "/db/_changes?include_docs=true&conflicts=true"), 3);
    const json_t *doc = cm_json_obj(json_array_get(cm_json_arr(f->a.body, "results"), 0), "doc");
    assert_true(cm_json_has_str(cm_json_arr(doc, "_conflicts"), REV_C));
    assert_int_equal(rows_of(f, "/db/_changes?include_docs=true"), 3);
    doc = cm_json_obj(json_array_get(cm_json_arr(f->a.body, "results"), 0), "doc");
    assert_non_null(doc);
    assert_null(json_object_get(doc, "_conflicts"));
    assert_int_equal(rows_of(f, "/db/_changes?style=main_only&since=0"), 3);
    row = json_array_get(cm_json_arr(f->a.body, "results"), 1);
    assert_true(cm_json_bool(row, "deleted", false));
    CM_AUTO_STR last = cm_strdup(cm_json_str(f->a.body, "last_seq"));
    CM_AUTO_STR path = cm_asprintf("/db/_changes?last-event-id=%s", last);
    assert_int_equal(rows_of(f, path), 0);
    assert_string_equal(cm_json_str(f->a.body, "last_seq"), last);
    /* Newest first has an end, whatever feed says. */
    assert_int_equal(rows_of(f, "/db/_changes?feed=continuous&descending=true"), 3);
    ask(&f->node, &f->a, "HEAD", "/db/_changes", NULL);
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "GET", "/db/_all_docs?update_seq=true", NULL);
    assert_string_equal(cm_json_str(f->a.body, "update_seq"), last);
    ask(&f->node, &f->a, "GET", "/db/_all_docs", NULL);
    assert_null(cm_json_str(f->a.body, "update_seq"));
}

/* When the parked feed of a path will be looked at again, in ms from now. */
static int64_t due_in(struct fixture *f, const char *path)
{
    feed_start(&f->node, &f->feed, path);
    while (!f->node.server->streams || !f->node.server->streams->parked)
        cm_loop_turn(f->rig.loop, true);
    int64_t ms = f->node.server->streams->due - cm_mono_ms();
    feed_stop(&f->feed);
    while (f->node.server->streams)
        cm_loop_turn(f->rig.loop, true);
    return ms;
}

static void feed_times(void **state)
{
    struct fixture *f = *state;
    const int64_t slack = 15000; /* a machine may be slow */
    assert_in_range(due_in(f, "/_changes?feed=live&since=now&heartbeat=true"), 60000 - slack,
                    60000);
    assert_in_range(due_in(f, "/_changes?feed=longpoll&since=now"), 60000 - slack, 60000);
    assert_in_range(due_in(f, "/_changes?feed=longpoll&since=now&timeout=900000"), 60000 - slack,
                    60000);
    assert_in_range(due_in(f, "/_changes?feed=longpoll&since=now&timeout=30000"), 30000 - slack,
                    30000);
    /* A heartbeat replaces the time limit. */
    assert_in_range(due_in(f, "/_changes?feed=longpoll&since=now&timeout=100&heartbeat=40000"),
                    40000 - slack, 40000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(conflicts_live_and_deleted),
        T(revs_info_tells_what_is_left),
        T(tags_match_as_in_http),
        T(a_tombstone_on_demand),
        T(latest_is_the_winner),
        T(many_open_revs),
        T(open_revs_are_in_order),
        T(revisions_beyond_all_are_missing),
        T(bulk_get_without_a_revision),
        T(deletions),
        T(only_a_new_life_follows_the_end),
        T(the_url_names_the_document),
        T(a_revision_is_named_once),
        T(one_bad_edit_spoils_the_batch),
        T(envelopes),
        T(giants),
        T(purges_are_bounded),
        T(too_many_feeds),
        T(feed_parameters),
        T(feed_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
