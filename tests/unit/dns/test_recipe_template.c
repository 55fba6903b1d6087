/* Escapes by position, types kept, secrets masked, holes that are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/core/mem.h"
#include "certmgr/dns/recipe.h"

static struct rcp_vars vars;

static int set_up(void **state)
{
    (void)state;
    vars.recipe = json_pack("{s:[{s:s}, {s:s, s:b}], s:[s], s:s}", "credentials", "name", "token",
                            "name", "user", "secret", 0, "hosts", "api.example.com", "base",
                            "https://api.example.com/v1/");
    vars.values =
        json_pack("{s:{s:s, s:s}, s:{s:i, s:s}, s:{s:s, s:s, s:s}, s:s, s:[s, s], s:{s:s}}", "cred",
                  "token", "s3cr3t-token", "user", "some body", "opt", "ttl", 60, "text",
                  "a&b=c/d\r\nX: y", "zone", "name", "example.com", "up", "..", "none", "", "value",
                  "v\"\\\n", "values", "a", "b", "login", "token", "log1n-token");
    return vars.values ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref((json_t *)(uintptr_t)vars.recipe);
    json_decref(vars.values);
    return 0;
}

static void text_is(const char *template, enum rcp_pos pos, bool masked, const char *want)
{
    struct cm_buf out;
    struct cm_err err = CM_ERR_INIT;
    cm_buf_init(&out, 4096);
    int rc = rcp_text(&out, template, &vars, pos, masked, &err);
    if (want)
        assert_string_equal(cm_buf_str(&out), want);
    assert_int_equal(rc, want ? 0 : CM_EINVAL);
    cm_buf_fini(&out);
}

static void json_is(const char *form, bool masked, const char *want)
{
    struct cm_buf out;
    json_t *v = NULL;
    cm_buf_init(&out, 4096);
    assert_int_equal(cm_json_parse(form, strlen(form), &v, NULL), 0);
    assert_int_equal(rcp_json(&out, v, NULL, &vars, masked, NULL), 0);
    assert_string_equal(cm_buf_str(&out), want);
    json_decref(v);
    cm_buf_fini(&out);
}

static void the_position_decides(void **state)
{
    (void)state;
    text_is("/z/{{opt.text}}/r", RCP_PATH, false, "/z/a%26b%3Dc%2Fd%0D%0AX%3A%20y/r");
    text_is("{{opt.text}} +", RCP_QUERY, false, "a%26b%3Dc%2Fd%0D%0AX%3A%20y%20%2B");
    text_is("{{opt.text}}", RCP_FORM, false, "a%26b%3Dc%2Fd%0D%0AX%3A%20y");
    text_is("x {{opt.text}}", RCP_HEADER, false, NULL);
    text_is("Bearer {{cred.token}}", RCP_HEADER, false, "Bearer s3cr3t-token");
    text_is("/z/{{zone.none}}/r", RCP_PATH, false, NULL);
    json_is("{\"a\":\"x{{value}}\"}", false, "{\"a\":\"xv\\\"\\\\\\n\"}");
}

static void one_placeholder_keeps_its_type(void **state)
{
    (void)state;
    json_is("[\"{{opt.ttl}}\",\"{{ opt.ttl }}s\",\"{{opt.ttl|lower}}\",\"{{values}}\"]", false,
            "[60,\"60s\",\"60\",[\"a\",\"b\"]]");
    json_is("{\"a\":1,\"b\":\"{{record.id}}\",\"c\":true}", false, "{\"a\":1,\"c\":true}");
    text_is("a {{values}}", RCP_TEXT, false, NULL);
    text_is("a {{record.id}}", RCP_TEXT, false, NULL);
    struct cm_buf out;
    cm_buf_init(&out, 10);
    assert_int_equal(rcp_text(&out, "{{record.id}}", &vars, RCP_QUERY, false, NULL), RCP_UNSET);
    cm_buf_fini(&out);
}

static void filters(void **state)
{
    (void)state;
    text_is("{{zone.name|dot}}", RCP_TEXT, false, "example.com.");
    text_is("{{zone.name|dot|dot}}{{zone.name|nodot}}", RCP_TEXT, false, "example.com.example.com");
    text_is("{{value|quote}}", RCP_TEXT, false, "\"v\\\"\\\\\n\"");
    text_is("{{zone.name|base64}}", RCP_TEXT, false, "ZXhhbXBsZS5jb20=");
}

static void secrets_are_masked(void **state)
{
    (void)state;
    text_is("Bearer {{cred.token}} {{cred.token|base64}} {{login.token}}", RCP_TEXT, true,
            "Bearer *** *** ***");
    text_is("{{cred.user}}", RCP_TEXT, true, "some body");
    text_is("k={{cred.token}}", RCP_QUERY, true, "k%3D***");
    json_is("{\"a\":\"{{cred.token}}\",\"b\":\"x{{login.token}}\"}", true,
            "{\"a\":\"***\",\"b\":\"x***\"}");
    char said[] = "bad token s3cr3t-token, s3cr3t-token and log1n-token";
    rcp_scrub(said, &vars);
    assert_string_equal(said, "bad token ***, *** and ***");
}

static void malformed_holes(void **state)
{
    (void)state;
    static const char *const bad[] = {"{{",
                                      "{{}}",
                                      "{{a.b",
                                      "{{a.b}",
                                      "{{A.b}}",
                                      "{{a.b|}}",
                                      "{{a.b|upper}}",
                                      "{{a.b.c}}",
                                      "{{a b}}",
                                      "{{{a.b}}}",
                                      "{{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b}}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(rcp_holes(bad[i], NULL, NULL, NULL), CM_EINVAL);
    assert_int_equal(rcp_holes("a }} {b} {{ a.b | dot | lower }}", NULL, NULL, NULL), 0);
}

static void url_is(const char *target, bool lab, const char *want, int code)
{
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    int rc = rcp_url(&out, target, &vars, false, NULL);
    if (rc == 0)
        rc = rcp_url_allowed(cm_buf_str(&out), &vars, lab, NULL);
    assert_int_equal(rc, code);
    if (want)
        assert_string_equal(cm_buf_str(&out), want);
    cm_buf_fini(&out);
}

static void urls_stay_where_they_may(void **state)
{
    (void)state;
    url_is("/zones/{{zone.name}}", false, "https://api.example.com/v1/zones/example.com", 0);
    url_is("/zones/{{zone.up}}/x", false, NULL, CM_EINVAL);
    url_is("https://evil.example/x", false, NULL, CM_EDENIED);
    url_is("https://api.example.com:444/x", false, NULL, CM_EDENIED);
    url_is("http://api.example.com/x", true, NULL, CM_EDENIED);
    url_is("http://127.0.0.1/x", false, NULL, CM_EDENIED);
    url_is("http://127.0.0.1/x", true, NULL, CM_EDENIED); /* a lab, but not of the hosts */
    url_is("https://api.example.com@evil.example/", false, NULL, CM_EINVAL);
}

/* An account's own base is as far as it may be http: on loopback, in a laboratory. */
static void an_own_base_is_https_as_well(void **state)
{
    static const struct {
        const char *base;
        bool lab;
        int code;
    } table[] = {{"https://own.example/v1", false, 0},
                 {"http://own.example/v1", false, CM_EDENIED},
                 {"http://own.example/v1", true, CM_EDENIED},
                 {"http://127.0.0.1:8080/v1", false, CM_EDENIED},
                 {"http://127.0.0.1:8080/v1", true, 0}};
    (void)state;
    CM_AUTO_JSON own = json_loads("{\"options\":[{\"name\":\"url\",\"base\":true}]}", 0, NULL);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        CM_AUTO_JSON values = json_pack("{s:{s:s}}", "opt", "url", table[i].base);
        const struct rcp_vars with = {.recipe = own, .values = values};
        CM_AUTO_STR url = cm_asprintf("%s/zones", table[i].base);
        assert_int_equal(rcp_url_allowed(url, &with, table[i].lab, NULL), table[i].code);
    }
}

static bool has_line(const struct rcp_request *r, const char *line)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strcmp(r->headers[i], line) == 0)
            return true;
    return false;
}

static void a_whole_request(void **state)
{
    struct rcp_request r;
    (void)state;
    json_t *step =
        json_pack("{s:s, s:{s:s, s:s}, s:{s:s, s:{s:s}, s:s}, s:{s:s}}", "patch",
                  "/z/{{zone.name}}", "query", "a b", "{{opt.text}}", "gone", "{{record.id}}",
                  "headers", "Content-Type", "application/merge-patch+json", "X-Filter", "n\"\n",
                  "{{value}}", "If-Match", "{{record.etag}}", "json", "key", "{{cred.token}}");
    assert_non_null(step);
    assert_int_equal(rcp_request_build(&r, step, &vars, true, NULL, false, NULL), 0);
    assert_string_equal(r.method, "PATCH");
    assert_string_equal(r.url, "https://api.example.com/v1/z/example.com"
                               "?a%20b=a%26b%3Dc%2Fd%0D%0AX%3A%20y");
    assert_string_equal(r.body, "{\"key\":\"s3cr3t-token\"}");
    assert_true(has_line(&r, "Content-Type: application/merge-patch+json"));
    assert_true(has_line(&r, "X-Filter: {\"n\\\"\\n\":\"v\\\"\\\\\\n\"}"));
    assert_int_equal(r.header_count, 3); /* Accept; no If-Match without a value */
    assert_non_null(strstr(r.shown, "{\"key\":\"***\"}"));
    assert_null(strstr(r.shown, "s3cr3t"));
    rcp_request_fini(&r);
    json_object_set_new(step, "headers", json_pack("{s:s}", "X-A", "x{{opt.text}}"));
    assert_int_equal(rcp_request_build(&r, step, &vars, true, NULL, false, NULL), CM_EINVAL);
    json_decref(step);
}

static void quoted_texts(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"\"a b\"", "a b"},    {"a b", "a b"},
                                           {"\"a\" \"b\"", "ab"}, {"\"a\\\"b\\\\\"", "a\"b\\"},
                                           {"\"", "\""},          {"", ""}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        CM_AUTO_STR text = rcp_unquote(pairs[i][0]);
        assert_string_equal(text, pairs[i][1]);
    }
}

static void patterns(void **state)
{
    (void)state;
    assert_true(rcp_pattern_match("[a-z0-9-]{1,63}\\.duckdns\\.org", "my-name.duckdns.org"));
    assert_false(rcp_pattern_match("[a-z0-9-]{1,63}\\.duckdns\\.org", "my-nameXduckdns.org"));
    assert_false(rcp_pattern_match("[a-z0-9-]{1,63}\\.duckdns\\.org", "a.b.duckdns.org"));
    assert_true(rcp_pattern_match("[A-Za-z0-9_-]{4,8}", "aB_-9"));
    assert_false(rcp_pattern_match("[A-Za-z0-9_-]{4,8}", "abc"));
    assert_false(rcp_pattern_match("[A-Za-z0-9_-]{4,8}", "abcdefghi"));
    assert_true(rcp_pattern_match("[a-z]+[a-z]{3}", "abcd"));
    assert_true(rcp_pattern_match("a?.*", ""));
    static const char *const bad[] = {"",       "(a)",  "a|b", "[",   "[]",       "[^a]", "a{",
                                      "a{2,1}", "a{0}", "^a",  "a**", "a{99999}", "\\d"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(rcp_pattern_ok(bad[i]));
}

static void pointers(void **state)
{
    (void)state;
    json_t *v = json_pack("{s:{s:[i, i]}, s:s}", "a/b", "c~d", 1, 2, "", "empty");
    assert_int_equal(json_integer_value(rcp_pointer(v, "/a~1b/c~0d/1")), 2);
    assert_string_equal(json_string_value(rcp_pointer(v, "/")), "empty");
    assert_ptr_equal(rcp_pointer(v, ""), v);
    assert_null(rcp_pointer(v, "/a~1b/c~0d/2"));
    assert_null(rcp_pointer(v, "/a~1b/c~0d/01"));
    assert_null(rcp_pointer(v, "/a~1b/c~0d/-1"));
    assert_null(rcp_pointer(v, "/x/y"));
    assert_false(rcp_pointer_ok("a"));
    assert_false(rcp_pointer_ok("/a~2"));
    json_decref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_position_decides),
        cmocka_unit_test(one_placeholder_keeps_its_type),
        cmocka_unit_test(filters),
        cmocka_unit_test(secrets_are_masked),
        cmocka_unit_test(malformed_holes),
        cmocka_unit_test(urls_stay_where_they_may),
        cmocka_unit_test(an_own_base_is_https_as_well),
        cmocka_unit_test(a_whole_request),
        cmocka_unit_test(quoted_texts),
        cmocka_unit_test(patterns),
        cmocka_unit_test(pointers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
