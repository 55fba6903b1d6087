/* The changes feed: rows, limits, filters, parking, waking, heartbeats, timeouts, vanished clients.
 */
#include "tests/unit/replicator/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "replicator/serve.h"

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
    struct feed_reader feed;
    const char *expect; /* text the feed must contain */
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->node, "a", true);
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

static void add(struct fixture *f, const char *id)
{
    put_doc(&f->node, json_pack("{s:s}", "_id", id), NULL);
}

static bool contains(void *arg)
{
    const struct fixture *f = arg;
    return strstr(f->feed.text, f->expect) != NULL;
}

static void expect(struct fixture *f, const char *text)
{
    f->expect = text;
    rig_wait(&f->rig, contains, f);
}

static size_t rows(const struct answer *a)
{
    return json_array_size(cm_json_arr(a->body, "results"));
}

static const char *row_id(const struct answer *a, size_t i)
{
    return cm_json_str(json_array_get(cm_json_arr(a->body, "results"), i), "id");
}

static void test_normal(void **state)
{
    struct fixture *f = *state;
    char path[200];
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof(id), "d%d", i);
        add(f, id);
    }
    ask(&f->node, &f->a, "GET", "/db/_changes", NULL);
    assert_int_equal(rows(&f->a), 5);
    assert_string_equal(row_id(&f->a, 0), "d0");
    assert_int_equal(cm_json_int(f->a.body, "pending", -1), 0);
    ask(&f->node, &f->a, "GET", "/db/_changes?limit=2", NULL);
    assert_int_equal(rows(&f->a), 2);
    assert_int_equal(cm_json_int(f->a.body, "pending", -1), 3);
    snprintf(path, sizeof(path), "/db/_changes?since=%s", cm_json_str(f->a.body, "last_seq"));
    ask(&f->node, &f->a, "GET", path, NULL);
    assert_int_equal(rows(&f->a), 3);
    assert_string_equal(row_id(&f->a, 0), "d2");
    ask(&f->node, &f->a, "GET", "/db/_changes?since=now", NULL);
    assert_int_equal(rows(&f->a), 0);
    ask(&f->node, &f->a, "GET", "/db/_changes?since=3-00000000", NULL); /* another incarnation */
    assert_int_equal(rows(&f->a), 5);
    ask(&f->node, &f->a, "GET", "/db/_changes?limit=0", NULL);
    assert_int_equal(rows(&f->a), 0);
    assert_int_equal(cm_json_int(f->a.body, "pending", -1), 5);
    assert_int_equal(strncmp(cm_json_str(f->a.body, "last_seq"), "0-", 2), 0);
    ask(&f->node, &f->a, "GET", "/db/_changes?descending=true&limit=2&include_docs=true", NULL);
    assert_int_equal(rows(&f->a), 2);
    assert_string_equal(row_id(&f->a, 0), "d4");
    assert_string_equal(row_id(&f->a, 1), "d3");
    assert_int_equal(strncmp(cm_json_str(f->a.body, "last_seq"), "4-", 2), 0); /* of that row */
    assert_non_null(cm_json_obj(json_array_get(cm_json_arr(f->a.body, "results"), 0), "doc"));
}

static void test_styles(void **state)
{
    struct fixture *f = *state;
    ask(&f->node, &f->a, "POST", "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"x\",\"_rev\":\"1-a\"},{\"_id\":\"x\",\"_rev\":"
        "\"1-b\"},{\"_id\":\"x\",\"_rev\":\"2-c\",\"_deleted\":true}]}");
    ask(&f->node, &f->a, "GET", "/db/_changes?style=all_docs", NULL);
    const json_t *row = json_array_get(cm_json_arr(f->a.body, "results"), 0);
    const json_t *changes = cm_json_arr(row, "changes");
    assert_int_equal(rows(&f->a), 1);
    assert_int_equal(json_array_size(changes), 3);
    assert_string_equal(cm_json_str(json_array_get(changes, 0), "rev"), "1-b"); /* the winner */
    assert_string_equal(cm_json_str(json_array_get(changes, 2), "rev"), "2-c");
    assert_null(json_object_get(row, "deleted"));
    for (int named = 0; named < 2; named++) {
        ask(&f->node, &f->a, "GET", named ? "/db/_changes?style=main_only" : "/db/_changes", NULL);
        row = json_array_get(cm_json_arr(f->a.body, "results"), 0);
        assert_int_equal(json_array_size(cm_json_arr(row, "changes")), 1);
    }
}

static void test_doc_ids(void **state)
{
    struct fixture *f = *state;
    add(f, "a");
    add(f, "b");
    add(f, "c");
    ask(&f->node, &f->a, "POST", "/db/_changes?filter=_doc_ids", "{\"doc_ids\":[\"b\",\"z\"]}");
    assert_int_equal(rows(&f->a), 1);
    assert_string_equal(row_id(&f->a, 0), "b");
    /* Skipped rows move last_seq, too. */
    assert_int_equal(strncmp(cm_json_str(f->a.body, "last_seq"), "3-", 2), 0);
    ask(&f->node, &f->a, "GET", "/db/_changes?filter=_doc_ids&doc_ids=%5B%22c%22%5D", NULL);
    assert_int_equal(rows(&f->a), 1);
    ask(&f->node, &f->a, "POST", "/db/_changes?filter=_doc_ids&doc_ids=%5B%22c%22%5D",
        "{\"doc_ids\":[\"a\"]}"); /* the body says it */
    assert_string_equal(row_id(&f->a, 0), "a");
}

/* Few changes are counted, not guessed from sequences: most of these belong to one document. */
static void test_pending(void **state)
{
    struct fixture *f = *state;
    char rev[CS_REV_MAX + 1] = "";
    for (int i = 0; i < 5; i++) {
        CM_AUTO_STR id = cm_asprintf("d%d", i);
        put_doc(&f->node, json_pack("{s:s}", "_id", id), i == 0 ? rev : NULL);
    }
    for (int i = 0; i < 10; i++)
        put_doc(&f->node, json_pack("{s:s,s:s,s:i}", "_id", "d0", "_rev", rev, "v", i), rev);
    ask(&f->node, &f->a, "GET", "/db/_changes?limit=1", NULL);
    assert_string_equal(row_id(&f->a, 0), "d1");
    assert_int_equal(cm_json_int(f->a.body, "pending", -1), 4);
}

/* More rows than a page, in both directions. */
static void test_pages(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 1300; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        CM_AUTO_JSON doc = json_pack("{s:s}", "_id", id);
        struct cs_result res;
        assert_int_equal(cs_put_edit(f->node.store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(f->node.store, NULL), 0);
    ask(&f->node, &f->a, "GET", "/db/_changes", NULL);
    assert_int_equal(rows(&f->a), 1300);
    assert_string_equal(row_id(&f->a, 1299), "doc1299");
    ask(&f->node, &f->a, "GET", "/db/_changes?descending=true", NULL);
    assert_int_equal(rows(&f->a), 1300);
    assert_string_equal(row_id(&f->a, 0), "doc1299");
    assert_string_equal(row_id(&f->a, 1299), "doc0000");
    ask(&f->node, &f->a, "GET", "/db/_changes?limit=700", NULL);
    assert_int_equal(rows(&f->a), 700);
    assert_int_equal(cm_json_int(f->a.body, "pending", 0), 600);
}

static void test_longpoll_wakes(void **state)
{
    struct fixture *f = *state;
    add(f, "old");
    feed_start(&f->node, &f->feed, "/_changes?feed=longpoll&since=now&heartbeat=10000");
    expect(f, "{\"results\":["); /* the head is sent at once */
    rig_sleep(&f->rig, 30);
    assert_false(f->feed.done);
    int64_t before = cm_mono_ms();
    add(f, "fresh");
    rig_until(&f->rig, &f->feed.done);
    assert_true(cm_mono_ms() - before < 8000); /* not by the heartbeat */
    assert_non_null(strstr(f->feed.text, "\"fresh\""));
    assert_null(strstr(f->feed.text, "\"old\""));
    assert_non_null(strstr(f->feed.text, "\"last_seq\":\"2-"));
    /* With changes to tell it does not park. */
    feed_start(&f->node, &f->feed, "/_changes?feed=longpoll");
    rig_until(&f->rig, &f->feed.done);
    assert_non_null(strstr(f->feed.text, "\"old\""));
}

static void test_longpoll_filter_sleeps_on(void **state)
{
    struct fixture *f = *state;
    feed_start(&f->node, &f->feed,
               "/_changes?feed=longpoll&filter=_doc_ids&doc_ids=%5B%22b%22%5D&heartbeat=10000");
    expect(f, "[");
    add(f, "a");
    rig_sleep(&f->rig, 50);
    assert_false(f->feed.done);
    add(f, "b");
    rig_until(&f->rig, &f->feed.done);
    assert_null(strstr(f->feed.text, "\"a\""));
}

static void test_longpoll_timeout(void **state)
{
    struct fixture *f = *state;
    int64_t before = cm_mono_ms();
    feed_start(&f->node, &f->feed, "/_changes?feed=longpoll&timeout=150");
    rig_until(&f->rig, &f->feed.done);
    int64_t took = cm_mono_ms() - before;
    assert_in_range(took, 130, 10000);
    assert_non_null(strstr(f->feed.text, "\"last_seq\""));
}

static void test_continuous(void **state)
{
    struct fixture *f = *state;
    add(f, "one");
    feed_start(&f->node, &f->feed, "/_changes?feed=continuous&heartbeat=100");
    expect(f, "\"one\"");
    add(f, "two");
    expect(f, "\"two\"");
    /* Heartbeats: bare newlines between rows. */
    size_t len = f->feed.len;
    int64_t before = cm_mono_ms();
    while (f->feed.len < len + 3)
        rig_sleep(&f->rig, 10);
    assert_true(cm_mono_ms() - before >= 190); /* the first may have been under way */
    assert_int_equal(strspn(f->feed.text + len, "\n"), f->feed.len - len);
    assert_false(f->feed.done);
    add(f, "three");
    expect(f, "\"three\"");
}

/* Silence is counted from the last row; changes that the filter keeps back do not break it, or a
 * busy store would leave its clients without a heartbeat. */
static void test_silence(void **state)
{
    struct fixture *f = *state;
    feed_start(&f->node, &f->feed,
               "/_changes?feed=continuous&filter=_doc_ids&doc_ids=%5B%22b%22%5D&timeout=60000");
    while (!f->node.server->streams || !f->node.server->streams->parked)
        cm_loop_turn(f->rig.loop, true);
    int64_t due = f->node.server->streams->due;
    rig_sleep(&f->rig, 20);
    add(f, "a");
    rig_sleep(&f->rig, 50);
    assert_true(f->node.server->streams->parked);
    assert_int_equal(f->node.server->streams->due, due);
    add(f, "b");
    expect(f, "\"b\"");
    assert_true(f->node.server->streams->due > due);
}

/* A feed that has changes to look at is not ended by its time limit: they would be skipped. */
static void test_changes_before_the_limit(void **state)
{
    struct fixture *f = *state;
    feed_start(&f->node, &f->feed, "/_changes?feed=longpoll&since=now&timeout=60000");
    while (!f->node.server->streams || !f->node.server->streams->parked)
        cm_loop_turn(f->rig.loop, true);
    struct rp_stream *stream = f->node.server->streams;
    stream->ready = true;
    stream->due = 1;
    rp_stream_on_beat(f->node.server);
    assert_ptr_equal(f->node.server->streams, stream);
    stream->ready = false;
    rp_stream_on_beat(f->node.server);
    rig_until(&f->rig, &f->feed.done);
    assert_null(f->node.server->streams);
}

/* A client cannot make us write more often than so. */
static void test_heartbeat_floor(void **state)
{
    struct fixture *f = *state;
    int64_t before = cm_mono_ms();
    feed_start(&f->node, &f->feed, "/_changes?feed=continuous&since=now&heartbeat=1");
    while (f->feed.len < 3)
        rig_sleep(&f->rig, 5);
    assert_true(cm_mono_ms() - before >= 290);
}

static void test_continuous_ends(void **state)
{
    struct fixture *f = *state;
    add(f, "one");
    feed_start(&f->node, &f->feed, "/_changes?feed=continuous&timeout=150");
    rig_until(&f->rig, &f->feed.done);
    assert_non_null(strstr(f->feed.text, "\n{\"last_seq\":\"1-"));
    feed_start(&f->node, &f->feed, "/_changes?feed=continuous&limit=1&heartbeat=10000");
    rig_until(&f->rig, &f->feed.done);
    assert_non_null(strstr(f->feed.text, "\n{\"last_seq\":\"1-"));
}

static void test_vanished_client(void **state)
{
    struct fixture *f = *state;
    struct feed_reader feed[10];
    for (size_t i = 0; i < 10; i++) {
        feed_start(&f->node, &feed[i], "/_changes?feed=longpoll&heartbeat=10000");
        while (feed[i].len == 0)
            cm_loop_turn(f->rig.loop, true);
    }
    for (size_t i = 0; i < 10; i++)
        feed_stop(&feed[i]);
    rig_sleep(&f->rig, 100);
    add(f, "later"); /* wakes nobody */
    ask(&f->node, &f->a, "GET", "/db/later", NULL);
    assert_int_equal(f->a.status, 200);
}

/* A client that does not read must cost neither memory nor the others' time. */
static void test_slow_reader(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR pad = cm_calloc(1, 60001);
    memset(pad, 'x', 60000);
    for (int i = 0; i < 300; i++) {
        CM_AUTO_STR id = cm_asprintf("big%03d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:s}", "_id", id, "pad", pad);
        struct cs_result res;
        assert_int_equal(cs_put_edit(f->node.store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(f->node.store, NULL), 0);
    feed_start(&f->node, &f->feed, "/_changes?feed=continuous&include_docs=true&heartbeat=10000");
    rig_until(&f->rig, &f->feed.done); /* the reader's buffer is full: it hangs up in the middle */
    ask(&f->node, &f->a, "GET", "/db/_changes?include_docs=true", NULL);
    assert_int_equal(rows(&f->a), 300); /* 18 MB, far beyond what may be pending at once */
    ask(&f->node, &f->a, "GET", "/db/_all_docs?include_docs=true", NULL);
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "rows")), 300);
    CM_AUTO_JSON docs = json_array();
    for (int i = 0; i < 300; i++) {
        CM_AUTO_STR id = cm_asprintf("big%03d", i);
        json_array_append_new(docs, json_pack("{s:s}", "id", id));
    }
    CM_AUTO_JSON body = json_pack("{s:O}", "docs", docs);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    ask(&f->node, &f->a, "POST", "/db/_bulk_get", text);
    assert_int_equal(rows(&f->a), 300);
}

static void test_server_goes_away(void **state)
{
    struct fixture *f = *state;
    feed_start(&f->node, &f->feed, "/_changes?feed=continuous&heartbeat=10000");
    rig_sleep(&f->rig, 50);
    node_stop(&f->node);
    rig_until(&f->rig, &f->feed.done);
    add(f, "unheard");
    node_listen(&f->node);
    ask(&f->node, &f->a, "GET", "/db/unheard", NULL);
    assert_int_equal(f->a.status, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_normal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_styles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doc_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longpoll_wakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longpoll_filter_sleeps_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longpoll_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_continuous, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes_before_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_heartbeat_floor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_continuous_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vanished_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_goes_away, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
