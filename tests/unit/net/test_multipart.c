/* Forms with a file: what browsers send comes apart byte for byte, everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/mem.h"
#include "base/net/multipart.h"

#define TYPE "multipart/form-data; boundary=----x7"

static int note(void *arg, const char *name, const char *data, size_t len)
{
    struct cm_buf *out = arg;

    cm_buf_printf(out, "%s=", name);
    cm_buf_add(out, data, len);
    cm_buf_puts(out, "|");
    return strcmp(name, "stop") == 0 ? 7 : 0;
}

/* What came apart, in front of the result when that is not 0. */
static char *apart(const char *type, const char *body, size_t len)
{
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf out;
    char *text;

    cm_buf_init(&out, 1 << 20);
    int rc = multipart_each(type, body, len, note, &out, &err);
    if (rc != 0)
        cm_buf_printf(&out, "%s%s", rc > 0 ? "stopped" : cm_code_name(rc), err.what);
    assert_int_equal(err.code, rc < 0 ? rc : 0);
    text = cm_strdup(cm_buf_str(&out));
    cm_buf_fini(&out);
    cm_err_fini(&err);
    return text;
}

#define PART(name, text)                                                                           \
    "------x7\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" text "\r\n"
#define END "------x7--\r\n"

static void expect(const char *type, const char *body, const char *wanted)
{
    CM_AUTO_STR got = apart(type, body, strlen(body));

    if (strncmp(got, wanted, strlen(wanted)) != 0)
        fail_msg("got %s, not %s", got, wanted);
}

static void parts_come_apart(void **state)
{
    (void)state;
    expect(TYPE, PART("a", "one") PART("b", "") END, "a=one|b=|");
    /* What a file has besides; line ends and dashes of its own stay. */
    expect(
        TYPE,
        "------x7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a;name=b.json\"\r\n"
        "Content-Type: application/json\r\n\r\n{\r\n--\r\n----x}\r\n" END,
        "file={\r\n--\r\n----x}|");
    /* Other orders, other case, no quotes; the quoted name of another parameter is none. */
    expect("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"----x7\"",
           "------x7\r\nContent-Type: text/plain\r\n"
           "content-disposition: form-data; filename=\"; name=evil\"; NAME=b\r\n\r\nx\r\n" END,
           "b=x|");
    expect(TYPE, END, "");
    expect(TYPE, PART("stop", "x") PART("b", "y") END, "stop=x|stopped");
}

static void others_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "------x",
        "preamble\r\n" PART("a", "x") END,
        PART("a", "x"),                      /* no end */
        "------x7\r\n\r\nx\r\n" END,         /* no head */
        "------x7\r\nA: b\r\n\r\nx\r\n" END, /* no name */
        PART("", "x") END,
        PART("a\" b", "x") END, /* a blank behind the name is fine, but no second quote */
        PART("a b", "x") END,
        "------x7\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n" END,
        "------x7 \r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n" END,
        "------x7\r\nContent-Disposition: form-data; name=\"a\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (i == 7) {
            expect(TYPE, bad[i], "a=x|");
            continue;
        }
        expect(TYPE, bad[i], "malformed");
    }
    expect("multipart/form-data", END, "malformed");
    expect("multipart/form-data; boundary=", END, "malformed");
    expect("multipart/mixed; boundary=----x7", END, "malformed");
    expect("multipart/form-data; boundary="
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
           END, "malformed");
}

static void limits_hold(void **state)
{
    struct cm_buf body;
    (void)state;
    cm_buf_init(&body, 1 << 20);
    for (int i = 0; i < MULTIPART_PARTS_MAX; i++)
        cm_buf_puts(&body, PART("a", ""));
    CM_AUTO_STR most = cm_asprintf("%s%s", cm_buf_str(&body), END);
    CM_AUTO_STR more = cm_asprintf("%s%s%s", cm_buf_str(&body), PART("b", ""), END);
    cm_buf_fini(&body);
    CM_AUTO_STR good = apart(TYPE, most, strlen(most));
    CM_AUTO_STR bad = apart(TYPE, more, strlen(more));
    assert_int_equal(strlen(good), 3 * MULTIPART_PARTS_MAX);
    assert_non_null(strstr(bad, "limit"));
    assert_null(strstr(bad, "b=|"));
    CM_AUTO_STR pad = cm_malloc(MULTIPART_HEAD_MAX + 1);
    memset(pad, 'a', MULTIPART_HEAD_MAX);
    pad[MULTIPART_HEAD_MAX] = '\0';
    CM_AUTO_STR head = cm_asprintf("------x7\r\nX: %s\r\n%s", pad, PART("a", "x") END);
    expect(TYPE, head, "malformed");
}

/* Every byte may be cut off or be a NUL: nothing is read beyond the end. */
static void any_cut_is_survived(void **state)
{
    static const char whole[] = PART("a", "one") PART("b", "two") END;
    (void)state;
    for (size_t len = 0; len < sizeof(whole); len++) {
        char *copy = cm_malloc(len + 1);
        memcpy(copy, whole, len);
        cm_free(apart(TYPE, copy, len));
        for (size_t i = 0; i < len; i++) {
            char kept = copy[i];
            copy[i] = '\0';
            cm_free(apart(TYPE, copy, len));
            copy[i] = kept;
        }
        cm_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_apart),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(any_cut_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
