/* What is left of requests that hold a value which is not read here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/core/mem.h"
#include "replicator/salvage.h"

static json_t *docs(const char *text, json_t **ret_rows)
{
    return rp_salvage_docs(text, strlen(text), ret_rows);
}

static void the_others_are_left(void **state)
{
    (void)state;
    CM_AUTO_JSON rows = NULL;
    CM_AUTO_JSON body =
        docs(" {\"new_edits\" : false, \"docs\" : [ {\"_id\":\"a\"},\n"
             "{\"_id\":\"b\",\"n\":[123456789012345678901234567890],\"_rev\":\"1-x\"} "
             ", {\"_id\":\"c\",\"_id\":\"d\"}, null ] } ",
             &rows);
    assert_non_null(body);
    assert_true(json_is_false(json_object_get(body, "new_edits")));
    const json_t *list = cm_json_arr(body, "docs");
    assert_int_equal(json_array_size(list), 4);
    assert_int_equal(json_array_size(rows), 4);
    assert_string_equal(cm_json_str(json_array_get(list, 0), "_id"), "a");
    const json_t *row = json_array_get(rows, 1);
    assert_true(json_is_null(json_array_get(list, 1)) && json_is_null(json_array_get(rows, 0)));
    assert_string_equal(cm_json_str(row, "id"), "b");
    assert_string_equal(cm_json_str(row, "rev"), "1-x");
    assert_string_equal(cm_json_str(row, "error"), "forbidden");
    assert_non_null(strstr(cm_json_str(row, "reason"), "integer"));
    assert_string_equal(cm_json_str(json_array_get(rows, 2), "id"), "d"); /* the last one counts */
    assert_null(json_object_get(json_array_get(rows, 2), "rev"));
    assert_true(json_is_null(json_array_get(rows, 3))); /* it was read, and is none */
}

/* Every value that the reader refuses and the grammar does not. */
static void each_kind_costs_its_document(void **state)
{
    (void)state;
    static const char *const values[] = {
        "9007199254740992",
        "-123456789012345678901",
        "1e400",
        "\"\\ud83d\"",
        "\"\\udc00x\"",
        "\"\\u0000\"",
        "{\"a\\u0000\":1}",
        "{\"x\":1,\"x\":2}",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        CM_AUTO_JSON rows = NULL;
        CM_AUTO_STR text =
            cm_asprintf("{\"docs\":[{\"_id\":\"bad\",\"v\":%s},{\"_id\":\"good\"}]}", values[i]);
        CM_AUTO_JSON body = docs(text, &rows);
        if (!body || json_array_size(rows) != 2)
            fail_msg("%s", values[i]);
        assert_string_equal(cm_json_str(json_array_get(rows, 0), "id"), "bad");
        assert_true(json_is_null(json_array_get(rows, 1)));
    }
}

static void what_is_no_request(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "1e400",
        "[{\"docs\":[1e400]}]",
        "{\"docs\":[{\"_id\":\"a\",}]}",
        "{\"docs\":[{\"_id\":\"a\xff\"}]}",
        "{\"docs\":[1e400]}",
        "{\"docs\":[[1e400]]}",
        "{\"docs\":{\"a\":1e400}}",
        "{\"docs\":[],\"seq\":1e400}",
        "{\"docs\":[{\"a\":1e400}],\"docs\":[]}",
        "{\"docs\":[{\"a\":1e400}],\"new_edits\":false,\"new_edits\":true}",
        "{\"docs\":[{\"a\":1e400}]",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CM_AUTO_JSON rows = NULL;
        CM_AUTO_JSON body = docs(texts[i], &rows);
        if (body || rows)
            fail_msg("%s", texts[i]);
    }
}

static void members(void **state)
{
    (void)state;
    static const char text[] = " {\"a\":[\"1-a\"],\"b\\u0000\":[\"1-b\"],\"c\":[\"1-\\ud800\"],"
                               "\"d\":[\"1-d\"],\"d\":[\"2-d\"]}";
    json_t *none;
    CM_AUTO_JSON body = rp_salvage_members(text, sizeof(text) - 1, &none);
    CM_AUTO_STR left = cm_json_dump(body, NULL);
    assert_string_equal(left, "{\"a\":[\"1-a\"],\"d\":[\"2-d\"]}");
    assert_null(none);
    assert_null(rp_salvage_members("[]", 2, &none));
    assert_null(rp_salvage_members("{\"a\":1", 6, &none));
    assert_null(rp_salvage_members("", 0, &none));
}

static void leaves_keep_their_names(void **state)
{
    (void)state;
    static const char text[] =
        " [ {\"ok\":{\"_id\":\"a\",\"v\":1}},"
        "{\"ok\" : {\"_id\":\"a\",\"v\":1e400,\"_rev\":\"2-b\",\"w\":\"\\ud800\",\"_deleted\":true,"
        "\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},\"_odd\":1}},"
        "{\"ok\":{\"_id\":\"a\",\"_rev\":\"1-\\u0000\"}},{\"ok\":[1e400]},{\"missing\":\"1-"
        "\\u0000\"},"
        "1e400,null]";
    CM_AUTO_JSON leaves = rp_salvage_leaves(text, sizeof(text) - 1);
    CM_AUTO_STR left = cm_json_dump(leaves, NULL);
    assert_string_equal(left, "[{\"ok\":{\"_id\":\"a\",\"v\":1}},"
                              "{\"ok\":{\"_id\":\"a\",\"_rev\":\"2-b\",\"_deleted\":true,"
                              "\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]}}},"
                              "{\"ok\":{\"_id\":\"a\"}},{\"ok\":{}},{},{},null]");
    assert_null(rp_salvage_leaves("{\"a\":1e400}", 11));
    assert_null(rp_salvage_leaves("[1e400", 6));
    assert_null(rp_salvage_leaves("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_others_are_left),     cmocka_unit_test(each_kind_costs_its_document),
        cmocka_unit_test(what_is_no_request),      cmocka_unit_test(members),
        cmocka_unit_test(leaves_keep_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
