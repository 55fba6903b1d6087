/* Alarms of the fleet: told once, told anew when they say something else, gone when they are over.
 */
#include "tests/unit/fleet/support.h"

#include "certmgr/fleet/alarm.h"

static struct server alpha;

static int setup(void **state)
{
    (void)state;
    manager_init(&alpha, "alpha");
    cm_clock_fake(1800000000000, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_fini(&alpha);
    return 0;
}

static void raise_it(const char *what, int level)
{
    const struct fleet_alarm alarm = {.key = FLEET_ALARMS "one",
                                      .kind = "store",
                                      .level = level,
                                      .title = "Something is wrong",
                                      .where = "alpha",
                                      .what = what,
                                      .hint = "Look."};
    fleet_alarm_raise(alpha.store, &alarm);
}

static json_t *the_one(void)
{
    CM_AUTO_JSON all = fleet_alarms(alpha.store);
    assert_int_equal(json_array_size(all), 1);
    return json_incref(json_array_get(all, 0));
}

static void tells_what_and_since_when(void **state)
{
    (void)state;
    raise_it("first", 0);
    cm_clock_fake(1800000060000, 0);
    raise_it("first", 1); /* 0 is 1 */
    raise_it("second", 1);
    raise_it("second", 3);
    CM_AUTO_JSON row = the_one();
    assert_string_equal(cm_json_str(row, "what"), "second");
    assert_string_equal(cm_json_str(row, "title"), "Something is wrong");
    assert_string_equal(cm_json_str(row, "hint"), "Look.");
    assert_string_equal(cm_json_str(row, "since"), "2027-01-15T08:00:00.000Z");
    assert_int_equal(cm_json_int(row, "level", 0), 3);
}

/* Raised every few seconds: the store is not written each time. */
static void the_same_once_more_is_nothing(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    raise_it("first", 2);
    OK(cs_commit(alpha.store, &err), err);
    raise_it("first", 2);
    fleet_alarm_clear(alpha.store, FLEET_ALARMS "two");
    CM_AUTO_JSON row = the_one();
    assert_int_equal(cm_json_int(row, "level", 0), 2);
    assert_int_equal(cs_scrub(alpha.store, true, &err), 0); /* it would wait for an open batch */
}

static void is_over(void **state)
{
    (void)state;
    raise_it("first", 2);
    fleet_alarm_clear(alpha.store, FLEET_ALARMS "one");
    CM_AUTO_JSON all = fleet_alarms(alpha.store);
    assert_int_equal(json_array_size(all), 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(tells_what_and_since_when),
        T(the_same_once_more_is_nothing),
        T(is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
