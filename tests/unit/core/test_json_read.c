/* The fast reader beside jansson, its judge: what it takes, jansson takes with the same value; and
 * the writer beside jansson's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/json_text.h"
#include "base/core/mem.h"

/* Was it taken?  Fails when jansson disagrees. */
static bool taken(const char *text, size_t len)
{
    json_t *v = cm_json_read(text, len);
    json_t *judge = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (v && !judge)
        fail_msg("taken, but jansson refuses: %.*s", (int)len, text);
    if (v && !json_equal(v, judge))
        fail_msg("another value than jansson's: %.*s", (int)len, text);
    bool ok = v != NULL;
    json_decref(v);
    json_decref(judge);
    return ok;
}

static void plain_json_is_taken(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "\"\"",
        "0",
        "-0",
        "-1",
        "true",
        "false",
        "null",
        " [ 1 , 2 ] ",
        "{\"\":0}",
        "{\"a\":{\"b\":[{},[],\"\",0,true,false,null]},\"c\":\"d\"}",
        "9007199254740991",
        "-9007199254740991",
        "\t\r\n{ \"a\" : \"b\" }\n",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\u20ac\\ud83d\\ude00\"",
        "\"\\uD83D\\uDE00x\"",
        "\"12345678\\n12345678\\n1\"",
        "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\"\x7f\"",
        "{\"k\\n\":1,\"k\":2}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!taken(texts[i], strlen(texts[i])))
            fail_msg("left to jansson: %s", texts[i]);
}

static void everything_else_is_left_to_jansson(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "{",
                                        "}",
                                        "[",
                                        "[1",
                                        "[1,",
                                        "[,1]",
                                        "[1,]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{\"a\":1,}",
                                        "{a:1}",
                                        "{1:1}",
                                        "01",
                                        "-",
                                        "-a",
                                        "+1",
                                        "1.0",
                                        "1e5",
                                        "1E5",
                                        "9007199254740992",
                                        "-9007199254740992",
                                        "99999999999999999999",
                                        "tru",
                                        "truex",
                                        "nul",
                                        "1 2",
                                        "{} {}",
                                        "\"",
                                        "\"\\\"",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "\"\\u00g0\"",
                                        "\"\\u0000\"",
                                        "\"\\ud800\"",
                                        "\"\\udc00\"",
                                        "\"\\ud800\\u0041\"",
                                        "\"\\ud800x\"",
                                        "\"a\nb\"",
                                        "\"12345678\t\"",
                                        "\"\xff\"",
                                        "\"\xc0\xaf\"",
                                        "\"\xed\xa0\x80\"",
                                        "\"\xf4\x90\x80\x80\"",
                                        "\"\xe2\x82\"",
                                        "{\"a\":1,\"a\":1}",
                                        "{\"a\":1,\"\\u0061\":1}",
                                        "\"a\" x",
                                        "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (taken(texts[i], strlen(texts[i])))
            fail_msg("taken: %s", texts[i]);
    assert_false(taken("1\0", 2));
    assert_false(taken("\"a\0b\"", 5));
}

/* What needs care, and what is above 0x7f, is seen at every place of a text of any length, and
 * nothing behind what needs care. */
static void plain_ends_where_care_is_needed(void **state)
{
    (void)state;
    static const char cares[] = "\"\\\x1f";
    for (size_t len = 0; len <= 50; len++)
        for (size_t care = 0; care <= len; care++)
            for (size_t high = 0; high <= len; high++) {
                bool seen = false;
                char *text = cm_malloc(len); /* exactly: a sanitizer sees a byte too far */
                memset(text, care % 2 ? 'a' : ' ', len);
                if (high < len)
                    text[high] = (char)0x80;
                if (care < len)
                    text[care] = cares[(len + care) % 3];
                assert_int_equal(cm_json_plain(text, len, &seen), care);
                assert_int_equal(seen, high < care);
                cm_free(text);
            }
}

static void a_text_cut_anywhere_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"aa\":[1,{\"b\":\"12345678\\n\xc3\xa4\\ud83d\\ude00\"},true],"
                               "\"c\":null,\"d\":false,\"e\":-12}";
    size_t whole = strlen(text);
    for (size_t len = 0; len < whole; len++) {
        /* In memory of exactly this size: a sanitizer sees a byte too far. */
        char *copy = cm_memdup(text, len ? len : 1);
        assert_false(taken(copy, len));
        cm_free(copy);
    }
    assert_true(taken(text, whole));
}

static void any_changed_byte_agrees_with_jansson(void **state)
{
    (void)state;
    static const char base[] = "{\"a\":[1,-2,{\"b\":\"12345\\n\\u00e4\xe2\x82\xac\"}],\"c\":true}";
    static const unsigned char bytes[] = {0,   1,   '\t', ' ',  '"',  ',',  '-',  '.',  '0',
                                          '9', ':', '[',  ']',  '{',  '}',  '\\', 'e',  'u',
                                          'n', 't', 0x7f, 0x80, 0xc3, 0xe2, 0xed, 0xf0, 0xff};
    for (size_t at = 0; at < sizeof(base) - 1; at++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            char *copy = cm_memdup(base, sizeof(base) - 1);
            copy[at] = (char)bytes[i];
            (void)taken(copy, sizeof(base) - 1);
            cm_free(copy);
        }
    }
}

static void depth_ends_at_the_limit(void **state)
{
    (void)state;
    char text[2 * (CM_JSON_DEPTH_MAX + 1) + 1];
    for (size_t depth = CM_JSON_DEPTH_MAX; depth <= CM_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(taken(text, 2 * depth), depth == CM_JSON_DEPTH_MAX);
    }
}

static void writing_is_as_jansson_writes(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "\"\"",
        "0",
        "-1",
        "[1,[2,{\"a\":[]}],true,false,null]",
        "1.5",
        "[0.25,1e300]",
        "{\"z\":1,\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\t\",\"\":\"\xc3\xa4\x7f\"}",
        "[-9007199254740991,9223372036854775807,-9223372036854775808]",
        "\"\\u0001\\u0010\""};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CM_AUTO_JSON v = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        assert_non_null(v);
        size_t len = 0;
        CM_AUTO_STR ours = cm_json_dump(v, &len);
        CM_AUTO_STR theirs = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        assert_string_equal(ours, theirs);
        assert_int_equal(len, strlen(ours));
    }
}

static void deep_values_are_written(void **state)
{
    (void)state;
    CM_AUTO_JSON v = json_array();
    for (int i = 0; i < 1000; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, v);
        v = outer;
    }
    size_t len = 0;
    cm_free(cm_json_dump(v, &len));
    assert_int_equal(len, 2 * 1001);
}

/* ---- taking apart ------------------------------------------------------------------------- */

/* What is found, as "element|element;rest"; NULL: it is not taken apart. */
static char *split(const char *text, size_t max)
{
    struct cm_json_span *span;
    size_t count;
    json_t *rest;
    if (!cm_json_split(text, strlen(text), "docs", max, &span, &count, &rest))
        return NULL;
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    for (size_t i = 0; i < count; i++)
        cm_buf_printf(&out, "%s%.*s", i > 0 ? "|" : "", (int)span[i].len, span[i].at);
    CM_AUTO_STR others = cm_json_dump(rest, NULL);
    cm_buf_printf(&out, ";%s", others);
    json_decref(rest);
    cm_free(span);
    return cm_buf_take(&out, NULL);
}

static void assert_split(const char *text, const char *wanted)
{
    CM_AUTO_STR found = split(text, 4);
    if (wanted)
        assert_string_equal(found, wanted);
    else
        assert_null(found);
}

static void an_object_is_taken_apart(void **state)
{
    (void)state;
    assert_split("{\"docs\":[]}", ";{}");
    assert_split("{\"docs\":[{},[],1,\"a\"]}", "{}|[]|1|\"a\";{}");
    assert_split(" { \"a\" : 1 ,\"docs\" : [ {\"x\":\"]},\\\"\\\\\"} ,\n-1.5e3 ] , \"b\" : [{}] } ",
                 "{\"x\":\"]},\\\"\\\\\"}|-1.5e3;{\"a\":1,\"b\":[{}]}");
    assert_split("{\"docs\":[1,2,3,4]}", "1|2|3|4;{}");
    /* What is inside, its reader judges. */
    assert_split("{\"docs\":[{x:]]},nope]}", NULL);
    assert_split("{\"docs\":[{x:[},nope]}", NULL);
    assert_split("{\"docs\":[{x},nope]}", "{x}|nope;{}");
}

static void what_is_not_certain_is_not_taken_apart(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"a\":1}",
        "{\"docs\":{}}",
        "{\"docs\":[1,2,3,4,5]}", /* more than max */
        "{\"docs\":[1],\"docs\":[2]}",
        "{\"docs\":[1],\"a\":1,\"a\":2}",
        "{\"docs\":[1],\"a\":1.5}",
        "{\"docs\":[1],\"\\u0061\":1}",
        "{\"docs\":[1],\"\xc3\xa4\":1}",
        "{\"docs\":[1,]}",
        "{\"docs\":[,1]}",
        "{\"docs\":[1 2]}",
        "{\"docs\":[{}x]}",
        "{\"docs\":[1]]}",
        "{\"docs\":[1],}",
        "{\"docs\":[1]} x",
        "{\"docs\":[1]",
        "{\"docs\":[1",
        "{\"docs\":[\"a",
        "{\"docs\":[\"a\\",
        "{\"docs\":[{",
        "{\"docs\":[\"\n\"]}",
        "{docs:[1]}",
        "{\"docs\"[1]}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_split(texts[i], NULL);
}

/* The depth counts from the outermost brace, as when the whole is read. */
static void an_element_is_as_deep_as_it_may_be_where_it_is(void **state)
{
    (void)state;
    char text[2 * CM_JSON_DEPTH_MAX + 32];
    for (size_t depth = CM_JSON_DEPTH_MAX - 2; depth <= CM_JSON_DEPTH_MAX - 1; depth++) {
        size_t at = (size_t)snprintf(text, sizeof(text), "{\"docs\":[");
        memset(text + at, '[', depth);
        memset(text + at + depth, ']', depth);
        snprintf(text + at + 2 * depth, sizeof(text) - at - 2 * depth, "]}");
        CM_AUTO_STR found = split(text, 4);
        assert_int_equal(found != NULL, depth == CM_JSON_DEPTH_MAX - 2);
        CM_AUTO_JSON whole = NULL;
        assert_int_equal(cm_json_parse(text, strlen(text), &whole, NULL) == 0, found != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_json_is_taken),
        cmocka_unit_test(everything_else_is_left_to_jansson),
        cmocka_unit_test(plain_ends_where_care_is_needed),
        cmocka_unit_test(a_text_cut_anywhere_is_refused),
        cmocka_unit_test(any_changed_byte_agrees_with_jansson),
        cmocka_unit_test(depth_ends_at_the_limit),
        cmocka_unit_test(writing_is_as_jansson_writes),
        cmocka_unit_test(deep_values_are_written),
        cmocka_unit_test(an_object_is_taken_apart),
        cmocka_unit_test(what_is_not_certain_is_not_taken_apart),
        cmocka_unit_test(an_element_is_as_deep_as_it_may_be_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
