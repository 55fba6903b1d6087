/* A peer of several nodes, as a CouchDB 3 cluster is one: what they could not store in time comes
 * again, a checkpoint that only some have taken is written on, answers that break off are asked for
 * in smaller pieces, and whoever answers, it is the same hub. */
#include "tests/unit/replicator/rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/replicator/quick.h"

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct rp_client *client;
    const char *id, *error; /* of a document that is not stored … */
    int times;              /* … so often */
    unsigned brought;       /* that document */
    const char *large;      /* document that is too large for the peer … */
    unsigned too_large;     /* … and was brought so often, alone or with others */
    const char *gone;       /* from the edge as soon as the peer said what it lacks */
    int conflicts, lost;    /* answers to checkpoints still to come: 409, 500 */
    size_t rows;            /* a feed breaks off behind so many; 0 = it does not */
    struct cm_timer *cut;
    unsigned pages, broken; /* asked for; broke off */
    int uuids;              /* requests for / so far: each is answered by another node */
};

static void reply_json(struct http_exchange *ex, int status, const json_t *body)
{
    CM_AUTO_STR text = cm_json_dump(body, NULL);
    http_ex_reply(ex, status, "application/json", text, strlen(text));
}

/* Stores the others, and answers a row for the one. */
static bool bulk_docs(struct fixture *f, const struct http_request *req, struct http_exchange *ex)
{
    if (f->large && strstr(req->body, f->large)) {
        CM_AUTO_JSON why = json_pack("{s:s}", "error", "document_too_large");
        f->too_large++;
        reply_json(ex, 413, why);
        return true;
    }
    if (!f->id || !strstr(req->body, f->id))
        return false;
    f->brought++;
    if (f->times-- <= 0)
        return false;
    json_t *body = NULL;
    cm_json_parse_lax(req->body, req->body_len, &body, NULL);
    const json_t *docs = cm_json_arr(body, "docs");
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *doc = json_array_get(docs, i);
        struct cs_result res;
        if (strcmp(cm_json_str(doc, "_id"), f->id) != 0)
            assert_int_equal(cs_put_replicated(f->up.store, doc, "edge", &res, NULL), 0);
    }
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
    json_decref(body);
    CM_AUTO_JSON rows =
        json_pack("[{s:s,s:s,s:s}]", "id", f->id, "error", f->error, "reason", "as it is");
    reply_json(ex, 201, rows);
    return true;
}

static bool checkpoint(struct fixture *f, const struct http_request *req, struct http_exchange *ex)
{
    if (req->head.method != HTTP_PUT || (f->conflicts == 0 && f->lost == 0))
        return false;
    CM_AUTO_JSON none = json_object();
    reply_json(ex, f->conflicts > 0 ? 409 : 500, none);
    if (f->conflicts > 0)
        f->conflicts--;
    else
        f->lost--;
    return true;
}

static bool changes(struct fixture *f, const struct http_request *req, struct http_exchange *ex)
{
    const char *limit = strstr(req->head.query, "limit=");
    f->pages++;
    if (!limit || f->rows == 0 || strstr(req->head.query, "longpoll") ||
        strtoul(limit + 6, NULL, 10) <= f->rows)
        return false;
    static const char half[] = "{\"results\":[\n{\"seq\":\"1-g1A\",\"id\":\"doc";
    f->broken++;
    http_ex_stream(ex, 200, "application/json");
    http_ex_write(ex, half, sizeof(half) - 1);
    cm_timer_start(f->cut, 20);
    return true;
}

/* The connection ends where the answer stands. */
static void cut(void *arg)
{
    struct fixture *f = arg;
    node_stop(&f->up);
    node_listen(&f->up);
}

static bool answer(void *arg, const struct http_request *req, struct http_exchange *ex)
{
    struct fixture *f = arg;
    if (f->gone && strstr(req->head.path, "/_revs_diff")) {
        node_purge(&f->edge, f->gone);
        f->gone = NULL;
    }
    if (strcmp(req->head.path, "/") == 0) {
        CM_AUTO_STR uuid = cm_asprintf("node-%d", ++f->uuids);
        CM_AUTO_JSON root = json_pack("{s:s,s:s}", "couchdb", "Welcome", "uuid", uuid);
        reply_json(ex, 200, root);
        return true;
    }
    if (strstr(req->head.path, "/_bulk_docs"))
        return bulk_docs(f, req, ex);
    if (strstr(req->head.path, "/_local/"))
        return checkpoint(f, req, ex);
    return strstr(req->head.path, "/_changes") && changes(f, req, ex);
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->up, "up", true);
    node_start(&f->rig, &f->edge, "edge", true);
    f->up.answer = answer;
    f->up.answer_arg = f;
    f->cut = cm_timer_new(f->rig.loop, cut, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cm_timer_free(f->cut);
    node_close_store(&f->edge);
    node_close_store(&f->up);
    rp_client_free(f->client);
    node_close(&f->edge);
    node_close(&f->up);
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

static void start(struct fixture *f, bool pull)
{
    struct cm_err err = CM_ERR_INIT;
    const struct rp_client_opts opts = {.loop = f->rig.loop,
                                        .store = f->edge.store,
                                        .http = f->rig.http,
                                        .url = f->up.url,
                                        .allow_http = true,
                                        .lab = true,
                                        .hub = true,
                                        .pull_only = pull,
                                        .push_only = !pull};
    if (rp_client_new(&opts, &f->client, &err) < 0)
        fail_msg("rp_client_new: %s", err.what);
}

static void begin_again(struct fixture *f, bool pull)
{
    node_close_store(&f->edge);
    rp_client_free(f->client);
    node_restart(&f->edge);
    start(f, pull);
    client_settle(&f->edge, f->client);
}

static int64_t number(struct fixture *f, const char *direction, const char *name)
{
    CM_AUTO_JSON part = client_part(f->client, direction);
    return cm_json_int(part, name, -1);
}

static bool waits_with_a_reason(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON part = client_part(f->client, "push");
    CM_AUTO_STR text = cm_json_dump(part, NULL);
    return strstr(text, "could not store doc0003: as it is (internal_server_error)") != NULL;
}

static bool saved(void *arg)
{
    const struct fixture *f = arg;
    CM_AUTO_JSON part = client_part(f->client, f->rows ? "pull" : "push");
    return cm_json_bool(part, "saved", false) && f->conflicts == 0 && f->lost == 0;
}

/* ---- documents ---------------------------------------------------------------------------- */

static void what_was_not_stored_comes_again(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0003";
    f->error = "internal_server_error";
    f->times = 1000;
    fill(&f->edge, 0, 1200); /* those behind it do not wait */
    start(f, false);
    rig_wait(&f->rig, waits_with_a_reason, f);
    assert_int_equal(cs_doc_count(f->up.store), 1199);
    f->times = 1;
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->up.store), 1200);
    assert_in_range(f->brought, 3, 1000);
    assert_int_equal(number(f, "push", "refused"), 0);
    assert_int_equal(number(f, "push", "lag_documents"), 0);
}

/* Nor does it get lost when we end meanwhile: the checkpoint lies before it. */
static void nor_is_it_forgotten(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0003";
    f->error = "internal_server_error";
    f->times = 1000;
    fill(&f->edge, 0, 20);
    start(f, false);
    rig_wait(&f->rig, waits_with_a_reason, f);
    rig_wait(&f->rig, saved, f);
    f->times = 0;
    begin_again(f, false);
    assert_int_equal(cs_doc_count(f->up.store), 20);
}

static void what_is_refused_does_not(void **state)
{
    struct fixture *f = *state;
    f->id = "doc0003";
    f->error = "forbidden";
    f->times = 1000;
    fill(&f->edge, 0, 20);
    start(f, false);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->up.store), 19);
    assert_int_equal(f->brought, 1);
    assert_int_equal(number(f, "push", "refused"), 1);
}

/* A document that is gone by the time it is to be sent makes no request of one document larger. */
static void too_large_beside_one_that_is_gone(void **state)
{
    struct fixture *f = *state;
    f->gone = "doc0000";
    f->large = "doc0001";
    fill(&f->edge, 0, 4);
    start(f, false);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->up.store), 2);
    assert_int_equal(number(f, "push", "refused"), 1);
    assert_int_equal(number(f, "push", "documents"), 2);
    assert_in_range(f->too_large, 1, 30);
}

static void one_that_is_too_large_does_not_slow_the_others(void **state)
{
    struct fixture *f = *state;
    f->large = "doc0003";
    fill(&f->edge, 0, 1200);
    start(f, false);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->up.store), 1199);
    assert_int_equal(number(f, "push", "refused"), 1);
    assert_in_range(f->up.bulk_docs, 3, 40);
}

/* ---- checkpoints -------------------------------------------------------------------------- */

static unsigned asked_from_zero(struct fixture *f, bool pull)
{
    unsigned before = f->up.from_zero;
    begin_again(f, pull);
    return f->up.from_zero - before;
}

static void a_conflict_with_ourselves(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 0, 5);
    f->rows = SIZE_MAX; /* the pull is asked about */
    start(f, true);
    client_settle(&f->edge, f->client);
    rig_wait(&f->rig, saved, f);
    f->conflicts = 2;
    fill(&f->up, 5, 10);
    rig_wait(&f->rig, saved, f);
    int uuids = f->uuids;
    assert_int_equal(asked_from_zero(f, true), 0);
    assert_true(f->uuids > uuids); /* another node: the same hub */
}

static bool lost(void *arg)
{
    return ((struct fixture *)arg)->lost == 0;
}

/* What was not written is not said to be. */
static void not_taken(void **state)
{
    struct fixture *f = *state;
    fill(&f->up, 0, 5);
    f->rows = SIZE_MAX;
    f->lost = 1;
    start(f, true);
    rig_wait(&f->rig, lost, f);
    client_settle(&f->edge, f->client);
    assert_false(saved(f));
}

static bool four_conflicts(void *arg)
{
    return ((struct fixture *)arg)->conflicts <= 996;
}

static void a_conflict_for_ever(void **state)
{
    struct fixture *f = *state;
    f->rows = SIZE_MAX;
    f->conflicts = 1000;
    fill(&f->up, 0, 5);
    start(f, true);
    client_settle(&f->edge, f->client);
    rig_wait(&f->rig, four_conflicts, f);
    rig_sleep(&f->rig, 8000); /* a fifth would have come by now */
    assert_int_equal(f->conflicts, 996);
}

/* ---- feeds -------------------------------------------------------------------------------- */

static void smaller_pages_come_through(void **state)
{
    struct fixture *f = *state;
    f->rows = 100;
    fill(&f->up, 0, 1000);
    start(f, true);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), 1000);
    assert_int_equal(f->broken, 3); /* 500, 250, 125: then 62 each, not more at times */
    f->rows = 0;
    unsigned pages = f->pages;
    fill(&f->up, 1000, 1300);
    client_settle(&f->edge, f->client);
    assert_int_equal(cs_doc_count(f->edge.store), 1300);
    assert_in_range(f->pages - pages, 1, 3); /* on the parked feed: as many as ever */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_not_stored_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(nor_is_it_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(too_large_beside_one_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_is_too_large_does_not_slow_the_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_conflict_with_ourselves, setup, teardown),
        cmocka_unit_test_setup_teardown(not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_conflict_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(smaller_pages_come_through, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
