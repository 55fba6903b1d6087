/* Documents that a peer lists and cannot give just now: another node of a cluster has them, or no
 * copy answers in time. */
#include "tests/unit/replicator/rig.h"

#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/replicator/quick.h"

#define DOCS     1200 /* more than two batches */
#define SETTINGS "settings:default"

struct fixture {
    struct rig rig;
    struct node up, edge, fleet; /* the last with policy, where it is needed */
    struct rp_client *client;
    const char *id;    /* document that is not there … */
    const char *error; /* … by this name (NULL: the request itself fails) … */
    int times;         /* … so often; -1 = always */
    unsigned asked;    /* for that document */
    const char *reason;
    struct cs_proof proof; /* under way, for so many ms */
    struct cm_timer *prover;
    int prove_ms;
};

/* In place of one document's answer; the others of the request are there. */
static bool answer(void *arg, const struct http_request *req, struct http_exchange *ex)
{
    struct fixture *f = arg;
    bool get = !f->up.no_bulk_get && strstr(req->head.path, "/_bulk_get");
    bool one = f->up.no_bulk_get && strstr(req->head.path, f->id);
    if ((!get && !one) || (get && !strstr(req->body, f->id)))
        return false;
    f->asked++;
    if (f->times == 0)
        return false;
    f->times -= f->times > 0;
    if (one) {
        static const char text[] = "[{\"missing\":\"1-00000000000000000000000000000000\"}]\n";
        http_ex_reply(ex, 200, "application/json", text, sizeof(text) - 1);
        return true;
    }
    json_t *body = NULL;
    cm_json_parse_lax(req->body, req->body_len, &body, NULL);
    json_t *results = json_array();
    const json_t *docs = cm_json_arr(body, "docs");
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *entry = json_array_get(docs, i);
        const char *id = cm_json_str(entry, "id"), *rev = cm_json_str(entry, "rev");
        json_t *doc = NULL;
        if (strcmp(id, f->id) == 0)
            json_array_append_new(results, json_pack("{s:s,s:[{s:{s:s,s:s,s:s,s:s}}]}", "id", id,
                                                     "docs", "error", "id", id, "rev", rev, "error",
                                                     f->error, "reason", f->reason));
        else if (cs_read_rev(f->up.store, id, rev, true, false, &doc, NULL) == 0)
            json_array_append_new(results,
                                  json_pack("{s:s,s:[{s:o}]}", "id", id, "docs", "ok", doc));
    }
    CM_AUTO_JSON reply = json_pack("{s:o}", "results", results);
    CM_AUTO_STR text = cm_json_dump(reply, NULL);
    http_ex_reply(ex, 200, "application/json", text, strlen(text));
    json_decref(body);
    return true;
}

static void proved(void *arg)
{
    struct fixture *f = arg;
    const struct cs_proof proof = f->proof;
    for (size_t i = 0; i < proof.count; i++)
        assert_non_null(proof.doc(proof.arg, i));
    f->proof = (struct cs_proof){0};
    proof.done(proof.arg);
}

static void prove(void *prove_arg, const struct cs_proof *proof)
{
    struct fixture *f = prove_arg;
    assert_null(f->proof.done);
    f->proof = *proof;
    cm_timer_start(f->prover, f->prove_ms);
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    f->prover = cm_timer_new(f->rig.loop, proved, f);
    node_start(&f->rig, &f->up, "up", true);
    node_start(&f->rig, &f->edge, "edge", true);
    f->up.answer = answer;
    f->up.answer_arg = f;
    f->reason = "missing";
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    node_close_store(&f->edge);
    node_close_store(&f->up);
    if (f->fleet.rig)
        node_close_store(&f->fleet);
    rp_client_free(f->client);
    if (f->fleet.rig)
        node_close(&f->fleet);
    node_close(&f->edge);
    node_close(&f->up);
    cm_timer_free(f->prover);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void fill(struct node *node, int from, int to)
{
    for (int i = from; i < to; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:i}", "_id", id, "v", i);
        struct cs_result res;
        assert_int_equal(cs_put_edit(node->store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(node->store, NULL), 0);
}

static void pull(struct fixture *f)
{
    f->client = client_start_with(&f->edge, &f->up, true, false);
    client_settle(&f->edge, f->client);
}

static bool caught_up(void *arg)
{
    const struct fixture *f = arg;
    return cs_doc_count(f->edge.store) == cs_doc_count(f->up.store);
}

static bool all_but_one(void *arg)
{
    const struct fixture *f = arg;
    return cs_doc_count(f->edge.store) == cs_doc_count(f->up.store) - 1;
}

static int64_t refused(struct fixture *f)
{
    CM_AUTO_JSON part = client_part(f->client, "pull");
    return cm_json_int(part, "refused", -1);
}

static void begin_again(struct fixture *f)
{
    node_close_store(&f->edge);
    rp_client_free(f->client);
    node_restart(&f->edge);
    pull(f);
}

static void the_next_node_has_it(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0700"; /* in the second batch */
    f->error = "not_found";
    f->times = 2;
    fill(&f->up, 0, DOCS);
    pull(f);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS);
    assert_int_equal(f->asked, 3);
    assert_int_equal(refused(f), 0);
    begin_again(f);
    assert_int_equal(f->asked, 3);
}

/* The rows of the next batch are asked for while the last documents of this one are checked: they
 * may be there by then, or on their way. */
static void the_next_rows_wait_as_well(void **state)
{
    struct fixture *f = *state;
    static const int times[] = {0, 60};
    fill(&f->up, 0, DOCS);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        const struct rp_client_opts opts = {.loop = f->rig.loop,
                                            .store = f->edge.store,
                                            .http = f->rig.http,
                                            .url = f->up.url,
                                            .allow_http = true,
                                            .lab = true,
                                            .pull_only = true,
                                            .prove = prove,
                                            .prove_arg = f};
        f->id = "doc0040"; /* in the first batch, of three */
        f->error = "not_found";
        f->times = 2;
        f->asked = 0;
        f->prove_ms = times[i];
        if (rp_client_new(&opts, &f->client, &err) < 0)
            fail_msg("rp_client_new: %s", err.what);
        client_settle(&f->edge, f->client);
        assert_int_equal(cs_doc_count(f->edge.store), DOCS);
        assert_int_equal(f->asked, 3);
        assert_int_equal(refused(f), 0);
        node_close_store(&f->edge);
        rp_client_free(f->client);
        f->client = NULL;
        node_close(&f->edge);
        node_start(&f->rig, &f->edge, "edge", true);
    }
}

static void no_copy_answers_in_time(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0003";
    f->error = "timeout";
    f->times = 1;
    fill(&f->up, 0, 5);
    pull(f);
    assert_int_equal(cs_doc_count(f->edge.store), 5);
    fill(&f->up, 5, 6); /* alone, on the parked feed */
    f->id = "doc0005";
    f->asked = 0;
    f->times = 4;
    rig_wait(&f->rig, caught_up, f);
    assert_int_equal(f->asked, 5);
    assert_int_equal(refused(f), 0);
}

static void one_by_one(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0003";
    f->times = 2;
    f->up.no_bulk_get = true;
    fill(&f->up, 0, 20);
    pull(f);
    assert_int_equal(cs_doc_count(f->edge.store), 20);
    assert_int_equal(f->asked, 3);
}

/* Nobody can read it: the others do not wait for ever, people are told, and who begins again asks
 * again. */
static void given_up(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0003";
    f->error = "internal_server_error";
    f->times = -1;
    fill(&f->up, 0, DOCS);
    pull(f);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS - 1);
    assert_int_equal(refused(f), 1);
    assert_int_equal(f->asked, 6);
    f->times = 0;
    begin_again(f);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS);
    assert_int_equal(f->asked, 7);
}

/* The list of refused documents is bounded, in its words, too. */
static void a_long_story(void **state)
{
    struct fixture *f = *state;
    struct cm_buf story;
    cm_buf_init(&story, 300000);
    for (int i = 0; i < 30000; i++)
        cm_buf_puts(&story, "\xe3\x81\x82\xe3\x81\x84");
    f->id = SETTINGS;
    f->error = "internal_server_error";
    f->reason = cm_buf_str(&story);
    f->times = -1;
    node_start(&f->rig, &f->fleet, "fleet", false);
    put_doc(&f->up, doc_settings("default", 1000, 30), NULL);
    f->client = client_start_with(&f->fleet, &f->up, true, false);
    client_settle(&f->fleet, f->client);
    CM_AUTO_JSON list = cs_quarantine(f->fleet.store);
    assert_int_equal(json_array_size(list), 1);
    const char *reason = cm_json_str_or(json_array_get(list, 0), "reason", "");
    assert_in_range(strlen(reason), 40, 200);
    cm_buf_fini(&story);
}

/* Purged between the feed and the request: nobody's loss. */
static void purged_meanwhile(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0003";
    f->error = "not_found";
    f->times = -1;
    fill(&f->up, 0, 5);
    pull(f);
    assert_int_equal(cs_doc_count(f->edge.store), 4);
    assert_int_equal(refused(f), 0);
    fill(&f->up, 5, 6);
    rig_wait(&f->rig, all_but_one, f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_next_node_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_rows_wait_as_well, setup, teardown),
        cmocka_unit_test_setup_teardown(no_copy_answers_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_story, setup, teardown),
        cmocka_unit_test_setup_teardown(purged_meanwhile, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
