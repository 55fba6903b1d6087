/* Sentences as codes with arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/engine/told.h"

#define TIME    "2026-11-22T02:16:42.123Z"
#define TIME_MS 1795313802123

static const struct {
    const char *text, *code, *at, *unit;
    int64_t count;
} reasons[] = {
    {"paused", "paused", NULL, NULL, 0},
    {"paused ", "other", NULL, NULL, 0},
    {"", "other", NULL, NULL, 0},
    {"30 days before expiry", "before_expiry", NULL, "days", 30},
    {"0 seconds before expiry", "before_expiry", NULL, "seconds", 0},
    {"30 weeks before expiry", "other", NULL, NULL, 0},
    {"30 days before", "other", NULL, NULL, 0},
    {"9999999999 days before expiry", "other", NULL, NULL, 0},
    {"days before expiry", "other", NULL, NULL, 0},
    {"the renewal failed; the present certificate serves until " TIME, "serves_until", TIME, NULL,
     0},
    {"the renewal failed; the present certificate serves until noon", "other", NULL, NULL, 0},
    {"the renewal failed and the certificate expired at " TIME, "ended_at", TIME, NULL, 0},
    {"no certificate could be issued yet", "never_issued", NULL, NULL, 0},
    {"<b>what nobody knows</b>", "other", NULL, NULL, 0},
};

static bool same(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static void every_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        CM_AUTO_JSON told = eng_told(reasons[i].text);
        assert_string_equal(cm_json_str(told, "text"), reasons[i].text);
        if (!same(cm_json_str(told, "code"), reasons[i].code) ||
            !same(cm_json_str(told, "at"), reasons[i].at) ||
            !same(cm_json_str(told, "unit"), reasons[i].unit) ||
            cm_json_int(told, "count", 0) != reasons[i].count)
            fail_msg("\"%s\" is told as %s", reasons[i].text, cm_json_str(told, "code"));
    }
}

static const struct {
    enum eng_next next;
    int64_t at_ms;
    const char *why, *code, *text;
} nexts[] = {
    {ENG_NEXT_MANAGER, 0, NULL, "manager", "Next: the manager takes the request up"},
    {ENG_NEXT_WORKING, 0, "{at} {why} %s", "working", "Working on it: {at} {why} %s"},
    {ENG_NEXT_LIMIT, TIME_MS, "x", "limit", "Waits for the CA's limit until " TIME " (x)"},
    {ENG_NEXT_HELD, 0, "x", "held", "Held back: x"},
    {ENG_NEXT_ORDER, 0, "x", "order", "Next: the order, as soon as there is a free place (x)"},
    {ENG_NEXT_ATTEMPT, TIME_MS, "x", "attempt", "Next: another attempt at " TIME " (x)"},
    {ENG_NEXT_RENEWAL, TIME_MS, "30 days before expiry", "renewal",
     "Next: renewal at " TIME " (30 days before expiry)"},
    {ENG_NEXT_REVOCATION, TIME_MS, NULL, "revocation",
     "Next: the CA is asked at " TIME " to revoke the certificate"},
    {ENG_NEXT_END, TIME_MS, "paused", "end", "The certificate ends at " TIME " (paused)"},
    {ENG_NEXT_NOTHING, 0, "paused", "nothing", "Nothing is planned: paused"},
};

static void every_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(nexts) / sizeof(nexts[0]); i++) {
        CM_AUTO_JSON told = eng_next_told(nexts[i].next, nexts[i].at_ms, nexts[i].why);
        assert_string_equal(cm_json_str(told, "code"), nexts[i].code);
        assert_string_equal(cm_json_str(told, "text"), nexts[i].text);
        assert_true(same(cm_json_str(told, "at"), nexts[i].at_ms ? TIME : NULL));
        assert_true(same(cm_json_str(cm_json_obj(told, "why"), "text"), nexts[i].why));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason),
        cmocka_unit_test(every_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
