/* What a fleet's peers may do: identity, direction, rooms of their own, removal while listening. */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "replicator/seq.h"
#include "replicator/serve.h"

#define RECEIPT_A "receipt:edge:" ULID("AA")

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
    struct feed_reader feed;
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "manager", false);
    put_doc(&f->node, doc_settings("global", 10, 30), NULL);
    put_doc(&f->node, doc_receipt("edge", ULID("AA"), 10, "served"), NULL);
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

/* One document pushed; its row of the answer, or NULL when it was taken. */
static const json_t *push(struct fixture *f, json_t *take_doc)
{
    CM_AUTO_JSON body = json_pack("{s:b,s:[o]}", "new_edits", 0, "docs", take_doc);
    if (!json_object_get(take_doc, "_rev"))
        cm_json_set_str(take_doc, "_rev", REV_A);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", text);
    assert_int_equal(f->a.status, 201);
    return json_array_get(f->a.body, 0);
}

static void test_unknown(void **state)
{
    static const char *const table[][3] = {
        {"GET", "/", NULL},
        {"GET", "/db/", NULL},
        {"GET", "/db/_changes", NULL},
        {"GET", "/db/settings:global", NULL},
        {"PUT", "/db/_local/x", ""},
        {"GET", "/db/_changes?feed=longpoll", NULL},
    };
    struct fixture *f = *state;
    f->rig.peer = NULL;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ask(&f->node, &f->a, table[i][0], table[i][1], table[i][2]);
        assert_int_equal(f->a.status, 401);
        assert_string_equal(cm_json_str(f->a.body, "error"), "unauthorized");
    }
    /* A body is not even read. */
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", "{\"docs\":[]}");
    assert_int_equal(f->a.status, 401);
}

static void test_reading(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "GET", "/db/_changes", NULL);
    const json_t *rows = cm_json_arr(f->a.body, "results");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(cm_json_str(json_array_get(rows, 0), "id"), "settings:global");
    ask(&f->node, &f->a, "GET", "/db/settings:global", NULL);
    assert_int_equal(f->a.status, 200);
    ask(&f->node, &f->a, "GET", "/db/" RECEIPT_A, NULL);
    assert_int_equal(f->a.status, 404);
    ask(&f->node, &f->a, "GET", "/db/" RECEIPT_A "?open_revs=all", NULL);
    assert_int_equal(f->a.status, 404);
    ask(&f->node, &f->a, "POST", "/db/_bulk_get", "{\"docs\":[{\"id\":\"" RECEIPT_A "\"}]}");
    assert_null(strstr(f->a.text, "\"ok\""));
    ask(&f->node, &f->a, "GET", "/db/_all_docs?include_docs=true", NULL);
    rows = cm_json_arr(f->a.body, "rows");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(cm_json_str(json_array_get(rows, 0), "id"), "settings:global");
    ask(&f->node, &f->a, "POST", "/db/_all_docs", "{\"keys\":[\"" RECEIPT_A "\"]}");
    rows = cm_json_arr(f->a.body, "rows");
    assert_string_equal(cm_json_str(json_array_get(rows, 0), "error"), "not_found");
    /* Names of revisions are not told either. */
    ask(&f->node, &f->a, "POST", "/db/_revs_diff",
        "{\"settings:global\":[\"9-x\"],\"" RECEIPT_A "\":[\"9-x\"]}");
    assert_non_null(cm_json_arr(cm_json_obj(f->a.body, "settings:global"), "possible_ancestors"));
    assert_null(cm_json_arr(cm_json_obj(f->a.body, RECEIPT_A), "possible_ancestors"));

    f->rig.peer_manager = true;
    ask(&f->node, &f->a, "GET", "/db/_all_docs", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "rows")), 2);
    ask(&f->node, &f->a, "GET", "/db/_changes", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "results")), 2);
    ask(&f->node, &f->a, "GET", "/db/" RECEIPT_A, NULL);
    assert_int_equal(f->a.status, 200);
}

/* Nobody rules over a fleet's store through this port, not even a manager. */
static void test_no_administration(void **state)
{
    static const char *const refused[][3] = {
        {"PUT", "/db/_revs_limit", "5"},
        {"PUT", "/db/_security", "{}"},
        {"POST", "/db/_purge", "{}"},
        {"POST", "/db/_compact", "{}"},
        {"PUT", "/db/settings:global", "{}"},
        {"DELETE", "/db/settings:global", NULL},
        {"POST", "/db/_bulk_docs", "{\"docs\":[]}"},
    };
    struct fixture *f = *state;
    f->rig.peer_manager = true;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        ask(&f->node, &f->a, refused[i][0], refused[i][1], refused[i][2]);
        assert_int_equal(f->a.status, 403);
        assert_string_equal(cm_json_str(f->a.body, "error"), "forbidden");
        assert_non_null(cm_json_str(f->a.body, "reason"));
    }
    ask(&f->node, &f->a, "GET", "/db/_revs_limit", NULL);
    assert_string_equal(f->a.text, "1000\n");
    ask(&f->node, &f->a, "GET", "/db/_security", NULL);
    assert_string_equal(f->a.text, "{}\n");
    ask(&f->node, &f->a, "GET", "/_up", NULL);
    assert_string_equal(cm_json_str(f->a.body, "status"), "ok");
    ask(&f->node, &f->a, "GET", "/_all_dbs", NULL);
    assert_string_equal(f->a.text, "[\"db\"]\n");
    ask(&f->node, &f->a, "POST", "/_up", "{}");
    assert_int_equal(f->a.status, 405);
}

static void test_writing(void **state)
{
    struct fixture *f = *state;
    const json_t *row = push(f, doc_settings("global", 99, 1));
    assert_string_equal(cm_json_str(row, "error"), "forbidden");
    assert_string_equal(cm_json_str(row, "id"), "settings:global");
    assert_string_equal(cm_json_str(row, "rev"), REV_A);
    row = push(f, json_pack("{s:s,s:s}", "_id", "credential:" ULID("AA"), "type", "credential"));
    assert_string_equal(cm_json_str(row, "error"), "forbidden");
    row = push(f, json_pack("{s:s}", "_id", "_design/x"));
    assert_string_equal(cm_json_str(row, "error"), "forbidden");
    row = push(f, json_pack("{s:s}", "_id", "odd"));
    assert_string_equal(cm_json_str(row, "error"), "forbidden");
    assert_null(push(f, doc_receipt("edge", ULID("BB"), 5, "served")));
    struct cs_doc doc;
    assert_int_equal(cs_get(f->node.store, "receipt:edge:" ULID("BB"), &doc, NULL), 0);
    cs_doc_fini(&doc);
    assert_int_equal(cs_get(f->node.store, "settings:global", &doc, NULL), 0);
    assert_int_equal(doc.serial, 10);
    cs_doc_fini(&doc);

    f->rig.peer_manager = true; /* a manager may bring everything that is signed */
    assert_null(push(f, doc_settings("other", 99, 1)));
}

/* One bad document never costs the others of its batch. */
static void test_refused_alone(void **state)
{
    struct fixture *f = *state;
    json_t *forged = doc_receipt("edge", ULID("BB"), 5, "served");
    json_t *good = doc_receipt("edge", ULID("CC"), 5, "served");
    json_t *older = doc_receipt("edge", ULID("AA"), 9, "failed");
    doc_forge(forged);
    CM_AUTO_JSON body = json_pack("{s:b,s:[o,o,o]}", "new_edits", 0, "docs", forged, good, older);
    for (size_t i = 0; i < 3; i++)
        cm_json_set_str(json_array_get(cm_json_arr(body, "docs"), i), "_rev", REV_A);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", text);
    assert_int_equal(f->a.status, 201);
    assert_int_equal(json_array_size(f->a.body), 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(cm_json_str(json_array_get(f->a.body, i), "error"), "forbidden");
    CM_AUTO_JSON taken = cs_get_body(f->node.store, "receipt:edge:" ULID("CC"));
    CM_AUTO_JSON refused = cs_get_body(f->node.store, "receipt:edge:" ULID("BB"));
    CM_AUTO_JSON kept = cs_get_body(f->node.store, RECEIPT_A);
    CM_AUTO_JSON quarantine = cs_quarantine(f->node.store);
    assert_non_null(taken);
    assert_null(refused);
    assert_string_equal(cm_json_str(kept, "state"), "served");
    assert_int_equal(json_array_size(quarantine), 2);
    assert_string_equal(cm_json_str(json_array_get(quarantine, 0), "peer"), "edge");
}

static void test_no_edits(void **state)
{
    static const char *const table[][3] = {
        {"PUT", "/db/settings:global", "{}"},
        {"DELETE", "/db/settings:global", NULL},
        {"POST", "/db/_bulk_docs", "{\"docs\":[]}"},
    };
    struct fixture *f = *state;
    f->rig.peer_manager = true;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ask(&f->node, &f->a, table[i][0], table[i][1], table[i][2]);
        assert_int_equal(f->a.status, 403);
    }
    ask(&f->node, &f->a, "POST", "/db", "{}");
    assert_int_equal(f->a.status, 405);
    assert_string_equal(cm_json_str(f->a.body, "reason"), "Only GET,HEAD allowed");
}

/* What is not for a peer does not exist for it, however it asks. */
static void test_reading_by_revision(void **state)
{
    struct fixture *f = *state;
    f->rig.peer_manager = true;
    ask(&f->node, &f->a, "GET", "/db/" RECEIPT_A, NULL);
    assert_int_equal(f->a.status, 200);
    CM_AUTO_STR rev = cm_strdup(cm_json_str(f->a.body, "_rev"));
    for (int way = 0; way < 4; way++) {
        CM_AUTO_STR path = cm_asprintf("/db/" RECEIPT_A "?%sopen_revs=%%5B%%22%s%%22%%5D",
                                       way & 1 ? "latest=true&" : "", rev);
        f->rig.peer_manager = way < 2;
        ask(&f->node, &f->a, "GET", path, NULL);
        assert_int_equal(f->a.status, 200);
        const json_t *row = json_array_get(f->a.body, 0);
        assert_int_equal(cm_json_obj(row, "ok") != NULL, way < 2);
        assert_int_equal(cm_json_str(row, "missing") != NULL, way >= 2);
    }
    CM_AUTO_STR keys = cm_asprintf("{\"keys\":[\"%s\"]}", RECEIPT_A);
    ask(&f->node, &f->a, "POST", "/db/_all_docs?include_docs=true", keys);
    assert_string_equal(cm_json_str(json_array_get(cm_json_arr(f->a.body, "rows"), 0), "error"),
                        "not_found");
}

/* A checkpoint is small: the room that a peer has is known. */
static void test_local_size(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR text = cm_malloc(RP_LOCAL_SIZE + 1);
    memset(text, ' ', RP_LOCAL_SIZE);
    memcpy(text, "{}", 2);
    text[RP_LOCAL_SIZE] = '\0';
    ask(&f->node, &f->a, "PUT", "/db/_local/job", text);
    assert_int_equal(f->a.status, 201);
    CM_AUTO_STR more = cm_asprintf("%s ", text);
    ask(&f->node, &f->a, "PUT", "/db/_local/job", more);
    assert_int_equal(f->a.status, 413);
    assert_string_equal(cm_json_str(f->a.body, "error"), "document_too_large");
}

/* What CouchDB has written at the end of 50 sessions, its source a cluster with long sequences. */
static void test_local_of_a_cluster(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR seq = cm_malloc(513);
    memset(seq, 'x', 512);
    seq[512] = '\0';
    json_t *history = json_array();
    for (int i = 0; i < 50; i++)
        json_array_append_new(history,
                              json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i}",
                                        "session_id", "0123456789abcdef0123456789abcdef",
                                        "start_time", "Mon, 23 Nov 2026 01:00:00 GMT", "end_time",
                                        "Mon, 23 Nov 2026 01:30:00 GMT", "start_last_seq", seq,
                                        "end_last_seq", seq, "recorded_seq", seq, "missing_checked",
                                        1000000, "missing_found", 1000000, "docs_read", 1000000,
                                        "docs_written", 1000000, "doc_write_failures", 0,
                                        "bulk_get_docs", 1000000, "bulk_get_attempts", 10000));
    CM_AUTO_JSON doc =
        json_pack("{s:i,s:s,s:s,s:o}", "replication_id_version", 4, "session_id",
                  "0123456789abcdef0123456789abcdef", "source_last_seq", seq, "history", history);
    CM_AUTO_STR text = cm_json_dump(doc, NULL);
    ask(&f->node, &f->a, "PUT", "/db/_local/job", text);
    assert_int_equal(f->a.status, 201);
}

static void test_local_rooms(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "PUT", "/db/_local/job", "{\"n\":1}");
    assert_int_equal(f->a.status, 201);
    f->rig.peer = "other";
    ask(&f->node, &f->a, "GET", "/db/_local/job", NULL);
    assert_int_equal(f->a.status, 404);
    ask(&f->node, &f->a, "PUT", "/db/_local/job", "{\"n\":2}");
    assert_string_equal(cm_json_str(f->a.body, "rev"), "0-1");
    f->rig.peer = "edge";
    ask(&f->node, &f->a, "GET", "/db/_local/job", NULL);
    assert_int_equal(cm_json_int(f->a.body, "n", 0), 1);
    /* The room is small. */
    int status = 201;
    for (int i = 0; i < 200 && status == 201; i++) {
        CM_AUTO_STR path = cm_asprintf("/db/_local/job%d", i);
        ask(&f->node, &f->a, "PUT", path, "{}");
        status = f->a.status;
    }
    assert_int_equal(status, 403);
    ask(&f->node, &f->a, "PUT", "/db/_local/job", "{\"n\":3}");
    assert_int_equal(f->a.status, 201);
}

static void test_too_many_documents(void **state)
{
    struct fixture *f = *state;
    json_t *docs = json_array();
    for (int i = 0; i <= CS_BATCH_MAX; i++)
        json_array_append_new(docs, json_pack("{s:s,s:s}", "_id", "x", "_rev", REV_A));
    CM_AUTO_JSON body = json_pack("{s:b,s:o}", "new_edits", 0, "docs", docs);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs", text);
    assert_int_equal(f->a.status, 413);
}

static void test_removed_while_listening(void **state)
{
    struct fixture *f = *state;
    feed_start(&f->node, &f->feed, "/_changes?feed=continuous&since=now&heartbeat=100");
    rig_sleep(&f->rig, 50);
    CM_AUTO_JSON peers = rp_server_peers(f->node.server);
    assert_int_equal(json_array_size(peers), 1);
    assert_string_equal(cm_json_str(json_array_get(peers, 0), "peer"), "edge");
    assert_string_equal(cm_json_str(json_array_get(peers, 0), "since"), "now");
    assert_true(cm_json_bool(json_array_get(peers, 0), "feed", false));
    assert_true(cm_json_time(json_array_get(peers, 0), "last_seen_at", 0) > 0);
    assert_int_equal(cm_json_int(json_array_get(peers, 0), "lag_documents", -1), 0);
    assert_int_equal(cm_json_int(json_array_get(peers, 0), "lag_seconds", -1), 0);
    /* Somebody sets the clock: that was no hour of silence. */
    int64_t later = cm_now_ms() + 3600000;
    cm_clock_fake(later, cm_boot_ms());
    CM_AUTO_JSON then = rp_server_peers(f->node.server);
    cm_clock_fake(-1, -1);
    assert_true(cm_json_time(json_array_get(then, 0), "last_seen_at", 0) > later - 60000);
    f->rig.peer = NULL;
    put_doc(&f->node, doc_settings("global", 11, 31), NULL);
    rig_until(&f->rig, &f->feed.done);
    assert_null(strstr(f->feed.text, "settings:global"));
}

/* Who went away: what it has not read since, and since when it is not here. */
static void test_lag_of_a_peer(void **state)
{
    struct fixture *f = *state;
    char path[200], seq[RP_SEQ_TEXT];
    rp_seq_format(cs_seq(f->node.store), cs_epoch(f->node.store), seq);
    snprintf(path, sizeof(path), "/db/_changes?since=%s", seq);
    ask(&f->node, &f->a, "GET", path, NULL);
    assert_int_equal(f->a.status, 200);
    put_doc(&f->node, doc_settings("global", 11, 31), NULL);
    int64_t later = cm_boot_ms() + 90000;
    cm_clock_fake(cm_now_ms() + 90000, later);
    CM_AUTO_JSON peers = rp_server_peers(f->node.server);
    cm_clock_fake(-1, -1);
    const json_t *edge = json_array_get(peers, 0);
    assert_false(cm_json_bool(edge, "feed", true));
    assert_int_equal(cm_json_int(edge, "lag_documents", -1), 1);
    assert_in_range(cm_json_int(edge, "lag_seconds", -1), 89, 600);
}

static void test_removed_while_idle(void **state)
{
    struct fixture *f = *state;
    feed_start(&f->node, &f->feed, "/_changes?feed=longpoll&since=now&heartbeat=100");
    rig_sleep(&f->rig, 50);
    f->rig.peer = NULL;
    rig_until(&f->rig, &f->feed.done); /* at the next heartbeat */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_administration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_edits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_local_rooms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reading_by_revision, setup, teardown),
        cmocka_unit_test_setup_teardown(test_local_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_local_of_a_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_while_listening, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lag_of_a_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_while_idle, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
