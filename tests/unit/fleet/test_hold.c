/* The hold after a restore: who is waited for, and what ends it. */
#include "tests/unit/fleet/support.h"

#include "certmgr/fleet/hold.h"

static struct server alpha, beta, third; /* the manager and two members */
static struct hold *hold, *lived[24];    /* a hold lives as long as its process */
static size_t lives;
static int released;

static void on_released(void *arg)
{
    (void)arg;
    released++;
}

/* The store of gamma stands for that of whoever was restored: only the name decides. */
static struct cs_store *store(void)
{
    return third.store;
}

static void open_hold(const char *self)
{
    const struct hold_opts opts = {.store = store(),
                                   .self = self,
                                   .trust = fleet_trust,
                                   .trust_arg = third.fleet,
                                   .released = on_released};
    assert_true(lives < sizeof(lived) / sizeof(lived[0]));
    lived[lives++] = hold = hold_new(&opts);
}

static void save(void)
{
    struct cm_err err = CM_ERR_INIT;
    OK(cs_commit(store(), &err), err);
}

static json_t *about(void)
{
    return json_pack("{s:s}", "created_at", "2026-11-22T00:00:00.000Z");
}

static void begin(const char *self)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON told = about();
    OK(hold_begin(store(), self, kf_trust_document(fleet_trust(third.fleet)), told, &err), err);
    save();
    open_hold(self);
    assert_true(hold_active(hold));
}

static int setup(void **state)
{
    (void)state;
    released = 0;
    manager_init(&alpha, "alpha");
    member_init(&beta, "beta", &alpha);
    member_init(&third, "gamma", &alpha);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&third);
    server_fini(&beta);
    server_fini(&alpha);
    return 0;
}

static size_t waits(void)
{
    CM_AUTO_JSON status = hold_status(hold);
    return json_array_size(cm_json_arr(status, "waiting"));
}

static bool is_kept(void)
{
    CM_AUTO_JSON kept = cs_kv_get(store(), "state", "hold");
    return kept != NULL;
}

static void ends_when_all_have_answered(void **state)
{
    (void)state;
    begin("alpha");
    assert_int_equal(waits(), 2);
    assert_true(hold_wants(hold, "beta"));
    assert_false(hold_wants(hold, "alpha"));  /* that is us */
    assert_false(hold_wants(hold, "nobody")); /* not of this fleet */
    hold_answered(hold, "alpha");
    hold_answered(hold, "nobody");
    hold_answered(hold, "beta");
    hold_answered(hold, "beta");
    assert_int_equal(waits(), 1);
    assert_false(hold_wants(hold, "beta"));
    assert_true(hold_active(hold));
    hold_answered(hold, "gamma");
    assert_int_equal(released, 0); /* not before it is durable */
    save();
    assert_int_equal(released, 1);
    assert_false(hold_active(hold));
    assert_false(is_kept());
    hold_answered(hold, "gamma"); /* once more is nothing */
    save();
    assert_int_equal(released, 1);
}

static void is_remembered_over_a_restart(void **state)
{
    (void)state;
    begin("alpha");
    hold_answered(hold, "gamma");
    save();
    open_hold("alpha");
    assert_true(hold_active(hold));
    assert_int_equal(waits(), 1);
    assert_true(hold_wants(hold, "beta"));
    CM_AUTO_JSON status = hold_status(hold);
    assert_string_equal(cm_json_str(status, "backup_at"), "2026-11-22T00:00:00.000Z");
    assert_true(cm_json_has_str(cm_json_arr(status, "answered"), "gamma"));
}

/* Who takes the responsibility is written down, and who comes later is still asked. */
static void a_person_releases_it(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    begin("alpha");
    OK(hold_release(hold, "carol", &err), err);
    assert_int_equal(released, 0);
    save();
    assert_int_equal(released, 1);
    assert_int_equal(hold_release(hold, "carol", &err), CM_ENOENT);
    cm_err_fini(&err);
    open_hold("alpha");
    assert_false(hold_active(hold));
    CM_AUTO_JSON status = hold_status(hold);
    assert_string_equal(cm_json_str(status, "released_by"), "carol");
    assert_true(hold_wants(hold, "beta"));
    hold_answered(hold, "beta");
    hold_answered(hold, "gamma");
    save();
    assert_false(is_kept());
    assert_int_equal(released, 1); /* the process works already */
}

static void brought(const char *server, const char *signer)
{
    CM_AUTO_JSON body = json_pack("{s:s,s:{s:s}}", "_id", "settings:a", "signature", "by", signer);
    hold_brought(hold, server, body);
}

/* Everybody can say that the manager forgot something: that alone is asked about, and not told. */
static void who_only_says_so_raises_no_alarm(void **state)
{
    (void)state;
    open_hold("alpha");
    brought("beta", "alpha"); /* nobody asked */
    hold_take_back(hold, "beta");
    hold_take_back(hold, "beta");
    brought("beta", "beta"); /* its own, which it can make at will */
    brought("gamma", "alpha");
    save();
    open_hold("alpha");
    assert_true(hold_wants(hold, "beta"));
    assert_null(hold_status(hold));
    assert_null(cs_kv_get(store(), "state", "alarm/copy/alpha"));
    hold_answered(hold, "beta");
    save();
    assert_false(is_kept());
    assert_null(cs_kv_get(store(), "state", "alarm/copy/alpha"));
}

/* After a restore that is what was to be expected. */
static void what_a_restored_manager_gets_back_is_no_alarm(void **state)
{
    (void)state;
    begin("alpha");
    hold_take_back(hold, "beta");
    brought("beta", "alpha");
    assert_null(cs_kv_get(store(), "state", "alarm/copy/alpha"));
    assert_true(hold_active(hold));
}

/* Nobody restored anything, and a server remembers more: it gives back while the work goes on. */
static void an_older_copy_wants_back(void **state)
{
    (void)state;
    open_hold("alpha");
    assert_false(hold_wants(hold, "beta"));
    hold_take_back(hold, "alpha");
    hold_take_back(hold, "nobody");
    assert_null(hold_status(hold));
    hold_take_back(hold, "beta");
    save();
    open_hold("alpha"); /* over a restart, too */
    assert_false(hold_active(hold));
    assert_true(hold_wants(hold, "beta"));
    assert_false(hold_wants(hold, "gamma")); /* it has said nothing of the kind */
    brought("beta", "alpha");                /* what this manager signed, and does not know */
    save();
    open_hold("alpha");
    CM_AUTO_JSON status = hold_status(hold);
    assert_true(cm_json_bool(status, "older_copy", false));
    assert_int_equal(waits(), 1);
    CM_AUTO_JSON alarm = cs_kv_get(store(), "state", "alarm/copy/alpha");
    assert_string_equal(cm_json_str(alarm, "kind"), "old_copy");
    assert_non_null(strstr(cm_json_str(alarm, "what"), "beta"));
    hold_take_back(hold, "gamma");
    assert_int_equal(waits(), 2);
    hold_answered(hold, "beta");
    hold_answered(hold, "gamma");
    save();
    assert_false(is_kept());
    assert_int_equal(released, 0);
    hold_take_back(hold, "beta"); /* and once more */
    assert_true(hold_wants(hold, "beta"));
    open_hold("beta"); /* who is not the manager is given nothing */
    hold_take_back(hold, "gamma");
    assert_false(hold_wants(hold, "gamma"));
}

static void a_member_waits_for_its_upstream(void **state)
{
    (void)state;
    begin("beta");
    assert_int_equal(waits(), 0);
    assert_false(hold_wants(hold, "gamma")); /* only the manager is given anything back */
    hold_answered(hold, "gamma");
    save();
    assert_true(hold_active(hold));
    hold_caught_up(hold);
    save();
    assert_int_equal(released, 1);
    assert_false(is_kept());
}

/* A manager that was restored has no upstream to tell it the truth. */
static void a_manager_is_not_caught_up(void **state)
{
    (void)state;
    begin("alpha");
    hold_caught_up(hold);
    save();
    assert_true(hold_active(hold));
    assert_int_equal(released, 0);
}

/* A restore that was killed behind its last step and is asked for again. */
static void knows_its_backup(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    begin("alpha");
    CM_AUTO_JSON same = about();
    CM_AUTO_JSON other = json_pack("{s:s}", "created_at", "2026-11-21T00:00:00.000Z");
    assert_true(hold_is_of(store(), "alpha", same));
    assert_true(cm_json_bool(same, "manager", false));
    assert_int_equal(json_array_size(cm_json_arr(same, "waiting")), 2);
    assert_false(hold_is_of(store(), "alpha", other));
    OK(hold_release(hold, "carol", &err), err);
    save();
    assert_false(hold_is_of(store(), "alpha", same)); /* it is at work again */
}

/* Who was removed never answers. */
static void nobody_waits_for_the_removed(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON told = about();
    CM_AUTO_JSON trust = json_deep_copy(kf_trust_document(fleet_trust(third.fleet)));
    json_t *servers = cm_json_arr(trust, "servers"), *server;
    size_t i;
    json_array_foreach(servers, i, server)
    {
        if (strcmp(cm_json_str(server, "name"), "beta") == 0)
            cm_json_set_str(server, "state", "removed");
    }
    OK(hold_begin(store(), "alpha", trust, told, &err), err);
    assert_int_equal(json_array_size(cm_json_arr(told, "waiting")), 1);
    assert_true(cm_json_has_str(cm_json_arr(told, "waiting"), "gamma"));
}

static void nothing_is_on_hold(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    open_hold("alpha");
    assert_false(hold_active(hold));
    assert_false(hold_wants(hold, "beta"));
    hold_answered(hold, "beta");
    hold_caught_up(hold);
    assert_null(hold_status(hold));
    assert_int_equal(hold_release(hold, "carol", &err), CM_ENOENT);
    cm_err_fini(&err);
    assert_int_equal(released, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(ends_when_all_have_answered),
        T(is_remembered_over_a_restart),
        T(a_person_releases_it),
        T(a_member_waits_for_its_upstream),
        T(who_only_says_so_raises_no_alarm),
        T(what_a_restored_manager_gets_back_is_no_alarm),
        T(an_older_copy_wants_back),
        T(a_member_waits_for_its_upstream),
        T(a_manager_is_not_caught_up),
        T(knows_its_backup),
        T(nothing_is_on_hold),
        T(nobody_waits_for_the_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
