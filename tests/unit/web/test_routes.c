/* The route table: methods, login walls, the security headers of every reply, and where pages live.
 */
#include "tests/unit/web/rig.h"

#include "base/net/http_client.h"
#include "base/net/tls.h"
#include "web-ui/asset.h"
#include "web-ui/router.h"

static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

/* A path that the pattern matches. */
static char *path_of(const char *pattern)
{
    const char *brace = strchr(pattern, '{');
    const char *end = brace ? strchr(brace, '}') : NULL;

    return brace ? cm_asprintf("%.*s" ULID "%s", (int)(brace - pattern), pattern, end + 1)
                 : cm_strdup(pattern);
}

static void test_matching(void **state)
{
    static const struct web_route table[] = {
        {HTTP_GET, "/a", NULL, 0, AUTH_NONE, BODY_NONE, false},
        {HTTP_POST, "/a", NULL, 0, AUTH_NONE, BODY_NONE, false},
        {HTTP_GET, "/a/new", NULL, 0, AUTH_NONE, BODY_NONE, false},
        {HTTP_GET, "/a/{x}", NULL, 0, AUTH_NONE, BODY_NONE, false},
        {HTTP_DELETE, "/a/{x}/b", NULL, 0, AUTH_NONE, BODY_NONE, false},
    };
    char param[ROUTE_PARAM_MAX], allow[64];
    unsigned known;

    (void)state;
#define FIND(method, path) web_route_find(table, 5, method, path, param, &known)
    assert_ptr_equal(FIND(HTTP_GET, "/a"), &table[0]);
    assert_ptr_equal(FIND(HTTP_HEAD, "/a"), &table[0]);
    assert_ptr_equal(FIND(HTTP_GET, "/a/new"), &table[2]);
    assert_ptr_equal(FIND(HTTP_GET, "/a/z%2F"), &table[3]);
    assert_string_equal(param, "z%2F");
    assert_ptr_equal(FIND(HTTP_DELETE, "/a/z/b"), &table[4]);
    assert_null(FIND(HTTP_PUT, "/a"));
    web_route_allow(known, allow, sizeof(allow));
    assert_string_equal(allow, "GET, HEAD, POST");
    assert_null(FIND(HTTP_GET, "/a/"));
    assert_int_equal(known, 0);
    assert_null(FIND(HTTP_GET, "/a/z/c"));
    assert_null(FIND(HTTP_GET, "/ab"));
    assert_null(FIND(HTTP_GET, ""));
#undef FIND
}

/* The set of design section "web": one place, every reply. */
static void assert_security(const struct reply *reply)
{
    const char *csp = reply_header(reply, "Content-Security-Policy");

    assert_non_null(csp);
    assert_non_null(strstr(csp, "default-src 'none'"));
    assert_non_null(strstr(csp, "frame-ancestors 'none'"));
    assert_non_null(strstr(csp, "form-action 'self'"));
    assert_non_null(strstr(csp, "base-uri 'none'"));
    assert_null(strstr(csp, "unsafe"));
    assert_non_null(strstr(csp, "script-src 'self';"));
    assert_non_null(strstr(csp, "connect-src 'self';"));
    assert_string_equal(reply_header(reply, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(reply_header(reply, "Referrer-Policy"), "no-referrer");
    assert_string_equal(reply_header(reply, "Cross-Origin-Opener-Policy"), "same-origin");
    assert_string_equal(reply_header(reply, "Cross-Origin-Resource-Policy"), "same-origin");
    assert_non_null(reply_header(reply, "Cache-Control"));
    assert_null(strstr(reply->text, "<script>")); /* modules of ours only */
    assert_null(strstr(reply->text, " style="));
}

/* Those of every route that the path fits: "/credentials/renew" is a number that nobody has, too.
 */
static unsigned methods_of(const char *path)
{
    char param[ROUTE_PARAM_MAX];
    unsigned known = 0, others;

    for (int m = 0; m < HTTP_METHOD_COUNT; m++) {
        if (web_route_find(web_page_routes, web_page_route_count, (enum http_method)m, path, param,
                           &others) ||
            web_route_find(web_api_routes, web_api_route_count, (enum http_method)m, path, param,
                           &others))
            known |= 1u << m;
    }
    return known;
}

/* Every route with every method it does not know: 405 with Allow. */
static void test_wrong_methods(void **state)
{
    struct rig rig;
    const struct web_route *route;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (size_t i = 0; (route = web_route_at(i)); i++) {
        CM_AUTO_STR path = path_of(route->pattern);
        unsigned known = methods_of(path);

        for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++) {
            struct reply reply;
            bool expected = false;

            for (int k = 0; k < HTTP_METHOD_COUNT; k++)
                expected |= (known & (1u << k)) && strcmp(http_method_name(k), methods[m]) == 0;
            if (expected)
                continue;
            rig_send(&rig, false, methods[m], path, rig.cookie, NULL, &reply);
            assert_status(&reply, 405);
            assert_non_null(strstr(reply_header(&reply, "Allow"), http_method_name(route->method)));
            assert_security(&reply);
            reply_fini(&reply);
        }
    }
    rig_stop(&rig);
}

/* Without a session: pages lead to the login, the API says 401, open routes answer; never more. */
static void test_login_wall(void **state)
{
    struct rig rig;
    const struct web_route *route;

    (void)state;
    rig_start(&rig);
    for (size_t i = 0; (route = web_route_at(i)); i++) {
        CM_AUTO_STR path = path_of(route->pattern);
        struct reply reply;
        bool api = strncmp(path, "/api/", 5) == 0;

        rig_send(&rig, false, http_method_name(route->method), path, SAME JSON, NULL, &reply);
        assert_security(&reply);
        if (route->auth == AUTH_SOCKET) {
            assert_status(&reply, 403);
        } else if (route->auth == AUTH_USER && api) {
            assert_status(&reply, 401);
            assert_non_null(reply_header(&reply, "WWW-Authenticate"));
            assert_string_equal(reply_header(&reply, "Content-Type"), "application/problem+json");
        } else if (route->auth == AUTH_USER) {
            assert_status(&reply, 303);
            assert_memory_equal(reply_header(&reply, "Location"), "/login", 6);
        }
        assert_int_equal(doubles.calls, 0);
        reply_fini(&reply);
    }
    rig_stop(&rig);
}

static void test_headers_everywhere(void **state)
{
    static const char *const paths[] = {"/nowhere",
                                        "/api/v1/nowhere",
                                        "/assets/app.css",
                                        "/%zz",
                                        "/credentials/not-a-ulid",
                                        ("/api/v1/credentials/" ULID),
                                        "/credentials?view=bad",
                                        "/credentials?after=!"};
    struct rig rig;
    const struct web_route *route;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    for (size_t i = 0; (route = web_route_at(i)); i++) {
        CM_AUTO_STR path = path_of(route->pattern);
        struct reply reply;

        rig_send(&rig, false, http_method_name(route->method), path, rig.cookie, NULL, &reply);
        assert_security(&reply);
        assert_null(reply_header(&reply, "Strict-Transport-Security")); /* plain text here */
        reply_fini(&reply);
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct reply reply;

        if (strcmp(paths[i], "/%zz") == 0)
            continue; /* refused below us, by the parser */
        rig_get(&rig, paths[i], &reply);
        assert_true(reply.status == 404 || reply.status == 422);
        assert_security(&reply);
        assert_string_equal(reply_header(&reply, "Cache-Control"), "no-store");
        reply_fini(&reply);
    }
    rig_stop(&rig);
}

static void test_pages_live_on_the_manager(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    doubles.manager = false;
    rig_get(&rig, "/credentials?view=status", &reply);
    assert_status(&reply, 303);
    assert_string_equal(reply_header(&reply, "Location"),
                        "https://alpha.example.net:8443/credentials?view=status");
    reply_fini(&reply);
    rig_get(&rig, "/api/v1/credentials", &reply);
    assert_status(&reply, 421);
    assert_has(&reply, "https://alpha.example.net:8443");
    reply_fini(&reply);
    rig_send(&rig, true, "GET", "/api/v1/credentials", NULL, NULL, &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    rig_get(&rig, "/livez", &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    doubles.no_manager = true;
    rig_get(&rig, "/", &reply);
    assert_status(&reply, 503);
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_assets(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_get(&rig, web_asset_url("app.css"), &reply);
    assert_status(&reply, 200);
    assert_string_equal(reply_header(&reply, "Content-Type"), "text/css; charset=utf-8");
    assert_non_null(strstr(reply_header(&reply, "Cache-Control"), "immutable"));
    assert_has(&reply, "prefers-color-scheme: dark");
    assert_int_equal(strlen(reply.body), web_asset("app.css")->size);
    reply_fini(&reply);
    rig_get(&rig, web_asset_url("live.mjs"), &reply);
    assert_status(&reply, 200);
    assert_string_equal(reply_header(&reply, "Content-Type"), "text/javascript; charset=utf-8");
    reply_fini(&reply);
    rig_get(&rig, web_asset_url("logo.svg"), &reply);
    assert_status(&reply, 200);
    assert_string_equal(reply_header(&reply, "Content-Type"), "image/svg+xml");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void test_health(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_credential(&rig, ULID, "www.example.com", "issued", "2030-01-01T00:00:00.000Z",
                   "bravo.example.net");
    rig_get(&rig, "/metrics", &reply);
    assert_status(&reply, 200);
    assert_has(&reply, "certmgr_credentials{status=\"issued\"} 1\n");
    assert_has(&reply, "certmgr_build_info{version=\"");
    assert_has(&reply, "\ncertmgr_event_streams 0\n");
    assert_has_not(&reply, "example.com");
    reply_fini(&reply);
    rig_get(&rig, "/readyz", &reply);
    assert_status(&reply, 200);
    reply_fini(&reply);
    doubles.trust_expires_ms = cm_now_ms() - 1;
    rig_get(&rig, "/readyz", &reply);
    assert_status(&reply, 503);
    reply_fini(&reply);
    rig_send(&rig, false, "HEAD", "/livez", NULL, NULL, &reply);
    assert_status(&reply, 200);
    assert_string_equal(reply.body, "");
    reply_fini(&reply);
    rig_stop(&rig);
}

static void on_tls_reply(void *arg, const struct http_result *res)
{
    char value[200];

    assert_int_equal(res->status, 200);
    assert_true(
        http_header_get(res->headers, "Strict-Transport-Security", 0, value, sizeof(value)));
    assert_string_equal(value, "max-age=31536000");
    *(bool *)arg = true;
}

static void test_hsts_on_tls(void **state)
{
    struct rig rig;
    struct tls_server *tls = NULL;
    struct http_listener *listener = NULL;
    struct http_client *client;
    char cert[256], key[256], pin[65], url[300];
    bool done = false;

    (void)state;
    rig_start(&rig);
    snprintf(cert, sizeof(cert), "%s/cert.pem", rig.dir);
    snprintf(key, sizeof(key), "%s/key.pem", rig.dir);
    assert_int_equal(tls_identity_make("alpha", cert, key, NULL), 0);
    assert_int_equal(tls_spki_of_file(cert, pin, NULL), 0);
    assert_int_equal(
        tls_server_new(&(struct tls_server_opts){.cert_file = cert, .key_file = key}, &tls, NULL),
        0);
    struct http_listen_opts opts = {.address = "127.0.0.1:0",
                                    .fd = -1,
                                    .tls = tls,
                                    .limit = web_limit,
                                    .handler = web_handle,
                                    .arg = rig.web};
    assert_int_equal(http_listen(rig.loop, &opts, &listener, NULL), 0);
    client = http_client_new(rig.loop);
    snprintf(url, sizeof(url), "https://%s/livez", http_listener_address(listener));
    assert_non_null(http_call(client, &(struct http_call_opts){.url = url, .pin_spki = pin},
                              on_tls_reply, &done, NULL));
    for (int i = 0; i < 1000 && !done; i++)
        cm_loop_turn(rig.loop, true);
    assert_true(done);
    http_client_free(client);
    http_listener_free(listener);
    rig_settle(&rig);
    tls_server_free(tls);
    rig_stop(&rig);
}

/* Too much, and what no text has: an ordinary page that says so, the API's words in the API. */
static void test_forms_that_cannot_be_taken(void **state)
{
    struct rig rig;
    struct reply reply;

    (void)state;
    rig_start(&rig);
    rig_sign_in(&rig);
    CM_AUTO_STR headers =
        cm_asprintf("%sContent-Type: application/x-www-form-urlencoded\r\n", rig.cookie);
    CM_AUTO_STR huge = cm_malloc(300001);
    memset(huge, 'a', 300000);
    huge[300000] = '\0';
    rig_send(&rig, false, "POST", "/login", headers, huge, &reply);
    assert_status(&reply, 413);
    assert_has(&reply, "<html lang=\"en\">");
    assert_has(&reply, "This is more than can be taken at once");
    assert_has(&reply, "nothing was changed");
    assert_has(&reply, "Content-Security-Policy: ");
    reply_fini(&reply);
    rig_send(&rig, false, "POST", "/api/v1/settings", headers, huge, &reply);
    assert_status(&reply, 413);
    assert_has(&reply, "application/problem+json");
    reply_fini(&reply);
    rig_post(&rig, "/login", "name=a%00b&password=x", &reply);
    assert_true(reply.status >= 400 && reply.status < 500);
    assert_has(&reply, "<html lang=\"en\">");
    assert_has(&reply, "a field holds a NUL byte");
    reply_fini(&reply);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_that_cannot_be_taken),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_wrong_methods),
        cmocka_unit_test(test_login_wall),
        cmocka_unit_test(test_headers_everywhere),
        cmocka_unit_test(test_pages_live_on_the_manager),
        cmocka_unit_test(test_assets),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_hsts_on_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
