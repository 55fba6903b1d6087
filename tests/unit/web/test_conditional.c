/* Entity tags, If-Match, one change at a time, Idempotency-Key, paging of the API. */
#include "tests/unit/web/rig.h"

#include <unistd.h>

#include "web-ui/api/idempotency.h"
#include "web-ui/precondition.h"

#define DIRECTORY "{\"directory\":\"https://ca.example/dir\"}"
#define REQUEST   "{\"host_names\":[\"a.example\"]}"

static void send_as(struct rig *rig, const char *method, const char *path, const char *headers,
                    const char *body, struct reply *ret)
{
    CM_AUTO_STR all = cm_asprintf("%s" SAME "%s%s", rig->cookie, body ? JSON : "", headers);

    rig_send(rig, false, method, path, all, body, ret);
}

static void expect(struct rig *rig, const char *method, const char *path, const char *headers,
                   const char *body, int status)
{
    struct reply reply;

    send_as(rig, method, path, headers, body, &reply);
    assert_status(&reply, status);
    reply_fini(&reply);
}

static char *etag_of(struct rig *rig, const char *path)
{
    struct reply reply;
    char *etag;

    rig_get(rig, path, &reply);
    assert_status(&reply, 200);
    assert_non_null(reply_header(&reply, "ETag"));
    etag = cm_strdup(reply_header(&reply, "ETag"));
    assert_int_equal(strlen(etag), ETAG_TEXT - 1);
    reply_fini(&reply);
    return etag;
}

static void test_not_modified(void **state)
{
    static const char *const paths[] = {
        "/api/v1/credentials",
        "/api/v1/credentials/" ULID,
        "/api/v1/accounts",
        "/api/v1/servers",
        "/api/v1/accounts/pebble",
        "/api/v1/servers/bravo.example.net",
        "/api/v1/settings",
        "/api/v1/presets",
        "/api/v1/requests",
        "/api/v1/openapi.json",
        "/api/v1/credentials/" ULID "/receipts",
        "/api/v1/sessions",
        "/api/v1/users",
        "/api/v1/credentials/" ULID "/steps",
    };
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    doubles.view = json_pack("{s:{s:s}, s:[]}", "credential", "status", "issued", "receipts");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        CM_AUTO_STR etag = etag_of(&rig, paths[i]);
        CM_AUTO_STR headers = cm_asprintf("If-None-Match: \"x\", W/%s\r\n", etag);

        send_as(&rig, "GET", paths[i], headers, NULL, &reply);
        assert_status(&reply, 304);
        assert_string_equal(reply_header(&reply, "ETag"), etag);
        assert_string_equal(reply.body, "");
        reply_fini(&reply);
        expect(&rig, "GET", paths[i], "If-None-Match: \"x\"\r\n", NULL, 200);
    }
    CM_AUTO_STR before = etag_of(&rig, "/api/v1/credentials/" ULID);
    cm_json_set_str(cm_json_obj(doubles.view, "credential"), "status", "renew");
    CM_AUTO_STR after = etag_of(&rig, "/api/v1/credentials/" ULID);
    assert_string_not_equal(before, after);
    /* Errors and accepted work have no tag. */
    rig_get(&rig, "/api/v1/accounts/none", &reply);
    assert_null(reply_header(&reply, "ETag"));
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_account_preconditions(void **state)
{
    static const char path[] = "/api/v1/accounts/pebble";
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    /* A new one: no condition, or that there is none. */
    expect(&rig, "PUT", "/api/v1/accounts/new", "If-Match: \"x\"\r\n", DIRECTORY, 412);
    expect(&rig, "PUT", "/api/v1/accounts/new", "If-Match: *\r\n", DIRECTORY, 412);
    assert_int_equal(doubles.calls, 0);
    expect(&rig, "PUT", "/api/v1/accounts/new", "", DIRECTORY, 404); /* the double stores nothing */
    assert_int_equal(doubles.calls, 1);
    rig_account(&rig, "pebble");
    CM_AUTO_STR etag = etag_of(&rig, path);
    CM_AUTO_STR match = cm_asprintf("If-Match: %s\r\n", etag);
    CM_AUTO_STR weak = cm_asprintf("If-Match: W/%s\r\n", etag);
    send_as(&rig, "PUT", path, "", DIRECTORY, &reply);
    assert_status(&reply, 428);
    assert_has(&reply, "urn:certmgr:problem:precondition_needed");
    reply_fini(&reply);
    send_as(&rig, "PUT", path, "If-Match: \"stale\"\r\n", DIRECTORY, &reply);
    assert_status(&reply, 412);
    assert_has(&reply, "urn:certmgr:problem:precondition_failed");
    reply_fini(&reply);
    expect(&rig, "PUT", path, weak, DIRECTORY, 412); /* strong comparison only */
    expect(&rig, "PUT", path, "If-None-Match: *\r\n", DIRECTORY, 412);
    assert_int_equal(doubles.calls, 1);
    send_as(&rig, "PUT", path, match, DIRECTORY, &reply);
    assert_status(&reply, 200);
    assert_string_equal(reply_header(&reply, "ETag"), etag); /* the double changes nothing */
    assert_string_equal(reply_header(&reply, "Content-Location"), path);
    reply_fini(&reply);
    expect(&rig, "PUT", path, "If-Match: *\r\n", DIRECTORY, 200);
    /* The command line may leave it out, but not be wrong. */
    rig_send(&rig, true, "PUT", path, JSON, DIRECTORY, &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    rig_send(&rig, true, "PUT", path, JSON "If-Match: \"stale\"\r\n", DIRECTORY, &reply);
    assert_status(&reply, 412);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_settings_preconditions(void **state)
{
    struct rig rig;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    CM_AUTO_STR etag = etag_of(&rig, "/api/v1/settings");
    CM_AUTO_STR match = cm_asprintf("If-Match: %s\r\n", etag);
    expect(&rig, "PUT", "/api/v1/settings", "", "{\"renew_days\":9}", 428);
    expect(&rig, "PUT", "/api/v1/settings", match, "{\"renew_days\":9}", 200);
    cm_json_set_int(doubles.defaults, "renew_days", 9);
    expect(&rig, "PUT", "/api/v1/settings", match, "{\"renew_days\":8}", 412);
    assert_int_equal(doubles.calls, 1);
    rig_stop(&rig);
}

/* Two changes of one document at the same time: the second is told, not lost. */
static void test_one_change_at_a_time(void **state)
{
    struct rig rig;
    struct cm_buf first, second;
    CM_AUTO_STR headers = NULL;
    int a, b;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    headers = cm_asprintf("%s" SAME JSON "If-Match: *\r\n", rig.cookie);
    doubles.hold = true; /* the engine does not answer yet */
    a = rig_open(&rig, false, "PUT", "/api/v1/accounts/pebble", headers, DIRECTORY);
    cm_buf_init(&first, 65536);
    cm_buf_init(&second, 65536);
    while (doubles.calls == 0)
        cm_loop_turn(rig.loop, false);
    b = rig_open(&rig, false, "PUT", "/api/v1/accounts/pebble", headers, DIRECTORY);
    assert_true(rig_read(&rig, b, &second, NULL));
    assert_non_null(strstr(cm_buf_str(&second), "HTTP/1.1 409"));
    assert_int_equal(doubles.calls, 1);
    doubles_release();
    assert_true(rig_read(&rig, a, &first, NULL));
    assert_non_null(strstr(cm_buf_str(&first), "HTTP/1.1 200"));
    expect(&rig, "PUT", "/api/v1/accounts/pebble", "If-Match: *\r\n", DIRECTORY, 200);
    cm_buf_fini(&first);
    cm_buf_fini(&second);
    close(a);
    close(b);
    rig_stop(&rig);
}

/* ---- Idempotency-Key ---- */

#define KEY(k) "Idempotency-Key: " k "\r\n"

static void test_idempotency(void **state)
{
    struct rig rig;
    struct reply first, again;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.notes = json_pack("[s]", "a note");
    send_as(&rig, "POST", "/api/v1/requests", KEY("k-1"), REQUEST, &first);
    assert_status(&first, 202);
    assert_int_equal(doubles.calls, 1);
    send_as(&rig, "POST", "/api/v1/requests", KEY("k-1"), REQUEST, &again);
    assert_status(&again, 202);
    assert_string_equal(first.body, again.body);
    assert_string_equal(reply_header(&again, "Location"), "/api/v1/credentials/" ULID);
    assert_int_equal(doubles.calls, 1); /* done once */
    reply_fini(&first);
    reply_fini(&again);
    send_as(&rig, "POST", "/api/v1/requests", KEY("k-1"), "{\"host_names\":\"b.example\"}", &again);
    assert_status(&again, 409);
    assert_has(&again, "urn:certmgr:problem:idempotency_key");
    reply_fini(&again);
    /* Another key, no key, another person: another request. */
    expect(&rig, "POST", "/api/v1/requests", KEY("k-2"), REQUEST, 202);
    expect(&rig, "POST", "/api/v1/requests", "", REQUEST, 202);
    rig_send(&rig, true, "POST", "/api/v1/requests", JSON KEY("k-1"), REQUEST, &again);
    assert_status(&again, 202);
    reply_fini(&again);
    assert_int_equal(doubles.calls, 4);
    /* A day later it is forgotten. */
    cm_clock_fake(cm_now_ms() + IDEMPOTENCY_S * INT64_C(1000) + 1, -1);
    rig_send(&rig, true, "POST", "/api/v1/requests", JSON KEY("k-1"), REQUEST, &again);
    assert_status(&again, 202);
    assert_int_equal(doubles.calls, 5);
    reply_fini(&again);
    expect(&rig, "POST", "/api/v1/requests", KEY("k 1"), REQUEST, 401); /* so is the session */
    rig_stop(&rig);
}

static void test_idempotency_of_failures(void **state)
{
    struct rig rig;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    cm_fail(&doubles.fail, CM_EBUSY, "the agent is starting");
    expect(&rig, "POST", "/api/v1/requests", KEY("k"), REQUEST, 503);
    cm_err_fini(&doubles.fail);
    expect(&rig, "POST", "/api/v1/requests", KEY("k"), REQUEST, 202); /* tried again, for real */
    assert_int_equal(doubles.calls, 2);
    expect(&rig, "POST", "/api/v1/requests", KEY("with blank"), REQUEST, 400);
    expect(&rig, "POST", "/api/v1/requests", KEY(""), REQUEST, 400);
    expect(&rig, "POST", "/api/v1/requests", KEY("x"), "{}", 422);
    assert_int_equal(doubles.calls, 2);
    rig_stop(&rig);
}

/* While the first is under way the second waits for nothing; and a crash in between is told. */
static void test_idempotency_under_way(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    CM_AUTO_STR headers = cm_asprintf("%s" SAME JSON KEY("k"), rig.cookie);
    doubles.hold = true;
    int fd = rig_open(&rig, false, "POST", "/api/v1/requests", headers, REQUEST);
    while (doubles.calls == 0)
        cm_loop_turn(rig.loop, false);
    expect(&rig, "POST", "/api/v1/requests", KEY("k"), REQUEST, 409);
    close(fd); /* gone before the answer: it is kept all the same */
    rig_settle(&rig);
    doubles_release();
    rig_settle(&rig);
    expect(&rig, "POST", "/api/v1/requests", KEY("k"), REQUEST, 202);
    assert_int_equal(doubles.calls, 1);
    /* As a crash leaves it: written, but without an answer. */
    char name[CM_SHA256_HEX], body[CM_SHA256_HEX];
    cm_sha256_hex(USER "\nlost", strlen(USER "\nlost"), name);
    cm_sha256_hex(REQUEST, strlen(REQUEST), body);
    CM_AUTO_JSON record = json_object();
    cm_json_set_str(record, "body", body);
    cm_json_set_time(record, "at", cm_now_ms());
    assert_int_equal(cs_kv_put(rig.store, "idempotency", name, record, NULL), 0);
    send_as(&rig, "POST", "/api/v1/requests", KEY("lost"), REQUEST, &reply);
    assert_status(&reply, 409);
    assert_has(&reply, "look at the list of requests");
    reply_fini(&reply);
    assert_int_equal(doubles.calls, 1);
    rig_stop(&rig);
}

static int count_row(void *arg, const char *key, const json_t *value)
{
    (void)key;
    (void)value;
    ++*(int *)arg;
    return 0;
}

static void test_idempotency_is_bounded(void **state)
{
    struct rig rig;
    CM_AUTO_JSON record = json_object();
    int count = 0;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (int i = 0; i < IDEMPOTENCY_MAX; i++) {
        CM_AUTO_STR key = cm_asprintf("key%d", i);

        cm_json_set_time(record, "at", cm_now_ms() - 1000 + i % 7);
        assert_int_equal(cs_kv_put(rig.store, "idempotency", key, record, NULL), 0);
    }
    expect(&rig, "POST", "/api/v1/requests", KEY("k"), REQUEST, 202);
    cs_kv_each(rig.store, "idempotency", "", count_row, &count);
    assert_int_equal(count, IDEMPOTENCY_MAX);
    rig_stop(&rig);
}

/* ---- paging ---- */

static json_t *get_json(struct rig *rig, const char *path)
{
    struct reply reply;
    json_t *value = NULL;

    rig_get(rig, path, &reply);
    assert_status(&reply, 200);
    assert_int_equal(cm_json_parse(reply.body, strlen(reply.body), &value, NULL), 0);
    reply_fini(&reply);
    return value;
}

/* Walks all pages of two rows; the rows' member in order, separated by blanks. */
static char *walk(struct rig *rig, const char *path, const char *name, const char *member)
{
    struct cm_buf seen;
    CM_AUTO_STR next = cm_strdup("");

    cm_buf_init(&seen, 4096);
    do {
        CM_AUTO_STR target = cm_asprintf("%s?limit=2%s%s", path, *next ? "&after=" : "", next);
        CM_AUTO_JSON page = get_json(rig, target);
        size_t i;
        json_t *row;

        assert_true(json_array_size(cm_json_arr(page, name)) <= 2);
        json_array_foreach(cm_json_arr(page, name), i, row)
            cm_buf_printf(&seen, "%s ", cm_json_str(row, member));
        cm_free(next);
        next = cm_json_str(page, "next") ? cm_strdup(cm_json_str(page, "next")) : NULL;
    } while (next);
    return cm_buf_take(&seen, NULL);
}

static void test_paging(void **state)
{
    struct rig rig;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    doubles.view = json_pack("{s:{s:s}}", "credential", "status", "issued");
    for (int i = 0; i < 5; i++) {
        CM_AUTO_STR name = cm_asprintf("ca%d", i);
        CM_AUTO_STR number = cm_asprintf("%016d", i + 1);
        CM_AUTO_STR id = cm_asprintf("request:01J0000000000000000000000%d", i);

        rig_account(&rig, name);
        rig_step(&rig, ULID, number, "text");
        rig_put(&rig, json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s}, s:s}", "_id", id, "type",
                                "request", "action", i ? "retry" : "issue", "credential", ULID,
                                "by", "who", "alice", "via", "api", "server", "alpha", "at",
                                "2026-11-22T02:16:42.123Z"));
    }
    CM_AUTO_STR accounts = walk(&rig, "/api/v1/accounts", "accounts", "name");
    assert_string_equal(accounts, "ca0 ca1 ca2 ca3 ca4 ");
    CM_AUTO_STR servers = walk(&rig, "/api/v1/servers", "servers", "name");
    assert_string_equal(servers, "alpha.example.net bravo.example.net charlie.example.net ");
    CM_AUTO_STR steps = walk(&rig, "/api/v1/credentials/" ULID "/steps", "steps", "id");
    assert_string_equal(steps, "0000000000000001 0000000000000002 0000000000000003 "
                               "0000000000000004 0000000000000005 ");
    CM_AUTO_STR requests = walk(&rig, "/api/v1/requests", "requests", "action");
    assert_string_equal(requests, "issue retry retry retry retry ");
    expect(&rig, "GET", "/api/v1/accounts?limit=0", "", NULL, 422);
    expect(&rig, "GET", "/api/v1/accounts?limit=1001", "", NULL, 422);
    expect(&rig, "GET", "/api/v1/requests?after=nonsense", "", NULL, 422);
    CM_AUTO_JSON one = get_json(&rig, "/api/v1/requests/01J00000000000000000000001");
    assert_string_equal(cm_json_str(one, "id"), "01J00000000000000000000001");
    assert_null(json_object_get(one, "signature"));
    expect(&rig, "GET", "/api/v1/requests/01J00000000000000000000009", "", NULL, 404);
    /* Who asked what and when stands beside the credential. */
    CM_AUTO_JSON view = get_json(&rig, "/api/v1/credentials/" ULID);
    const json_t *history = cm_json_arr(view, "history");
    assert_int_equal(json_array_size(history), 5);
    const json_t *line = json_array_get(history, 0);
    assert_string_equal(cm_json_str(line, "action"), "issue");
    assert_string_equal(cm_json_str(line, "who"), "alice");
    assert_string_equal(cm_json_str(line, "via"), "api");
    assert_string_equal(cm_json_str(line, "server"), "alpha");
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_modified),
        cmocka_unit_test(test_account_preconditions),
        cmocka_unit_test(test_settings_preconditions),
        cmocka_unit_test(test_one_change_at_a_time),
        cmocka_unit_test(test_idempotency),
        cmocka_unit_test(test_idempotency_of_failures),
        cmocka_unit_test(test_idempotency_under_way),
        cmocka_unit_test(test_idempotency_is_bounded),
        cmocka_unit_test(test_paging),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
