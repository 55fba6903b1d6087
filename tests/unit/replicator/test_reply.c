/* Answers: their form, when they may go out, and what of the clients is remembered. */
#include "tests/unit/replicator/rig.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/core/mem.h"
#include "replicator/seq.h"
#include "replicator/serve.h"

struct fixture {
    struct rig rig;
    struct node node;
    struct answer a;
    struct feed_reader put;
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
    feed_stop(&f->put);
    answer_fini(&f->a);
    node_close(&f->node);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

/* ---- form --------------------------------------------------------------------------------- */

static void methods_and_empty_bodies(void **state)
{
    static const char *const posts[] = {"_bulk_docs", "_bulk_get", "_revs_diff", "_purge"};
    struct fixture *f = *state;
    ask(&f->node, &f->a, "PUT", "/db/_changes", "{}");
    assert_non_null(strstr(f->a.headers, "Allow: GET,HEAD,POST\r\n"));
    ask(&f->node, &f->a, "PUT", "/db/_ensure_full_commit", "{}");
    assert_non_null(strstr(f->a.headers, "Allow: POST\r\n"));
    ask(&f->node, &f->a, "GET", "/db/_ensure_full_commit", NULL);
    assert_int_equal(f->a.status, 405);
    for (size_t i = 0; i < sizeof(posts) / sizeof(posts[0]); i++) {
        CM_AUTO_STR path = cm_asprintf("/db/%s", posts[i]);
        ask(&f->node, &f->a, "POST", path, "");
        assert_int_equal(f->a.status, 400);
        assert_string_equal(cm_json_str(f->a.body, "reason"), "invalid UTF-8 JSON");
    }
}

/* Ids are any text: whatever writes JSON by itself quotes it. */
static void ids_that_need_quoting(void **state)
{
    static const char *const ids[] = {"a\"b", "a\\b", "a\nb", "\x7f", "sp\xc3\xa4\xc3\x9f", "a/b"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        put_doc(&f->node, json_pack("{s:s}", "_id", ids[i]), NULL);
    CM_AUTO_JSON wanted = json_array();
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        json_array_append_new(wanted, json_pack("{s:s}", "id", ids[i]));
    CM_AUTO_JSON body = json_pack("{s:O}", "docs", wanted);
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    for (int way = 0; way < 3; way++) {
        if (way == 2)
            ask(&f->node, &f->a, "POST", "/db/_bulk_get", text);
        else
            ask(&f->node, &f->a, "GET", way ? "/db/_all_docs" : "/db/_changes", NULL);
        assert_int_equal(f->a.status, 200);
        const json_t *rows = cm_json_arr(f->a.body, way == 1 ? "rows" : "results");
        assert_int_equal(json_array_size(rows), 6);
        for (size_t i = 0; i < 6 && way != 1; i++)
            assert_string_equal(cm_json_str(json_array_get(rows, i), "id"), ids[i]);
    }
}

/* What is too much for one step is cut: its client sees that it does not parse, and asks for less.
 */
static void an_answer_that_cannot_be_whole(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR pad = cm_calloc(1, 250001);
    memset(pad, 'x', 250000);
    for (int i = 0; i < 70; i++) { /* leaves of one document */
        struct cs_result res;
        CM_AUTO_STR rev = cm_asprintf("1-r%02d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:s,s:s}", "_id", "wide", "_rev", rev, "pad", pad);
        assert_int_equal(cs_put_replicated(f->node.store, doc, "lab", &res, NULL), 0);
        assert_int_equal(res.code, 0);
    }
    put_doc(&f->node, json_pack("{s:s}", "_id", "small"), NULL);
    ask(&f->node, &f->a, "POST", "/db/_bulk_get",
        "{\"docs\":[{\"id\":\"wide\"},{\"id\":\"small\"}]}");
    assert_null(f->a.body);
    ask(&f->node, &f->a, "POST", "/db/_bulk_get",
        "{\"docs\":[{\"id\":\"wide\",\"rev\":\"1-r69\"},{\"id\":\"small\"}]}");
    assert_int_equal(json_array_size(cm_json_arr(f->a.body, "results")), 2);
}

/* ---- durability --------------------------------------------------------------------------- */

static bool asked(void *arg)
{
    const struct fixture *f = arg;
    return f->node.requests > 0;
}

/* The request is with the server, and its change with the store, not on the disk. */
static void put_held(struct fixture *f)
{
    f->node.held = true;
    f->node.requests = 0;
    feed_start_as(&f->node, &f->put, "PUT", "/x", "{}");
    rig_wait(&f->rig, asked, f);
    rig_sleep(&f->rig, 30);
}

static void no_answer_before_the_commit(void **state)
{
    struct fixture *f = *state;
    put_held(f);
    assert_false(f->put.done);
    assert_int_equal(cs_commit(f->node.store, NULL), 0);
    rig_until(&f->rig, &f->put.done);
    assert_int_equal(f->put.status, 201);
    f->node.held = false;
}

/* Whoever waits for an answer when the disk fails is told to try again. */
static void a_failed_commit_is_a_500(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, small;
    put_held(f);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = cs_commit(f->node.store, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(rc < 0);
    rig_until(&f->rig, &f->put.done);
    assert_int_equal(f->put.status, 500);
    assert_non_null(strstr(f->put.text, "\"internal_server_error\""));
}

/* A client that went away while its change was on the way to the disk. */
static void nobody_waits_any_more(void **state)
{
    struct fixture *f = *state;
    put_held(f);
    feed_stop(&f->put);
    rig_sleep(&f->rig, 50);
    assert_int_equal(cs_commit(f->node.store, NULL), 0);
    f->node.held = false;
    ask(&f->node, &f->a, "GET", "/db/x", NULL);
    assert_int_equal(f->a.status, 200);
}

/* ---- who was seen ------------------------------------------------------------------------- */

static void peers_are_remembered_within_bounds(void **state)
{
    struct fixture *f = *state;
    char name[32], text[RP_SEQ_TEXT + 1];
    memset(text, '1', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    rp_seen(f->node.server, "p0", text); /* longer than any that is ours */
    CM_AUTO_JSON one = rp_server_peers(f->node.server);
    assert_int_equal(json_array_size(one), 1);
    assert_null(cm_json_str(json_array_get(one, 0), "since"));
    for (int i = 0; i <= RP_SEEN_MAX; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        rp_seen(f->node.server, name, "7-0badcafe");
    }
    CM_AUTO_JSON all = rp_server_peers(f->node.server);
    assert_int_equal(json_array_size(all), RP_SEEN_MAX);
    rp_seen(f->node.server, "p0", NULL); /* who is known still is */
    CM_AUTO_JSON still = rp_server_peers(f->node.server);
    assert_string_equal(cm_json_str(json_array_get(still, 0), "since"), "7-0badcafe");
}

/* Who waits at a parked feed is seen as long as it listens. */
static void a_listener_is_seen(void **state)
{
    struct fixture *f = *state;
    struct node node;
    f->rig.peer = "edge";
    node_start(&f->rig, &node, "manager", false);
    feed_start(&node, &f->put, "/_changes?feed=continuous&since=now&heartbeat=100");
    while (!json_object_get(node.server->seen, "edge"))
        cm_loop_turn(f->rig.loop, true);
    int64_t at = cm_json_int(json_object_get(node.server->seen, "edge"), "at", 0);
    while (f->put.len < 2)
        rig_sleep(&f->rig, 5);
    assert_true(cm_json_int(json_object_get(node.server->seen, "edge"), "at", 0) - at >= 150);
    feed_stop(&f->put);
    node_close(&node);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(methods_and_empty_bodies),
        T(ids_that_need_quoting),
        T(an_answer_that_cannot_be_whole),
        T(no_answer_before_the_commit),
        T(a_listener_is_seen),
        T(a_failed_commit_is_a_500),
        T(nobody_waits_any_more),
        T(peers_are_remembered_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
