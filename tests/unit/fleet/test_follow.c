/* Following the trust root: by replication, from the agent, at the start, and its renewal. */
#include "tests/unit/fleet/support.h"

static struct server alpha, beta;

static int setup(void **state)
{
    (void)state;
    manager_init(&alpha, "alpha");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&alpha);
    return 0;
}

static void fleet_new_wants_its_place(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    struct fleet *fleet = NULL;
    const json_t *document = kf_trust_document(fleet_trust(alpha.fleet));
    struct fleet_opts opts = {
        .loop = alpha.loop, .agent = agent_of(&alpha), .self = "gamma", .trust = document};
    assert_int_equal(fleet_new(&opts, &fleet, &err), CM_EDENIED);
    assert_non_null(strstr(err.cause[0], "gamma"));
    cm_err_fini(&err);
    CM_AUTO_JSON broken = json_pack("{s:s}", "_id", "trust:root");
    opts = (struct fleet_opts){
        .loop = alpha.loop, .agent = agent_of(&alpha), .self = "alpha", .trust = broken};
    assert_true(fleet_new(&opts, &fleet, &err) < 0);
    cm_err_fini(&err);
    assert_null(fleet);
    assert_true(fleet_is_manager(alpha.fleet));
}

static void a_server_follows_and_tells_its_agent(void **state)
{
    (void)state;
    member_init(&beta, "beta", &alpha);
    server_attach(&beta);
    assert_false(fleet_is_manager(beta.fleet));
    assert_int_equal(version_of(&beta), 2);
    assert_int_equal(beta.changes, 0);
    CM_AUTO_JSON next = renew(&alpha);
    struct cs_result r = replicate(&beta, next, "3-00000000000000000000000000000003");
    assert_int_equal(r.code, 0);
    settle(&beta);
    assert_int_equal(version_of(&beta), 3);
    assert_int_equal(kept_version(&beta), 3);
    assert_int_equal(agent_version(&beta), 3);
    assert_int_equal(beta.changes, 1);
    /* Once more the same: nothing happens. */
    int asked = beta.asked;
    replicate(&beta, next, "3-00000000000000000000000000000003");
    settle(&beta);
    assert_int_equal(beta.changes, 1);
    assert_int_equal(beta.asked, asked);
    server_fini(&beta);
}

static void a_refused_root_changes_nothing(void **state)
{
    (void)state;
    struct server mallory;
    manager_init(&mallory, "alpha");
    member_init(&beta, "beta", &alpha);
    server_attach(&beta);
    CM_AUTO_JSON foreign = renew(&mallory);
    struct cs_result r = replicate(&beta, foreign, "9-00000000000000000000000000000009");
    assert_int_not_equal(r.code, 0);
    settle(&beta);
    assert_int_equal(version_of(&beta), 2);
    assert_int_equal(beta.changes, 0);
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON later = renew(&mallory);
    assert_true(fleet_adopt(beta.fleet, later, &err) < 0);
    cm_err_fini(&err);
    assert_int_equal(version_of(&beta), 2);
    assert_int_equal(kept_version(&beta), 2);
    server_fini(&beta);
    server_fini(&mallory);
}

struct done {
    int calls, code;
};

static void on_done(void *arg, const struct cm_err *err)
{
    struct done *d = arg;
    d->calls++;
    d->code = err != NULL ? err->code : 0;
}

/* The manager adopts its own roots too, and what waited for them is taken. */
static void documents_wait_in_quarantine_for_their_root(void **state)
{
    (void)state;
    struct done stored = {0};
    server_attach(&alpha);
    member_init(&beta, "beta", &alpha);
    CM_AUTO_JSON receipt = receipt_of(&beta);
    struct cs_result r = replicate(&alpha, receipt, "1-00000000000000000000000000000001");
    assert_int_equal(r.code, CM_EDENIED);
    settle(&alpha);
    assert_null(cs_get_body(alpha.store, "receipt:beta:" ULID));
    fleet_store_trust(alpha.fleet, kf_trust_document(fleet_trust(beta.fleet)), on_done, &stored);
    assert_int_equal(version_of(&alpha), 1); /* only what is durable counts */
    settle(&alpha);
    assert_true(stored.calls == 1 && stored.code == 0);
    assert_int_equal(version_of(&alpha), 2);
    assert_int_equal(alpha.changes, 1);
    CM_AUTO_JSON taken = cs_get_body(alpha.store, "receipt:beta:" ULID);
    assert_true(json_equal(taken, receipt));
    server_fini(&beta);
}

static void what_is_no_trust_root_is_not_stored(void **state)
{
    (void)state;
    struct done stored = {0};
    server_attach(&alpha);
    fleet_store_trust(alpha.fleet, NULL, on_done, &stored);
    assert_true(stored.calls == 1 && stored.code == CM_EPEER);
    CM_AUTO_JSON bad = renew(&alpha);
    cm_json_set_int(bad, "version", 9);
    fleet_store_trust(alpha.fleet, bad, on_done, &stored);
    settle(&alpha);
    assert_true(stored.calls == 2 && stored.code != 0);
    assert_int_equal(version_of(&alpha), 1);
    assert_int_equal(stored_version(&alpha), 1);
}

static void a_manager_that_was_killed_after_signing_catches_up(void **state)
{
    (void)state;
    json_decref(renew(&alpha)); /* signed and pinned by the agent, never stored */
    server_attach(&alpha);
    assert_int_equal(version_of(&alpha), 2);
    assert_int_equal(stored_version(&alpha), 2);
    assert_int_equal(kept_version(&alpha), 2);
    assert_int_equal(alpha.changes, 1);
}

static void a_server_whose_agent_is_ahead_adopts_but_stores_nothing(void **state)
{
    (void)state;
    member_init(&beta, "beta", &alpha);
    json_t *update = json_pack("{s:s}", "op", "trust.update");
    cm_json_set(update, "document", renew(&alpha));
    json_decref(must(agent_now(&beta, update)));
    server_attach(&beta);
    assert_int_equal(version_of(&beta), 3);
    assert_int_equal(kept_version(&beta), 3);
    assert_int_equal(stored_version(&beta), 0); /* comes from upstream, with its revision */
    server_fini(&beta);
}

static void an_agent_that_is_behind_is_told_at_the_start(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    member_init(&beta, "beta", &alpha);
    CM_AUTO_JSON next = renew(&alpha);
    server_close(&beta);
    /* Killed between the front's write and the agent's. */
    server_open(&beta, next);
    OK(cs_kv_put(beta.store, "state", "trust", next, &err), err);
    assert_int_equal(agent_version(&beta), 2);
    server_attach(&beta);
    assert_int_equal(agent_version(&beta), 3);
    server_fini(&beta);
}

/* Two roots came while the agent could not take them: the second is signed by somebody who became a
 * signer by the first.  Both have expired meanwhile. */
static void an_agent_that_missed_new_signers_is_led_to_them(void **state)
{
    (void)state;
    struct server gamma;
    member_init(&beta, "beta", &alpha);
    member_init(&gamma, "gamma", &alpha);
    server_attach(&gamma);
    CM_AUTO_JSON role =
        must(agent_now(&alpha, json_pack("{s:s, s:s, s:s, s:s}", "op", "trust.role", "name", "beta",
                                         "role", "standby", "url", "https://beta.example:8444")));
    json_t *update = json_pack("{s:s, s:O}", "op", "trust.update", "document",
                               kf_trust_document(fleet_trust(gamma.fleet)));
    json_decref(must(agent_now(&beta, update)));
    update =
        json_pack("{s:s, s:O}", "op", "trust.update", "document", cm_json_obj(role, "document"));
    json_decref(must(agent_now(&beta, update)));
    CM_AUTO_JSON promote =
        must(agent_now(&beta, json_pack("{s:s, s:b}", "op", "trust.promote", "lost", 1)));
    cm_clock_fake(cm_now_ms() + 100 * DAY_MS, 0);
    struct cm_err err = CM_ERR_INIT;
    gamma.fail_op = "trust.update";
    OK(fleet_adopt(gamma.fleet, cm_json_obj(role, "document"), &err), err);
    OK(fleet_adopt(gamma.fleet, cm_json_obj(promote, "document"), &err), err);
    settle(&gamma);
    assert_int_equal(agent_version(&gamma), 3);
    gamma.fail_op = NULL;
    CM_AUTO_JSON newest = renew(&beta);
    OK(fleet_adopt(gamma.fleet, newest, &err), err);
    SETTLE_UNTIL(&gamma, agent_version(&gamma) == cm_json_int(newest, "version", 0));
    server_fini(&gamma);
    server_fini(&beta);
}

static void a_stored_root_newer_than_the_kept_one_is_taken_at_the_start(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    CM_AUTO_JSON next = renew(&alpha);
    OK(cs_put(alpha.store, next, &result, &err), err);
    OK(cs_commit(alpha.store, &err), err);
    server_close(&alpha);
    server_open(&alpha, NULL);
    assert_int_equal(version_of(&alpha), 1);
    server_attach(&alpha);
    assert_int_equal(version_of(&alpha), 2);
    assert_int_equal(kept_version(&alpha), 2);
}

static void the_root_is_renewed_when_a_day_old(void **state)
{
    (void)state;
    int64_t made = kf_trust_expires_ms(fleet_trust(alpha.fleet)) - KF_TRUST_DAYS * DAY_MS;
    cm_clock_fake(made + DAY_MS - 1, 0);
    server_attach(&alpha);
    assert_int_equal(version_of(&alpha), 1);
    server_close(&alpha);
    server_open(&alpha, NULL);
    cm_clock_fake(made + DAY_MS, 0);
    server_attach(&alpha);
    assert_int_equal(version_of(&alpha), 2);
    assert_int_equal(stored_version(&alpha), 2);
    assert_int_equal(alpha.changes, 1);
    assert_int_equal(kf_trust_expires_ms(fleet_trust(alpha.fleet)),
                     made + DAY_MS + KF_TRUST_DAYS * DAY_MS);
}

static void a_root_expired_while_we_were_off_is_renewed(void **state)
{
    (void)state;
    cm_clock_fake(kf_trust_expires_ms(fleet_trust(alpha.fleet)) + 100 * DAY_MS, 0);
    server_attach(&alpha);
    assert_int_equal(version_of(&alpha), 2);
    assert_true(kf_trust_expires_ms(fleet_trust(alpha.fleet)) > cm_now_ms());
}

static void only_the_manager_renews(void **state)
{
    (void)state;
    member_init(&beta, "beta", &alpha);
    cm_clock_fake(cm_now_ms() + 2 * DAY_MS, 0);
    server_attach(&beta);
    assert_string_equal(beta.last_op, "trust.get");
    assert_int_equal(version_of(&beta), 2);
    server_fini(&beta);
}

static void an_agent_away_at_the_start_does_no_harm(void **state)
{
    (void)state;
    alpha.fail_op = "trust.get";
    server_attach(&alpha);
    assert_int_equal(version_of(&alpha), 1);
    alpha.fail_op = "trust.renew";
    cm_clock_fake(cm_now_ms() + 2 * DAY_MS, 0);
    server_close(&alpha);
    server_open(&alpha, NULL);
    server_attach(&alpha);
    assert_int_equal(version_of(&alpha), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(fleet_new_wants_its_place),
        T(a_server_follows_and_tells_its_agent),
        T(a_refused_root_changes_nothing),
        T(documents_wait_in_quarantine_for_their_root),
        T(what_is_no_trust_root_is_not_stored),
        T(a_manager_that_was_killed_after_signing_catches_up),
        T(a_server_whose_agent_is_ahead_adopts_but_stores_nothing),
        T(an_agent_that_is_behind_is_told_at_the_start),
        T(an_agent_that_missed_new_signers_is_led_to_them),
        T(a_stored_root_newer_than_the_kept_one_is_taken_at_the_start),
        T(the_root_is_renewed_when_a_day_old),
        T(a_root_expired_while_we_were_off_is_renewed),
        T(only_the_manager_renews),
        T(an_agent_away_at_the_start_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
