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
static void refuse(const json_t *doc)
{
    int64_t expires = kf_trust_expires_ms(fleet_trust(beta.fleet));
    cm_clock_fake(expires + 3650 * DAY_MS, 0);
    struct cs_result r = replicate(&beta, doc, "1-00000000000000000000000000000001");
    assert_int_equal(r.code, CM_EDENIED);
}

static void starve(const json_t *doc)
{
    refuse(doc);
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

static void restarts_and_is_fed(void)
{
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

static void remembers_over_a_restart(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = settings();
    starve(doc);
    restarts_and_is_fed();
}

/* What was refused is on the disk, that it was for the clock's sake not yet. */
static void killed_before_it_was_noted(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = settings();
    refuse(doc);
    assert_int_equal(cs_commit(beta.store, NULL), 0);
    CM_AUTO_JSON noted = cs_kv_get(beta.store, "state", "starved");
    assert_null(noted);
    restarts_and_is_fed();
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

/* A hub shows documents before the trust root of their signer, and somebody fills the list of
 * refused documents meanwhile: what it has lost is fetched again, after a restart, too. */
static void a_full_list_is_made_up_for(void **state)
{
    (void)state;
    struct server third;
    struct cm_err err = CM_ERR_INIT;
    char rev[32];
    member_init(&third, "gamma", &alpha);
    CM_AUTO_JSON receipt = receipt_of(&third);
    assert_int_equal(replicate(&beta, receipt, "1-00000000000000000000000000000001").code,
                     CM_EDENIED);
    for (int i = 0; i < CS_QUARANTINE_MAX; i++) {
        snprintf(rev, sizeof(rev), "9-%d", i);
        OK(cs_quarantine_note(beta.store, "settings:x", rev, "hub", "litter", &err), err);
    }
    settle(&beta);
    assert_false(
        cs_is_refused(beta.store, "receipt:gamma:" ULID, "1-00000000000000000000000000000001"));
    OK(fleet_adopt(beta.fleet, kf_trust_document(fleet_trust(third.fleet)), &err), err);
    settle(&beta);
    server_close(&beta);
    server_open(&beta, NULL);
    server_attach(&beta);
    fleet_on_fed(beta.fleet, on_fed, NULL);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    assert_int_equal(fed, 1);
    server_fini(&third);
}

static void a_new_root_alone_is_no_reason(void **state)
{
    (void)state;
    struct server third;
    struct cm_err err = CM_ERR_INIT;
    member_init(&third, "gamma", &alpha);
    CM_AUTO_JSON receipt = receipt_of(&third);
    assert_int_equal(replicate(&beta, receipt, "1-00000000000000000000000000000001").code,
                     CM_EDENIED);
    settle(&beta);
    OK(fleet_adopt(beta.fleet, kf_trust_document(fleet_trust(third.fleet)), &err), err);
    fleet_starved_look(beta.fleet);
    settle(&beta);
    assert_int_equal(fed, 0);
    CM_AUTO_JSON taken = cs_get_body(beta.store, "receipt:gamma:" ULID);
    assert_non_null(taken);
    server_fini(&third);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(is_fed_when_the_clock_is_right_again), T(remembers_over_a_restart),
        T(killed_before_it_was_noted),           T(nothing_refused_nothing_fed),
        T(takes_what_is_given_back_on_hold),     T(a_full_list_is_made_up_for),
        T(a_new_root_alone_is_no_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
