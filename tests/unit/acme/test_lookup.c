/* An order whose newOrder reply was lost: found in the account's list, or made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

static int losses;

static void lose_new_order(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind == FAKE_NEW_ORDER && losses-- > 0)
        r->error = CM_ETIMEOUT;
}

static void issue_with(struct fake *f, const char *name)
{
    json_t *names = json_pack("[s]", name);
    json_decref(f->saved);
    f->saved = NULL;
    fake_start_names(f, names);
    fake_run(f);
    assert_non_null(f->chain);
    json_decref(names);
}

/* Old orders of other names and of the same names fill three pages of the list. */
static void found_among_many(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = lose_new_order;
    losses = 0;
    issue_with(&f, "www1.example.com"); /* an earlier certificate of the same name */
    for (int i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof(name), "other%d.example.com", i);
        issue_with(&f, name);
    }
    assert_int_equal(f.orders_made, 7);
    json_decref(f.saved);
    f.saved = NULL;
    losses = 1;
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 8); /* made once, its reply lost, found */
    assert_int_equal(f.finalized, 8);
    assert_int_equal(f.count[FAKE_ORDERS], 3); /* both forms of Link rel=next followed */
    assert_string_equal(cm_json_str(f.saved, "order_url"), FAKE_BASE "/order/7");
    fake_fini(&f);
}

/* However many orders came after it: those of this process are known and not read. */
static void found_below_many_newer_ones(void **state)
{
    (void)state;
    struct fake f;
    char name[64];
    fake_init(&f);
    f.after = lose_new_order;
    losses = 1000;
    f.no_orders_list = true;
    fake_start(&f, 1);
    while (f.count[FAKE_NEW_ORDER] == 0)
        assert_true(fake_turn(&f));
    json_t *saved = json_deep_copy(f.saved);
    assert_non_null(cm_json_str(saved, "ordering_at"));
    acme_order_free(f.job); /* the job of the lost order is away for a while */
    f.job = NULL;
    losses = 0;
    f.no_orders_list = false;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "other%d.example.com", i);
        issue_with(&f, name);
    }
    unsigned reads = f.count[FAKE_ORDER];
    json_decref(f.saved);
    f.saved = saved;
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 41);
    assert_string_equal(cm_json_str(f.saved, "order_url"), FAKE_BASE "/order/0");
    assert_in_range(f.count[FAKE_ORDER] - reads, 1, 4);
    fake_fini(&f);
}

static void never_an_old_certificate(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    fake_issue(&f, 1); /* order 0 is valid and has our very names */
    json_decref(f.saved);
    f.saved = json_pack("{s:s, s:[s], s:s}", "directory", FAKE_DIR, "names", "www1.example.com",
                        "ordering_at", "2026-11-16T02:00:00.000Z");
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 2);
    assert_int_equal(f.finalized, 2);
    fake_fini(&f);
}

static void without_a_list_one_more_is_made(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.no_orders_list = true; /* Boulder */
    f.after = lose_new_order;
    losses = 1;
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 2);
    assert_int_equal(f.finalized, 1);
    fake_fini(&f);
}

static void losing_for_ever_ends_the_run(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.no_orders_list = true;
    f.after = lose_new_order;
    losses = 1000;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_ETIMEOUT);
    assert_int_equal(f.count[FAKE_NEW_ORDER], 5);
    assert_non_null(cm_json_str(f.saved, "ordering_at"));
    fake_fini(&f);
}

static bool no_list(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != FAKE_ORDERS && req->kind != FAKE_ACCOUNT)
        return false;
    fake_problem(r, 403, "unauthorized", "no list for you");
    return true;
}

static void a_refused_list_is_no_failure(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.before = no_list;
    f.after = lose_new_order;
    losses = 1;
    fake_issue(&f, 1);
    fake_fini(&f);
}

static enum fake_kind stormy;
static const char *storm;

static bool no_answer_now(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != stormy)
        return false;
    fake_problem(r, strcmp(storm, "rateLimited") == 0 ? 429 : 400, storm, "not now");
    return true;
}

/* A nonce refused too often, or a limit, tells nothing about the list or an order: the run ends,
 * and the next one finds the order.  Another one would be one too many. */
static void what_cannot_be_read_now_is_no_refusal(void **state)
{
    (void)state;
    static const enum fake_kind kinds[] = {FAKE_ACCOUNT, FAKE_ORDERS, FAKE_ORDER};
    static const char *const problems[] = {"badNonce", "rateLimited"};
    for (size_t i = 0; i < 6; i++) {
        struct fake f;
        fake_init(&f);
        stormy = kinds[i % 3];
        storm = problems[i / 3];
        f.before = no_answer_now;
        f.after = lose_new_order;
        losses = 1;
        fake_start(&f, 1);
        fake_run(&f);
        assert_null(f.chain);
        assert_non_null(f.err.problem);
        assert_non_null(cm_json_str(f.saved, "ordering_at"));
        f.before = NULL;
        fake_restart(&f);
        fake_issue(&f, 1);
        assert_int_equal(f.orders_made, 1);
        fake_fini(&f);
    }
}

static void on_other(void *arg, const json_t *chain, const struct cm_err *err)
{
    (void)err;
    *(bool *)arg = chain != NULL;
}

/* Another job of the same names is under way: its order is not taken from it. */
static void orders_of_other_jobs_are_theirs(void **state)
{
    (void)state;
    struct fake f;
    bool other_done = false;
    fake_init(&f);
    json_t *names = fake_names(1);
    struct acme_order *other = fake_job(&f, names, on_other, &other_done);
    while (strcmp(acme_order_step(other), "answer challenges") != 0 && fake_turn(&f)) {
    }
    json_decref(f.saved);
    f.saved = json_pack("{s:s, s:[s], s:s}", "directory", FAKE_DIR, "names", "www1.example.com",
                        "ordering_at", "2026-11-16T02:00:00.000Z");
    fake_start_names(&f, names);
    fake_run(&f);
    assert_non_null(f.chain);
    while (!other_done && fake_turn(&f)) {
    }
    assert_true(other_done);
    assert_int_equal(f.orders_made, 2);
    assert_int_equal(f.finalized, 2);
    acme_order_free(other);
    json_decref(names);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_among_many),
        cmocka_unit_test(found_below_many_newer_ones),
        cmocka_unit_test(never_an_old_certificate),
        cmocka_unit_test(without_a_list_one_more_is_made),
        cmocka_unit_test(losing_for_ever_ends_the_run),
        cmocka_unit_test(a_refused_list_is_no_failure),
        cmocka_unit_test(what_cannot_be_read_now_is_no_refusal),
        cmocka_unit_test(orders_of_other_jobs_are_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
