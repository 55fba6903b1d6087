/* RFC 8785 canonical JSON with the RFC's own vectors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"

static void check(const char *input, const char *want)
{
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf out;
    json_t *v = NULL;
    assert_int_equal(cm_json_parse(input, strlen(input), &v, &err), 0);
    cm_buf_init(&out, 4096);
    assert_int_equal(cm_json_canonical(v, &out, &err), 0);
    assert_string_equal(cm_buf_str(&out), want);
    cm_buf_fini(&out);
    json_decref(v);
}

/* Section 3.2.2, the string of the sample object; its numbers are no integers. */
static void rfc_strings_and_literals(void **state)
{
    (void)state;
    check("{\n \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
          " \"literals\": [null, true, false]\n}",
          "{\"literals\":[null,true,false],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

/* Section 3.2.3: UTF-16 order, where the emoji (a surrogate pair) comes before U+FB33. */
static void rfc_sorting_by_utf16_units(void **state)
{
    (void)state;
    check("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
          "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
          "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
          "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
          "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
          "\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\","
          "\"😀\":\"Emoji: Grinning Face\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

/* The test data that the RFC's appendix refers to, as far as it holds integers only. */
static void rfc_test_data(void **state)
{
    (void)state;
    check("[56,{\"d\":true,\"10\":null,\"1\":[ ]}]", "[56,{\"1\":[],\"10\":null,\"d\":true}]");
    check("{\"peach\":\"This sorting order\",\"péché\":\"is wrong according to French\","
          "\"pêche\":\"but canonicalization MUST\",\"sin\":\"ignore locale\"}",
          "{\"peach\":\"This sorting order\",\"péché\":\"is wrong according to French\","
          "\"pêche\":\"but canonicalization MUST\",\"sin\":\"ignore locale\"}");
    check("{\"1\":{\"f\":{\"f\":\"hi\",\"F\":5},\"\\n\":56},\"10\":{},\"\":\"empty\",\"a\":{},"
          "\"111\":[{\"e\":\"yes\",\"E\":\"no\"}],\"A\":{}}",
          "{\"\":\"empty\",\"1\":{\"\\n\":56,\"f\":{\"F\":5,\"f\":\"hi\"}},\"10\":{},"
          "\"111\":[{\"E\":\"no\",\"e\":\"yes\"}],\"A\":{},\"a\":{}}");
    check("{\"Unnormalized Unicode\":\"A\\u030a\"}", "{\"Unnormalized Unicode\":\"A\xcc\x8a\"}");
    check("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\u000a\":\"Newline\","
          "\"1\":\"One\",\"\\u0080\":\"Control\\u007f\",\"\\ud83d\\ude02\":\"Smiley\","
          "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\","
          "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\","
          "\"</script>\":\"Browser Challenge\"}",
          "{\"\\n\":\"Newline\",\"\\r\":\"Carriage Return\",\"1\":\"One\","
          "\"</script>\":\"Browser Challenge\",\"\xc2\x80\":\"Control\x7f\","
          "\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😂\":\"Smiley\","
          "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

static void keys_around_the_surrogates(void **state)
{
    (void)state;
    /* U+D7FF, U+E000, U+FFFF, U+10000, U+10FFFF; and a common prefix before the difference. */
    check("{\"a\\uffff\":1,\"a\\ue000\":2,\"a\\udbff\\udfff\":3,\"a\\ud800\\udc00\":4,"
          "\"a\\ud7ff\":5,\"a\":6}",
          "{\"a\":6,\"a\xed\x9f\xbf\":5,\"a\xf0\x90\x80\x80\":4,\"a\xf4\x8f\xbf\xbf\":3,"
          "\"a\xee\x80\x80\":2,\"a\xef\xbf\xbf\":1}");
}

static void control_characters(void **state)
{
    (void)state;
    check("\"\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \\u007f\"",
          "\"\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \x7f\"");
}

static void integers(void **state)
{
    (void)state;
    check("[0,-0,-1,9007199254740991,-9007199254740991]",
          "[0,0,-1,9007199254740991,-9007199254740991]");
}

static void what_cannot_be_signed_is_refused(void **state)
{
    (void)state;
    struct cm_buf out;
    cm_buf_init(&out, 1000);
    CM_AUTO_JSON real = json_pack("{s:[f]}", "a", 1.5);
    CM_AUTO_JSON whole_real = json_real(2.0);
    CM_AUTO_JSON big = json_integer(CM_JSON_INT_MAX + 1);
    CM_AUTO_JSON small = json_integer(-CM_JSON_INT_MAX - 1);
    assert_int_equal(cm_json_canonical(real, &out, NULL), CM_EINVAL);
    assert_int_equal(cm_json_canonical(whole_real, &out, NULL), CM_EINVAL);
    assert_int_equal(cm_json_canonical(big, &out, NULL), CM_EINVAL);
    assert_int_equal(cm_json_canonical(small, &out, NULL), CM_EINVAL);
    assert_int_equal(cm_json_canonical(NULL, &out, NULL), CM_EINVAL);
    CM_AUTO_JSON deep = json_array();
    for (int i = 0; i < CM_JSON_DEPTH_MAX; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    assert_int_equal(cm_json_canonical(deep, &out, NULL), CM_ELIMIT);
    cm_buf_fini(&out);
}

static void the_buffer_limit_is_reported(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf out;
    cm_buf_init(&out, 5);
    CM_AUTO_JSON v = json_string("abcd");
    assert_int_equal(cm_json_canonical(v, &out, &err), CM_ELIMIT);
    assert_int_equal(err.code, CM_ELIMIT);
    cm_buf_fini(&out);
}

/* However many there are, and in whatever order they came. */
static void any_number_of_members_is_sorted(void **state)
{
    (void)state;
    for (int count = 0; count <= 60; count++) {
        CM_AUTO_JSON v = json_object();
        struct cm_buf out, want;
        cm_buf_init(&out, 4096);
        cm_buf_init(&want, 4096);
        for (int i = 0; i < count; i++) {
            char key[3] = {(char)('a' + 7 * i % count / 26), (char)('a' + 7 * i % count % 26)};
            if (count % 7 == 0) /* from the last to the first */
                memcpy(key,
                       (char[]){(char)('a' + (count - 1 - i) / 26),
                                (char)('a' + (count - 1 - i) % 26)},
                       2);
            cm_json_set_int(v, key, i);
            assert_int_equal(json_object_size(v), i + 1);
        }
        assert_int_equal(cm_json_canonical(v, &out, NULL), 0);
        cm_buf_putc(&want, '{');
        for (int i = 0; i < count; i++) {
            char key[3] = {(char)('a' + i / 26), (char)('a' + i % 26)};
            cm_buf_printf(&want, "%s\"%s\":%d", i ? "," : "", key, (int)cm_json_int(v, key, -1));
        }
        cm_buf_putc(&want, '}');
        assert_string_equal(cm_buf_str(&out), cm_buf_str(&want));
        cm_buf_fini(&out);
        cm_buf_fini(&want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_strings_and_literals),
        cmocka_unit_test(rfc_sorting_by_utf16_units),
        cmocka_unit_test(rfc_test_data),
        cmocka_unit_test(keys_around_the_surrogates),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(integers),
        cmocka_unit_test(any_number_of_members_is_sorted),
        cmocka_unit_test(what_cannot_be_signed_is_refused),
        cmocka_unit_test(the_buffer_limit_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
