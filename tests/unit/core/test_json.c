/* JSON from outside: limits, numbers, duplicates; getters and setters. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdlib.h>

#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"

static int parse(const char *text)
{
    json_t *v = NULL;
    int rc = cm_json_parse(text, strlen(text), &v, NULL);
    assert_true((rc == 0) == (v != NULL));
    json_decref(v);
    return rc;
}

static void one_complete_value(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"a\":[1,true,null,\"x\"]}"), 0);
    assert_int_equal(parse(" 5 "), 0);
    assert_int_equal(parse("\"text\""), 0);
    assert_int_equal(parse(""), CM_EMALF);
    assert_int_equal(parse("{} {}"), CM_EMALF);
    assert_int_equal(parse("{\"a\":1,}"), CM_EMALF);
    assert_int_equal(parse("{\"a\":1"), CM_EMALF);
    assert_int_equal(parse("nul"), CM_EMALF);
    assert_int_equal(parse("]"), CM_EMALF);
}

static void duplicates_nul_and_bad_utf8_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"a\":1,\"a\":1}"), CM_EMALF);
    assert_int_equal(parse("{\"a\":1,\"\\u0061\":1}"), CM_EMALF);
    assert_int_equal(parse("\"a\\u0000b\""), CM_EMALF);
    assert_int_equal(parse("{\"a\\u0000\":1}"), CM_EMALF);
    assert_int_equal(parse("\"\xff\""), CM_EMALF);
    assert_int_equal(parse("\"\xed\xa0\x80\""), CM_EMALF);
    assert_int_equal(parse("\"\\ud800\""), CM_EMALF);
    json_t *v;
    assert_int_equal(cm_json_parse("1\0", 2, &v, NULL), CM_EMALF);
    assert_int_equal(cm_json_parse("\"a\0b\"", 5, &v, NULL), CM_EMALF);
}

static void numbers_are_exact_integers(void **state)
{
    (void)state;
    json_t *v;
    assert_int_equal(parse("9007199254740991"), 0);
    assert_int_equal(parse("-9007199254740991"), 0);
    assert_int_equal(parse("9007199254740992"), CM_EMALF);
    assert_int_equal(parse("[[{\"a\":-9007199254740992}]]"), CM_EMALF);
    assert_int_equal(parse("99999999999999999999"), CM_EMALF);
    assert_int_equal(parse("1.5"), CM_EMALF);
    assert_int_equal(parse("{\"a\":[1e3]}"), CM_EMALF);
    assert_int_equal(parse("01"), CM_EMALF);
    assert_int_equal(cm_json_parse_lax("[1.5,1e3]", 9, &v, NULL), 0);
    json_decref(v);
    assert_int_equal(cm_json_parse_lax("9007199254740992", 16, &v, NULL), CM_EMALF);
    assert_int_equal(cm_json_parse_lax("1e999", 5, &v, NULL), CM_EMALF);
}

static void nest(char *out, size_t depth)
{
    memset(out, '[', depth);
    memset(out + depth, ']', depth);
    out[2 * depth] = '\0';
}

static void depth_is_limited_before_parsing(void **state)
{
    (void)state;
    char text[2 * 100000 + 1];
    nest(text, CM_JSON_DEPTH_MAX);
    assert_int_equal(parse(text), 0);
    nest(text, CM_JSON_DEPTH_MAX + 1);
    assert_int_equal(parse(text), CM_ELIMIT);
    nest(text, 100000);
    assert_int_equal(parse(text), CM_ELIMIT);
    memset(text, '[', 100000);
    text[100000] = '\0';
    assert_int_equal(parse(text), CM_ELIMIT);
}

static void brackets_in_strings_do_not_count(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', sizeof(text));
    text[0] = '"';
    memcpy(text + 1, "\\\"", 2); /* an escaped quote does not end the string */
    text[198] = '"';
    text[199] = '\0';
    assert_int_equal(parse(text), 0);
    assert_int_equal(parse("[[[],[],[]],[],[\"\\\\\"]]"), 0);
}

static void error_texts_do_not_quote_the_input(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    json_t *v;
    const char *text = "{\"token\": secretsecret}";
    assert_int_equal(cm_json_parse(text, strlen(text), &v, &err), CM_EMALF);
    assert_null(strstr(err.what, "secret"));
    assert_non_null(strstr(err.what, "line 1"));
}

static void getters_fall_back(void **state)
{
    (void)state;
    CM_AUTO_JSON obj = json_pack("{s:s, s:i, s:b, s:{}, s:[s,i,s], s:s, s:n}", "s", "text", "i", 7,
                                 "b", 1, "o", "a", "x", 1, "y", "t", "1970-01-01T00:00:01Z", "n");
    assert_string_equal(cm_json_str(obj, "s"), "text");
    assert_null(cm_json_str(obj, "i"));
    assert_null(cm_json_str(NULL, "s"));
    assert_string_equal(cm_json_str_or(obj, "none", "else"), "else");
    assert_int_equal(cm_json_int(obj, "i", 1), 7);
    assert_int_equal(cm_json_int(obj, "s", 1), 1);
    assert_true(cm_json_bool(obj, "b", false));
    assert_true(cm_json_bool(obj, "i", true));
    assert_non_null(cm_json_obj(obj, "o"));
    assert_null(cm_json_obj(obj, "a"));
    assert_non_null(cm_json_arr(obj, "a"));
    assert_null(cm_json_arr(obj, "o"));
    assert_int_equal(cm_json_time(obj, "t", 5), 1000);
    assert_int_equal(cm_json_time(obj, "s", 5), 5);
    assert_true(cm_json_has_str(cm_json_arr(obj, "a"), "y"));
    assert_false(cm_json_has_str(cm_json_arr(obj, "a"), "z"));
    assert_false(cm_json_has_str(NULL, "z"));
}

static void setters_set_replace_and_remove(void **state)
{
    (void)state;
    CM_AUTO_JSON obj = json_object();
    cm_json_set_str(obj, "s", "text");
    cm_json_set_str(obj, "bad", "\xff!");
    cm_json_set_int(obj, "i", -3);
    cm_json_set_bool(obj, "b", false);
    cm_json_set_time(obj, "t", 1000);
    cm_json_set(obj, "a", json_array());
    CM_AUTO_STR text = cm_json_dump(obj, NULL);
    assert_string_equal(text, "{\"s\":\"text\",\"bad\":\"?!\",\"i\":-3,\"b\":false,"
                              "\"t\":\"1970-01-01T00:00:01.000Z\",\"a\":[]}");
    cm_json_set_str(obj, "s", NULL);
    cm_json_set_str(obj, "bad", NULL);
    cm_json_set_time(obj, "t", 0);
    cm_json_set(obj, "a", NULL);
    size_t len;
    CM_AUTO_STR rest = cm_json_dump(obj, &len);
    assert_string_equal(rest, "{\"i\":-3,\"b\":false}");
    assert_int_equal(len, strlen(rest));
}

static unsigned secrets_freed;

static void watching_free(void *block)
{
    if (block && malloc_usable_size(block) >= 8 && memcmp(block, "hush-hush", 8) == 0)
        secrets_freed++;
    free(block);
}

/* What is only ours is wiped before its memory goes; what others hold is theirs. */
static void secrets_are_wiped(void **state)
{
    (void)state;
    json_malloc_t old_malloc;
    json_free_t old_free;
    json_get_alloc_funcs(&old_malloc, &old_free);
    json_set_alloc_funcs(malloc, watching_free);
    json_decref(json_pack("{s:s}", "eab_hmac", "hush-hush"));
    assert_int_equal(secrets_freed, 1); /* the watch works */
    cm_json_free_secret(json_pack("{s:s,s:[i,s,{s:s}],s:n}", "a", "hush-hush", "b", 1, "hush-hush",
                                  "c", "hush-hush", "d"));
    assert_int_equal(secrets_freed, 1);
    json_t *kept = json_string("hush-hush");
    cm_json_free_secret(json_pack("[O]", kept));
    assert_string_equal(json_string_value(kept), "hush-hush");
    cm_json_free_secret(kept);
    cm_json_free_secret(NULL);
    assert_int_equal(secrets_freed, 1);
    json_set_alloc_funcs(old_malloc, old_free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_wiped),
        cmocka_unit_test(one_complete_value),
        cmocka_unit_test(duplicates_nul_and_bad_utf8_are_refused),
        cmocka_unit_test(numbers_are_exact_integers),
        cmocka_unit_test(depth_is_limited_before_parsing),
        cmocka_unit_test(brackets_in_strings_do_not_count),
        cmocka_unit_test(error_texts_do_not_quote_the_input),
        cmocka_unit_test(getters_fall_back),
        cmocka_unit_test(setters_set_replace_and_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
