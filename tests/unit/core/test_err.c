/* The error object: wrapping, copies, text limits, JSON shape. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/err.h"
#include "base/core/json.h"

static void fail_replaces_and_wrap_adds(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    char line[256];
    assert_int_equal(cm_fail(&err, CM_EIO, "cannot open %s", "x"), CM_EIO);
    assert_int_equal(cm_wrap(&err, CM_EINVAL, "cannot load"), CM_EIO);
    assert_int_equal(cm_wrap(&err, CM_EINVAL, "cannot start"), CM_EIO);
    cm_err_line(&err, line, sizeof(line));
    assert_string_equal(line, "cannot start: cannot load: cannot open x");
    cm_fail(&err, CM_EBUSY, "other");
    cm_err_line(&err, line, sizeof(line));
    assert_string_equal(line, "other");
    assert_int_equal(err.cause_count, 0);
    cm_err_fini(&err);
    assert_int_equal(err.code, 0);
}

static void null_objects_give_the_code(void **state)
{
    (void)state;
    assert_int_equal(cm_fail(NULL, CM_EPEER, "x"), CM_EPEER);
    assert_int_equal(cm_wrap(NULL, CM_EPEER, "x"), CM_EPEER);
    assert_int_equal(cm_fail_errno(NULL, ENOENT, "x"), CM_ENOENT);
    cm_err_hint(NULL, "x");
    cm_err_object(NULL, "x");
    cm_err_cause(NULL, "x");
    cm_err_fini(NULL);
    struct cm_err empty = CM_ERR_INIT;
    assert_int_equal(cm_wrap(&empty, CM_ETIMEOUT, "x"), CM_ETIMEOUT);
    assert_int_equal(empty.cause_count, 0);
}

static void arguments_may_point_into_the_object(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EIO, "inner");
    cm_fail(&err, err.code, "outer of %s", err.what);
    assert_string_equal(err.what, "outer of inner");
    cm_wrap(&err, 0, "[%s]", err.what);
    assert_string_equal(err.what, "[outer of inner]");
    assert_string_equal(err.cause[0], "outer of inner");
}

static void the_root_cause_survives_deep_chains(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EIO, "root");
    for (int i = 0; i < 20; i++)
        cm_wrap(&err, 0, "level %d", i);
    assert_int_equal(err.cause_count, CM_ERR_CAUSES_MAX);
    assert_string_equal(err.what, "level 19");
    assert_string_equal(err.cause[0], "level 18");
    assert_string_equal(err.cause[CM_ERR_CAUSES_MAX - 1], "root");
}

static void texts_stay_valid_utf8(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    char text[CM_ERR_TEXT_MAX + 10];
    memset(text, 'a', sizeof(text));
    memcpy(text + CM_ERR_TEXT_MAX - 3, "\xe3\x81\x82", 4); /* cut after two bytes */
    cm_fail(&err, CM_EMALF, "%s", text);
    assert_int_equal(strlen(err.what), CM_ERR_TEXT_MAX - 3);
    cm_fail(&err, CM_EMALF, "peer said \xff\xfe");
    assert_string_equal(err.what, "peer said ??");
    CM_AUTO_JSON obj = cm_err_to_json(&err);
    assert_string_equal(cm_json_str(obj, "what"), "peer said ??");
}

static void errno_maps_to_codes(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(cm_fail_errno(&err, ENOSPC, "cannot write"), CM_EFULL);
    assert_int_equal(cm_fail_errno(&err, EACCES, "cannot write"), CM_EIO);
    assert_int_equal(cm_fail_errno(&err, ENOENT, "cannot open"), CM_ENOENT);
    assert_string_equal(err.cause[0], "No such file or directory");
    assert_string_equal(cm_errno_text(-5), "unknown system error");
}

static void json_goes_there_and_back(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT, copy, back;
    cm_fail(&err, CM_EPEER, "the CA refused");
    cm_err_cause(&err, "rateLimited");
    cm_err_object(&err, "credential:%s", "01J");
    cm_err_hint(&err, "wait");
    err.retry = CM_RETRY_TRANSIENT;
    err.problem = json_pack("{s:i}", "status", 429);
    cm_err_name(&err, "a.example");
    cm_err_name(&err, "a.example");
    err.attempts = 3;
    err.next_attempt_ms = 1763777802123;
    cm_err_copy(&copy, &err);
    assert_ptr_not_equal(copy.problem, err.problem);
    assert_ptr_not_equal(copy.names, err.names);
    CM_AUTO_JSON obj = cm_err_to_json(&copy);
    CM_AUTO_JSON want =
        json_pack("{s:s, s:s, s:s, s:[s], s:s, s:{s:i}, s:[s], s:s, s:i, s:s}", "code", "peer",
                  "object", "credential:01J", "what", "the CA refused", "causes", "rateLimited",
                  "hint", "wait", "problem", "status", 429, "names", "a.example", "retry",
                  "transient", "attempts", 3, "next_attempt_at", "2025-11-22T02:16:42.123Z");
    assert_true(json_equal(obj, want));
    assert_int_equal(cm_err_from_json(&back, obj), 0);
    CM_AUTO_JSON again = cm_err_to_json(&back);
    assert_true(json_equal(again, want));
    cm_err_fini(&err);
    cm_err_fini(&copy);
    cm_err_fini(&back);
}

static void json_refuses_what_is_no_error(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON no_code = json_pack("{s:s}", "what", "x");
    CM_AUTO_JSON odd_code = json_pack("{s:s, s:s}", "what", "x", "code", "strange");
    CM_AUTO_JSON ok_code = json_pack("{s:s, s:s}", "what", "x", "code", "ok");
    assert_int_equal(cm_err_from_json(&err, no_code), CM_EMALF);
    assert_int_equal(cm_err_from_json(&err, odd_code), CM_EMALF);
    assert_int_equal(cm_err_from_json(&err, ok_code), CM_EMALF);
    assert_int_equal(cm_err_from_json(&err, NULL), CM_EMALF);
    assert_null(cm_err_to_json(&err));
    assert_null(cm_err_to_json(NULL));
}

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int a = CM_EHUMAN; a <= CM_EINVAL; a++) {
        assert_string_not_equal(cm_code_name(a), "unknown");
        for (int b = CM_EHUMAN; b < a; b++)
            assert_string_not_equal(cm_code_name(a), cm_code_name(b));
    }
    assert_string_equal(cm_code_name(-1), "unknown");
    assert_string_equal(cm_code_name(CM_ECONFLICT), "conflict");
    assert_string_equal(cm_retry_name(CM_RETRY_CONFIGURATION), "configuration");
}

static void a_line_is_cut_at_characters(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    char line[8];
    cm_fail(&err, CM_EIO, "abcde\xe3\x81\x82");
    cm_err_line(&err, line, sizeof(line));
    assert_string_equal(line, "abcde");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_replaces_and_wrap_adds),
        cmocka_unit_test(null_objects_give_the_code),
        cmocka_unit_test(arguments_may_point_into_the_object),
        cmocka_unit_test(the_root_cause_survives_deep_chains),
        cmocka_unit_test(texts_stay_valid_utf8),
        cmocka_unit_test(errno_maps_to_codes),
        cmocka_unit_test(json_goes_there_and_back),
        cmocka_unit_test(json_refuses_what_is_no_error),
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(a_line_is_cut_at_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
