/* More requests than there are places for jobs: who runs, who waits, who is next. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/guard.h"

#define MANY 60

static bool many_issued(struct h *h)
{
    return h->ca.downloads >= MANY && h->engine->job_count == 0;
}

static bool all_places_taken(struct h *h)
{
    CM_AUTO_JSON status = eng_status(h->engine);
    return cm_json_int(status, "jobs", 0) == ENG_JOBS_NEAR &&
           cm_json_int(status, "waiting", 0) == MANY - ENG_JOBS_NEAR;
}

/* Those that ended in one commit are looked at a turn later. */
static bool next_is_planned(struct h *h)
{
    CM_AUTO_JSON status = eng_status(h->engine);
    return cm_json_int(status, "jobs", -1) == 0 && cm_json_int(status, "waiting", -1) == 0 &&
           cm_json_time(status, "next_due_at", 0) > cm_now_ms();
}

static void more_requests_than_places_wait_their_turn(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->away = 10000; /* every job stops at its key and keeps its place */
    h->away_op = "key.create";
    for (int i = 0; i < MANY; i++) {
        CM_AUTO_STR name = cm_asprintf("www%d.example.com", i);
        assert_int_equal(h_submit(h, h_fields(name)), 0);
    }
    h_until(h, all_places_taken, "all places taken and a queue");
    h_turns(h, 50);
    assert_true(all_places_taken(h));
    h->away = 0;
    h_until(h, many_issued, "all certificates");
    assert_int_equal(h->ca.new_orders, MANY);
    assert_int_equal(h->ca.accounts, 1);
    h_until(h, next_is_planned, "the renewals to be planned");
}

static size_t most_open;

static bool few_issued(struct h *h)
{
    if (h->engine->job_count > most_open)
        most_open = h->engine->job_count;
    return h->ca.downloads >= 8 && h->engine->job_count == 0;
}

static void never_more_than_the_configured_number(void **state)
{
    struct h *h = *state;
    h_account(h);
    h->engine->env.orders_max = 3;
    h->away = 10000;
    h->away_op = "key.create";
    for (int i = 0; i < 8; i++) {
        CM_AUTO_STR name = cm_asprintf("www%d.example.com", i);
        assert_int_equal(h_submit(h, h_fields(name)), 0);
    }
    h_turns(h, 50);
    assert_int_equal(h->engine->job_count, 3);
    h->away = 0;
    h_until(h, few_issued, "all certificates");
    assert_int_equal(most_open, 3);
    assert_int_equal(h->ca.new_orders, 8);
}

static bool has_failed(struct h *h)
{
    CM_AUTO_JSON body = h_body(h, "credential", h->credential);
    return strcmp(cm_json_str_or(body, "status", ""), "error") == 0 && h->engine->job_count == 0;
}

static bool is_issued(struct h *h)
{
    return h->ca.downloads >= 1 && h->engine->job_count == 0;
}

static bool is_renewed(struct h *h)
{
    return h->ca.downloads >= 2 && h->engine->job_count == 0;
}

/* The first attempt fails by a clock ten years ahead; then both are right again. */
static void fail_in_2036(struct h *h)
{
    int64_t right = cm_now_ms();
    h_account(h);
    h->ca.refuse_orders = 1000;
    h->ca.refuse_type = "serverInternal";
    cm_clock_fake(right + INT64_C(3653) * 86400000, -1);
    assert_int_equal(h_submit(h, h_fields("www.example.com")), 0);
    h_until(h, has_failed, "the failure");
    h_turns(h, 50); /* … and its next attempt to be planned */
    h->ca.refuse_orders = 0;
    cm_clock_fake(right, -1);
}

/* The next attempt was put into 2036: once the clock is right again, nobody waits for that. */
static void what_a_wrong_clock_put_off_is_tried_once_it_is_right(void **state)
{
    struct h *h = *state;
    fail_in_2036(h);
    sched_again(h->engine); /* as its timer does within a minute */
    h_until(h, is_issued, "the attempt");
}

static void what_a_wrong_clock_put_off_is_tried_after_a_restart(void **state)
{
    struct h *h = *state;
    fail_in_2036(h);
    /* As after a failure before anything of an order was kept; what is open goes on anyway. */
    assert_int_equal(cs_kv_del(h->store, "order", h->credential, NULL), 0);
    assert_int_equal(cs_commit(h->store, NULL), 0);
    h_restart(h);
    h_until(h, is_issued, "the attempt");
}

/* A renewal that nobody asked for waits, too, until a CA confirms the clock that was set back. */
static void a_renewal_that_a_wrong_clock_put_off_waits_for_the_ca_s_date_only(void **state)
{
    struct h *h = *state;
    int64_t right = cm_now_ms();
    h_account(h);
    json_decref(h_issue(h, "www.example.com"));
    unsigned before = h->ca.downloads;
    h_turns(h, 50);
    h->ca.refuse_orders = 1000;
    h->ca.refuse_type = "serverInternal";
    cm_clock_fake(right + INT64_C(3653) * 86400000, -1);
    sched_again(h->engine);
    h_until(h, has_failed, "the failure");
    h_turns(h, 50);
    assert_int_equal(cs_kv_del(h->store, "order", h->credential, NULL), 0);
    assert_int_equal(cs_commit(h->store, NULL), 0);
    h->ca.refuse_orders = 0;
    cm_clock_fake(right, -1);
    h->engine->guard->clock.doubt = true;
    sched_again(h->engine);
    h_turns(h, 50);
    assert_int_equal(h->ca.downloads, before);
    h->engine->guard->clock.doubt = false;
    sched_again(h->engine); /* as the guard does when the CA has answered */
    h_until(h, is_renewed, "the renewal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        H_TEST(more_requests_than_places_wait_their_turn),
        H_TEST(never_more_than_the_configured_number),
        H_TEST(what_a_wrong_clock_put_off_is_tried_once_it_is_right),
        H_TEST(what_a_wrong_clock_put_off_is_tried_after_a_restart),
        H_TEST(a_renewal_that_a_wrong_clock_put_off_waits_for_the_ca_s_date_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
