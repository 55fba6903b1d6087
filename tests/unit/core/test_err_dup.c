/* Errors kept on the heap. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/core/err_dup.h"

static void a_copy_outlives_its_source(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EPEER, "the CA refused");
    cm_err_cause(&err, "because");
    cm_err_name(&err, "www.example");
    err.problem = json_pack("{s:s}", "type", "x");
    err.attempts = 3;
    struct cm_err *copy = cm_err_dup(&err);
    json_object_set_new(err.problem, "type", json_string("changed"));
    cm_err_fini(&err);
    assert_int_equal(copy->code, CM_EPEER);
    assert_string_equal(copy->what, "the CA refused");
    assert_string_equal(copy->cause[0], "because");
    assert_string_equal(json_string_value(json_object_get(copy->problem, "type")), "x");
    assert_int_equal(json_array_size(copy->names), 1);
    assert_int_equal(copy->attempts, 3);
    cm_err_free(copy);
}

static void no_error_needs_no_copy(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    assert_null(cm_err_dup(NULL));
    assert_null(cm_err_dup(&err));
    cm_err_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_outlives_its_source),
        cmocka_unit_test(no_error_needs_no_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
