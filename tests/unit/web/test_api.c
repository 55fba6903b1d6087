/* The REST API: replies, problem details (RFC 9457), strict bodies, and its own description. */
#include "tests/unit/web/rig.h"

#include "web-ui/router.h"

static json_t *call(struct rig *rig, const char *method, const char *path, const char *body,
                    int status)
{
    struct reply reply;
    json_t *v = NULL;
    CM_AUTO_STR target = cm_asprintf("/api/v1%s", path);

    rig_send(rig, true, method, target, body ? JSON : NULL, body, &reply);
    assert_status(&reply, status);
    if (*reply.body) {
        const char *type = reply_header(&reply, "Content-Type");

        assert_string_equal(type, status >= 400 ? "application/problem+json" : "application/json");
        assert_int_equal(cm_json_parse(reply.body, strlen(reply.body), &v, NULL), 0);
    }
    if (status >= 400) {
        assert_non_null(cm_json_str(v, "type"));
        assert_non_null(cm_json_str(v, "title"));
        assert_int_equal(cm_json_int(v, "status", 0), status);
    }
    reply_fini(&reply);
    return v;
}

static void expect(struct rig *rig, const char *method, const char *path, const char *body,
                   int status)
{
    json_decref(call(rig, method, path, body, status));
}

static const char *pointer(const json_t *problem, size_t i)
{
    return cm_json_str_or(json_array_get(cm_json_arr(problem, "errors"), i), "pointer", "");
}

static void test_submit(void **state)
{
    struct rig rig;

    (void)state;
    rig_start(&rig);
    doubles.notes = json_pack("[s]", "duplicate folded: a.example");
    CM_AUTO_JSON ok = call(&rig, "POST", "/requests",
                           "{\"host_names\":[\"a.example\",\"a.example\"],\"servers\":[\"x\"],"
                           "\"renew_days\":20}",
                           202);
    assert_string_equal(cm_json_str(ok, "credential"), ULID);
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(ok, "notes"), 0)),
                        "duplicate folded: a.example");
    doubles.field_errors =
        json_pack("[{s:s, s:s, s:s}, {s:s, s:s}]", "field", "host_names", "value", "-b.example",
                  "message", "begins with a hyphen", "field", "account", "message", "is not known");
    CM_AUTO_JSON bad =
        call(&rig, "POST", "/requests",
             "{\"host_names\":[\"a.example\",\"-b.example\"],\"account\":\"x\"}", 422);
    assert_string_equal(pointer(bad, 0), "#/host_names/1");
    assert_string_equal(pointer(bad, 1), "#/account");
    const json_t *first = json_array_get(cm_json_arr(bad, "errors"), 0);
    assert_string_equal(cm_json_str(first, "detail"), "begins with a hyphen");
    assert_string_equal(cm_json_str(first, "value"), "-b.example");
    assert_string_equal(cm_json_str(cm_json_obj(bad, "error"), "code"), "invalid");
    rig_stop(&rig);
}

static void test_strict_bodies(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *pointer;
    } rows[] = {
        {"{\"host_names\":\"a.example\",\"bogus\":1}", 422, "#/bogus"},
        {"{\"host_names\":5}", 422, "#/host_names"},
        {"{\"host_names\":[5]}", 422, "#/host_names"},
        {"{\"host_names\":\"a\",\"renew_days\":\"30\"}", 422, "#/renew_days"},
        {"{\"host_names\":\"a\",\"servers\":\"x\"}", 422, "#/servers"},
        {"{}", 422, "#/host_names"},
        {"[]", 422, "#"},
        {"{\"host_names\":\"a\",\"a/b~c \\\"\":1}", 422, "#/a~1b~0c%20%22"},
        {"{\"host_names\":\"a\",\"host_names\":\"b\"}", 400, ""}, /* duplicate member */
        {"{\"renew_days\":1.5,\"host_names\":\"a\"}", 400, ""},
        {"{\"host_names\":", 400, ""},
        {"null", 422, "#"},
    };
    struct rig rig;

    (void)state;
    rig_start(&rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON problem = call(&rig, "POST", "/requests", rows[i].body, rows[i].status);

        assert_string_equal(pointer(problem, 0), rows[i].pointer);
    }
    expect(&rig, "POST", "/requests", NULL, 422);
    assert_int_equal(doubles.calls, 0);
    rig_stop(&rig);
}

static void test_errors_become_problems(void **state)
{
    static const struct {
        int code, status;
    } rows[] = {
        {CM_EINVAL, 422},  {CM_ENOENT, 404},   {CM_ECONFLICT, 409}, {CM_ELIMIT, 422},
        {CM_EDENIED, 403}, {CM_EIO, 500},      {CM_EFULL, 507},     {CM_EPEER, 502},
        {CM_ENET, 502},    {CM_ETIMEOUT, 504}, {CM_EBUSY, 503},     {CM_EHUMAN, 409},
    };
    struct rig rig;

    (void)state;
    rig_start(&rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cm_err_fini(&doubles.fail);
        cm_fail(&doubles.fail, rows[i].code, "it did not work");
        cm_err_cause(&doubles.fail, "because of <this>");
        cm_err_hint(&doubles.fail, "do that");
        CM_AUTO_JSON problem =
            call(&rig, "POST", "/credentials/" ULID "/retry", "{}", rows[i].status);
        CM_AUTO_STR type = cm_asprintf("urn:certmgr:problem:%s", cm_code_name(rows[i].code));
        const json_t *error = cm_json_obj(problem, "error");

        assert_string_equal(cm_json_str(problem, "type"), type);
        assert_string_equal(cm_json_str(problem, "detail"), "it did not work");
        assert_string_equal(cm_json_str(error, "what"), "it did not work");
        assert_string_equal(cm_json_str(error, "hint"), "do that");
        assert_int_equal(json_array_size(cm_json_arr(error, "causes")), 1);
    }
    rig_stop(&rig);
}

static void test_credentials(void **state)
{
    struct rig rig;

    (void)state;
    rig_start(&rig);
    for (int i = 0; i < 60; i++) {
        CM_AUTO_STR ulid = cm_asprintf("01J0000000000000000000%04d", i);
        CM_AUTO_STR host = cm_asprintf("h%02d.example.com", i);

        rig_credential(&rig, ulid, host, "issued", "2030-01-01T00:00:00.000Z", "bravo.example.net");
    }
    CM_AUTO_JSON first = call(&rig, "GET", "/credentials?view=host", NULL, 200);
    assert_int_equal(json_array_size(cm_json_arr(first, "credentials")), 50);
    const json_t *row = json_array_get(cm_json_arr(first, "credentials"), 0);
    assert_string_equal(cm_json_str(row, "key"), "h00.example.com");
    assert_string_equal(cm_json_str(row, "id"), "01J00000000000000000000000");
    assert_null(json_object_get(row, "sealed_key"));
    CM_AUTO_STR path = cm_asprintf("/credentials?view=host&after=%s", cm_json_str(first, "next"));
    CM_AUTO_JSON second = call(&rig, "GET", path, NULL, 200);
    assert_int_equal(json_array_size(cm_json_arr(second, "credentials")), 10);
    assert_true(json_is_null(json_object_get(second, "next")));
    expect(&rig, "GET", "/credentials?view=nonsense", NULL, 422);
    expect(&rig, "GET", "/credentials?after=AAAA", NULL, 422);
    expect(&rig, "GET", "/credentials?domain=-x-", NULL, 422);
    CM_AUTO_JSON nothing = call(&rig, "GET", "/credentials/" ULID, NULL, 404);
    assert_string_equal(cm_json_str_or(nothing, "detail", ""), "there is no credential " ULID);
    expect(&rig, "GET", "/credentials/01J0", NULL, 404);
    doubles.view = json_pack("{s:{s:s}}", "credential", "status", "issued");
    CM_AUTO_JSON view = call(&rig, "GET", "/credentials/" ULID, NULL, 200);
    assert_string_equal(cm_json_str(cm_json_obj(view, "credential"), "status"), "issued");
    expect(&rig, "POST", "/credentials/" ULID "/retry", NULL, 204);
    expect(&rig, "POST", "/credentials/nope/retry", NULL, 404);
    rig_stop(&rig);
}

static void test_renew_and_change(void **state)
{
    struct rig rig;

    (void)state;
    rig_start(&rig);
    expect(&rig, "POST", "/credentials/" ULID "/renew", NULL, 204);
    assert_false(doubles.new_key);
    assert_string_equal(doubles.name, ULID);
    expect(&rig, "POST", "/credentials/" ULID "/renew", "{\"new_key\":true}", 204);
    assert_true(doubles.new_key);
    expect(&rig, "POST", "/credentials/" ULID "/renew", "{\"new_key\":true,\"revoke\":1}", 204);
    assert_int_equal(doubles.rollover, 1);
    expect(&rig, "POST", "/credentials/" ULID "/renew", "{\"revoke\":\"1\"}", 422);
    expect(&rig, "POST", "/credentials/" ULID "/renew", "{\"new_key\":1}", 422);
    expect(&rig, "POST", "/credentials/" ULID "/renew", "{\"key\":true}", 422);
    expect(&rig, "POST", "/credentials/nope/renew", "{}", 404);
    cm_fail(&doubles.fail, CM_ENOENT, "there is no credential %s", ULID);
    expect(&rig, "POST", "/credentials/" ULID "/renew", "{}", 404);
    cm_err_fini(&doubles.fail);

    CM_AUTO_JSON taken =
        call(&rig, "PATCH", "/credentials/" ULID,
             "{\"base_serial\":17,\"paused\":true,\"host_names\":\"a.example\"}", 202);
    assert_non_null(cm_json_str(taken, "credential"));
    assert_int_equal(doubles.base_serial, 17);
    assert_int_equal(json_object_size(doubles.fields), 2);
    assert_true(cm_json_bool(doubles.fields, "paused", false));
    expect(&rig, "PATCH", "/credentials/" ULID, "{\"paused\":\"yes\"}", 422);
    expect(&rig, "PATCH", "/credentials/" ULID, "{\"status\":\"issued\"}", 422);
    expect(&rig, "PATCH", "/credentials/nope", "{}", 404);
    cm_fail(&doubles.fail, CM_ECONFLICT, "changed in the meantime");
    expect(&rig, "PATCH", "/credentials/" ULID, "{}", 409);
    cm_err_fini(&doubles.fail);
    doubles.field_errors = json_pack("[{s:s,s:s}]", "field", "renew_days", "message", "too many");
    expect(&rig, "PATCH", "/credentials/" ULID, "{\"renew_days\":9}", 422);
    rig_stop(&rig);
}

static void test_accounts(void **state)
{
    struct rig rig;

    (void)state;
    rig_start(&rig);
    rig_put(&rig,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:{s:s}}}", "_id", "account:pebble",
                      "type", "account", "directory", "https://ca.example/dir", "status", "valid",
                      "sealed_key", "c2VjcmV0", "eab", "kid", "k1", "jws", "signature", "c2ln"));
    CM_AUTO_JSON list = call(&rig, "GET", "/accounts", NULL, 200);
    const json_t *account = json_array_get(cm_json_arr(list, "accounts"), 0);
    assert_string_equal(cm_json_str(account, "name"), "pebble");
    assert_null(json_object_get(account, "sealed_key"));
    assert_string_equal(cm_json_str(cm_json_obj(account, "eab"), "kid"), "k1");
    assert_null(json_object_get(cm_json_obj(account, "eab"), "jws"));
    assert_null(json_object_get(account, "signature"));
    CM_AUTO_JSON put =
        call(&rig, "PUT", "/accounts/pebble",
             "{\"directory\":\"https://ca.example/dir\",\"terms_agreed\":true}", 200);
    assert_string_equal(cm_json_str(put, "name"), "pebble");
    assert_string_equal(cm_json_str(doubles.fields, "name"), "pebble");
    expect(&rig, "PUT", "/accounts/pebble", "{\"directory\":\"https://x\",\"name\":\"other\"}",
           409);
    expect(&rig, "PUT", "/accounts/pebble", "{\"contacts\":[]}", 422);
    expect(&rig, "GET", "/accounts/none", NULL, 404);
    rig_stop(&rig);
}

static void test_the_rest(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    CM_AUTO_JSON servers = call(&rig, "GET", "/servers", NULL, 200);
    const json_t *alpha = json_array_get(cm_json_arr(servers, "servers"), 0);
    assert_true(cm_json_bool(alpha, "self", false));
    assert_true(cm_json_has_str(cm_json_arr(alpha, "roles"), "manager"));
    CM_AUTO_JSON invited = call(&rig, "POST", "/servers", "{\"name\":\"delta\"}", 201);
    assert_string_equal(cm_json_str(invited, "token"), "join-token-0123456789");
    expect(&rig, "DELETE", "/servers/delta", NULL, 204);
    assert_string_equal(doubles.name, "delta");
    CM_AUTO_JSON settings = call(&rig, "GET", "/settings", NULL, 200);
    assert_int_equal(cm_json_int(settings, "renew_days", 0), 30);
    expect(&rig, "PUT", "/settings", "{\"renew_days\":40}", 200);
    assert_int_equal(cm_json_int(doubles.fields, "renew_days", 0), 40);
    expect(&rig, "PUT", "/settings", "{\"colour\":\"red\"}", 422);
    expect(&rig, "POST", "/roots", "{\"pem\":\"-----BEGIN\"}", 204);
    assert_string_equal(doubles.pem, "-----BEGIN");
    rig_send(&rig, true, "POST", "/api/v1/roots", "Content-Type: application/x-pem-file\r\n",
             "-----BEGIN X", &reply);
    assert_status(&reply, 204);
    assert_string_equal(doubles.pem, "-----BEGIN X");
    reply_fini(&reply);
    CM_AUTO_JSON status = call(&rig, "GET", "/status", NULL, 200);
    assert_int_equal(cm_json_int(cm_json_obj(status, "task"), "jobs", 0), 1);
    assert_non_null(cm_json_arr(status, "listeners"));
    assert_int_equal(cm_json_int(cm_json_obj(status, "trust"), "version", 0), 7);
    CM_AUTO_JSON quarantine = call(&rig, "GET", "/quarantine", NULL, 200);
    assert_int_equal(json_array_size(cm_json_arr(quarantine, "quarantine")), 0);
    CM_AUTO_JSON link = call(&rig, "POST", "/setup-links", NULL, 201);
    assert_int_equal(strlen(cm_json_str(link, "token")), 43);
    assert_non_null(cm_json_str(link, "expires_at"));
    rig_stop(&rig);
}

/* Bodies over the limit never reach a handler. */
static void test_body_limit(void **state)
{
    struct rig rig;
    struct reply reply;
    CM_AUTO_STR big = cm_malloc(WEB_FORM_MAX + 2);

    (void)state;
    rig_start(&rig);
    memset(big, 'a', WEB_FORM_MAX + 1);
    big[WEB_FORM_MAX + 1] = '\0';
    rig_send(&rig, true, "POST", "/api/v1/requests", JSON, big, &reply);
    assert_status(&reply, 413);
    CM_AUTO_STR limit = cm_asprintf("a body of at most %d bytes is taken here", WEB_FORM_MAX);
    assert_has(&reply, limit);
    assert_int_equal(doubles.calls, 0);
    reply_fini(&reply);
    rig_stop(&rig);
}

/* A refusal says what would have done. */
static void test_refusals_say_what_is_taken(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_send(&rig, true, "POST", "/api/v1/requests", "Content-Type: text/plain\r\n", "{}", &reply);
    assert_status(&reply, 415);
    assert_has(&reply, "the Content-Type of the body is not taken here; send application/json\"");
    reply_fini(&reply);
    rig_send(&rig, true, "POST", "/api/v1/roots", "Content-Type: text/plain\r\n", "x", &reply);
    assert_status(&reply, 415);
    assert_has(&reply, "send application/json, application/pem-certificate-chain or ");
    reply_fini(&reply);
    rig_send(&rig, true, "DELETE", "/api/v1/requests", NULL, NULL, &reply);
    assert_status(&reply, 405);
    assert_has(&reply, "DELETE is not done here; allowed: GET, HEAD, POST");
    reply_fini(&reply);
    assert_int_equal(doubles.calls, 0);
    rig_stop(&rig);
}

/* The description names exactly the routes that exist. */
static void test_openapi(void **state)
{
    struct rig rig;
    size_t described = 0, routed = 0;
    const struct web_route *route;
    const char *path;
    json_t *item;

    (void)state;
    rig_start(&rig);
    CM_AUTO_JSON api = call(&rig, "GET", "/openapi.json", NULL, 200);
    assert_string_equal(cm_json_str(api, "openapi"), "3.1.0");
    json_object_foreach(cm_json_obj(api, "paths"), path, item)
    {
        CM_AUTO_STR full = cm_asprintf("/api/v1%s", path);
        const char *key;
        json_t *operation;

        json_object_foreach(item, key, operation)
        {
            char param[ROUTE_PARAM_MAX];
            unsigned known;
            enum http_method method = strcmp(key, "get") == 0     ? HTTP_GET
                                      : strcmp(key, "post") == 0  ? HTTP_POST
                                      : strcmp(key, "put") == 0   ? HTTP_PUT
                                      : strcmp(key, "patch") == 0 ? HTTP_PATCH
                                                                  : HTTP_DELETE;

            if (strcmp(key, "parameters") == 0)
                continue;
            if (!web_route_find(web_api_routes, web_api_route_count, method, full, param, &known))
                fail_msg("described but not routed: %s %s", key, full);
            assert_non_null(cm_json_str(operation, "operationId"));
            described++;
        }
    }
    for (size_t i = 0; (route = web_route_at(i)); i++)
        routed += strncmp(route->pattern, "/api/v1/", 8) == 0 ? 1 : 0;
    assert_int_equal(described, routed);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit),
        cmocka_unit_test(test_strict_bodies),
        cmocka_unit_test(test_errors_become_problems),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_the_rest),
        cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_refusals_say_what_is_taken),
        cmocka_unit_test(test_renew_and_change),
        cmocka_unit_test(test_openapi),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
