/* What is told when: opened, worse, reminded, resolved; never twice, also over a restart. */
#include "tests/unit/notify/support.h"

#include "certmgr/notify/notice.h"

#define REMIND DAY

static json_t *condition(int level, bool hold)
{
    json_t *c = json_pack("{s:s,s:i,s:s,s:s}", "kind", "order_failed", "level", level, "title",
                          "Order failed", "hint", "Look");
    if (hold)
        cm_json_set_bool(c, "hold", true);
    return c;
}

/* One look; returns "event key, …" of what is told and counts what is stored. */
static const char *look(json_t *rows, json_t *take_open, int64_t now, size_t *stored)
{
    static char text[400];
    CM_AUTO_JSON changed = json_object();
    CM_AUTO_JSON events = notice_update(rows, take_open, now, REMIND, changed);
    size_t i;
    json_t *event;
    text[0] = '\0';
    json_array_foreach(events, i, event)
    {
        size_t n = strlen(text);
        snprintf(text + n, sizeof(text) - n, "%s%s %s", n ? ", " : "", cm_json_str(event, "event"),
                 cm_json_str(event, "key"));
        assert_null(json_object_get(event, "told_at"));
        assert_null(json_object_get(event, "hold"));
        assert_non_null(json_object_get(event, "since"));
    }
    *stored = json_object_size(changed);
    json_decref(take_open);
    return text;
}

#define LOOK(open, now, told, stores)                                                              \
    do {                                                                                           \
        size_t stored_ = 0;                                                                        \
        assert_string_equal(look(rows, open, now, &stored_), told);                                \
        assert_int_equal(stored_, stores);                                                         \
    } while (0)

static void test_life(void **state)
{
    (void)state;
    CM_AUTO_JSON rows = json_object();
    LOOK(json_object(), NOW, "", 0);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW, "open a", 1);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW + HOUR, "", 0);
    LOOK(json_pack("{s:o}", "a", condition(2, false)), NOW + 2 * HOUR, "worse a", 1);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW + 3 * HOUR, "", 0);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW + 2 * HOUR + DAY - 1, "", 0);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW + 2 * HOUR + DAY, "still a", 1);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW + 3 * HOUR + DAY, "", 0);
    LOOK(json_object(), NOW + 2 * DAY, "resolved a", 1);
    LOOK(json_object(), NOW + 3 * DAY, "", 0);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW + 4 * DAY, "open a", 1);
}

static void test_together(void **state)
{
    (void)state;
    CM_AUTO_JSON rows = json_object();
    LOOK(json_pack("{s:o,s:o}", "a", condition(1, false), "b", condition(1, false)), NOW,
         "open a, open b", 2);
    LOOK(json_pack("{s:o,s:o}", "b", condition(1, false), "c", condition(1, false)), NOW + HOUR,
         "open c, resolved a", 2);
}

static void test_hold(void **state)
{
    (void)state;
    CM_AUTO_JSON rows = json_object();
    LOOK(json_pack("{s:o}", "a", condition(1, true)), NOW, "", 0); /* does not open */
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW, "open a", 1);
    LOOK(json_pack("{s:o}", "a", condition(3, true)), NOW + 2 * DAY, "", 0); /* stays, silently */
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW + 2 * DAY, "still a", 1);
    LOOK(json_pack("{s:o}", "a", condition(1, true)), NOW + 2 * DAY, "", 0);
    LOOK(json_object(), NOW + 2 * DAY, "resolved a", 1);
}

/* Rows read back from the store tell nothing again. */
static void test_restart(void **state)
{
    (void)state;
    CM_AUTO_JSON rows = json_object();
    CM_AUTO_JSON changed = json_object();
    CM_AUTO_JSON open = json_pack("{s:o}", "a", condition(2, false));
    CM_AUTO_JSON first = notice_update(rows, open, NOW, REMIND, changed);
    assert_int_equal(json_array_size(first), 1);
    CM_AUTO_STR text = cm_json_dump(changed, NULL);
    json_t *again = NULL;
    assert_int_equal(cm_json_parse(text, strlen(text), &again, NULL), 0);
    size_t stored = 0;
    assert_string_equal(look(again, json_incref(open), NOW + HOUR, &stored), "");
    assert_string_equal(look(again, json_object(), NOW + 2 * HOUR, &stored), "resolved a");
    json_decref(again);
}

/* A clock that was set back neither floods nor silences. */
static void test_clock_back(void **state)
{
    (void)state;
    CM_AUTO_JSON rows = json_object();
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW, "open a", 1);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW - 300 * DAY, "", 1);
    LOOK(json_pack("{s:o}", "a", condition(1, false)), NOW - 299 * DAY, "still a", 1);
}

static void test_resolved_words(void **state)
{
    (void)state;
    CM_AUTO_JSON rows = json_object();
    CM_AUTO_JSON changed = json_object();
    CM_AUTO_JSON open = json_pack("{s:o}", "a", condition(1, false));
    CM_AUTO_JSON none = json_object();
    cm_json_set_time(json_object_get(open, "a"), "next_at", NOW + HOUR);
    CM_AUTO_JSON first = notice_update(rows, open, NOW, REMIND, changed);
    assert_int_equal(json_array_size(first), 1);
    CM_AUTO_JSON events = notice_update(rows, none, NOW + HOUR, REMIND, changed);
    const json_t *event = json_array_get(events, 0);
    assert_string_equal(cm_json_str(event, "title"), "Order failed");
    assert_int_equal(cm_json_time(event, "since", 0), NOW);
    assert_int_equal(cm_json_time(event, "resolved_at", 0), NOW + HOUR);
    assert_null(json_object_get(event, "next_at"));
    assert_null(json_object_get(event, "hint"));
    assert_true(json_is_null(json_object_get(changed, "a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),       cmocka_unit_test(test_together),
        cmocka_unit_test(test_hold),       cmocka_unit_test(test_restart),
        cmocka_unit_test(test_clock_back), cmocka_unit_test(test_resolved_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
