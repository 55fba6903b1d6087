/* Routes about whole databases: _all_docs, _revs_limit, _security, _purge, _compact, ids. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "replicator/serve.h"

#define REV_B "1-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "a", true);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":["
        "{\"_id\":\"b\",\"_rev\":\"" REV_A "\"},{\"_id\":\"a\",\"_rev\":\"" REV_A "\"},"
        "{\"_id\":\"c\",\"_rev\":\"" REV_A "\"},{\"_id\":\"c\",\"_rev\":\"" REV_B "\"},"
        "{\"_id\":\"e\",\"_rev\":\"" REV_A "\"},"
        "{\"_id\":\"d\",\"_rev\":\"" REV_A "\",\"_deleted\":true}]}");
    assert_int_equal(f->a.status, 201);
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

/* The ids (or keys) of an _all_docs answer, joined. */
static void check_rows(struct fixture *f, const char *query, const char *body, const char *expected)
{
    char path[200], text[400] = "";
    snprintf(path, sizeof(path), "/db/_all_docs%s", query);
    ask(&f->node, &f->a, body ? "POST" : "GET", path, body);
    if (f->a.status != 200)
        fail_msg("%s: %d %s", path, f->a.status, f->a.text);
    const json_t *rows = cm_json_arr(f->a.body, "rows");
    assert_non_null(rows);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s",
                 cm_json_str_or(json_array_get(rows, i), "key", "?"));
    }
    if (strcmp(text, expected) != 0)
        fail_msg("%s %s: %s, not %s", path, body ? body : "", text, expected);
}

static void test_ranges(void **state)
{
    struct fixture *f = *state;
    check_rows(f, "", NULL, "abce");
    assert_int_equal(cm_json_int(f->a.body, "total_rows", 0), 4);
    assert_int_equal(cm_json_int(f->a.body, "offset", -1), 0);
    check_rows(f, "?descending=true", NULL, "ecba");
    check_rows(f, "?startkey=%22b%22&endkey=%22c%22", NULL, "bc");
    check_rows(f, "?start_key=%22b%22&end_key=%22c%22&inclusive_end=false", NULL, "b");
    check_rows(f, "?descending=true&startkey=%22d%22&endkey=%22b%22", NULL, "cb");
    check_rows(f, "?descending=true&startkey=%22d%22&endkey=%22b%22&inclusive_end=false", NULL,
               "c");
    check_rows(f, "?key=%22c%22", NULL, "c");
    check_rows(f, "?key=%22d%22", NULL, "");
    check_rows(f, "?skip=1&limit=2", NULL, "bc");
    check_rows(f, "?skip=3", NULL, "e");
    check_rows(f, "?limit=0", NULL, "");
    /* CouchDB's order of JSON values: null < text < objects. */
    check_rows(f, "?startkey=null&endkey=%7B%7D", NULL, "abce");
    check_rows(f, "?startkey=%7B%7D", NULL, "");
    check_rows(f, "?endkey=null", NULL, "");
    check_rows(f, "?descending=true&startkey=%7B%7D&endkey=null", NULL, "ecba");
    check_rows(f, "?descending=true&startkey=null", NULL, "");
    check_rows(f, "?descending=true&endkey=%7B%7D", NULL, "");
    check_rows(f, "?key=%22c%22&inclusive_end=false", NULL, "");
    check_rows(f, "?startkey=%22b%22", NULL, "bce");
    assert_true(json_is_null(json_object_get(f->a.body, "offset")));
    check_rows(f, "", "{\"startkey\":\"b\",\"limit\":2}", "bc");
    ask(&f->node, &f->a, "GET", "/db/_all_docs?startkey=b", NULL);
    assert_int_equal(f->a.status, 400);
    assert_string_equal(cm_json_str(f->a.body, "error"), "query_parse_error");
    ask(&f->node, &f->a, "GET", "/db/_all_docs?limit=-1", NULL);
    assert_int_equal(f->a.status, 400);
}

/* A key that is longer than any id lies behind the id that is its beginning. */
static void test_keys_beyond_all_ids(void **state)
{
    struct fixture *f = *state;
    char key[402], query[500];
    memset(key, 'c', 401);
    key[400] = key[401] = '\0';
    put_doc(&f->node, json_pack("{s:s}", "_id", key), NULL);
    key[400] = 'c';
    snprintf(query, sizeof(query), "/db/_all_docs?startkey=%%22%s%%22", key);
    ask(&f->node, &f->a, "GET", query, NULL);
    const json_t *rows = cm_json_arr(f->a.body, "rows");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(cm_json_str(json_array_get(rows, 0), "id"), "e");
    snprintf(query, sizeof(query), "/db/_all_docs?descending=true&startkey=%%22%s%%22", key);
    ask(&f->node, &f->a, "GET", query, NULL);
    rows = cm_json_arr(f->a.body, "rows");
    assert_int_equal(json_array_size(rows), 4);
    assert_int_equal(json_string_length(json_object_get(json_array_get(rows, 0), "id")), 400);
    snprintf(query, sizeof(query), "/db/_all_docs?endkey=%%22%s%%22", key);
    ask(&f->node, &f->a, "GET", query, NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "rows")), 4);
    for (int down = 0; down < 2; down++) {
        snprintf(query, sizeof(query), "/db/_all_docs?descending=%s&key=%%22%s%%22",
                 down ? "true" : "false", key);
        ask(&f->node, &f->a, "GET", query, NULL);
        assert_int_equal(json_array_size(cm_json_arr(f->a.body, "rows")), 0);
    }
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    check_rows(f, "?include_docs=true", "{\"keys\":[\"e\",\"d\",\"none\",\"a\",\"e\"]}",
               "ednoneae");
    const json_t *rows = cm_json_arr(f->a.body, "rows");
    const json_t *deleted = json_array_get(rows, 1);
    assert_true(cm_json_bool(cm_json_obj(deleted, "value"), "deleted", false));
    assert_true(json_is_null(json_object_get(deleted, "doc")));
    assert_string_equal(cm_json_str(json_array_get(rows, 2), "error"), "not_found");
    assert_string_equal(cm_json_str(cm_json_obj(json_array_get(rows, 3), "doc"), "_rev"), REV_A);
    check_rows(f, "?keys=%5B%22c%22,%22a%22%5D&descending=true", NULL, "ac");
    check_rows(f, "?limit=1&skip=1", "{\"keys\":[\"a\",\"b\",\"c\"]}", "b");
    check_rows(f, "?include_docs=true&conflicts=true&key=%22c%22", NULL, "c");
    const json_t *doc = cm_json_obj(json_array_get(cm_json_arr(f->a.body, "rows"), 0), "doc");
    assert_true(cm_json_has_str(cm_json_arr(doc, "_conflicts"), REV_A));
    check_rows(f, "?include_docs=true&key=%22c%22", NULL, "c");
    doc = cm_json_obj(json_array_get(cm_json_arr(f->a.body, "rows"), 0), "doc");
    assert_non_null(doc);
    assert_null(json_object_get(doc, "_conflicts"));
    ask(&f->node, &f->a, "POST", "/db/_all_docs", "{\"keys\":1}");
    assert_int_equal(f->a.status, 400);
}

/* More rows than one step looks at, in both directions. */
static void test_pages(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_JSON body = json_object();
    json_t *docs = json_array();
    for (int i = 0; i < 1000; i++) {
        char id[16];
        snprintf(id, sizeof(id), "p%03d", i);
        json_array_append_new(docs, json_pack("{s:s}", "_id", id));
    }
    cm_json_set(body, "docs", docs);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", text);
    for (int down = 0; down < 2; down++) {
        ask(&f->node, &f->a, "GET",
            down ? "/db/_all_docs?include_docs=true&descending=true"
                 : "/db/_all_docs?include_docs=true",
            NULL);
        const json_t *rows = cm_json_arr(f->a.body, "rows");
        assert_int_equal(json_array_size(rows), 1004);
        for (size_t i = 1; i < json_array_size(rows); i++) {
            const char *before = cm_json_str(json_array_get(rows, i - 1), "id");
            int order = strcmp(before, cm_json_str(json_array_get(rows, i), "id"));
            assert_true(down ? order > 0 : order < 0);
        }
    }
}

static void test_limit_and_security(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/_revs_limit", NULL);
    assert_string_equal(f->a.text, "1000\n");
    ask(&f->node, &f->a, "PUT", "/db/_revs_limit", "20");
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "GET", "/db/_revs_limit", NULL);
    assert_string_equal(f->a.text, "20\n");
    ask(&f->node, &f->a, "PUT", "/db/_revs_limit", "0");
    assert_int_equal(f->a.status, 400);
    ask(&f->node, &f->a, "PUT", "/db/_revs_limit", "\"x\"");
    assert_int_equal(f->a.status, 400);
    ask(&f->node, &f->a, "GET", "/db/_security", NULL);
    assert_string_equal(f->a.text, "{}\n");
    ask(&f->node, &f->a, "PUT", "/db/_security", "{\"admins\":{\"names\":[\"x\"]}}");
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "GET", "/db/_security", NULL);
    assert_string_equal(f->a.text, "{\"admins\":{\"names\":[\"x\"]}}\n");
    ask(&f->node, &f->a, "PUT", "/db/_security", "[]");
    assert_int_equal(f->a.status, 400);
    CM_AUTO_STR text = cm_malloc(300001);
    memset(text, 'x', 300000);
    text[300000] = '\0';
    CM_AUTO_STR giant = cm_asprintf("{\"admins\":\"%s\"}", text);
    ask(&f->node, &f->a, "PUT", "/db/_security", giant);
    assert_int_equal(f->a.status, 413);
    assert_string_equal(cm_json_str(f->a.body, "error"), "document_too_large");
    ask(&f->node, &f->a, "DELETE", "/db/_security", NULL);
    assert_int_equal(f->a.status, 405);
}

static void test_purge(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_purge",
        "{\"c\":[\"" REV_B "\",\"7-x\"],\"d\":[\"" REV_A "\"],\"none\":[\"1-a\"]}");
    assert_int_equal(f->a.status, 201);
    assert_true(json_is_null(json_object_get(f->a.body, "purge_seq")));
    const json_t *purged = cm_json_obj(f->a.body, "purged");
    assert_int_equal(json_array_size(cm_json_arr(purged, "c")), 1);
    assert_true(cm_json_has_str(cm_json_arr(purged, "c"), REV_B));
    assert_int_equal(json_array_size(cm_json_arr(purged, "d")), 1);
    assert_int_equal(json_array_size(cm_json_arr(purged, "none")), 0);
    ask(&f->node, &f->a, "GET", "/db/c", NULL);
    assert_string_equal(cm_json_str(f->a.body, "_rev"), REV_A);
    ask(&f->node, &f->a, "GET", "/db/d?rev=" REV_A, NULL);
    assert_int_equal(f->a.status, 404);
    ask(&f->node, &f->a, "GET", "/db/_changes?style=all_docs", NULL);
    assert_null(strstr(f->a.text, "\"d\""));
    ask(&f->node, &f->a, "GET", "/db/", NULL);
    assert_int_equal(cm_json_int(f->a.body, "purge_seq", 0), 1);
    assert_int_equal(cm_json_int(f->a.body, "doc_del_count", -1), 0);
    /* Where nothing went, nothing is counted. */
    ask(&f->node, &f->a, "POST", "/db/_purge", "{\"none\":[\"1-a\"]}");
    assert_int_equal(f->a.status, 201);
    ask(&f->node, &f->a, "GET", "/db/", NULL);
    assert_int_equal(cm_json_int(f->a.body, "purge_seq", 0), 1);
    /* A wrong name anywhere: nothing is removed. */
    ask(&f->node, &f->a, "POST", "/db/_purge", "{\"a\":[\"" REV_A "\"],\"b\":[\"x\"]}");
    assert_int_equal(f->a.status, 400);
    ask(&f->node, &f->a, "GET", "/db/a", NULL);
    assert_int_equal(f->a.status, 200);
}

static bool compacted(void *arg)
{
    struct fixture *f = arg;
    ask(&f->node, &f->a, "GET", "/db/", NULL);
    return !cm_json_bool(f->a.body, "compact_running", true);
}

static void test_compact(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "PUT", "/db/a?rev=" REV_A, "{\"v\":2}");
    assert_int_equal(f->a.status, 201);
    ask(&f->node, &f->a, "GET", "/db/a?rev=" REV_A, NULL);
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "POST", "/db/_compact", "");
    assert_int_equal(f->a.status, 202);
    rig_wait(&f->rig, compacted, f);
    ask(&f->node, &f->a, "GET", "/db/a?rev=" REV_A, NULL);
    assert_int_equal(f->a.status, 404);
    ask(&f->node, &f->a, "GET", "/db/a?revs_info=true", NULL);
    const json_t *old = json_array_get(cm_json_arr(f->a.body, "_revs_info"), 1);
    assert_string_equal(cm_json_str(old, "rev"), REV_A);
    assert_string_equal(cm_json_str(old, "status"), "missing");
    ask(&f->node, &f->a, "GET", "/db/c?rev=" REV_A, NULL); /* a leaf keeps its body */
    assert_int_equal(f->a.status, 200);
}

/* Page by page, to the last one; whoever asks again meanwhile does not make it begin again. */
static void test_compact_pages(void **state)
{
    struct fixture *f = *state;
    struct rp_server *server = f->node.server;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 450; i++) {
            struct cs_result res;
            CM_AUTO_STR id = cm_asprintf("page%03d", i);
            CM_AUTO_JSON doc = json_pack("{s:s,s:i}", "_id", id, "v", i);
            cm_json_set_str(doc, "_rev", round == 0 ? REV_A : "2-b");
            if (round == 1)
                cm_json_set(doc, "_revisions",
                            json_pack("{s:i,s:[s,s]}", "start", 2, "ids", "b", &REV_A[2]));
            assert_int_equal(cs_put_replicated(f->node.store, doc, "lab", &res, NULL), 0);
        }
        assert_int_equal(cs_commit(f->node.store, NULL), 0);
    }
    ask(&f->node, &f->a, "GET", "/db/page449?rev=" REV_A, NULL);
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "POST", "/db/_compact", "");
    rig_wait(&f->rig, compacted, f);
    ask(&f->node, &f->a, "GET", "/db/page449?rev=" REV_A, NULL);
    assert_int_equal(f->a.status, 404);
    server->compacting = true;
    snprintf(server->compact_from, sizeof(server->compact_from), "page300");
    ask(&f->node, &f->a, "POST", "/db/_compact", "");
    assert_int_equal(f->a.status, 202);
    assert_string_equal(server->compact_from, "page300");
    server->compacting = false;
}

static void test_missing_revs(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_missing_revs",
        "{\"a\":[\"" REV_A "\",\"2-x\"],\"b\":[\"" REV_A "\"],\"none\":[\"1-a\"]}");
    assert_int_equal(f->a.status, 200);
    const json_t *missing = cm_json_obj(f->a.body, "missing_revs");
    assert_int_equal(json_object_size(missing), 2);
    assert_true(cm_json_has_str(cm_json_arr(missing, "a"), "2-x"));
    assert_true(cm_json_has_str(cm_json_arr(missing, "none"), "1-a"));
    ask(&f->node, &f->a, "POST", "/db/_revs_diff", "{\"c\":[\"2-x\",\"1-z\"],\"d\":[\"1-z\"]}");
    const json_t *ancestors = cm_json_arr(cm_json_obj(f->a.body, "c"), "possible_ancestors");
    assert_int_equal(json_array_size(ancestors), 2);
    assert_true(cm_json_has_str(ancestors, REV_A));
    assert_null(cm_json_arr(cm_json_obj(f->a.body, "d"), "possible_ancestors"));
}

static void test_server_wide(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/_uuids?count=3", NULL);
    const json_t *uuids = cm_json_arr(f->a.body, "uuids");
    assert_int_equal(json_array_size(uuids), 3);
    assert_int_equal(json_string_length(json_array_get(uuids, 2)), 32);
    ask(&f->node, &f->a, "GET", "/_uuids?count=1001", NULL);
    assert_int_equal(f->a.status, 400);
    ask(&f->node, &f->a, "GET", "/db/c?meta=true", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "_conflicts")), 1);
    assert_null(json_object_get(f->a.body, "_local_seq"));
    assert_non_null(cm_json_arr(f->a.body, "_revs_info"));
    ask(&f->node, &f->a, "GET", "/db/c?local_seq=true", NULL);
    assert_int_equal(cm_json_int(f->a.body, "_local_seq", 0), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_beyond_all_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_and_security, setup, teardown),
        cmocka_unit_test_setup_teardown(test_purge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compact_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_revs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_wide, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
