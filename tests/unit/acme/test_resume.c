/* Death at every port call, before and after its effect: the resumed run finishes the same order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

static unsigned calls_of_a_whole_run(void)
{
    struct fake f;
    fake_init(&f);
    f.has_terms = true;
    f.looks_first = true;
    f.polls_pending = 1;
    f.polls_processing = 1;
    fake_issue(&f, 3);
    unsigned calls = f.calls;
    fake_fini(&f);
    return calls;
}

/* One order at the CA, one certificate, one registration, whatever died when. */
static void expect_one_order(struct fake *f, const char *where)
{
    if (!f->chain)
        fail_msg("%s: no certificate: %s (%s)", where, f->err.what, f->err.cause[0]);
    if (f->orders_made != 1 || f->order_count != 1)
        fail_msg("%s: %u orders were made", where, f->orders_made);
    if (f->finalized != 1 || strcmp(f->order[0].status, "valid") != 0)
        fail_msg("%s: finalized %u times, order %s", where, f->finalized, f->order[0].status);
    if (f->accounts_made != 1)
        fail_msg("%s: %u accounts", where, f->accounts_made);
}

static void die_once_at_every_call(void **state)
{
    (void)state;
    unsigned calls = calls_of_a_whole_run();
    assert_in_range(calls, 40, 200);
    for (unsigned n = 1; n <= calls; n++) {
        for (int before = 0; before < 2; before++) {
            char where[64];
            struct fake f;
            fake_init(&f);
            f.has_terms = true;
            f.looks_first = true;
            f.polls_pending = 1;
            f.polls_processing = 1;
            f.crash_at = n;
            f.crash_before_effect = before;
            snprintf(where, sizeof(where), "call %u, %s its effect", n,
                     before ? "before" : "after");
            fake_start(&f, 3);
            fake_run(&f);
            if (!f.crashed)
                fail_msg("%s: the run did not get there", where);
            fake_restart(&f);
            fake_start(&f, 3);
            fake_run(&f);
            expect_one_order(&f, where);
            fake_fini(&f);
        }
    }
}

/* A process that dies again and again, each time a little further, still needs one order. */
static void die_again_and_again(void **state)
{
    (void)state;
    for (unsigned stride = 9; stride < 30; stride++) {
        struct fake f;
        char where[64];
        fake_init(&f);
        snprintf(where, sizeof(where), "dying every %u calls", stride);
        for (unsigned life = 0; life < 60 && !f.done; life++) {
            if (life > 0)
                fake_restart(&f);
            f.crash_at = stride + life;
            f.crash_before_effect = life % 2;
            fake_start(&f, 2);
            fake_run(&f);
        }
        expect_one_order(&f, where);
        fake_fini(&f);
    }
}

static void run_until(struct fake *f, const char *step)
{
    fake_start(f, 2);
    while (f->job && strcmp(acme_order_step(f->job), step) != 0 && fake_turn(f)) {
    }
    assert_non_null(f->job);
    fake_restart(f);
}

static bool forgotten(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != FAKE_ORDER || req->id != 0)
        return false;
    fake_problem(r, 404, "malformed", "no such order");
    return true;
}

static void new_order_only_when_the_old_is_dead(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct fake f;
        fake_init(&f);
        run_until(&f, "wait for validation");
        if (i == 0) {
            f.order[0].status = "invalid";
        } else if (i == 1) { /* expired, though the CA still says pending */
            f.wall_ms += f.order_life_ms + 1000;
            cm_clock_fake(f.wall_ms, f.mono_ms);
        } else {
            f.before = forgotten;
        }
        fake_start(&f, 2);
        fake_run(&f);
        if (!f.chain)
            fail_msg("case %d: %s (%s)", i, f.err.what, f.err.cause[0]);
        assert_int_equal(f.orders_made, 2);
        assert_int_equal(f.finalized, 1);
        fake_fini(&f);
    }
}

static bool order_unreachable(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != FAKE_ORDER)
        return false;
    fake_problem(r, 500, "serverInternal", "database is down");
    return true;
}

static void a_shaky_ca_proves_nothing(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    run_until(&f, "wait for validation");
    f.before = order_unreachable;
    fake_start(&f, 2);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_non_null(f.err.problem);
    assert_string_equal(cm_json_str(f.saved, "order_url"), FAKE_BASE "/order/0");
    f.before = NULL;
    fake_restart(&f);
    fake_issue(&f, 2);
    assert_int_equal(f.orders_made, 1);
    fake_fini(&f);
}

static bool nonces_refused(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != FAKE_ORDER)
        return false;
    fake_problem(r, 400, "badNonce", "again");
    return true;
}

/* Its time is over as we reckon, or the account has another URL: still, only the CA can say that
 * the order is dead, and a refused nonce says nothing of the kind. */
static void a_refused_nonce_proves_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fake f;
        fake_init(&f);
        run_until(&f, "wait for validation");
        if (i == 0) {
            f.wall_ms += f.order_life_ms + 1000;
            cm_clock_fake(f.wall_ms, f.mono_ms);
        } else {
            cm_json_set_str(f.saved, "kid", FAKE_BASE "/acct/former");
        }
        f.before = nonces_refused;
        fake_start(&f, 2);
        fake_run(&f);
        assert_null(f.chain);
        assert_int_equal(f.err.retry, CM_RETRY_REPAIR);
        assert_string_equal(cm_json_str(f.saved, "order_url"), FAKE_BASE "/order/0");
        assert_int_equal(f.orders_made, 1);
        fake_fini(&f);
    }
}

static void answers_are_not_repeated(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.polls_pending = 2;
    run_until(&f, "wait for validation");
    assert_int_equal(f.answers, 2);
    assert_int_equal(json_array_size(cm_json_arr(f.saved, "answered")), 2);
    for (int i = 0; i < f.authz_count; i++)
        f.authz[i].challenge = "pending"; /* as pebble shows a challenge that is being checked */
    fake_start(&f, 2);
    while (f.job && strcmp(acme_order_step(f.job), "wait for validation") != 0 && fake_turn(&f)) {
    }
    assert_int_equal(f.answers, 2);
    assert_int_equal(f.publishes,
                     2); /* but the listeners are told again: they may have restarted */
    for (int i = 0; i < f.authz_count; i++)
        f.authz[i].challenge = "processing";
    fake_run(&f);
    assert_non_null(f.chain);
    fake_fini(&f);
}

static void states_of_others_are_not_used(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    fake_issue(&f, 2);
    json_t *kept = json_deep_copy(f.saved);

    fake_issue(&f, 3); /* other names: another order */
    assert_int_equal(f.orders_made, 2);

    json_decref(f.saved);
    f.saved = json_deep_copy(kept);
    json_object_set_new(f.saved, "directory", json_string("https://other.test/dir"));
    fake_issue(&f, 2);
    assert_int_equal(f.orders_made, 3);

    /* the same names in another order are the same order */
    json_decref(f.saved);
    f.saved = json_deep_copy(kept);
    json_t *turned = json_pack("[s, s]", "www2.example.com", "www1.example.com");
    fake_start_names(&f, turned);
    fake_run(&f);
    assert_non_null(f.chain);
    assert_int_equal(f.orders_made, 3);
    json_decref(turned);
    json_decref(kept);
    fake_fini(&f);
}

static void a_failed_save_stops_the_run(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.fail_save = CM_EFULL;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EFULL);
    assert_int_equal(f.count[FAKE_NEW_ORDER], 0); /* nothing is ordered that would be forgotten */
    assert_non_null(strstr(f.err.object, "www1.example.com"));
    fake_fini(&f);
}

/* Port may_order: before each newOrder, and before a registration that would be for nothing. */
static void asked_before_each_new_order(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.looks_first = true;
    fake_issue(&f, 2);
    assert_int_equal(f.looks, 2);
    assert_int_equal(f.looks_nameless, 1);
    assert_int_equal(f.orders_made, 1);
    fake_fini(&f);
    fake_init(&f);
    f.looks_first = true;
    run_until(&f, "wait for validation");
    f.looks = 0;
    f.fail_look = CM_EDENIED; /* an order that exists goes on */
    fake_issue(&f, 2);
    assert_int_equal(f.looks, 0);
    fake_fini(&f);
    fake_init(&f);
    f.looks_first = true;
    run_until(&f, "wait for validation");
    f.before = forgotten;
    f.fail_look = CM_EDENIED; /* one that is made instead does not */
    fake_start(&f, 2);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EDENIED);
    assert_int_equal(f.orders_made, 1);
    assert_null(cm_json_str(f.saved, "ordering_at"));
    f.fail_look = 0;
    fake_restart(&f);
    fake_issue(&f, 2);
    assert_int_equal(f.orders_made, 2);
    fake_fini(&f);
}

static void nothing_is_sent_for_what_may_not_be_ordered(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct fake f;
        fake_init(&f);
        f.looks_first = true;
        if (known) { /* the account is there already */
            fake_issue(&f, 1);
            fake_restart(&f);
            json_decref(f.saved);
            f.saved = NULL;
        }
        unsigned accounts = f.count[FAKE_NEW_ACCOUNT], orders = f.count[FAKE_NEW_ORDER];
        unsigned requests = f.requests;
        f.fail_look = CM_EDENIED;
        fake_start(&f, 2);
        fake_run(&f);
        assert_true(f.done);
        assert_null(f.chain);
        assert_int_equal(f.err.code, CM_EDENIED);
        assert_int_equal(f.err.retry, CM_RETRY_CONFIGURATION);
        assert_int_equal(f.count[FAKE_NEW_ACCOUNT], accounts);
        assert_int_equal(f.count[FAKE_NEW_ORDER], orders);
        assert_int_equal(f.requests, requests + 1); /* the directory */
        f.fail_look = 0;
        fake_restart(&f);
        fake_issue(&f, 2);
        fake_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(die_once_at_every_call),
        cmocka_unit_test(asked_before_each_new_order),
        cmocka_unit_test(nothing_is_sent_for_what_may_not_be_ordered),
        cmocka_unit_test(die_again_and_again),
        cmocka_unit_test(new_order_only_when_the_old_is_dead),
        cmocka_unit_test(a_shaky_ca_proves_nothing),
        cmocka_unit_test(a_refused_nonce_proves_nothing),
        cmocka_unit_test(answers_are_not_repeated),
        cmocka_unit_test(states_of_others_are_not_used),
        cmocka_unit_test(a_failed_save_stops_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
