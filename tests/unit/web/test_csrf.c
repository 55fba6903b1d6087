/* What other sites can make a browser send: method x Sec-Fetch-Site x Origin x token. */
#include "tests/unit/web/rig.h"

#include "web-ui/router.h"

struct origin {
    const char *headers;
    bool ok;
};

/* %s is this server's address. */
static const struct origin origins[] = {
    {"Sec-Fetch-Site: same-origin\r\n", true},
    {"Sec-Fetch-Site: none\r\n", true},
    {"Sec-Fetch-Site: same-site\r\n", false},
    {"Sec-Fetch-Site: cross-site\r\n", false},
    {"Sec-Fetch-Site: bogus\r\n", false},
    {"", false}, /* neither header: not a browser page of ours */
    {"Origin: http://%s\r\n", true},
    {"Origin: https://%s\r\n", false}, /* other scheme */
    {"Origin: http://evil.example\r\n", false},
    {"Origin: http://%s.evil.example\r\n", false},
    {"Origin: null\r\n", false},
    {"Sec-Fetch-Site: cross-site\r\nOrigin: http://%s\r\n", false}, /* metadata wins */
    {"Sec-Fetch-Site: same-origin\r\nOrigin: http://evil.example\r\n", true},
};
#define ORIGINS (sizeof(origins) / sizeof(origins[0]))

static char *origin_lines(const struct rig *rig, const struct origin *origin)
{
    const char *at = strstr(origin->headers, "%s");

    return at ? cm_asprintf("%.*s%s%s", (int)(at - origin->headers), origin->headers, rig->address,
                            at + 2)
              : cm_strdup(origin->headers);
}

/* A path that the pattern matches; NULL for forms that end the session. */
static char *form_path(const struct web_route *route)
{
    const char *brace = strchr(route->pattern, '{');
    const char *end = brace ? strchr(brace, '}') : NULL;

    if ((route->body != BODY_FORM && route->body != BODY_UPLOAD) ||
        strcmp(route->pattern, "/logout") == 0 || strcmp(route->pattern, "/sessions/end") == 0)
        return NULL;
    return brace ? cm_asprintf("%.*s" ULID "%s", (int)(brace - route->pattern), route->pattern,
                               end + 1)
                 : cm_strdup(route->pattern);
}

static void try_form(struct rig *rig, const char *path, const struct origin *origin,
                     const char *token)
{
    CM_AUTO_STR lines = origin_lines(rig, origin);
    CM_AUTO_STR headers = cm_asprintf("%s%s" FORM, rig->cookie, lines);
    CM_AUTO_STR body =
        cm_asprintf("name=x&host_names=a.example%s%s", token ? "&csrf=" : "", token ? token : "");
    struct reply reply;
    int calls = doubles.calls;

    rig_send(rig, false, "POST", path, headers, body, &reply);
    if (origin->ok && token == rig->csrf) {
        assert_int_not_equal(reply.status, 403);
    } else {
        assert_status(&reply, 403);
        assert_int_equal(doubles.calls, calls);
    }
    reply_fini(&reply);
}

static void test_forms(void **state)
{
    struct rig rig;
    const struct web_route *route;
    int forms = 0;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    CM_AUTO_STR wrong = cm_asprintf("%.42sX", rig.csrf[42] == 'X' ? "no" : rig.csrf);
    const char *const tokens[] = {rig.csrf, wrong, "", NULL};

    for (size_t r = 0; (route = web_route_at(r)); r++) {
        CM_AUTO_STR path = form_path(route);

        for (size_t o = 0; path && o < ORIGINS; o++) {
            for (size_t t = 0; t < sizeof(tokens) / sizeof(tokens[0]); t++)
                try_form(&rig, path, &origins[o], tokens[t]);
        }
        forms += path ? 1 : 0;
    }
    assert_true(forms >= 6);
    /* Signing out, too, needs the token: else any site could do it. */
    try_form(&rig, "/logout", &origins[0], NULL);
    try_form(&rig, "/sessions/end", &origins[0], NULL);
    try_form(&rig, "/sessions/end", &origins[3], rig.csrf);
    rig_stop(&rig);
}

static void test_open_forms(void **state)
{
    static const char *const paths[] = {"/login", "/setup"};
    struct rig rig;

    (void)state;
    rig_start(&rig);
    for (size_t p = 0; p < 2; p++) {
        for (size_t o = 0; o < ORIGINS; o++) {
            CM_AUTO_STR lines = origin_lines(&rig, &origins[o]);
            CM_AUTO_STR headers = cm_asprintf("%s" FORM, lines);
            struct reply reply;

            if (p == 0 && origins[o].ok)
                continue; /* would hash a password; test_auth does */
            rig_send(&rig, false, "POST", paths[p], headers, "name=a&token=b", &reply);
            assert_int_equal(reply.status == 403, !origins[o].ok);
            reply_fini(&reply);
        }
    }
    rig_stop(&rig);
}

static void test_api(void **state)
{
    static const struct {
        const char *method, *path, *body;
    } calls[] = {
        {"POST", "/api/v1/requests", "{\"host_names\":[\"a.example\"]}"},
        {"POST", "/api/v1/credentials/" ULID "/retry", "{}"},
        {"PUT", "/api/v1/accounts/pebble", "{\"directory\":\"https://ca.example/dir\"}"},
        {"POST", "/api/v1/servers", "{\"name\":\"delta\"}"},
        {"DELETE", "/api/v1/servers/delta", NULL},
        {"PUT", "/api/v1/settings", "{}"},
        {"POST", "/api/v1/roots", "{\"pem\":\"x\"}"},
    };
    struct rig rig;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    rig_account(&rig, "pebble");
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        for (size_t o = 0; o < ORIGINS; o++) {
            CM_AUTO_STR lines = origin_lines(&rig, &origins[o]);
            CM_AUTO_STR headers = cm_asprintf("%s%sIf-Match: *\r\n" JSON, rig.cookie, lines);
            struct reply reply;
            int before = doubles.calls;

            rig_send(&rig, false, calls[c].method, calls[c].path, headers, calls[c].body, &reply);
            assert_int_equal(reply.status == 403, !origins[o].ok);
            assert_int_equal(doubles.calls, before + (origins[o].ok ? 1 : 0));
            reply_fini(&reply);
        }
    }
    rig_stop(&rig);
}

/* Media types a cross-site form can send are never taken as JSON, nor JSON as a form. */
static void test_media_types(void **state)
{
    static const char *const simple[] = {"Content-Type: text/plain\r\n",
                                         "Content-Type: application/x-www-form-urlencoded\r\n",
                                         "Content-Type: multipart/form-data; boundary=x\r\n",
                                         "Content-Type: application/jsonx\r\n", ""};
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
        CM_AUTO_STR headers = cm_asprintf("%s" SAME "%s", rig.cookie, simple[i]);

        rig_send(&rig, false, "POST", "/api/v1/requests", headers, "{\"host_names\":\"a.example\"}",
                 &reply);
        assert_status(&reply, 415);
        assert_string_equal(reply_header(&reply, "Content-Type"), "application/problem+json");
        reply_fini(&reply);
    }
    CM_AUTO_STR headers = cm_asprintf("%s" SAME JSON, rig.cookie);
    rig_send(&rig, false, "POST", "/credentials", headers, "{}", &reply);
    assert_status(&reply, 415);
    reply_fini(&reply);
    assert_int_equal(doubles.calls, 0);
    rig_stop(&rig);
}

/* Root on the Unix socket has no cookie another site could use: neither session nor token. */
static void test_unix_socket(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_send(&rig, true, "POST", "/api/v1/requests", JSON, "{\"host_names\":\"a.example\"}",
             &reply);
    assert_status(&reply, 202);
    assert_string_equal(doubles.who, "root");
    assert_string_equal(doubles.via, "cli");
    reply_fini(&reply);
    rig_send(&rig, true, "POST", "/api/v1/setup-links", NULL, NULL, &reply);
    assert_status(&reply, 201);
    assert_has(&reply, "\"url\":\"https://alpha.example.net:8443/setup?token=");
    reply_fini(&reply);
    rig_sign_in(&rig);
    CM_AUTO_STR headers = cm_asprintf("%s" SAME JSON, rig.cookie);
    rig_send(&rig, false, "POST", "/api/v1/setup-links", headers, "{}", &reply);
    assert_status(&reply, 403);
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),       cmocka_unit_test(test_open_forms),
        cmocka_unit_test(test_api),         cmocka_unit_test(test_media_types),
        cmocka_unit_test(test_unix_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
