/* The end of the client certificate for a hub: shown, told before it comes, over with a new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "certmgr/hub_cert.h"
#include "certmgr/hub_settings.h"
#include "certmgr/notify/notice.h"
#include "certmgr/notify/rules.h"
#include "tests/unit/app/hub_pem.h"
#include "tests/unit/scratch.h"

#define DAY INT64_C(86400000)

static int64_t ms(const char *text)
{
    int64_t at = 0;
    assert_int_equal(cm_time_parse(text, &at), 0);
    return at;
}

/* ---- levels ---- */

static void months_are_told_in_days(void **state)
{
    (void)state;
    int64_t to = ms(HUB_CERT_TO), from = ms(HUB_CERT_FROM);
    assert_int_equal(hub_cert_level(from, to, to - 31 * DAY), 0);
    assert_int_equal(hub_cert_level(from, to, to - 30 * DAY + 1), 1);
    assert_int_equal(hub_cert_level(from, to, to - 14 * DAY + 1), 2);
    assert_int_equal(hub_cert_level(from, to, to - 7 * DAY + 1), 3);
    assert_int_equal(hub_cert_level(from, to, to - 1), 3);
    assert_int_equal(hub_cert_level(from, to, to), 4);
}

static void days_are_told_in_parts(void **state)
{
    (void)state;
    int64_t life = 6 * DAY;
    assert_int_equal(hub_cert_level(0, life, life - life / 3), 0);
    assert_int_equal(hub_cert_level(0, life, life - life / 3 + 1), 1);
    assert_int_equal(hub_cert_level(0, life, life - life / 5 + 1), 2);
    assert_int_equal(hub_cert_level(0, life, life - life / 10 + 1), 3);
}

/* ---- views ---- */

static void check_view(const json_t *doc, const char *at, const char *health)
{
    cm_clock_fake(ms(at), -1);
    CM_AUTO_JSON view = hub_settings_view(doc);
    assert_string_equal(cm_json_str(view, "cert_health"), health);
    assert_int_equal(cm_json_time(view, "cert_not_after", 0), ms(HUB_CERT_TO));
    assert_int_equal(cm_json_time(view, "cert_not_before", 0), ms(HUB_CERT_FROM));
}

static void the_view_has_a_colour(void **state)
{
    (void)state;
    CM_AUTO_JSON doc = json_pack("{s:s,s:s,s:s}", "url", "https://hub.example/db", "secret", "key",
                                 "cert_pem", HUB_CERT_PEM);
    check_view(doc, "2026-06-01T00:00:00Z", "green");
    check_view(doc, "2026-12-10T00:00:00Z", "yellow");
    check_view(doc, "2026-12-20T00:00:00Z", "yellow");
    check_view(doc, "2026-12-28T00:00:00Z", "red");
    check_view(doc, "2027-02-01T00:00:00Z", "red");
    json_object_del(doc, "cert_pem");
    CM_AUTO_JSON view = hub_settings_view(doc);
    assert_null(json_object_get(view, "cert_health"));
    cm_clock_fake(-1, -1);
}

/* ---- notices ---- */

static struct cs_store *store;
static json_t *rows; /* the notifier's memory */

static int on_alarm(void *arg, const char *key, const json_t *value)
{
    notice_rules_alarm(key, value, arg);
    return 0;
}

/* "event" of the look at this time, "" = nothing is told. */
static const char *look(const json_t *doc, const char *at)
{
    static char told[300];
    cm_clock_fake(ms(at), -1);
    hub_cert_look(store, doc, "alpha");
    assert_int_equal(cs_commit(store, NULL), 0);
    CM_AUTO_JSON open = json_object();
    CM_AUTO_JSON changed = json_object();
    assert_int_equal(cs_kv_each(store, "state", "alarm/", on_alarm, open), 0);
    CM_AUTO_JSON events = notice_update(rows, open, cm_now_ms(), 86400000, changed);
    const json_t *event = json_array_get(events, 0);
    assert_true(json_array_size(events) <= 1);
    snprintf(told, sizeof(told), "%s%s%s", cm_json_str_or(event, "event", ""), event ? " " : "",
             cm_json_str_or(event, "severity", ""));
    if (event) {
        assert_string_equal(cm_json_str(event, "kind"), "hub_certificate");
        assert_string_equal(cm_json_str(event, "key"), HUB_CERT_ALARM);
        assert_non_null(strstr(cm_json_str(event, "what"), "2027-01-01T00:00:00Z"));
        assert_non_null(strstr(cm_json_str(event, "where"), "https://hub.example/db"));
        assert_non_null(
            strstr(cm_json_str_or(event, "hint", "certmgr upstream set"), "certmgr upstream set"));
    }
    return told;
}

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
}

static void its_end_is_told_and_resolved(void **state)
{
    (void)state;
    char dir[200];
    struct cs_opts opts = {.dir = dir, .create = true};
    CM_AUTO_JSON doc =
        json_pack("{s:s,s:s}", "url", "https://hub.example/db", "cert_pem", HUB_CERT_PEM);
    assert_non_null(scratch_dir(dir, sizeof(dir), "hub-cert"));
    assert_int_equal(cs_open(&opts, &store, NULL), 0);
    rows = json_object();
    assert_string_equal(look(doc, "2026-12-01T00:00:00Z"), "");
    assert_string_equal(look(doc, "2026-12-02T01:00:00Z"), "open warning");
    assert_string_equal(look(doc, "2026-12-02T02:00:00Z"), ""); /* once */
    assert_string_equal(look(doc, "2026-12-18T01:00:00Z"), "worse warning");
    assert_string_equal(look(doc, "2026-12-25T01:00:00Z"), "worse critical");
    assert_string_equal(look(doc, "2027-01-01T00:00:00Z"), "worse critical");
    assert_string_equal(look(NULL, "2027-01-01T01:00:00Z"), "resolved critical");
    assert_string_equal(look(NULL, "2027-01-01T02:00:00Z"), "");
    /* The next one is set with everything that belongs to it. */
    cm_json_set_str(doc, "user", "fleet");
    assert_string_equal(look(doc, "2026-12-31T00:00:00Z"), "open critical");
    CM_AUTO_JSON alarm = cs_kv_get(store, "state", HUB_CERT_ALARM);
    assert_non_null(strstr(cm_json_str(alarm, "hint"),
                           "--cert FILE --key FILE --user NAME --password-file FILE"));
    json_decref(rows);
    cs_close(store);
    remove_dir(dir);
    cm_clock_fake(-1, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(months_are_told_in_days),
        cmocka_unit_test(days_are_told_in_parts),
        cmocka_unit_test(the_view_has_a_colour),
        cmocka_unit_test(its_end_is_told_and_resolved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
