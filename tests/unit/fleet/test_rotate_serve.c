/* What the manager knows of rotations: orders, what is stuck and told to people, what is over. */
#include "support.h"

#include "certmgr/fleet/alarm.h"
#include "certmgr/fleet/rotate.h"

static struct server alpha, beta;
static struct cm_err told;
static int64_t now;
static int ends;

static int setup(void **state)
{
    (void)state;
    told = CM_ERR_INIT;
    ends = 0;
    manager_init(&alpha, "alpha");
    member_init(&beta, "beta", &alpha);
    server_attach(&alpha);
    server_attach(&beta);
    SETTLE_UNTIL(&alpha, version_of(&alpha) == 2);
    now = cm_now_ms();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cm_err_fini(&told);
    server_fini(&beta);
    server_fini(&alpha);
    return 0;
}

static void on_end(void *arg, const struct cm_err *err)
{
    (void)arg;
    if (err != NULL)
        cm_err_copy(&told, err);
    ends++;
}

/* So much later the manager looks. */
static void look_after(int64_t ms)
{
    now += ms;
    cm_clock_fake(now, -1);
    rotate_watch(alpha.store, fleet_trust(alpha.fleet));
    settle(&alpha);
}

static void order(const char *name)
{
    int before = ends;
    cm_err_fini(&told);
    rotate_order(alpha.fleet, name, "alice", on_end, NULL);
    SETTLE_UNTIL(&alpha, ends > before);
}

/* The notice's reason, or NULL: none. */
static json_t *alarm_of(const char *kind)
{
    CM_AUTO_JSON all = fleet_alarms(alpha.store);
    size_t i;
    json_t *one;
    json_array_foreach(all, i, one)
    {
        if (strcmp(cm_json_str_or(one, "kind", ""), kind) == 0)
            return json_incref(one);
    }
    return NULL;
}

static bool has_alarm(void)
{
    CM_AUTO_JSON alarm = alarm_of("rotation_stuck");
    return alarm != NULL;
}

static json_t *known(void)
{
    return rotate_of(alpha.store, fleet_trust(alpha.fleet), "beta");
}

/* beta's word, as replication brings it. */
static void beta_says(void)
{
    static const char *const names[] = {"seal",       "sign",       "tls",
                                        "proof_seal", "proof_sign", "proof_tls"};
    CM_AUTO_JSON body = json_pack("{s:s, s:s, s:s, s:i, s:s}", "_id", "rotation:beta", "type",
                                  "rotation", "server", "beta", "serial", 1, "state", "keys");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cm_json_set_str(body, names[i], "AAAA");
    cm_json_set_time(body, "at", now);
    signed_doc(&beta, body);
    replicate(&alpha, body, "1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    settle(&alpha);
}

static void an_order_waits_and_is_told(void **state)
{
    (void)state;
    assert_null(known());
    cm_clock_fake(now, -1);
    order("beta");
    OK(told.code, told);
    CM_AUTO_JSON view = known();
    assert_string_equal(cm_json_str(view, "state"), "ordered");
    assert_string_equal(cm_json_str(view, "by"), "alice");
    assert_false(cm_json_bool(view, "stuck", true));
    look_after(ROTATE_STUCK_MS - 1000);
    assert_false(has_alarm());
    look_after(1000);
    CM_AUTO_JSON alarm = alarm_of("rotation_stuck");
    assert_non_null(alarm);
    assert_string_equal(cm_json_str(alarm, "where"), "server beta");
    assert_non_null(strstr(cm_json_str_or(alarm, "what", ""), "state \"ordered\" (no answer)"));
    assert_non_null(strstr(cm_json_str_or(alarm, "hint", ""), "rotate beta --status"));
    order("beta"); /* anew: the time runs from now on */
    look_after(0);
    assert_false(has_alarm());
}

static void what_the_manager_refuses_is_told(void **state)
{
    (void)state;
    CM_AUTO_JSON refused = json_pack("{s:s, s:s}", "server", "beta", "reason", "no proof of it");
    cm_clock_fake(now, -1);
    order("beta");
    assert_int_equal(cs_kv_put(alpha.store, "state", "rotation_refused:beta", refused, NULL), 0);
    beta_says();
    CM_AUTO_JSON view = known();
    assert_string_equal(cm_json_str(view, "state"), "proposed");
    assert_string_equal(cm_json_str(view, "refused"), "no proof of it");
    assert_false(cm_json_bool(view, "old_keys", true));
    look_after(ROTATE_STUCK_MS - 1000);
    assert_false(has_alarm());
    look_after(1000);
    CM_AUTO_JSON alarm = alarm_of("rotation_stuck");
    assert_non_null(alarm);
    assert_non_null(strstr(cm_json_str_or(alarm, "what", ""), "\"proposed\" (no proof of it)"));
}

static void orders_that_make_no_sense(void **state)
{
    (void)state;
    order("nobody");
    assert_int_equal(told.code, CM_ENOENT);
    cm_err_fini(&told);
    rotate_order(beta.fleet, "alpha", "bob", on_end, NULL);
    assert_int_equal(told.code, CM_EDENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_order_waits_and_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_manager_refuses_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_that_make_no_sense, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
