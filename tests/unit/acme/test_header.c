/* Header fields: plain values, both forms of Retry-After, links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/buf.h"
#include "certmgr/acme/header.h"

static void values(void **state)
{
    (void)state;
    char out[16];
    const char *head = "HTTP/1.1 200 OK\r\nA: one\r\na:  two \t\r\nAB: x\r\nEmpty:\r\nLong: "
                       "12345678901234567890\r\n\r\n";
    assert_true(acme_header_get(head, "a", 0, out, sizeof(out)));
    assert_string_equal(out, "one");
    assert_true(acme_header_get(head, "A", 1, out, sizeof(out)));
    assert_string_equal(out, "two");
    assert_false(acme_header_get(head, "a", 2, out, sizeof(out)));
    assert_true(acme_header_get(head, "empty", 0, out, sizeof(out)));
    assert_string_equal(out, "");
    assert_false(acme_header_get(head, "long", 0, out, sizeof(out)));
    assert_false(acme_header_get(NULL, "a", 0, out, sizeof(out)));
    assert_false(acme_header_get("", "a", 0, out, sizeof(out)));
    assert_false(acme_header_get("HTTP/1.1", "http/1.1", 0, out, sizeof(out)));
}

static int64_t after(const char *value, int64_t now)
{
    char head[128];
    snprintf(head, sizeof(head), "HTTP/1.1 429 X\r\nRetry-After: %s\r\n\r\n", value);
    return acme_retry_after(head, now);
}

static void retry_after(void **state)
{
    (void)state;
    const int64_t date = INT64_C(784111777000); /* 1994-11-06T08:49:37Z */
    const int64_t now = date - 60000;
    assert_int_equal(after("120", now), now + 120000);
    assert_int_equal(after("0", now), now);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT", now), date);
    assert_int_equal(after("Sunday, 06-Nov-94 08:49:37 GMT", now), date);
    assert_int_equal(after("Sun Nov  6 08:49:37 1994", now), date);
    assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT", date + 5), date + 5); /* past */
    assert_int_equal(after("99999999999999999999999", now), now + ACME_RETRY_AFTER_MAX);
    assert_int_equal(after("Sun, 06 Nov 2094 08:49:37 GMT", now), now + ACME_RETRY_AFTER_MAX);
    assert_int_equal(acme_retry_after("X: y\r\n", now), 0);
    assert_int_equal(acme_retry_after(NULL, now), 0);
    static const char *const bad[] = {"",
                                      "-5",
                                      "1.5",
                                      "soon",
                                      "Sun, 06 Nox 1994 08:49:37 GMT",
                                      "Sun, 36 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:3x GMT",
                                      "Sun, 06 Nov",
                                      ","};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (after(bad[i], now) != 0)
            fail_msg("%s was read", bad[i]);
    }
}

static void collect(void *arg, const char *target)
{
    cm_buf_printf(arg, "[%s]", target);
}

static void expect_links(const char *head, const char *rel, const char *want)
{
    struct cm_buf out;
    cm_buf_init(&out, 1 << 20);
    acme_link_each(head, rel, collect, &out);
    assert_string_equal(cm_buf_str(&out), want);
    cm_buf_fini(&out);
}

static void links(void **state)
{
    (void)state;
    expect_links("Link: </a>;rel=\"next\"\r\n", "next", "[/a]");
    expect_links("link: </a>; REL=Next , </b>;rel=next\r\n", "next", "[/a][/b]");
    expect_links("Link: </a>;rel=\"index\"\r\nLink: </b>;rel=\"next\"\r\n", "next", "[/b]");
    expect_links("Link: </a,b;c>; title=\"x,y;z\"; rel=\"up next\"\r\n", "next", "[/a,b;c]");
    expect_links("Link: </a>;rel=\"nextly\"\r\n", "next", "");
    expect_links("Link: </a>;foo;rel=next\r\n", "next", "[/a]");
    expect_links("Link: </a>\r\n", "next", "");
    expect_links("Link: <>;rel=next\r\n", "next", "");
    expect_links("Link: </a;rel=next\r\n", "next", "");
    expect_links("Link: ;;;===,,,<\r\n", "next", "");
    expect_links("Link: </a>;rel=\"next\r\n", "next", "[/a]");
    expect_links("Link: </a>=;rel=next\r\n", "next", "[/a]");
    expect_links(NULL, "next", "");
}

static void link_count_is_bounded(void **state)
{
    (void)state;
    struct cm_buf head;
    struct cm_buf out;
    cm_buf_init(&head, 1 << 20);
    cm_buf_init(&out, 1 << 20);
    for (int i = 0; i < 100; i++)
        cm_buf_puts(&head, "Link: </a>;rel=next, </b>;rel=next\r\n");
    acme_link_each(cm_buf_str(&head), "next", collect, &out);
    assert_int_equal(out.len, 4 * ACME_LINKS_MAX);
    cm_buf_fini(&head);
    cm_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(retry_after),
        cmocka_unit_test(links),
        cmocka_unit_test(link_count_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
