/* The alarm about a hung key agent: told while it is fresh, over when none hung for a while. */
#include <dirent.h>

#include "tests/unit/app/support.h"

#include "base/core/clock.h"
#include "certmgr/agent_alarm.h"
#include "certmgr/notify/rules.h"
#include "tests/unit/scratch.h"

struct fixture {
    char dir[96];
    struct cm_loop *loop;
    struct cs_store *store;
    struct agent_alarm *alarm;
};

/* What the alarm's timer was last started with; it comes when the test says so. */
static int64_t armed_ms;
static struct cm_timer *armed;

void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);

void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    armed_ms = ms;
    armed = timer;
    __real_cm_timer_start(timer, ms);
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.loop = cm_loop_new()};
    armed = NULL;
    armed_ms = 0;
    cm_clock_fake(1000000, -1);
    assert_non_null(scratch_dir(f.dir, sizeof(f.dir), "agent-alarm"));
    struct cs_opts opts = {.dir = f.dir, .create = true};
    assert_int_equal(cs_open(&opts, &f.store, NULL), 0);
    f.alarm = agent_alarm_new(f.loop, f.store, "alpha");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    agent_alarm_free(f->alarm);
    cs_close(f->store);
    cm_loop_free(f->loop);
    cm_clock_fake(-1, -1);
    DIR *dir = opendir(f->dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
    closedir(dir);
    return rmdir(f->dir);
}

static int on_alarm(void *arg, const char *key, const json_t *value)
{
    notice_rules_alarm(key, value, arg);
    return 0;
}

/* The open condition, or NULL (owned). */
static json_t *told(struct fixture *f)
{
    CM_AUTO_JSON open = json_object();
    assert_int_equal(cs_kv_each(f->store, "state", "alarm/", on_alarm, open), 0);
    return json_incref(json_object_get(open, AGENT_ALARM));
}

static void pass(struct fixture *f)
{
    assert_int_equal(armed_ms, AGENT_ALARM_SHOWN_MS);
    assert_non_null(armed);
    __real_cm_timer_start(armed, 0);
    turn_some(f->loop);
    armed = NULL;
    armed_ms = 0;
}

static void a_hung_agent_is_told_for_a_while(void **state)
{
    struct fixture *f = *state;
    assert_null(told(f));
    assert_null(armed);
    agent_alarm_raise(f->alarm, 60500, false);
    CM_AUTO_JSON first = told(f);
    assert_string_equal(cm_json_str(first, "kind"), "agent_hung");
    assert_string_equal(cm_json_str(first, "severity"), "warning");
    assert_string_equal(cm_json_str(first, "where"), "server alpha");
    assert_string_equal(cm_json_str(first, "what"), "It did not answer for 60 s and was ended");
    armed_ms = 0;
    cm_clock_fake(1500000, -1);
    agent_alarm_raise(f->alarm, 300000, true); /* again: it stays as long from here */
    CM_AUTO_JSON second = told(f);
    assert_string_equal(cm_json_str(second, "what"),
                        "It was at one request for 300 s and was ended");
    assert_int_equal(cm_json_time(second, "since", 0), 1000000);
    pass(f);
    assert_null(told(f));
}

/* The front that raised it is gone: the next one takes it away. */
static void it_outlives_the_front_and_ends(void **state)
{
    struct fixture *f = *state;
    agent_alarm_raise(f->alarm, 60000, false);
    agent_alarm_free(f->alarm);
    armed_ms = 0;
    f->alarm = agent_alarm_new(f->loop, f->store, "alpha");
    CM_AUTO_JSON still = told(f);
    assert_non_null(still);
    pass(f);
    assert_null(told(f));
    agent_alarm_raise(NULL, 60000, false); /* before the store is open */
    assert_null(told(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hung_agent_is_told_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(it_outlives_the_front_and_ends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
