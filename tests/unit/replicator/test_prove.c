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
    struct cs_proof docs; /* being checked; no done: none are */
    struct cm_timer *timer;
    bool hold; /* does not answer for now */
    bool good; /* its verdicts */
    unsigned calls;
    size_t proved, named, largest, tombstones;
};

/* Of what is good with the text, in another order than it came. */
static void hand_over(const struct cs_proof *docs, size_t i, const json_t *doc, bool good)
{
    static const char *const aside[] = {"_rev", "_revisions", "_deleted"};
    CM_AUTO_JSON body = good ? json_copy((json_t *)(uintptr_t)doc) : NULL;
    for (size_t n = 0; good && n < 3; n++)
        json_object_del(body, aside[n]);
    char *text = good ? json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    docs->also(docs->arg, i, good, text, good ? strlen(text) : 0);
    free(text);
}

/* In whatever order, as threads do. */
static void answer(void *arg)
{
    struct fixture *f = arg;
    const struct cs_proof docs = f->docs;
    for (size_t i = docs.count; i-- > 0;) {
        const json_t *doc = docs.doc(docs.arg, i);
        f->named += cm_json_str(doc, "_id") != NULL;
        f->tombstones += cm_json_bool(doc, "_deleted", false);
        if (docs.also)
            hand_over(&docs, i, doc, f->good);
    }
    f->docs = (struct cs_proof){0};
    docs.done(docs.arg);
}

static void prove(void *prove_arg, const struct cs_proof *docs)
{
    struct fixture *f = prove_arg;
    assert_null(f->docs.done); /* one at a time */
    f->docs = *docs;
    f->calls++;
    f->proved += docs->count;
    f->largest = docs->count > f->largest ? docs->count : f->largest;
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
    if (f->docs.done)
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
    assert_int_equal(f->named, DOCS);
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
    return f->docs.done && f->up.bulk_gets >= 2;
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

/* Written as no client of ours does: the same is found in it. */
static void an_unusual_text_is_taken_as_well(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    serve_with_port(f);
    CM_AUTO_STR plain = bulk_body(20);
    CM_AUTO_STR text = cm_asprintf(" {\"\\u0061\":1.5, %s", plain + 1);
    ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
    assert_int_equal(a.status, 201);
    assert_int_equal(f->proved, 20);
    assert_int_equal(cs_doc_count(f->up.store), 20);
    answer_fini(&a);
}

/* One bad apple among many: the request is refused whole, in the words in which the reader of
 * requests puts it, and nothing is put. */
static void what_is_no_document_refuses_all(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *instead, *reason;
    } wrong[] = {
        {"nope", "invalid UTF-8 JSON"},
        {"\"text\"", "needs `_rev` or `_revisions`"},
        {"{\"_id\":\"x\"}", "needs `_rev` or `_revisions`"},
        {"{\"_id\":\"x\",\"_id\":}", "invalid UTF-8 JSON"},
    };
    serve_with_port(f);
    CM_AUTO_STR plain = bulk_body(20);
    char *last = strrchr(plain, '{');
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct answer a = {0};
        CM_AUTO_STR text = cm_asprintf("%.*s%s]}", (int)(last - plain), plain, wrong[i].instead);
        ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
        assert_int_equal(a.status, 400);
        assert_string_equal(cm_json_str(a.body, "error"), "bad_request");
        if (!strstr(cm_json_str(a.body, "reason"), wrong[i].reason))
            fail_msg("%s", cm_json_str(a.body, "reason"));
        answer_fini(&a);
    }
    assert_int_equal(f->calls, 4);
    assert_int_equal(cs_doc_count(f->up.store), 0);
}

/* JSON, but with a value that is not read here: CouchDB keeps some of those and sends them on. */
static void what_cannot_be_read_is_refused_alone(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    static const char *const wrong[] = {
        "{\"_id\":\"x\",\"_rev\":\"" REV_A "\",\"n\":9007199254740993}",
        "{\"_id\":\"x\",\"_id\":\"x\",\"_rev\":\"" REV_A "\"}",
        "{\"_id\":\"x\",\"s\":\"\\ud800\",\"_rev\":\"" REV_A "\"}",
    };
    serve_with_port(f);
    CM_AUTO_STR plain = bulk_body(20);
    char *last = strrchr(plain, '{');
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CM_AUTO_STR text = cm_asprintf("%.*s%s]}", (int)(last - plain), plain, wrong[i]);
        ask(&f->up, &a, "POST", "/db/_bulk_docs", text);
        assert_int_equal(a.status, 201);
        assert_int_equal(json_array_size(a.body), 1);
        const json_t *row = json_array_get(a.body, 0);
        assert_string_equal(cm_json_str(row, "id"), "x");
        assert_string_equal(cm_json_str(row, "rev"), REV_A);
        assert_string_equal(cm_json_str(row, "error"), "forbidden");
        assert_non_null(strstr(cm_json_str(row, "reason"), "cannot be kept"));
        assert_int_equal(cs_doc_count(f->up.store), 19);
    }
    assert_int_equal(f->calls, 3);
    answer_fini(&a);
}

static bool is_asked(void *arg)
{
    const struct fixture *f = arg;
    return f->docs.done != NULL;
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

/* What a peer may post, and everything that is wrong with a document (owned). */
static char *mixed_body(void)
{
    static const char *const wrong[] = {
        "{'_id':'','_rev':'" REV_A "'}",
        "{'_rev':'" REV_A "'}",
        "{'_id':17,'_rev':'" REV_A "'}",
        "{'_id':'_local/x','_rev':'" REV_A "'}",
        "{'_id':'settings:global','type':'settings','serial':1,'_rev':'" REV_A "'}",
        "{'_id':'receipt:edge:x','_rev':'x'}",
        "{'_id':'receipt:edge:x','_rev':'" REV_A "','_attachments':{'a':{}}}",
        "{'_id':'receipt:edge:x','_rev':'" REV_A "','_other':1}",
        "{'_id':'receipt:edge:x','_rev':'" REV_A "','_deleted':'yes'}",
        "{'_id':'receipt:edge:x','type':'receipt','_rev':'" REV_A "'}",
        "{'_id':'receipt:edge:x','_rev':'" REV_A "','_revisions':{'start':1,'ids':['b']}}",
        "{'_id':'receipt:edge:x','_revisions':{'start':1,'ids':[]}}",
    };
    CM_AUTO_JSON body = json_object();
    json_t *docs = json_array();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CM_AUTO_STR text = cm_strdup(wrong[i]);
        for (char *at = text; *at; at++)
            *at = *at == '\'' ? '"' : *at;
        json_t *doc = json_loads(text, 0, NULL);
        assert_non_null(doc);
        json_array_append_new(docs, doc);
        json_array_append_new(docs, doc_receipt("edge", ULID("AA"), 20 - (int64_t)i, "served"));
        CM_AUTO_STR rev = cm_asprintf("1-%032zx", i); /* each older than the one before */
        cm_json_set_str(json_array_get(docs, 2 * i + 1), "_rev", rev);
    }
    json_array_append_new(docs, doc_receipt("edge", ULID("BB"), 5, "served"));
    cm_json_set_str(json_array_get(docs, json_array_size(docs) - 1), "_rev", REV_A);
    doc_forge(json_array_get(docs, json_array_size(docs) - 1));
    json_array_append_new(docs, doc_receipt("edge", ULID("CC"), 5, "served"));
    cm_json_set_str(json_array_get(docs, json_array_size(docs) - 1), "_rev", "3-c");
    cm_json_set_bool(body, "new_edits", false);
    cm_json_set(body, "docs", docs);
    return cm_json_dump(body, NULL);
}

/* What was refused into the list, without its time. */
static json_t *refused_by(struct node *node)
{
    json_t *list = cs_quarantine(node->store);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_object_del(json_array_get(list, i), "at");
    }
    return list;
}

static void read_ahead_or_not_the_verdicts_are_the_same(void **state)
{
    struct fixture *f = *state;
    struct node node[3];
    struct answer a[3] = {{0}};
    json_t *refused[3];
    CM_AUTO_STR text = mixed_body();
    f->rig.peer = "edge";
    for (size_t i = 0; i < 3; i++) {
        node_start(&f->rig, &node[i], "manager", false);
        node[i].prove = i > 0 ? prove : NULL;
        node[i].prove_arg = f;
        f->good = i == 2; /* the rest of each is freed before it is put */
        node_restart(&node[i]);
        ask(&node[i], &a[i], "POST", "/db/_bulk_docs", text);
        assert_int_equal(a[i].status, 201);
        assert_int_equal(cs_doc_count(node[i].store), 2);
        refused[i] = refused_by(&node[i]);
    }
    assert_int_equal(f->calls, 2);
    assert_int_equal(json_array_size(a[0].body), 12 + 11 + 1); /* of 26 */
    assert_true(json_array_size(refused[0]) >= 12 + 1);
    for (size_t i = 1; i < 3; i++) {
        assert_true(json_equal(a[0].body, a[i].body));
        assert_true(json_equal(refused[0], refused[i]));
        assert_true(same_leaves(&node[0], &node[i], "receipt:edge:" ULID("AA")));
    }
    for (size_t i = 0; i < 3; i++) {
        json_decref(refused[i]);
        answer_fini(&a[i]);
        node_close(&node[i]);
    }
}

/* Whose place in the trust root went while the signatures were checked has written nothing. */
static void the_poster_may_be_removed_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct node node;
    struct feed_reader post;
    CM_AUTO_STR text = mixed_body();
    f->rig.peer = "edge";
    node_start(&f->rig, &node, "manager", false);
    node.prove = prove;
    node.prove_arg = f;
    node_restart(&node);
    f->hold = true;
    feed_start_as(&node, &post, "POST", "/_bulk_docs", text);
    rig_wait(&f->rig, is_asked, f);
    f->rig.peer = NULL;
    answer(f);
    rig_until(&f->rig, &post.done);
    assert_int_equal(post.status, 401);
    assert_non_null(strstr(post.text, "\"unauthorized\""));
    assert_int_equal(cs_doc_count(node.store), 0);
    node_close(&node);
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
        T(an_unusual_text_is_taken_as_well),
        T(what_is_no_document_refuses_all),
        T(what_cannot_be_read_is_refused_alone),
        T(the_poster_may_vanish_meanwhile),
        T(read_ahead_or_not_the_verdicts_are_the_same),
        T(the_poster_may_be_removed_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
