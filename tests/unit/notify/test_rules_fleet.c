/* Conditions of the fleet and the manager at their edges, with a clock that stands still. */
#include "tests/unit/notify/support.h"

#include "certstore/store.h"

static void test_server(void **state)
{
    (void)state;
    struct notice_rules rules = {.now_ms = NOW, .silent_after_ms = DAY};
    CM_AUTO_JSON open = json_object();
    notice_rules_server(&rules, "bravo", NOW - DAY, true, open);
    assert_int_equal(json_object_size(open), 0);
    notice_rules_server(&rules, "bravo", NOW - DAY - 1, true, open);
    const json_t *c = json_object_get(open, "silent:bravo");
    assert_string_equal(cm_json_str(c, "title"), "Server bravo is silent");
    assert_int_equal(cm_json_time(c, "since", 0), NOW - DAY - 1);
    assert_false(cm_json_bool(c, "hold", false));
    notice_rules_server(&rules, "charlie", NOW - 9 * DAY, false, open); /* just started */
    assert_string_equal(level_text(open, "silent:charlie"), "hold 1");
}

static void test_trust(void **state)
{
    (void)state;
    const struct {
        int64_t left;
        const char *level;
    } rows[] = {{30 * DAY, "0"},    {10 * DAY, "0"}, {10 * DAY - 1, "1"}, {6 * DAY - 1, "2"},
                {3 * DAY - 1, "3"}, {0, "4"},        {-DAY, "4"}};
    struct notice_rules rules = {.now_ms = NOW};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON open = json_object();
        notice_rules_trust(&rules, NOW + rows[i].left, open);
        assert_string_equal(level_text(open, "trust:root"), rows[i].level);
    }
}

static void test_store(void **state)
{
    static const struct {
        struct notice_store store;
        const char *map, *scrub, *hold, *disk;
    } rows[] = {{{.map_percent = 69}, "0", "0", "0", "0"},
                {{.map_percent = 70}, "1", "0", "0", "0"},
                {{.map_percent = 90, .scrub_problems = 2}, "3", "3", "0", "0"},
                {{.held_since_ms = NOW}, "0", "0", "3", "0"},
                {{.disk_low = true, .disk_free = CS_DISK_WARN - 1}, "0", "0", "0", "1"},
                {{.disk_low = true, .disk_free = 0}, "0", "0", "0", "3"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON open = json_object();
        notice_rules_store(&rows[i].store, open);
        assert_string_equal(level_text(open, "store:map"), rows[i].map);
        assert_string_equal(level_text(open, "store:scrub"), rows[i].scrub);
        assert_string_equal(level_text(open, "store:hold"), rows[i].hold);
        assert_string_equal(level_text(open, "store:disk"), rows[i].disk);
    }
}

static void test_stuck_reader(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    struct notice_store store = {.stuck_reader = 0};
    notice_rules_store(&store, open);
    assert_int_equal(json_object_size(open), 0);
    store.stuck_reader = 4711;
    notice_rules_store(&store, open);
    assert_string_equal(level_text(open, "store:reader"), "1");
    const json_t *c = json_object_get(open, "store:reader");
    assert_string_equal(cm_json_str(c, "kind"), "stuck_reader");
    assert_non_null(strstr(cm_json_str(c, "what"), "Process 4711"));
}

static void test_refused_documents(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    CM_AUTO_JSON newest =
        json_pack("{s:s,s:s,s:s,s:s}", "id", "receipt:x", "peer", "bravo", "reason",
                  "the signature does not fit", "at", "2026-11-22T02:16:42.000Z");
    struct notice_store store = {.refused = newest, .refused_count = 1};
    notice_rules_store(&store, open);
    assert_string_equal(level_text(open, "store:refused"), "1");
    const json_t *c = json_object_get(open, "store:refused");
    assert_string_equal(cm_json_str(c, "kind"), "documents_refused");
    assert_string_equal(cm_json_str(c, "title"), "A peer's document was refused");
    assert_string_equal(cm_json_str(c, "where"), "receipt:x, brought by bravo");
    assert_string_equal(cm_json_str(c, "what"), "the signature does not fit");
    store.refused_count = 3;
    notice_rules_store(&store, open);
    c = json_object_get(open, "store:refused");
    assert_string_equal(cm_json_str(c, "title"), "3 documents of peers were refused");
}

static void test_alarms(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    CM_AUTO_JSON clock = json_pack("{s:s,s:s,s:s}", "kind", "clock", "what", "It jumped", "since",
                                   "2026-11-22T02:16:42.000Z");
    CM_AUTO_JSON ca = json_pack("{s:s,s:s,s:s,s:s}", "kind", "ca", "what", "5 of 5", "directory",
                                "https://ca.example/dir", "hint", "look");
    notice_rules_alarm("alarm/clock", clock, open);
    notice_rules_alarm("alarm/ca/12", ca, open);
    assert_string_equal(level_text(open, "alarm/clock"), "3");
    const json_t *c = json_object_get(open, "alarm/ca/12");
    assert_string_equal(cm_json_str(c, "kind"), "ca_failing");
    assert_string_equal(cm_json_str(c, "where"), "https://ca.example/dir");
    assert_string_equal(cm_json_str(c, "what"), "5 of 5");
    assert_string_equal(cm_json_str(c, "path"), "/status");
    CM_AUTO_JSON former =
        json_pack("{s:s,s:i,s:s,s:s,s:[s],s:s,s:s}", "kind", "revocation_failed", "level", 3,
                  "title", "It failed", "what", "The CA refused", "because", "too old", "path",
                  "/credentials/x", "next_at", "2026-11-22T02:16:42.000Z");
    notice_rules_alarm("alarm/former/x", former, open);
    c = json_object_get(open, "alarm/former/x");
    assert_string_equal(cm_json_str(c, "kind"), "revocation_failed");
    assert_string_equal(level_text(open, "alarm/former/x"), "3");
    assert_string_equal(cm_json_str(c, "path"), "/credentials/x");
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(c, "because"), 0)), "too old");
    assert_int_equal(cm_json_time(c, "next_at", 0), cm_json_time(former, "next_at", -1));
    json_object_del(former, "path");
    notice_rules_alarm("alarm/other", former, open);
    assert_string_equal(cm_json_str(json_object_get(open, "alarm/other"), "path"), "/servers");
}

static void test_cap(void **state)
{
    (void)state;
    struct notice_rules rules = {.now_ms = NOW, .silent_after_ms = 1};
    CM_AUTO_JSON open = json_object();
    for (int i = 0; i < NOTICE_OPEN_MAX + 10; i++) {
        char name[20];
        snprintf(name, sizeof(name), "s%d", i);
        notice_rules_server(&rules, name, 1, true, open);
    }
    assert_int_equal(json_object_size(open), NOTICE_OPEN_MAX);
}

static void test_second_manager(void **state)
{
    (void)state;
    CM_AUTO_JSON open = json_object();
    CM_AUTO_JSON told = json_pack("{s:s, s:s}", "id", "trust:root", "server", "beta");
    CM_AUTO_JSON foreign = json_pack("{s:s}", "id", "settings:fleet");
    notice_rules_second(NULL, open);
    assert_int_equal(json_object_size(open), 0);
    notice_rules_second(told, open);
    const json_t *c = json_object_get(open, "fleet:second_manager");
    assert_string_equal(cm_json_str(c, "severity"), "critical");
    assert_non_null(strstr(cm_json_str(c, "what"), "Server beta calls itself the manager"));
    json_object_clear(open);
    notice_rules_second(foreign, open);
    c = json_object_get(open, "fleet:second_manager");
    assert_non_null(strstr(cm_json_str(c, "what"), "settings:fleet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_stuck_reader),
        cmocka_unit_test(test_refused_documents),
        cmocka_unit_test(test_alarms),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_second_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
