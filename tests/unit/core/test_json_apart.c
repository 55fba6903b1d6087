/* What is JSON by its grammar, and its parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/core/json.h"
#include "base/core/mem.h"

static void the_grammar_says_nothing_about_values(void **state)
{
    (void)state;
    static const char *const good[] = {
        "1",
        " -0 ",
        "1e400",
        "-1.5E+3",
        "123456789012345678901234567890",
        "\"\\ud83d\"",
        "\"\\u0000\\uDC00\"",
        "\"\xc3\xa4\\n\"",
        "{\"a\":1,\"a\":2}",
        "[]",
        "{ }",
        "[ [ ] , {\"\" : [ null , true , false ] } ]\n",
        "[{\"a\":{\"b\":[[1,2],\"]}\"]}},{}]",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!cm_json_wellformed(good[i], strlen(good[i])))
            fail_msg("%s", good[i]);
}

static void what_is_no_json(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          " ",           "01",
        "-",         "1.",          ".5",
        "1e",        "+1",          "nul",
        "True",      "[1,]",        "[,1]",
        "[1 2]",     "{\"a\"}",     "{a:1}",
        "{\"a\":}",  "{1:2}",       "{\"a\":1,}",
        "[1}",       "{\"a\":1]",   "[1]]",
        "\"a",       "\"\\",        "\"\\x\"",
        "\"\\u12\"", "\"\\u12g4\"", "\"\n\"",
        "\"\xff\"",  "\xc3\xa4",    "[",
        "{\"a\":",   "1 2",         "\"\xed\xa0\x80\"",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (cm_json_wellformed(bad[i], strlen(bad[i])))
            fail_msg("%s", bad[i]);
    assert_false(cm_json_wellformed("1\0", 2));
    assert_false(cm_json_wellformed("\"\0\"", 3));
    assert_false(cm_json_wellformed("\"\\\0\"", 4));
}

/* Whatever jansson reads is well-formed, and what it refuses for its grammar is not. */
static void any_changed_byte_agrees_with_jansson(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,-2.5e3,\"x\\u00e4\\n\",null],\"b\":{\"c\":[true,{}]}}";
    char copy[sizeof(text)];
    for (size_t at = 0; at < sizeof(text) - 1; at++)
        for (int c = 1; c < 256; c++) {
            memcpy(copy, text, sizeof(text));
            copy[at] = (char)c;
            json_t *v = json_loadb(copy, sizeof(text) - 1, JSON_DECODE_ANY, NULL);
            bool read = v != NULL;
            json_decref(v);
            bool well = cm_json_wellformed(copy, sizeof(text) - 1);
            /* jansson knows no halves of pairs; numbers of this length it holds all. */
            if (read != well && !strstr(copy, "\\ud") && !strstr(copy, "\\uD"))
                fail_msg("%s: %d %d", copy, read, well);
        }
    for (size_t len = 0; len < sizeof(text) - 1; len++)
        assert_false(cm_json_wellformed(text, len));
}

static void depth_has_no_end(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    CM_AUTO_STR text = cm_malloc(2 * DEEP + 1);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    assert_true(cm_json_wellformed(text, 2 * DEEP));
    assert_false(cm_json_wellformed(text, 2 * DEEP - 1));
    text[2 * DEEP - 1] = '}';
    assert_false(cm_json_wellformed(text, 2 * DEEP));
}

static void assert_parts(const char *text, const char *wanted)
{
    struct cm_json_span *span;
    size_t count;
    struct cm_buf out;
    bool apart = cm_json_parts(text, strlen(text), 4, &span, &count);
    assert_int_equal(apart, wanted != NULL);
    cm_buf_init(&out, 4096);
    for (size_t i = 0; i < count; i++)
        cm_buf_printf(&out, "%s%.*s", i > 0 ? "|" : "", (int)span[i].len, span[i].at);
    if (apart)
        assert_string_equal(cm_buf_str(&out), wanted);
    cm_buf_fini(&out);
    cm_free(span);
}

static void parts(void **state)
{
    (void)state;
    assert_parts("[]", "");
    assert_parts(" { } ", "");
    assert_parts("[ 1 , {\"a\":[2,3]} ,\"]\\\",\" ]", "1|{\"a\":[2,3]}|\"]\\\",\"");
    assert_parts("{\"a\" : 1e999 ,\n\"a\":\"\\ud800\",\"}\":{\"b\":[]} }",
                 "\"a\" : 1e999|\"a\":\"\\ud800\"|\"}\":{\"b\":[]}");
    assert_parts("[\"\\\\\",\"\",\"\\\"\"]", "\"\\\\\"|\"\"|\"\\\"\"");
    assert_parts("[1,2,3,4]", "1|2|3|4");
    assert_parts("[1,2,3,4,5]", NULL); /* more than max */
    assert_parts("1", NULL);
    assert_parts("\"[]\"", NULL);
    assert_parts("[1", NULL);
    assert_parts("[1]]", NULL);
    assert_parts("", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grammar_says_nothing_about_values),
        cmocka_unit_test(what_is_no_json),
        cmocka_unit_test(any_changed_byte_agrees_with_jansson),
        cmocka_unit_test(depth_has_no_end),
        cmocka_unit_test(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
