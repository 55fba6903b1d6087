/* Commits that fail while documents come in: nothing is taken for stored that is not. */
#include "tests/unit/replicator/rig.h"

#include "base/core/mem.h"
#include "certstore/env.h"
#include "certstore/internal.h"
#include "replicator/job.h"

#define DOCS 300 /* three requests of _bulk_get, one batch */

/* The disk of this store is full for the commit after `good` ones that bring documents. */
static struct {
    const struct cs_store *store;
    unsigned good, failed;
    bool over;
} full;

int __real_cs_txn_commit(struct cs_txn *txn, struct cm_err *err);
int __wrap_cs_txn_commit(struct cs_txn *txn, struct cm_err *err);

int __wrap_cs_txn_commit(struct cs_txn *txn, struct cm_err *err)
{
    const struct cs_store *store = full.store;
    bool brings = store && txn == &store->txn && store->batch.docs > store->durable.docs;
    if (!brings || full.over || full.good-- > 0)
        return __real_cs_txn_commit(txn, err);
    full.over = true;
    full.failed++;
    cs_txn_abort(txn);
    return cm_fail(err, CM_EFULL, "the disk is full");
}

struct fixture {
    struct rig rig;
    struct node up, edge;
    struct rp_client *client;
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    rig_open(&f->rig);
    node_start(&f->rig, &f->up, "up", true);
    node_start(&f->rig, &f->edge, "edge", true);
    for (int i = 0; i < DOCS; i++) {
        CM_AUTO_STR id = cm_asprintf("doc%04d", i);
        CM_AUTO_JSON doc = json_pack("{s:s,s:i}", "_id", id, "v", i);
        struct cs_result res;
        assert_int_equal(cs_put_edit(f->up.store, doc, &res, NULL), 0);
    }
    assert_int_equal(cs_commit(f->up.store, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    full.store = NULL;
    node_close_store(&f->edge);
    node_close_store(&f->up);
    rp_client_free(f->client);
    node_close(&f->edge);
    node_close(&f->up);
    rig_close(&f->rig);
    test_free(f);
    return 0;
}

static void pull_all(struct fixture *f, unsigned good)
{
    const struct rp_client_opts opts = {.loop = f->rig.loop,
                                        .store = f->edge.store,
                                        .http = f->rig.http,
                                        .url = f->up.url,
                                        .allow_http = true,
                                        .lab = true,
                                        .pull_only = true};
    full.store = f->edge.store;
    full.good = good;
    full.failed = 0;
    full.over = false;
    f->edge.frail = true;
    assert_int_equal(rp_client_new(&opts, &f->client, NULL), 0);
    client_settle(&f->edge, f->client);
    assert_int_equal(full.failed, 1);
    assert_int_equal(cs_doc_count(f->edge.store), DOCS);
}

/* Each request's documents are committed by themselves; the checkpoint waits for all of them. */
static void the_first_of_a_batch_is_fetched_again(void **state)
{
    pull_all(*state, 0);
}

static void one_in_the_middle_is_fetched_again(void **state)
{
    pull_all(*state, 1);
}

static void the_last_is_fetched_again(void **state)
{
    pull_all(*state, 2);
}

static void one_that_came_by_itself_is_fetched_again(void **state)
{
    struct fixture *f = *state;
    f->up.no_bulk_get = true;
    pull_all(f, 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_of_a_batch_is_fetched_again),
        T(one_in_the_middle_is_fetched_again),
        T(the_last_is_fetched_again),
        T(one_that_came_by_itself_is_fetched_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
