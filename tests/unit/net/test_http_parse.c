/* The request head parser against the leniency table, and its decoding of what is accepted.
 * "test --write-corpus DIR" writes the table as seeds of the fuzz target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/mem.h"
#include "base/net/http_parse.h"

#include "http_rows.h"

static void row_bytes(const struct http_row *row, struct cm_buf *out)
{
    cm_buf_init(out, 1u << 20);
    cm_buf_add(out, row->raw, row->len);
    for (unsigned i = 0; i < row->count; i++)
        cm_buf_puts(out, row->unit);
    cm_buf_puts(out, row->tail);
}

/* What the server does with received bytes: the status it would send, 200 = accepted. */
static int verdict(const char *data, size_t len, struct http_head *head)
{
    struct cm_err err = CM_ERR_INIT;
    size_t seen = 0;
    int status = 0;
    int r = http_head_scan(data, len, &seen, &status, &err);

    if (r == 0)
        return HTTP_ROW_MORE;
    if (r > 0)
        r = http_head_parse(data, (size_t)r, head, &status, &err);
    if (r == 0) {
        assert_int_equal(status, 0);
        assert_int_equal(err.code, 0);
        status = 200;
    } else {
        bool limit = status == 413 || status == 414 || status == 431;
        assert_int_equal(r, limit ? CM_ELIMIT : CM_EMALF);
        assert_int_equal(err.code, r);
        assert_true(err.what[0] != '\0');
        assert_null(head->store);
    }
    cm_err_fini(&err);
    return status;
}

static void test_rows(void **state)
{
    (void)state;
    assert_true(HTTP_ROWS_COUNT >= HTTP_ROWS_PROBED);
    for (size_t i = 0; i < HTTP_ROWS_COUNT; i++) {
        struct http_head head = {.store = NULL};
        struct cm_buf raw;
        row_bytes(&http_rows[i], &raw);
        int status = verdict(raw.data, raw.len, &head);
        if (status != http_rows[i].status)
            fail_msg("%s: got %d, expected %d", http_rows[i].name, status, http_rows[i].status);
        http_head_fini(&head);
        cm_buf_fini(&raw);
    }
}

/* However the bytes are cut, the verdict is the same and never comes from a later request. */
static void test_rows_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < HTTP_ROWS_COUNT; i++) {
        struct cm_buf raw;
        size_t seen = 0, n = 0;
        int whole_status = 0, status = 0, r = 0;
        row_bytes(&http_rows[i], &raw);
        int whole = http_head_scan(raw.data, raw.len, &seen, &whole_status, NULL);
        seen = 0;
        while (r == 0 && n < raw.len)
            r = http_head_scan(raw.data, ++n, &seen, &status, NULL);
        assert_int_equal(r, whole);
        assert_int_equal(status, whole_status);
        if (r > 0)
            assert_int_equal(n, r);
        cm_buf_fini(&raw);
    }
}

static struct http_head parse(const char *text)
{
    struct http_head head;
    int status = verdict(text, strlen(text), &head);

    assert_int_equal(status, 200);
    return head;
}

static void test_fields(void **state)
{
    (void)state;
    struct http_head head = parse("POST /a?b=c&d HTTP/1.1\r\nHost: Www.Example.com:8443\r\n"
                                  "X-Mixed-CASE:\t  two words \t\r\nx-mixed-case: second\r\n"
                                  "Content-Length: 007\r\nExpect: 100-Continue\r\n\r\n");
    assert_int_equal(head.method, HTTP_POST);
    assert_string_equal(http_method_name(head.method), "POST");
    assert_int_equal(head.minor, 1);
    assert_string_equal(head.target, "/a?b=c&d");
    assert_string_equal(head.path, "/a");
    assert_string_equal(head.query, "b=c&d");
    assert_string_equal(head.host, "Www.Example.com:8443");
    assert_int_equal(head.field_count, 5);
    assert_string_equal(head.field[1].name, "x-mixed-case");
    assert_string_equal(http_head_field(&head, "x-mixed-case"), "two words");
    assert_null(http_head_field(&head, "cookie"));
    assert_true(head.has_body);
    assert_int_equal(head.content_length, 7);
    assert_true(head.keep_alive);
    assert_true(head.expect_continue);
    http_head_fini(&head);
    assert_null(head.store);
    assert_int_equal(head.field_count, 0);
}

static void test_defaults(void **state)
{
    (void)state;
    struct http_head head = parse("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(head.method, HTTP_DELETE);
    assert_string_equal(head.path, "/");
    assert_string_equal(head.query, "");
    assert_false(head.has_body);
    assert_int_equal(head.content_length, 0);
    assert_false(head.expect_continue);
    assert_true(head.keep_alive);
    http_head_fini(&head);
}

static void test_methods(void **state)
{
    (void)state;
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < 7; i++) {
        CM_AUTO_STR text = cm_asprintf("%s / HTTP/1.1\r\nHost: x\r\n\r\n", names[i]);
        struct http_head head = parse(text);
        assert_string_equal(http_method_name(head.method), names[i]);
        http_head_fini(&head);
    }
}

static void test_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *version, *connection;
        bool keep;
    } cases[] = {
        {"1.1", "keep-alive", true},      {"1.1", "close", false},
        {"1.1", "Close", false},          {"1.1", "foo, CLOSE ,bar", false},
        {"1.1", "closed, enclose", true}, {"1.1", ",", true},
        {"1.0", "keep-alive", false},     {"1.0", "x", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CM_AUTO_STR text = cm_asprintf("GET / HTTP/%s\r\nHost: x\r\nConnection: %s\r\n\r\n",
                                       cases[i].version, cases[i].connection);
        struct http_head head = parse(text);
        assert_int_equal(head.keep_alive, cases[i].keep);
        http_head_fini(&head);
    }
    struct http_head head =
        parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: close\r\n\r\n");
    assert_false(head.keep_alive);
    http_head_fini(&head);
    /* RFC 9110 10.1.1: ignored in HTTP/1.0. */
    head = parse("POST / HTTP/1.0\r\nHost: x\r\nExpect: what\r\n\r\n");
    assert_false(head.expect_continue);
    assert_int_equal(head.minor, 0);
    http_head_fini(&head);
}

static void test_path_decoding(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/a%20b", "/a b", ""},
        {"/a+b", "/a+b", ""},
        {"/%7e/%41", "/~/A", ""},
        {"/db/_local%2Fx%2fy", "/db/_local%2Fx%2Fy", ""},
        {"/a%252Fb", "/a%2Fb", ""},
        {"/a%25b", "/a%b", ""},
        {"/%e6%97%a5", "/\xe6\x97\xa5", ""},
        {"/request:01J;v=1,2@x", "/request:01J;v=1,2@x", ""},
        {"/a%3Fb?c%3d", "/a?b", "c%3d"},
        {"/a?b?c/../d", "/a", "b?c/../d"},
        {"/a?", "/a", ""},
        {"/a?keys=[\"x\"]&y={}|^`<>'", "/a", "keys=[\"x\"]&y={}|^`<>'"},
        {"/a//b/", "/a//b/", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CM_AUTO_STR text = cm_asprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].target);
        struct http_head head = parse(text);
        assert_string_equal(head.target, cases[i].target);
        assert_string_equal(head.path, cases[i].path);
        assert_string_equal(head.query, cases[i].query);
        http_head_fini(&head);
    }
}

static void test_block_bounds(void **state)
{
    (void)state;
    struct http_head head;
    int status;
    const char *two = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /* One block exactly: neither less nor more. */
    assert_int_equal(http_head_parse(two, strlen(two), &head, &status, NULL), CM_EMALF);
    assert_int_equal(status, 400);
    assert_int_equal(http_head_parse(two, strlen(two) / 2 - 1, &head, &status, NULL), CM_EMALF);
    assert_int_equal(status, 400);
    assert_int_equal(http_head_parse("", 0, &head, &status, NULL), CM_EMALF);
    assert_int_equal(http_head_parse(two, strlen(two) / 2, &head, &status, NULL), 0);
    http_head_fini(&head);
}

/* A block of exactly HTTP_HEAD_MAX bytes is accepted, one byte more is not. */
static void test_head_max(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        struct cm_buf text;
        struct http_head head = {.store = NULL};
        cm_buf_init(&text, HTTP_HEAD_MAX + 16);
        cm_buf_puts(&text, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
        while (text.len < HTTP_HEAD_MAX - 4 + extra)
            cm_buf_putc(&text, 'a');
        cm_buf_puts(&text, "\r\n\r\n");
        assert_int_equal(text.len, HTTP_HEAD_MAX + extra);
        assert_int_equal(verdict(text.data, text.len, &head), extra == 0 ? 200 : 431);
        http_head_fini(&head);
        cm_buf_fini(&text);
    }
}

static int write_corpus(const char *dir)
{
    for (size_t i = 0; i < HTTP_ROWS_COUNT; i++) {
        CM_AUTO_STR path = cm_asprintf("%s/%03zu-%s", dir, i + 1, http_rows[i].name);
        struct cm_buf raw;
        row_bytes(&http_rows[i], &raw);
        FILE *f = fopen(path, "wb");
        if (f == NULL || fwrite(raw.data, 1, raw.len, f) != raw.len || fclose(f) != 0) {
            fprintf(stderr, "%s: cannot write\n", path);
            return 1;
        }
        cm_buf_fini(&raw);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_rows_byte_by_byte),
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_methods),       cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_path_decoding), cmocka_unit_test(test_block_bounds),
        cmocka_unit_test(test_head_max),
    };

    if (argc == 3 && strcmp(argv[1], "--write-corpus") == 0)
        return write_corpus(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
