/* Every route's status, error, reason and shape, as CouchDB's clients expect them (lab mode). */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"

#define HEX32(x) x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x x
#define REV_B    "1-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define REV_C    "2-cccccccccccccccccccccccccccccccc"
#define REV_D    "2-dddddddddddddddddddddddddddddddd"

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
};

/* Documents: plain (2 revisions), conflicted (1-a below 2-c and 2-d), gone (tombstone). */
static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "a", true);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":["
        "{\"_id\":\"plain\",\"_rev\":\"" REV_A "\",\"v\":1},"
        "{\"_id\":\"plain\",\"_rev\":\"" REV_C "\",\"v\":2,\"_revisions\":{\"start\":2,\"ids\":["
        "\"cccccccccccccccccccccccccccccccc\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}},"
        "{\"_id\":\"torn\",\"_rev\":\"" REV_C "\",\"v\":3,\"_revisions\":{\"start\":2,\"ids\":["
        "\"cccccccccccccccccccccccccccccccc\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}},"
        "{\"_id\":\"torn\",\"_rev\":\"" REV_D "\",\"v\":4,\"_revisions\":{\"start\":2,\"ids\":["
        "\"dddddddddddddddddddddddddddddddd\",\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}},"
        "{\"_id\":\"gone\",\"_rev\":\"" REV_B "\",\"_deleted\":true}]}");
    assert_int_equal(f->a.status, 201);
    assert_string_equal(f->a.text, "[]\n");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    answer_fini(&f->a);
    node_close(&f->node);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

struct row {
    const char *method, *path, *body;
    int status;
    const char *error, *reason; /* NULL = no error body */
};

static void run_table(struct fixture *f, const struct row *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &table[i];
        ask(&f->node, &f->a, row->method, row->path, row->body);
        const char *error = cm_json_str(f->a.body, "error");
        const char *reason = cm_json_str(f->a.body, "reason");
        if (f->a.status != row->status || (error != NULL) != (row->error != NULL) ||
            (row->error && strcmp(error, row->error) != 0) ||
            (row->reason && (!reason || strcmp(reason, row->reason) != 0)))
            fail_msg("%s %s: %d %s", row->method, row->path, f->a.status, f->a.text);
    }
}

static void test_refusals(void **state)
{
    static const struct row table[] = {
        {"GET", "/other/", NULL, 404, "not_found", "Database does not exist."},
        {"POST", "/", "{}", 405, "method_not_allowed", "Only GET,HEAD allowed"},
        {"DELETE", "/db/", NULL, 405, "method_not_allowed", "Only DELETE,GET,HEAD,POST allowed"},
        {"GET", "/db/none", NULL, 404, "not_found", "missing"},
        {"GET", "/db/gone", NULL, 404, "not_found", "deleted"},
        {"GET", "/db/plain?rev=9-x", NULL, 404, "not_found", "missing"},
        {"GET", "/db/plain?rev=x", NULL, 400, "bad_request", "Invalid rev format"},
        {"GET", "/db/plain?open_revs=1-a", NULL, 400, "bad_request", NULL},
        {"GET", "/db/plain?open_revs=%5B%22zz%22%5D", NULL, 400, "bad_request",
         "Invalid rev format"},
        {"GET", "/db/none?open_revs=all", NULL, 404, "not_found", "missing"},
        {"GET", "/db/plain/file", NULL, 404, "not_found", "Document is missing attachment"},
        {"PUT", "/db/plain/file", "x", 415, "bad_content_type", NULL},
        {"GET", "/db/_unknown", NULL, 404, "not_found", "missing"},
        {"PUT", "/db/_unknown", "{}", 400, "illegal_docid", NULL},
        {"GET", "/db/_revs_diff", NULL, 405, "method_not_allowed", "Only POST allowed"},
        {"PUT", "/db/_changes", "{}", 405, "method_not_allowed", "Only GET,HEAD,POST allowed"},
        {"GET", "/db/_changes?since=x", NULL, 400, "bad_request",
         "Malformed sequence supplied in 'since' parameter."},
        {"GET", "/db/_changes?limit=x", NULL, 400, "bad_request", NULL},
        {"GET", "/db/_changes?feed=eventsource", NULL, 400, "bad_request", NULL},
        {"GET", "/db/_changes?heartbeat=0", NULL, 400, "bad_request", NULL},
        {"GET", "/db/_changes?timeout=x", NULL, 400, "bad_request", NULL},
        {"GET", "/db/_changes?style=odd", NULL, 400, "bad_request", NULL},
        {"GET", "/db/_changes?filter=app/odd", NULL, 404, "not_found", "missing"},
        {"POST", "/db/_changes?filter=_doc_ids", "{}", 400, "bad_request", NULL},
        {"POST", "/db/_changes?filter=_doc_ids", "{\"doc_ids\":[1]}", 400, "bad_request", NULL},
        {"POST", "/db/_revs_diff", "{\"plain\":[\"x\"]}", 400, "bad_request", "Invalid rev format"},
        {"POST", "/db/_revs_diff", "{\"plain\":1}", 400, "bad_request", "Invalid rev format"},
        {"POST", "/db/_revs_diff", "nonsense", 400, "bad_request", NULL},
        {"POST", "/db/_revs_diff", "[]", 400, "bad_request", "Request body must be a JSON object"},
        {"POST", "/db/_bulk_get", "{}", 400, "bad_request", "Missing JSON list of 'docs'."},
        {"POST", "/db/_bulk_docs", "{}", 400, "bad_request",
         "POST body must include `docs` parameter."},
        {"POST", "/db/_bulk_docs", "{\"docs\":[1],\"new_edits\":true}", 400, "bad_request",
         "Document must be a JSON object"},
        {"POST", "/db/_bulk_docs", "{\"docs\":[{\"_id\":\"x\"}],\"new_edits\":false}", 400,
         "bad_request", NULL},
        {"GET", "/db/_local/none", NULL, 404, "not_found", "missing"},
        {"DELETE", "/db/_local/none", NULL, 404, "not_found", "missing"},
        {"POST", "/db/_local/none", "{}", 405, "method_not_allowed", NULL},
        {"PUT", "/db/plain", "{\"v\":9}", 409, "conflict", "Document update conflict."},
        {"PUT", "/db/plain?rev=" REV_C, "{\"_rev\":\"" REV_A "\"}", 400, "bad_request", NULL},
        {"PUT", "/db/new", "{\"_odd\":1}", 400, "doc_validation",
         "Bad special document member: _odd"},
        {"POST", "/db", "{\"_id\":\"_odd\"}", 400, "illegal_docid", NULL},
        {"DELETE", "/db/none", NULL, 404, "not_found", "missing"},
        {"DELETE", "/db/plain", NULL, 409, "conflict", "Document update conflict."},
    };
    run_table(*state, table, sizeof(table) / sizeof(table[0]));
}

static void test_content_types(void **state)
{
    struct fixture *f = *state;
    ask_as(&f->node, &f->a, "POST", "/db/_bulk_docs", "Content-Type: text/plain", "{}");
    assert_int_equal(f->a.status, 415);
    assert_string_equal(cm_json_str(f->a.body, "error"), "bad_content_type");
    ask_as(&f->node, &f->a, "PUT", "/db/new?new_edits=false",
           "Content-Type: multipart/related; boundary=\"x\"", "--x--");
    assert_int_equal(f->a.status, 415);
    ask(&f->node, &f->a, "GET", "/db/plain", NULL);
    assert_non_null(strstr(f->a.headers, "application/json"));
    assert_non_null(strstr(f->a.headers, "must-revalidate"));
    assert_int_equal(f->a.text[strlen(f->a.text) - 1], '\n');
}

static void test_info(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/", NULL);
    assert_int_equal(f->a.status, 200);
    assert_string_equal(cm_json_str(f->a.body, "couchdb"), "Welcome");
    assert_string_equal(cm_json_str(f->a.body, "uuid"), cs_uuid(f->node.store));
    ask(&f->node, &f->a, "HEAD", "/db/", NULL);
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "GET", "/db", NULL);
    assert_string_equal(cm_json_str(f->a.body, "db_name"), "db");
    assert_string_equal(cm_json_str(f->a.body, "instance_start_time"), "0");
    assert_int_equal(cm_json_int(f->a.body, "doc_count", 0), 2);
    assert_int_equal(cm_json_int(f->a.body, "doc_del_count", 0), 1);
    assert_true(json_is_string(json_object_get(f->a.body, "update_seq")));
    ask(&f->node, &f->a, "POST", "/db/_ensure_full_commit", "");
    assert_int_equal(f->a.status, 201);
    assert_string_equal(cm_json_str(f->a.body, "instance_start_time"), "0");
}

static void test_get(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/plain", NULL);
    assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_C);
    assert_int_equal(cm_json_int(f->a.body, "v", 0), 2);
    assert_non_null(strstr(f->a.headers, "\"" REV_C "\""));
    ask_as(&f->node, &f->a, "GET", "/db/plain", "If-None-Match: \"" REV_C "\"", NULL);
    assert_int_equal(f->a.status, 304);
    ask(&f->node, &f->a, "GET", "/db/plain?revs=true", NULL);
    assert_int_equal(cm_json_int(cm_json_obj(f->a.body, "_revisions"), "start", 0), 2);
    assert_non_null(strstr(f->a.headers, "\"" REV_C "\""));
    ask(&f->node, &f->a, "GET", "/db/plain?rev=" REV_A, NULL);
    assert_int_equal(f->a.status, 200);
    assert_int_equal(cm_json_int(f->a.body, "v", 0), 1);
    ask(&f->node, &f->a, "GET", "/db/plain?latest=true&rev=" REV_A, NULL);
    assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_C);
    ask(&f->node, &f->a, "GET", "/db/torn?conflicts=true", NULL);
    assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_D);
    assert_true(cm_json_has_str(cm_json_arr(f->a.body, "_conflicts"), REV_C));
    ask(&f->node, &f->a, "GET", "/db/gone?rev=" REV_B, NULL);
    assert_int_equal(f->a.status, 200);
    assert_true(cm_json_bool(f->a.body, "_deleted", false));
    ask(&f->node, &f->a, "GET", "/db/plain?revs_info=true", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "_revs_info")), 2);
}

static void test_open_revs(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/torn?open_revs=all&revs=true", NULL);
    assert_int_equal(json_array_size(f->a.body), 2);
    assert_string_equal(cm_json_str(cm_json_obj(json_array_get(f->a.body, 1), "ok"), "_rev"),
                        REV_D);
    /* Both leaves lie below 1-a; asked for twice, each is listed once. */
    ask(&f->node, &f->a, "GET",
        "/db/torn?latest=true&open_revs=%5B%22" REV_A "%22,%22" REV_C "%22%5D", NULL);
    assert_int_equal(json_array_size(f->a.body), 2);
    ask(&f->node, &f->a, "GET", "/db/none?open_revs=%5B%22" REV_A "%22%5D", NULL);
    assert_int_equal(f->a.status, 200);
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 0), "missing"), REV_A);
}

/* 1-a below 2-c, 3-e and 2-d: what lies below a revision, and nothing else. */
static void latest_below_a_revision(void **state)
{
    static const char docs[] =
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"tree\",\"_revisions\":{\"start\":3,\"ids\":"
        "[\"e\",\"" HEX32("c") "\",\"" HEX32("a") "\"]}},{\"_id\":\"tree\",\"_revisions\":{"
                                                  "\"start\":2,\"ids\":[\"" HEX32(
                                                      "d") "\",\"" HEX32("a") "\"]}}]}";
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", docs);
    assert_string_equal(f->a.text, "[]\n");
    ask(&f->node, &f->a, "GET", "/db/tree?latest=true&open_revs=%5B%22" REV_C "%22%5D", NULL);
    assert_int_equal(json_array_size(f->a.body), 1);
    const json_t *leaf = cm_json_obj(json_array_get(f->a.body, 0), "ok");
    assert_string_equal(cm_json_str(leaf, "_rev"), "3-e");
    assert_null(json_object_get(leaf, "_revisions"));
    ask(&f->node, &f->a, "GET", "/db/tree?latest=true&revs=true&open_revs=%5B%22" REV_A "%22%5D",
        NULL);
    assert_int_equal(json_array_size(f->a.body), 2);
    leaf = cm_json_obj(json_array_get(f->a.body, 1), "ok");
    assert_non_null(json_object_get(leaf, "_revisions"));
    ask(&f->node, &f->a, "POST", "/db/_bulk_get?latest=true",
        "{\"docs\":[{\"id\":\"tree\",\"rev\":\"" REV_C "\"}]}");
    const json_t *result = json_array_get(cm_json_arr(f->a.body, "results"), 0);
    assert_int_equal(json_array_size(cm_json_arr(result, "docs")), 1);
}

static void all_ancestors_are_told(void **state)
{
    struct fixture *f = *state;
    struct cm_buf text;
    cm_buf_init(&text, 1u << 20);
    cm_buf_puts(&text, "{\"new_edits\":false,\"docs\":[{\"_id\":\"old\",\"_revisions\":{\"start\":"
                       "150,\"ids\":[\"x\"");
    for (int i = 0; i < 149; i++)
        cm_buf_puts(&text, ",\"x\"");
    cm_buf_puts(&text, "]}}]}");
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", cm_buf_str(&text));
    assert_string_equal(f->a.text, "[]\n");
    ask(&f->node, &f->a, "GET", "/db/old?revs_info=true", NULL);
    const json_t *info = cm_json_arr(f->a.body, "_revs_info");
    assert_int_equal(json_array_size(info), 150);
    const json_t *last = json_array_get(info, 149);
    assert_string_equal(cm_json_str(last, "rev"), "1-x");
    assert_string_equal(cm_json_str(last, "status"), "missing");
    assert_string_equal(cm_json_str(json_array_get(info, 0), "status"), "available");
    ask(&f->node, &f->a, "GET", "/db/old?revs=true", NULL);
    const json_t *ids = cm_json_arr(cm_json_obj(f->a.body, "_revisions"), "ids");
    assert_int_equal(json_array_size(ids), 150);
    cm_buf_fini(&text);
}

static const json_t *bulk_doc(const struct answer *a, size_t entry, size_t doc)
{
    const json_t *result = json_array_get(cm_json_arr(a->body, "results"), entry);
    return json_array_get(cm_json_arr(result, "docs"), doc);
}

static void test_bulk_get(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_bulk_get?revs=true&latest=true",
        "{\"docs\":[{\"id\":\"none\",\"rev\":\"" REV_A "\"},{\"id\":\"torn\",\"rev\":\"" REV_A
        "\"},{\"id\":\"gone\",\"rev\":\"" REV_B "\"},{\"id\":\"plain\"},{\"rev\":\"1-a\"},"
        "{\"id\":\"plain\",\"rev\":\"zz\"}]}");
    assert_int_equal(f->a.status, 200);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "results")), 6);
    const json_t *why = cm_json_obj(bulk_doc(&f->a, 0, 0), "error");
    assert_string_equal(cm_json_str(why, "error"), "not_found");
    assert_string_equal(cm_json_str(why, "rev"), REV_A);
    assert_string_equal(cm_json_str(cm_json_obj(bulk_doc(&f->a, 1, 0), "ok"), "_rev"), REV_D);
    assert_string_equal(cm_json_str(cm_json_obj(bulk_doc(&f->a, 1, 1), "ok"), "_rev"), REV_C);
    assert_non_null(cm_json_obj(cm_json_obj(bulk_doc(&f->a, 1, 1), "ok"), "_revisions"));
    assert_true(cm_json_bool(cm_json_obj(bulk_doc(&f->a, 2, 0), "ok"), "_deleted", false));
    assert_string_equal(cm_json_str(cm_json_obj(bulk_doc(&f->a, 3, 0), "ok"), "_rev"), REV_C);
    assert_string_equal(cm_json_str(cm_json_obj(bulk_doc(&f->a, 4, 0), "error"), "error"),
                        "bad_request");
    assert_string_equal(cm_json_str(cm_json_obj(bulk_doc(&f->a, 5, 0), "error"), "error"),
                        "bad_request");
    ask(&f->node, &f->a, "POST", "/db/_bulk_get",
        "{\"docs\":[{\"id\":\"plain\",\"rev\":\"" REV_A "\"}]}");
    assert_int_equal(cm_json_int(cm_json_obj(bulk_doc(&f->a, 0, 0), "ok"), "v", 0), 1);
    assert_null(cm_json_obj(cm_json_obj(bulk_doc(&f->a, 0, 0), "ok"), "_revisions"));
    ask(&f->node, &f->a, "POST", "/db/_bulk_get", /* the same in the body */
        "{\"revs\":true,\"latest\":true,\"docs\":[{\"id\":\"plain\",\"rev\":\"" REV_A "\"}]}");
    const json_t *newest = cm_json_obj(bulk_doc(&f->a, 0, 0), "ok");
    assert_string_equal(cm_json_str(newest, "_rev"), REV_C);
    assert_non_null(cm_json_obj(newest, "_revisions"));
}

static void test_revs_diff(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_revs_diff",
        "{\"plain\":[\"9-x\",\"" REV_A "\",\"" REV_C "\",\"8-y\"],\"gone\":[\"" REV_B
        "\"],\"none\":[\"1-a\"]}");
    assert_int_equal(f->a.status, 200);
    assert_int_equal(json_object_size(f->a.body), 2);
    const json_t *missing = cm_json_arr(cm_json_obj(f->a.body, "plain"), "missing");
    assert_int_equal(json_array_size(missing), 2);
    assert_string_equal(json_string_value(json_array_get(missing, 0)), "9-x");
    assert_string_equal(json_string_value(json_array_get(missing, 1)), "8-y");
    assert_non_null(cm_json_obj(f->a.body, "none"));
}

static void test_edits(void **state)
{
    struct fixture *f = *state;
    char path[200];
    ask(&f->node, &f->a, "PUT", "/db/new", "{\"v\":1.5}");
    assert_int_equal(f->a.status, 201);
    snprintf(path, sizeof(path), "/db/new?rev=%s", cm_json_str(f->a.body, "rev"));
    ask(&f->node, &f->a, "PUT", path, "{\"v\":2}");
    assert_int_equal(f->a.status, 201);
    char match[200];
    snprintf(match, sizeof(match), "If-Match: \"%s\"", cm_json_str(f->a.body, "rev"));
    ask_as(&f->node, &f->a, "DELETE", "/db/new", match, NULL);
    assert_int_equal(f->a.status, 200);
    /* A new edit continues from the tombstone. */
    ask(&f->node, &f->a, "PUT", "/db/new", "{\"v\":3}");
    assert_int_equal(f->a.status, 201);
    assert_int_equal(strncmp(cm_json_str(f->a.body, "rev"), "4-", 2), 0);
    ask(&f->node, &f->a, "POST", "/db", "{\"v\":1}");
    assert_int_equal(f->a.status, 201);
    assert_int_equal(strlen(cm_json_str(f->a.body, "id")), 32);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"docs\":[{\"_id\":\"plain\"},{\"_id\":\"ok\"}]}");
    assert_int_equal(f->a.status, 201);
    assert_string_equal(cm_json_str(json_array_get(f->a.body, 0), "error"), "conflict");
    assert_true(cm_json_bool(json_array_get(f->a.body, 1), "ok", false));
    ask(&f->node, &f->a, "PUT", "/db/copy?new_edits=false", "{\"_rev\":\"" REV_A "\",\"v\":1}");
    assert_int_equal(f->a.status, 201);
    ask(&f->node, &f->a, "GET", "/db/copy", NULL);
    assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_A);
}

static void test_local(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "PUT", "/db/_local/job", "{\"n\":1}");
    assert_int_equal(f->a.status, 201);
    assert_string_equal(cm_json_str(f->a.body, "id"), "_local/job");
    assert_string_equal(cm_json_str(f->a.body, "rev"), "0-1");
    ask(&f->node, &f->a, "PUT", "/db/_local/job", "{\"_rev\":\"0-1\",\"n\":2}");
    assert_string_equal(cm_json_str(f->a.body, "rev"), "0-2");
    ask(&f->node, &f->a, "GET", "/db/_local/job", NULL);
    assert_string_equal(cm_json_str(f->a.body, "_id"), "_local/job");
    assert_string_equal(cm_json_str(f->a.body, "_rev"), "0-2");
    assert_int_equal(cm_json_int(f->a.body, "n", 0), 2);
    int64_t seq = cs_seq(f->node.store);
    ask(&f->node, &f->a, "DELETE", "/db/_local/job", NULL);
    assert_string_equal(cm_json_str(f->a.body, "rev"), "0-0");
    ask(&f->node, &f->a, "GET", "/db/_local/job", NULL);
    assert_int_equal(f->a.status, 404);
    assert_int_equal(cs_seq(f->node.store), seq); /* never in the feed */
}

static void test_all_docs(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/_all_docs?include_docs=true", NULL);
    const json_t *rows = cm_json_arr(f->a.body, "rows");
    assert_int_equal(json_array_size(rows), 2);
    assert_string_equal(cm_json_str(json_array_get(rows, 0), "id"), "plain");
    assert_non_null(cm_json_obj(json_array_get(rows, 0), "doc"));
    ask(&f->node, &f->a, "GET", "/db/_all_docs?startkey=%22q%22&limit=1", NULL);
    rows = cm_json_arr(f->a.body, "rows");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(cm_json_str(json_array_get(rows, 0), "id"), "torn");
    ask(&f->node, &f->a, "GET", "/db/_all_docs?descending=true&endkey=%22q%22", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "rows")), 1);
    ask(&f->node, &f->a, "POST", "/db/_all_docs", "{\"keys\":[\"gone\",\"none\",\"plain\"]}");
    rows = cm_json_arr(f->a.body, "rows");
    assert_int_equal(json_array_size(rows), 3);
    assert_true(cm_json_bool(cm_json_obj(json_array_get(rows, 0), "value"), "deleted", false));
    assert_string_equal(cm_json_str(json_array_get(rows, 1), "error"), "not_found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_content_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_info, setup, teardown),
        cmocka_unit_test_setup_teardown(test_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_revs, setup, teardown),
        cmocka_unit_test_setup_teardown(latest_below_a_revision, setup, teardown),
        cmocka_unit_test_setup_teardown(all_ancestors_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bulk_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revs_diff, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_local, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_docs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
