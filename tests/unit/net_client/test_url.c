/* Strict URLs, joining, percent-encoding, form decoding. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/http_parse.h"
#include "base/net/url.h"

static void good_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path, *origin;
        int port;
    } rows[] = {
        {"https://Example.COM", "example.com", "/", "https://example.com", 443},
        {"HTTPS://example.com:443/a?b=c", "example.com", "/a?b=c", "https://example.com", 443},
        {"http://example.com:8080/", "example.com", "/", "http://example.com:8080", 8080},
        {"http://example.com:443/", "example.com", "/", "http://example.com:443", 443},
        {"https://[2001:DB8::1]:14000/dir", "2001:db8::1", "/dir", "https://[2001:db8::1]:14000",
         14000},
        {"http://[::1]", "::1", "/", "http://[::1]", 80},
        {"https://127.0.0.1:1?x", "127.0.0.1", "/?x", "https://127.0.0.1:1", 1},
        {"https://a_b.example/%41%c3%a4", "a_b.example", "/%41%c3%a4", "https://a_b.example", 443},
        {"https://ca.example/acme@x/y:z", "ca.example", "/acme@x/y:z", "https://ca.example", 443},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct url url;
        char origin[300];
        assert_int_equal(url_parse(rows[i].text, &url, NULL), 0);
        assert_string_equal(url.host, rows[i].host);
        assert_string_equal(url.path, rows[i].path);
        assert_int_equal(url.port, rows[i].port);
        url_origin(&url, origin, sizeof(origin));
        assert_string_equal(origin, rows[i].origin);
    }
}

static void bad_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "https:/example.com",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://u:p@example.com/",
        "https://example.com/#top",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/\r\nX: y",
        "https://example.com/\x7f",
        "https://日本語.jp/",
        "https://example.com\\@evil.example/",
        "https://example.com/%",
        "https://example.com/%4",
        "https://example.com/%zz",
        "https://example.com:/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:80x/",
        "https://example.com:+80/",
        "https://example.com:443:1/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[::g]/",
        "https://[127.0.0.1]/",
        "https://.example.com/",
        "https://example..com/",
        "https://example.com./",
        "https://ex$ample.com/",
        "https://?x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct url url;
        struct cm_err err = CM_ERR_INIT;
        if (url_parse(bad[i], &url, &err) != CM_EMALF)
            assert_string_equal(bad[i], "should have been refused");
        assert_string_not_equal(err.what, "");
    }
}

static void long_urls_are_refused(void **state)
{
    (void)state;
    struct url url;
    char text[5000] = "https://example.com/";
    size_t head = strlen(text);
    memset(text + head, 'a', sizeof(url.path) - 2); /* with the slash one below the size */
    assert_int_equal(url_parse(text, &url, NULL), 0);
    text[head + sizeof(url.path) - 2] = 'a';
    assert_int_equal(url_parse(text, &url, NULL), CM_EMALF);
    memset(text + 8, 'a', 256);
    memcpy(text + 8 + 256, "/", 2);
    assert_int_equal(url_parse(text, &url, NULL), CM_EMALF);
}

static void joining(void **state)
{
    (void)state;
    char out[100];
    const char *base = "https://ca.example:14000/dir/x?y";
    assert_int_equal(url_join(base, "/acme/1?z", out, sizeof(out), NULL), 0);
    assert_string_equal(out, "https://ca.example:14000/acme/1?z");
    assert_int_equal(url_join(base, "https://other.example/a", out, sizeof(out), NULL), 0);
    assert_string_equal(out, "https://other.example/a");
    static const char *const bad[] = {
        "", "a", "../a", "?x", "//evil.example/", "/a b", "/#x", "javascript:alert(1)", "/\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(url_join(base, bad[i], out, sizeof(out), NULL), CM_EMALF);
    assert_int_equal(url_join("nonsense", "/a", out, sizeof(out), NULL), CM_EMALF);
    assert_int_equal(url_join(base, "/acme/1", out, 20, NULL), CM_EMALF);
}

static void encoding(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, 200);
    url_encode(&out, "aZ09-._~ /?&=+%\"<\n日");
    assert_string_equal(cm_buf_str(&out), "aZ09-._~%20%2F%3F%26%3D%2B%25%22%3C%0A%E6%97%A5");
    cm_buf_fini(&out);
}

static int collect(void *arg, const char *name, const char *value)
{
    cm_buf_printf(arg, "[%s|%s]", name, value);
    return strcmp(name, "stop") == 0 ? 7 : 0;
}

static int form(const char *text, size_t len, const char *want)
{
    struct cm_buf out;
    cm_buf_init(&out, 10000);
    CM_AUTO_STR exact = cm_memdup(text, len); /* so that reads past the end are seen */
    int rc = url_form_each(exact, len, collect, &out, NULL);
    if (want)
        assert_string_equal(cm_buf_str(&out), want);
    cm_buf_fini(&out);
    return rc;
}

static void forms(void **state)
{
    (void)state;
    assert_int_equal(form("", 0, ""), 0);
    assert_int_equal(form("a=1&b=x+y%20z&c", 15, "[a|1][b|x y z][c|]"), 0);
    assert_int_equal(form("a=b=c&&=d&", 10, "[a|b=c][|d]"), 0);
    assert_int_equal(form("n=%E6%97%A5%0D%0A", 17, "[n|日\r\n]"), 0);
    assert_int_equal(form("a=1&stop=2&b=3", 14, "[a|1][stop|2]"), 7);
    assert_int_equal(form("a=%", 3, NULL), CM_EMALF);
    assert_int_equal(form("a=%4", 4, NULL), CM_EMALF);
    assert_int_equal(form("a=%4&b=1", 8, NULL), CM_EMALF);
    assert_int_equal(form("a=%4g", 5, NULL), CM_EMALF);
    assert_int_equal(form("a=%00", 5, NULL), CM_EMALF);
    assert_int_equal(form("a=\0b", 4, NULL), CM_EMALF);
    assert_int_equal(form("%00=a", 5, NULL), CM_EMALF);
    assert_int_equal(form("a=%ff", 5, NULL), CM_EMALF);
    assert_int_equal(form("a=%C3&b=%A4", 11, NULL), CM_EMALF);
}

static void form_fields_are_counted(void **state)
{
    (void)state;
    char text[4 * (HTTP_QUERY_MAX + 1)];
    for (int i = 0; i <= HTTP_QUERY_MAX; i++)
        memcpy(text + 4 * i, "a=1&", 4);
    assert_int_equal(form(text, 4 * HTTP_QUERY_MAX, NULL), 0);
    assert_int_equal(form(text, 4 * (HTTP_QUERY_MAX + 1), NULL), CM_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls),
        cmocka_unit_test(bad_urls),
        cmocka_unit_test(long_urls_are_refused),
        cmocka_unit_test(joining),
        cmocka_unit_test(encoding),
        cmocka_unit_test(forms),
        cmocka_unit_test(form_fields_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
