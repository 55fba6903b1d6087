/* What an expired trust root kept out comes in again, once it counts. */
#include "tests/unit/fleet/support.h"

static struct server alpha, beta;
static int fed;

static void on_fed(void *arg)
{
    (void)arg;
    fed++;
}

static int setup(void **state)
{
    (void)state;
    manager_init(&alpha, "alpha");
    member_init(&beta, "beta", &alpha);
    server_attach(&beta);
    fleet_on_fed(beta.fleet, on_fed, NULL);
    fed = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&beta);
    server_fini(&alpha);
    return 0;
}

static json_t *settings(void)
{
    return signed_doc(&alpha, json_pack("{s:s, s:s, s:i, s:i}", "_id", "settings:a", "type",
                                        "settings", "serial", 7, "renew_days", 20));
}

/* The clock of beta goes ten years wrong, and settings:a comes. */
static void starve(const json_t *doc)
{
    int64_t expires = kf_trust_expires_ms(fleet_trust(beta.fleet));
    cm_clock_fake(expires + 3650 * DAY_MS, 0);
    struct cs_result r = replicate(&beta, doc, "1-00000000000000000000000000000001");
    assert_int_equal(r.code, CM_EDENIED);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    assert_int_equal(fed, 0);
}

static void is_fed_when_the_clock_is_right_again(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = settings();
    starve(doc);
    cm_clock_fake(-1, -1);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    CM_AUTO_JSON there = cs_get_body(beta.store, "settings:a");
    assert_non_null(there);
    assert_int_equal(fed, 1); /* and everything is to be compared once more */
    fleet_starved_look(beta.fleet);
    assert_int_equal(fed, 1);
}

static void remembers_over_a_restart(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = settings();
    starve(doc);
    server_close(&beta);
    cm_clock_fake(-1, -1);
    server_open(&beta, NULL);
    server_attach(&beta);
    fleet_on_fed(beta.fleet, on_fed, NULL);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    assert_int_equal(fed, 1);
    CM_AUTO_JSON there = cs_get_body(beta.store, "settings:a");
    assert_non_null(there);
    CM_AUTO_JSON noted = cs_kv_get(beta.store, "state", "starved");
    assert_null(noted);
}

static void nothing_refused_nothing_fed(void **state)
{
    (void)state;
    int64_t expires = kf_trust_expires_ms(fleet_trust(beta.fleet));
    cm_clock_fake(expires + DAY_MS, 0);
    fleet_starved_look(beta.fleet);
    cm_clock_fake(-1, -1);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    assert_int_equal(fed, 0);
}

/* On hold after a restore its root may be long expired: what is given back is taken by it, and
 * what was starved before waits until the hold is over. */
static void takes_what_is_given_back_on_hold(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = settings();
    CM_AUTO_JSON other =
        signed_doc(&alpha, json_pack("{s:s, s:s, s:i, s:i}", "_id", "settings:b", "type",
                                     "settings", "serial", 8, "renew_days", 30));
    starve(doc);
    fleet_set_hold(beta.fleet, true);
    struct cs_result r = replicate(&beta, other, "1-00000000000000000000000000000002");
    assert_int_equal(r.code, 0);
    cm_clock_fake(-1, -1);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    assert_int_equal(fed, 0);
    fleet_set_hold(beta.fleet, false);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    assert_int_equal(fed, 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(is_fed_when_the_clock_is_right_again),
        T(remembers_over_a_restart),
        T(nothing_refused_nothing_fed),
        T(takes_what_is_given_back_on_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
