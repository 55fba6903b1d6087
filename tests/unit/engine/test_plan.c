/* The pure plan, as a table of documents and moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/engine/plan.h"
#include "certmgr/engine/told.h"

#define DAY INT64_C(86400000)
#define NOW INT64_C(1794794400000) /* 2026-11-16T02:00:00Z */

struct row {
    const char *what;
    const char *status;
    int64_t next_ms; /* 0 = absent */
    int64_t from_ms, to_ms;
    const char *provider, *health;
    bool paused, csr_out, order, refused;
    enum plan_action action;
    int64_t when_ms; /* -1 = now */
    const char *why;
};

/* 90 days, half of them over, or all of them since yesterday. */
#define LIFE  .from_ms = NOW - 45 * DAY, .to_ms = NOW + 45 * DAY
#define ENDED .from_ms = NOW - 91 * DAY, .to_ms = NOW - DAY

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
    {"manual: the CSR is made", "pending", NOW, .provider = "manual", .action = PLAN_ISSUE,
     .when_ms = NOW, .why = "turn"},
    {"manual: the CSR is out", "waiting", NOW, .provider = "manual", .csr_out = true,
     .action = PLAN_NOTHING, .why = "person"},
    {"manual: the next CSR in time", "issued", NOW + 15 * DAY, LIFE, .provider = "manual",
     .action = PLAN_RENEW, .when_ms = NOW + 15 * DAY, .why = "30 days before expiry"},
    {"manual: out while another serves", "renew", 0, LIFE, .provider = "manual", .csr_out = true,
     .action = PLAN_EXPIRE, .when_ms = NOW + 45 * DAY, .why = "person"},
    {"manual and paused", "pending", NOW, .provider = "manual", .paused = true,
     .action = PLAN_NOTHING, .why = "paused"},
    {"draft", "draft", NOW, .action = PLAN_NOTHING, .why = "draft"},
    {"archived", "archived", NOW, .action = PLAN_NOTHING, .why = "archived"},
    {"revoked", "revoked", NOW, .action = PLAN_NOTHING, .why = "revoked"},
    {"to be revoked", "revoke_pending", NOW, LIFE, .health = "green", .action = PLAN_REVOKE,
     .when_ms = NOW, .why = "revoked"},
    {"revocation failed", "revoke_pending", NOW + 60000, LIFE, .paused = true,
     .action = PLAN_REVOKE, .when_ms = NOW + 60000},
    {"revocation of what an order replaces", "revoke_pending", 0, LIFE, .order = true,
     .action = PLAN_REVOKE, .when_ms = -1},
    /* A failed renewal: the certificate serves, and its end is told when it comes first. */
    {"failed renewal", "error", NOW + 60000, LIFE, .health = "yellow", .action = PLAN_ISSUE,
     .when_ms = NOW + 60000},
    {"failed, next attempt after the end", "error", NOW + 46 * DAY, LIFE, .health = "yellow",
     .action = PLAN_EXPIRE, .when_ms = NOW + 45 * DAY, .why = "next attempt"},
    {"failed, ended, next attempt later", "error", NOW + DAY, ENDED, .health = "yellow",
     .action = PLAN_EXPIRE, .when_ms = NOW - DAY},
    {"failed, ended, attempt due", "error", NOW - 1, ENDED, .health = "yellow",
     .action = PLAN_ISSUE, .when_ms = NOW - 1},
    {"failed, ended and told", "error", NOW + DAY, ENDED, .health = "red", .action = PLAN_ISSUE,
     .when_ms = NOW + DAY},
    {"expired, attempts go on", "expired", NOW + DAY, ENDED, .health = "red", .action = PLAN_ISSUE,
     .when_ms = NOW + DAY},
    {"expired while paused", "expired", 0, ENDED, .health = "red", .paused = true,
     .action = PLAN_NOTHING, .why = "paused"},
    {"expired and imported", "expired", 0, ENDED, .health = "red", .provider = "import",
     .action = PLAN_NOTHING, .why = "person"},
    {"expired, without a plan", "expired", 0, ENDED, .action = PLAN_NOTHING, .why = "expired"},
    {"failed renewal, paused", "error", NOW, LIFE, .health = "yellow", .paused = true,
     .action = PLAN_EXPIRE, .when_ms = NOW + 45 * DAY, .why = "paused"},
    {"paused in a renewal", "renew", NOW, LIFE, .paused = true, .action = PLAN_EXPIRE,
     .when_ms = NOW + 45 * DAY, .why = "paused"},
    {"paused in an open order", "renew", NOW, LIFE, .paused = true, .order = true,
     .action = PLAN_EXPIRE, .when_ms = NOW + 45 * DAY},
    {"issued, off for months", "issued", NOW - 31 * DAY, ENDED, .action = PLAN_RENEW,
     .when_ms = NOW - 31 * DAY, .why = "30 days before expiry"},
    {"renewal point past", "issued", NOW - DAY, LIFE, .action = PLAN_RENEW, .when_ms = NOW - DAY,
     .why = "46 days"},
    {"one millisecond early", "issued", NOW + 1, LIFE, .action = PLAN_RENEW, .when_ms = NOW + 1},
    {"a minute's life", "issued", NOW + 39000, .from_ms = NOW, .to_ms = NOW + 60000,
     .action = PLAN_RENEW, .when_ms = NOW + 39000, .why = "21 seconds before"},
    {"an hour's life", "issued", NOW + 40 * 60000, .from_ms = NOW, .to_ms = NOW + 60 * 60000,
     .action = PLAN_RENEW, .when_ms = NOW + 40 * 60000, .why = "20 minutes before"},
    {"a day's life", "issued", NOW + 16 * 3600000, .from_ms = NOW, .to_ms = NOW + DAY,
     .action = PLAN_RENEW, .when_ms = NOW + 16 * 3600000, .why = "8 hours before"},
    /* The clock was far ahead when this was planned. */
    {"failed in the year 2040", "error", NOW + 5000 * DAY, LIFE, .health = "yellow",
     .action = PLAN_ISSUE, .when_ms = -1},
    {"a Retry-After of months", "error", NOW + 300 * DAY, .action = PLAN_ISSUE,
     .when_ms = NOW + 300 * DAY},
    {"issued in the future", "issued", NOW + 10 * DAY, .from_ms = NOW + DAY,
     .to_ms = NOW + 15 * DAY, .action = PLAN_RENEW, .when_ms = NOW + 10 * DAY},
    {"of a later version", "dreaming", NOW, .action = PLAN_NOTHING, .why = "unknown"},
    {"issued without dates", "issued", 0, .action = PLAN_NOTHING, .why = "no dates"},
};

static json_t *make(const struct row *row)
{
    json_t *body = json_object();
    cm_json_set_str(body, "_id", "credential:01HZZZZZZZZZZZZZZZZZZZZZZZ");
    cm_json_set_str(body, "status", row->status);
    cm_json_set_str(body, "provider", row->provider ? row->provider : "acme");
    if (row->csr_out)
        cm_json_set(body, "csr_out", json_pack("{s:s}", "csr", "AAAA"));
    cm_json_set_time(body, "next_action_at", row->next_ms);
    cm_json_set_time(body, "not_before", row->from_ms);
    cm_json_set_time(body, "not_after", row->to_ms);
    cm_json_set_bool(body, "paused", row->paused);
    if (row->health)
        cm_json_set(body, "health", json_pack("{s:s}", "color", row->health));
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
        /* Each reason has a code, so that pages can say it in another language. */
        CM_AUTO_JSON told = eng_told(plan.why);
        if (strcmp(cm_json_str(told, "code"), "other") == 0 && !strstr(plan.why, "unknown"))
            fail_msg("%s: \"%s\" is not in certmgr/engine/told.c", row->what, plan.why);
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
/* RFC 9773: the CA's time counts when it comes before the usual one, which stays as the back-stop.
 */
static void what_the_ca_proposes(void **state)
{
    (void)state;
    static const struct {
        int64_t renew_at, want;                  /* 0 = the usual time */
    } times[] = {{NOW - 5 * DAY, NOW - 5 * DAY}, /* past: now */
                 {NOW, NOW},
                 {NOW + 14 * DAY, NOW + 14 * DAY},
                 {NOW + 15 * DAY, NOW + 15 * DAY}, /* 30 days before its end: the back-stop */
                 {NOW + 40 * DAY, NOW + 15 * DAY},
                 {NOW + 400 * DAY, NOW + 15 * DAY}};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        CM_AUTO_JSON body = json_object();
        CM_AUTO_JSON ari = json_object();
        cm_json_set_str(body, "_id", "credential:01HZZZZZZZZZZZZZZZZZZZZZZZ");
        cm_json_set_str(body, "status", "issued");
        cm_json_set_str(body, "provider", "acme");
        cm_json_set_time(body, "not_before", NOW - 45 * DAY);
        cm_json_set_time(body, "not_after", NOW + 45 * DAY);
        cm_json_set_time(ari, "renew_at", times[i].renew_at);
        json_object_set(body, "ari", ari);
        assert_int_equal(eng_plan_renewal(body), times[i].want);
        struct plan plan = eng_plan(body, NULL, NOW);
        assert_int_equal(plan.action, PLAN_RENEW);
        assert_int_equal(plan.when_ms, times[i].want);
        assert_int_equal(strstr(plan.why, "proposes") != NULL, times[i].renew_at == times[i].want);
        /* What is left of the former certificate's proposal moves nothing. */
        json_object_del(ari, "renew_at");
        cm_json_set_time(ari, "renewed_at", NOW - DAY);
        assert_true(eng_plan_renewal(body) <= NOW + 15 * DAY);
        assert_true(eng_plan_renewal(body) > NOW + 13 * DAY);
    }
}

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

/* The whole life of a certificate, hour by hour: nothing, then renewal, and never too late. */
static void hours_of_a_life(void **state)
{
    (void)state;
    static const int64_t lives[] = {60000, 3600000, DAY, 6 * DAY, 47 * DAY, 90 * DAY, 398 * DAY};
    for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
        CM_AUTO_JSON body = json_object();
        cm_json_set_str(body, "_id", "credential:01HZZZZZZZZZZZZZZZZZZZZZZZ");
        cm_json_set_str(body, "status", "issued");
        cm_json_set_str(body, "provider", "acme");
        cm_json_set_time(body, "not_before", NOW);
        cm_json_set_time(body, "not_after", NOW + lives[i]);
        cm_json_set_int(body, "renew_days", 30);
        int64_t point = eng_plan_renewal(body);
        cm_json_set_time(body, "next_action_at", point);
        int64_t left = NOW + lives[i] - point;
        int64_t lead = 30 * DAY < lives[i] / 3 ? 30 * DAY : lives[i] / 3;
        assert_true(left >= lead && left <= lead + lives[i] / 60 && left <= lead + DAY);
        for (int step = 0; step <= 1000; step++) {
            int64_t now = NOW + lives[i] / 1000 * step;
            struct plan plan = eng_plan(body, NULL, now);
            assert_int_equal(plan.action, PLAN_RENEW);
            assert_int_equal(plan.when_ms, point); /* as well when the clock jumps to and fro */
        }
        /* time for another attempt, whether the usual pause is longer (36 hours) or not */
        int64_t pause = eng_plan_retry_max(NOW, NOW + lives[i]);
        assert_true(pause < left || pause > 36 * 3600000);
    }
    assert_int_equal(eng_plan_retry_max(NOW, NOW + 60000), 5000);
    assert_int_equal(eng_plan_retry_max(NOW, NOW + 6000), 2000);
    assert_true(eng_plan_retry_max(0, 0) > 1000 * DAY);
}

static void renewals_of_a_fleet_spread(void **state)
{
    (void)state;
    int64_t first = lead(90, 30, "01HZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_int_equal(first, lead(90, 30, "01HZZZZZZZZZZZZZZZZZZZZZZZ"));
    unsigned equal = 0;
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 100; i++) {
        CM_AUTO_STR ulid = cm_asprintf("01HZZZZZZZZZZZZZZZZZZZZZ%02d", i);
        int64_t got = lead(90, 30, ulid);
        equal += got / 60000 == first / 60000;
        least = got < least ? got : least;
        most = got > most ? got : most;
    }
    assert_true(equal < 5);
    assert_true(most - least > DAY / 2 && most - least <= DAY);
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
        cmocka_unit_test(what_the_ca_proposes),
        cmocka_unit_test(hours_of_a_life),
        cmocka_unit_test(renewals_of_a_fleet_spread),
        cmocka_unit_test(dates_without_sense_plan_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
