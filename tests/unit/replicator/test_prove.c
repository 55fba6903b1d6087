/* Signatures checked elsewhere, pulling and being posted to: everything arrives once, nothing is
 * put before its verdict, and either side may end meanwhile. */
#include "tests/unit/replicator/rig.h"

#include <string.h>

#include "base/core/mem.h"
#include "replicator/pull.h"

#define DOCS  1300
#define CHUNK (RP_BATCH / 4)

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct rp_client *client;
    /* the port */
    json_t *docs; /* being checked */
    cm_fn done;
    void *done_arg;
    struct cm_timer *timer;
    bool hold; /* does not answer for now */
    unsigned calls;
    size_t proved, largest, tombstones;
    int64_t stored_at_call; /* documents in the store when asked last */
};

static void answer(void *arg)
{
    struct fixture *f = arg;
    json_decref(f->docs);
    f->docs = NULL;
    f->done(f->done_arg);
}

static void prove(void *arg, json_t *take_docs, cm_fn done, void *done_arg)
{
    struct fixture *f = arg;
    size_t count = json_array_size(take_docs);
    assert_null(f->docs); /* one at a time */
    f->docs = take_docs;
    f->done = done;
    f->done_arg = done_arg;
    f->calls++;
    f->proved += count;
    f->largest = count > f->largest ? count : f->largest;
    for (size_t i = 0; i < count; i++) {
        const json_t *doc = json_array_get(take_docs, i);
        assert_non_null(cm_json_str(doc, "_id"));
        f->tombstones += cm_json_bool(doc, "_deleted", false);
    }
    if (!f->hold)
        cm_timer_start(f->timer, 1);
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->up, "up", true);
    node_start(&f->rig, &f->edge, "edge", true);
    f->timer = cm_timer_new(f->rig.loop, answer, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close_store(&f->edge);
    node_close_store(&f->up);
    rp_client_free(f->client);
    if (f->docs)
        answer(f); /* after the client: it must not touch it */
    cm_timer_free(f->timer);
    node_close(&f->edge);
    node_close(&f->up);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void fill(struct node *node, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:i}", "_id", id, "v", i);
        struct cs_result res;
        assert_int_equal(cs_put_edit(node->store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(node->store, NULL), 0);
}

static void start(struct fixture *f)
{
    const struct rp_client_opts opts = {.loop = f->rig.loop,
                                        .store = f->edge.store,
                                        .http = f->rig.http,
                                        .url = f->up.url,
                                        .allow_http = true,
                                        .lab = true,
                                        .pull_only = true,
                                        .prove = prove,
                                        .prove_arg = f};
    assert_int_equal(rp_client_new(&opts, &f->client, NULL), 0);
}

static void everything_arrives_once(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 0, DOCS);
    start(f);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS);
    assert_int_equal(f->proved, DOCS);
    assert_int_equal(f->largest, CHUNK);
    assert_int_equal(f->up.docs_sent, DOCS);
    assert_true(same_leaves(&f->up, &f->edge, "doc0000"));
    assert_true(same_leaves(&f->up, &f->edge, "doc1299"));
}

static void a_few_documents_are_put_at_once(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 0, 3);
    start(f);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), 3);
    assert_int_equal(f->calls, 0);
}

static bool is_waiting(void *arg)
{
    const struct fixture *f = arg;
    /* The second reply is there (or on its way) while the first is being checked. */
    return f->docs && f->up.bulk_gets >= 2;
}

static void nothing_is_put_before_its_verdict(void **state)
{
    struct fixture *f = *state;
    f->hold = true;
    fill(&f->up, 0, DOCS);
    start(f);
    rig_wait(&f->rig, is_waiting, f);
    rig_sleep(&f->rig, 50);
    assert_int_equal(f->calls, 1);
    assert_int_equal(f->up.bulk_gets, 2); /* no third before the first is put */
    assert_int_equal(cs_doc_count(f->edge.store), 0);
    CM_AUTO_JSON part = client_part(f->client, "pull");
    assert_string_equal(cm_json_str(part, "state"), "replicating");
    f->hold = false;
    cm_timer_start(f->timer, 0);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS);
    assert_int_equal(f->up.docs_sent, DOCS);
}

static void the_client_may_end_meanwhile(void **state)
{
    struct fixture *f = *state;
    f->hold = true;
    fill(&f->up, 0, DOCS);
    start(f);
    rig_wait(&f->rig, is_waiting, f); /* teardown frees the client, then answers */
}

static bool is_reading(void *arg)
{
    const struct fixture *f = arg;
    const struct rp_pull *pull = f->client->job[0]->pull;
    return pull && pull->reading;
}

static void the_client_may_end_while_a_reply_is_read(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 0, DOCS);
    start(f);
    rig_wait(&f->rig, is_reading, f); /* teardown frees the client, then the loop */
}

/* What is signed of a tombstone says that it is one. */
static void tombstones_are_proved_as_such(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 0, 20);
    for (int i = 0; i < 5; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        struct cs_doc was;
        struct cs_result res;
        assert_int_equal(cs_get(f->up.store, id, &was, NULL), 0);
        CM_AUTO_JSON doc = json_pack("{s:s,s:s,s:b}", "_id", id, "_rev", was.rev, "_deleted", true);
        cs_doc_fini(&was);
        assert_int_equal(cs_put_edit(f->up.store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
    start(f);
    client_settle(&f->edge, f->client);
    assert_int_equal(f->proved, 20);
    assert_int_equal(f->tombstones, 5);
    assert_int_equal(cs_doc_count(f->edge.store), 15);
    assert_true(same_leaves(&f->up, &f->edge, "doc0000"));
}

static void a_failing_peer_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 0, DOCS);
    f->up.die_after = 2 * CHUNK; /* the first is checked or put, the second comes */
    start(f);
    for (bool down = false; !down;) {
        rig_sleep(&f->rig, 5);
        CM_AUTO_JSON part = client_part(f->client, "pull");
        down = strcmp(cm_json_str_or(part, "state", ""), "waiting") == 0;
    }
    node_listen(&f->up);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS);
}

static void ignore(void *arg, const struct http_result *res)
{
    (void)arg;
    (void)res;
}

/* ---- the serving side: _bulk_docs --------------------------------------------------------- */

static void serve_with_port(struct fixture *f)
{
    f->up.prove = prove;
    f->up.prove_arg = f;
    node_restart(&f->up);
}

/* A _bulk_docs of so many documents (owned). */
static char *bulk_body(int count)
{
    CM_AUTO_JSON body = json_object();
    json_t *docs = json_array();
    for (int i = 0; i < count; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        json_array_append_new(docs, json_pack("{s:s,s:s}", "_id", id, "_rev", REV_A));
    }
    cm_json_set_bool(body, "new_edits", false);
    cm_json_set(body, "docs", docs);
    return cm_json_dump(body, NULL);
}

static void posted_documents_are_answered_after_their_verdict(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    serve_with_port(f);
    CM_AUTO_STR many = bulk_body(100);
    ask(&f->up, &a, "POST", "/db/_bulk_docs", many);
    assert_int_equal(a.status, 201);
    assert_int_equal(json_array_size(a.body), 0);
    assert_int_equal(f->proved, 100);
    assert_int_equal(cs_doc_count(f->up.store), 100);
    CM_AUTO_STR few = bulk_body(3);
    ask(&f->up, &a, "POST", "/db/_bulk_docs", few);
    assert_int_equal(a.status, 201);
    assert_int_equal(f->calls, 1);
    answer_fini(&a);
}

static bool is_asked(void *arg)
{
    const struct fixture *f = arg;
    return f->docs != NULL;
}

static void the_poster_may_vanish_meanwhile(void **state)
{
    struct fixture *f = *state;
    CM_AUTO_STR many = bulk_body(100);
    serve_with_port(f);
    f->hold = true;
    CM_AUTO_STR url = cm_asprintf("%s/_bulk_docs", f->up.url);
    const char *headers[] = {"Content-Type: application/json", NULL};
    const struct http_call_opts opts = {.method = "POST",
                                        .url = url,
                                        .headers = headers,
                                        .body = many,
                                        .body_len = strlen(many),
                                        .allow_http = true};
    struct http_call *call = http_call(f->rig.http, &opts, ignore, NULL, NULL);
    assert_non_null(call);
    rig_wait(&f->rig, is_asked, f);
    http_call_cancel(call);
    rig_sleep(&f->rig, 100); /* the server notices */
    answer(f);
    assert_int_equal(cs_doc_count(f->up.store), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(everything_arrives_once),
        T(a_few_documents_are_put_at_once),
        T(nothing_is_put_before_its_verdict),
        T(the_client_may_end_meanwhile),
        T(the_client_may_end_while_a_reply_is_read),
        T(tombstones_are_proved_as_such),
        T(a_failing_peer_leaves_nothing_behind),
        T(posted_documents_are_answered_after_their_verdict),
        T(the_poster_may_vanish_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
