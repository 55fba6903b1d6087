/* The pure plan, as a table of documents and moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/engine/plan.h"

#define DAY INT64_C(86400000)
#define NOW INT64_C(1794794400000) /* 2026-11-16T02:00:00Z */

struct row {
    const char *what;
    const char *status;
    int64_t next_ms; /* 0 = absent */
    int64_t from_ms, to_ms;
    const char *provider;
    bool paused, order, refused;
    enum plan_action action;
    int64_t when_ms; /* -1 = now */
    const char *why;
};

/* 90 days, half of them over. */
#define LIFE .from_ms = NOW - 45 * DAY, .to_ms = NOW + 45 * DAY

static const struct row rows[] = {
    {"accepted", "pending", NOW, .action = PLAN_ISSUE, .when_ms = NOW, .why = "its turn"},
    {"accepted for later", "pending", NOW + 5, .action = PLAN_ISSUE, .when_ms = NOW + 5},
    {"no due time", "pending", 0, .action = PLAN_ISSUE, .when_ms = -1},
    {"crashed in an order", "waiting", NOW + DAY, .order = true, .action = PLAN_ISSUE,
     .when_ms = -1, .why = "open order"},
    {"crashed in a renewal", "renew", NOW - 1, LIFE, .order = true, .action = PLAN_ISSUE,
     .when_ms = -1},
    {"killed while writing the end", "issued", NOW + 9 * DAY, LIFE, .order = true,
     .action = PLAN_ISSUE, .when_ms = -1},
    {"failed", "error", NOW + 60000, .action = PLAN_ISSUE, .when_ms = NOW + 60000,
     .why = "after the failure"},
    {"failed with an open order", "error", NOW + 60000, .order = true, .action = PLAN_ISSUE,
     .when_ms = NOW + 60000},
    {"refused", "error", 0, .refused = true, .action = PLAN_NOTHING, .why = "refused"},
    {"issued", "issued", NOW + 15 * DAY, LIFE, .action = PLAN_RENEW, .when_ms = NOW + 15 * DAY,
     .why = "30 days before expiry"},
    {"paused with a certificate", "issued", NOW + DAY, LIFE, .paused = true, .action = PLAN_EXPIRE,
     .when_ms = NOW + 45 * DAY},
    {"paused before the first", "pending", NOW, .paused = true, .action = PLAN_NOTHING,
     .why = "paused"},
    {"imported", "issued", 0, LIFE, .provider = "import", .action = PLAN_EXPIRE,
     .when_ms = NOW + 45 * DAY},
    {"manual", "pending", NOW, .provider = "manual", .action = PLAN_NOTHING, .why = "person"},
    {"draft", "draft", NOW, .action = PLAN_NOTHING, .why = "draft"},
    {"archived", "archived", NOW, .action = PLAN_NOTHING, .why = "archived"},
    {"revoked", "revoked", NOW, .action = PLAN_NOTHING, .why = "revoked"},
    {"expired", "expired", NOW, LIFE, .action = PLAN_NOTHING, .why = "expired"},
    {"of a later version", "dreaming", NOW, .action = PLAN_NOTHING, .why = "unknown"},
    {"issued without dates", "issued", 0, .action = PLAN_NOTHING, .why = "no dates"},
};

static json_t *make(const struct row *row)
{
    json_t *body = json_object();
    cm_json_set_str(body, "_id", "credential:01HZZZZZZZZZZZZZZZZZZZZZZZ");
    cm_json_set_str(body, "status", row->status);
    cm_json_set_str(body, "provider", row->provider ? row->provider : "acme");
    cm_json_set_time(body, "next_action_at", row->next_ms);
    cm_json_set_time(body, "not_before", row->from_ms);
    cm_json_set_time(body, "not_after", row->to_ms);
    cm_json_set_bool(body, "paused", row->paused);
    if (!row->refused)
        cm_json_set_int(body, "attempts", 0);
    return body;
}

static void every_row(void **state)
{
    (void)state;
    CM_AUTO_JSON order = json_pack("{s:{s:s}}", "acme", "order_url", "https://ca.test/order/1");
    CM_AUTO_JSON staged = json_pack("{s:s}", "csr", "AAAA");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        CM_AUTO_JSON body = make(row);
        struct plan plan = eng_plan(body, row->order ? order : staged, NOW);
        int64_t when = row->when_ms == -1 ? NOW : row->when_ms;
        if (plan.action != row->action || plan.when_ms != when ||
            (row->why && !strstr(plan.why, row->why)))
            fail_msg("%s: action %d at %lld (%s), expected %d at %lld (%s)", row->what,
                     (int)plan.action, (long long)plan.when_ms, plan.why, (int)row->action,
                     (long long)when, row->why ? row->why : "");
    }
}

static int64_t lead(int64_t life_days, int64_t renew_days, const char *ulid)
{
    CM_AUTO_JSON body = json_object();
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    cm_json_set_str(body, "_id", id);
    cm_json_set_time(body, "not_before", NOW);
    cm_json_set_time(body, "not_after", NOW + life_days * DAY);
    cm_json_set_int(body, "renew_days", renew_days);
    return NOW + life_days * DAY - eng_plan_renewal(body);
}

/* renew_days, but never earlier than a third of the life; spread by at most 1/60 of the life. */
static void renewal_point(void **state)
{
    (void)state;
    static const struct {
        int64_t life, renew, lead_ms;
    } points[] = {
        {90, 30, 30 * DAY},        {90, 1, 1 * DAY}, {90, 91, 30 * DAY},
        {47, 30, 47 * DAY / 3},    {6, 30, 2 * DAY}, {365, 30, 30 * DAY},
        {365, 365, 365 * DAY / 3}, {10, 0, 0},       {1, 30, DAY / 3},
    };
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        int64_t got = lead(points[i].life, points[i].renew, "01HZZZZZZZZZZZZZZZZZZZZZZZ");
        int64_t spread = points[i].life * DAY / 60;
        if (got < points[i].lead_ms || got >= points[i].lead_ms + spread)
            fail_msg("%lld days, renew %lld: lead %lld ms", (long long)points[i].life,
                     (long long)points[i].renew, (long long)got);
    }
}

static void renewals_of_a_fleet_spread(void **state)
{
    (void)state;
    int64_t first = lead(90, 30, "01HZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_int_equal(first, lead(90, 30, "01HZZZZZZZZZZZZZZZZZZZZZZZ"));
    unsigned equal = 0;
    for (int i = 0; i < 100; i++) {
        CM_AUTO_STR ulid = cm_asprintf("01HZZZZZZZZZZZZZZZZZZZZZ%02d", i);
        equal += lead(90, 30, ulid) / 60000 == first / 60000;
    }
    assert_true(equal < 5);
}

static void dates_without_sense_plan_nothing(void **state)
{
    (void)state;
    CM_AUTO_JSON body = json_object();
    assert_int_equal(eng_plan_renewal(body), 0);
    cm_json_set_time(body, "not_before", NOW);
    cm_json_set_time(body, "not_after", NOW - DAY);
    assert_int_equal(eng_plan_renewal(body), 0);
    assert_int_equal(eng_plan(NULL, NULL, NOW).action, PLAN_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(renewal_point),
        cmocka_unit_test(renewals_of_a_fleet_spread),
        cmocka_unit_test(dates_without_sense_plan_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
