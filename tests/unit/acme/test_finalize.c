/* The end of an order: CSR, orderNotReady. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

static void not_ready_yet(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.not_ready = 3;
    fake_issue(&f, 1);
    assert_int_equal(f.finalized, 1);
    assert_int_equal(f.count[FAKE_FINALIZE], 4);
    fake_fini(&f);

    fake_init(&f);
    f.not_ready = 1000;
    fake_start(&f, 1);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_int_equal(f.count[FAKE_FINALIZE], 10);
    assert_non_null(cm_json_str(f.saved, "order_url"));
    fake_fini(&f);
}

static int refusals;

static bool refuse_csr(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != FAKE_FINALIZE || refusals <= 0)
        return false;
    refusals--;
    fake_problem(r, 400, "badCSR", "weak key");
    return true;
}

static void bad_csr_keeps_the_order(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.before = refuse_csr;
    refusals = 1;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.retry, CM_RETRY_PERMANENT);
    assert_null(cm_json_str(f.saved, "csr"));
    assert_non_null(cm_json_str(f.saved, "order_url"));
    f.csr_text = "TmV3Q1NS"; /* a person chose another key */
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 1);
    assert_int_equal(f.csrs, 2);
    fake_fini(&f);
}

static void csr_port_failures(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.fail_csr = CM_EBUSY;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EBUSY);
    assert_int_equal(f.finalized, 0);
    f.csr_text = "not base64url!";
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EMALF);
    f.csr_text = "TUlJQkNTUg";
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 1);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_ready_yet),
        cmocka_unit_test(bad_csr_keeps_the_order),
        cmocka_unit_test(csr_port_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
