/* The report of the last day, as page and from the API. */
#include "tests/unit/web/rig.h"

#include "base/core/clock.h"

#define HOUR INT64_C(3600000)

static json_t *whole(void)
{
    return json_pack(
        "{s:s,s:s,s:{s:i,s:[{s:s,s:[s,s],s:[s,s],s:s,s:s,s:s,s:s}]},s:{s:i,s:s},s:{s:i,s:[{s:s,s:"
        "[s],s:s,s:s}]},s:{s:i,s:[{s:s,s:[s],s:s,s:s,s:s}]},s:{s:i},s:{s:i}}",
        "since", "2026-11-21T02:16:42.000Z", "at", "2026-11-22T02:16:42.000Z", "issued", "count", 1,
        "rows", "credential", ULID, "names", "www.example.com", "b.example.com", "servers", "alpha",
        "bravo", "target", "default", "keyring_file", "www.kyr", "not_after",
        "2027-02-20T02:16:42.000Z", "issued_at", "2026-11-22T02:00:00.000Z", "skipped", "count", 41,
        "next_at", "2026-11-23T02:16:42.000Z", "failed", "count", 1, "rows", "credential", ULID,
        "names", "bad.example", "text", "<i>refused</i>", "next_at", "2026-11-22T03:16:42.000Z",
        "misconfigured", "count", 1, "rows", "credential", ULID, "names", "hand.example", "text",
        "records by hand", "id", "by_hand", "fix", "pause the renewal", "under_way", "count", 2,
        "ended", "count", 3);
}

static void the_page_shows_every_list(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.report = whole();
    int64_t now = cm_now_ms();
    rig_get(&rig, "/report", &reply);
    assert_status(&reply, 200);
    assert_true(doubles.since_ms >= now - 24 * HOUR && doubles.since_ms <= cm_now_ms() - 24 * HOUR);
    assert_has(&reply, "href=\"/credentials/" ULID "\"");
    assert_has(&reply, "alpha, bravo: default/www.kyr");
    assert_has(&reply, "2027-02-20");
    assert_has(&reply, "&lt;i&gt;refused");
    assert_has(&reply, "pause the renewal");
    assert_has(&reply, "Give the domain to a DNS account"); /* what to do is known by its id */
    assert_has(&reply, "<dd>41</dd>");
    reply_fini(&reply);
    rig_get(&rig, "/report?hours=2", &reply);
    assert_true(doubles.since_ms >= now - 2 * HOUR);
    reply_fini(&reply);
    rig_get(&rig, "/report?hours=x", &reply);
    assert_status(&reply, 400);
    reply_fini(&reply);
    rig_get(&rig, "/status", &reply);
    assert_has(&reply, "href=\"/report\"");
    assert_has(&reply, "<dt>Largest possible size</dt>"); /* members have names, sizes units */
    assert_has(&reply, "iB</dd>");
    assert_has_not(&reply, "Map size");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void the_api_answers_the_same(void **state)
{
    struct rig rig;
    struct reply reply;
    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.report = whole();
    rig_get(&rig, "/api/v1/report", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "\"count\":41");
    reply_fini(&reply);
    rig_get(&rig, "/api/v1/report?hours=8785", &reply);
    assert_status(&reply, 422);
    reply_fini(&reply);
    json_decref(doubles.report);
    doubles.report = NULL;
    rig_get(&rig, "/api/v1/report", &reply);
    assert_status(&reply, 503);
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_shows_every_list),
        cmocka_unit_test(the_api_answers_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
