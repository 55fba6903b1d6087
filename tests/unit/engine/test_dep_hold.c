/* Until when a server keeps what it serves. */
#include "tests/unit/keyfile/support.h"

#include "certmgr/engine/dep_hold.h"

#define ULID   "01HZZZZZZZZZZZZZZZZZZZZZZA"
#define NOW    INT64_C(1800000000000)
#define MINUTE INT64_C(60000)
#define HOUR   INT64_C(3600000)

/* Signed at NOW, in force ten minutes later. */
static json_t *keyfile(int64_t signed_ms, int64_t from_ms, const char *fingerprint)
{
    json_t *body = json_object();
    cm_json_set_int(body, "serial", signed_ms);
    cm_json_set_str(body, "fingerprint", fingerprint);
    if (from_ms)
        cm_json_set_time(body, "serve_from", from_ms);
    return body;
}

static void at_once_and_at_its_time(void **state)
{
    (void)state;
    CM_AUTO_JSON holds = json_object();
    CM_AUTO_JSON plain = keyfile(NOW, 0, "a");
    assert_int_equal(dep_hold(holds, ULID, plain, NOW, 5000), 0);
    CM_AUTO_JSON body = keyfile(NOW, NOW + 10 * MINUTE, "a");
    assert_int_equal(dep_hold(holds, ULID, body, NOW, 5000), NOW + 10 * MINUTE);
    assert_int_equal(dep_hold(holds, ULID, body, NOW + 9 * MINUTE, 5000 + 9 * MINUTE),
                     NOW + 10 * MINUTE);
    assert_int_equal(dep_hold(holds, ULID, body, NOW + 10 * MINUTE, 5000 + 10 * MINUTE), 0);
    assert_int_equal(json_object_size(holds), 0);
}

static void a_document_that_comes_late_waits_for_the_rest(void **state)
{
    (void)state;
    CM_AUTO_JSON holds = json_object();
    CM_AUTO_JSON body = keyfile(NOW, NOW + 10 * MINUTE, "a");
    assert_int_equal(dep_hold(holds, ULID, body, NOW + 7 * MINUTE, 1000), NOW + 10 * MINUTE);
    assert_int_equal(dep_hold(holds, ULID, body, NOW + 10 * MINUTE, 1000 + 3 * MINUTE), 0);
}

static void a_clock_that_is_behind_waits_no_longer_than_was_meant(void **state)
{
    (void)state;
    CM_AUTO_JSON holds = json_object();
    CM_AUTO_JSON body = keyfile(NOW, NOW + 10 * MINUTE, "a");
    int64_t here = NOW - 30 * 24 * HOUR;
    assert_int_equal(dep_hold(holds, ULID, body, here, 1000), here + 10 * MINUTE);
    assert_int_equal(dep_hold(holds, ULID, body, here + 9 * MINUTE, 1000 + 9 * MINUTE),
                     here + 10 * MINUTE);
    assert_int_equal(dep_hold(holds, ULID, body, here + 10 * MINUTE, 1000 + 10 * MINUTE), 0);
    assert_int_equal(dep_hold(holds, ULID, body, here + HOUR, 1000 + HOUR), 0); /* and stays so */
    CM_AUTO_JSON again = keyfile(NOW + MINUTE, NOW + 10 * MINUTE, "a");
    assert_int_equal(dep_hold(holds, ULID, again, here + HOUR, 1000 + HOUR), 0);
    CM_AUTO_JSON next = keyfile(NOW + HOUR, NOW + HOUR + 5 * MINUTE, "b");
    assert_int_equal(dep_hold(holds, ULID, next, here + HOUR, 1000 + HOUR),
                     here + HOUR + 5 * MINUTE);
}

static void a_clock_that_is_set_while_it_waits(void **state)
{
    (void)state;
    CM_AUTO_JSON holds = json_object();
    CM_AUTO_JSON body = keyfile(NOW, NOW + 10 * MINUTE, "a");
    assert_int_equal(dep_hold(holds, ULID, body, NOW, 1000), NOW + 10 * MINUTE);
    assert_int_equal(dep_hold(holds, ULID, body, NOW - HOUR, 1000 + 4 * MINUTE),
                     NOW - HOUR + 6 * MINUTE);
    assert_int_equal(dep_hold(holds, ULID, body, NOW + HOUR, 1000 + 5 * MINUTE), 0);
}

static void no_document_makes_it_wait_for_ever(void **state)
{
    (void)state;
    CM_AUTO_JSON holds = json_object();
    CM_AUTO_JSON body = keyfile(NOW, NOW + 3650 * 24 * HOUR, "a");
    assert_true(dep_hold(holds, ULID, body, NOW, 0) <= NOW + 32 * 24 * HOUR);
    CM_AUTO_JSON odd = keyfile(NOW + HOUR, NOW + MINUTE, "b"); /* signed after its own time */
    assert_int_equal(dep_hold(holds, ULID, odd, NOW, 0), 0);
    CM_AUTO_JSON bare = json_object(); /* no serial */
    cm_json_set_time(bare, "serve_from", NOW + MINUTE);
    assert_int_equal(dep_hold(holds, "01HZZZZZZZZZZZZZZZZZZZZZZB", bare, NOW, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_once_and_at_its_time),
        cmocka_unit_test(a_document_that_comes_late_waits_for_the_rest),
        cmocka_unit_test(a_clock_that_is_behind_waits_no_longer_than_was_meant),
        cmocka_unit_test(a_clock_that_is_set_while_it_waits),
        cmocka_unit_test(no_document_makes_it_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
