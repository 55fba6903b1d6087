/* On hold after a restore the manager's task rests: no request is taken in, no order is made or
 * gone on with, nobody is asked anything; when the hold is over, everything goes on. */
#include "tests/unit/engine/harness.h"

static bool key_wanted(struct h *h)
{
    return h_op_count(h, "key.create") > 0;
}

static void a_pending_order_waits_for_the_end_of_the_hold(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->away = 10000; /* the job stops before its order */
    h->away_op = "key.create";
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_until(h, key_wanted, "the job to begin");
    h->on_hold = true;
    h_restart(h);
    h->away = 0;
    unsigned asked = h_op_count(h, "key.create");
    h_turns(h, 300);
    CM_AUTO_JSON status = eng_status(h->engine);
    assert_int_equal(cm_json_int(status, "jobs", 0), 0);
    assert_int_equal(h_op_count(h, "key.create"), asked);
    assert_int_equal(h->ca.new_orders, 0);
    h->on_hold = false;
    h_restart(h);
    CM_AUTO_JSON issued = h_status(h, "issued");
    assert_non_null(issued);
    assert_int_equal(h->ca.new_orders, 1);
}

static void what_comes_back_meanwhile_is_not_acted_upon(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->on_hold = true;
    h_restart(h);
    /* As a server brings it back: a request that the manager had not heard of. */
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_turns(h, 300);
    CM_AUTO_JSON none = h_body(h, "credential", h->credential);
    assert_null(none);
    assert_int_equal(h->ca.new_orders, 0);
    h->on_hold = false;
    h_restart(h);
    CM_AUTO_JSON issued = h_status(h, "issued");
    assert_non_null(issued);
    assert_int_equal(h->ca.new_orders, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(a_pending_order_waits_for_the_end_of_the_hold),
        H_TEST(what_comes_back_meanwhile_is_not_acted_upon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
