/* Waiting: pauses, Retry-After, the deadline, orders that a CA leaves pending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

static void soon_at_first(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    fake_issue(&f, 1);
    assert_in_range(f.mono_ms - 5000, 80, 130); /* two pauses of 40 ms, some ms for the rest */
    fake_fini(&f);
}

static void pauses_grow_to_ten_seconds(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.polls_processing = 20;
    fake_issue(&f, 1);
    /* 40 60 150 400 ms, 1 2 3 5 8 s, then 10 s each */
    assert_in_range(f.mono_ms - 5000, 19650 + 12 * 10000 - 200, 19650 + 12 * 10000 + 400);
    assert_int_equal(f.finalized, 1);
    fake_fini(&f);
}

static const char *header;

static void add_header(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind == FAKE_ORDER || req->kind == FAKE_FINALIZE)
        fake_header(r, header);
}

static void retry_after_of_the_ca(void **state)
{
    (void)state;
    static const char *const forms[] = {"Retry-After: 7", "retry-after:7"};
    for (size_t i = 0; i < 2; i++) {
        struct fake f;
        fake_init(&f);
        f.after = add_header;
        header = forms[i];
        f.polls_processing = 3;
        fake_issue(&f, 1);
        /* first poll soon; then finalize and three polls each say 7 s */
        assert_in_range(f.mono_ms - 5000, 4 * 7000, 4 * 7000 + 300);
        /* and it is a pause of this order, no floor of the CA */
        json_decref(f.saved);
        f.saved = NULL;
        fake_issue(&f, 1);
        fake_fini(&f);
    }
}

static int64_t looks[8]; /* when the order was read */
static unsigned look_count;

static void note_look(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    add_header(f, req, r);
    if (req->kind == FAKE_ORDER && look_count < 8)
        looks[look_count++] = f->mono_ms;
}

/* The next life waits as long as this one would have: no look comes before the CA's time. */
static void retry_after_of_an_order_outlives_the_process(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = note_look;
    header = "Retry-After: 600";
    f.polls_processing = 2;
    look_count = 0;
    fake_start(&f, 1);
    while (look_count < 2 && fake_turn(&f)) {
    }
    assert_int_equal(look_count, 2); /* ready; then one while it is processing */
    int64_t told = looks[1];
    CM_AUTO_STR before = cm_strdup(cm_json_str_or(f.saved, "poll_at", ""));
    while (strcmp(cm_json_str_or(f.saved, "poll_at", ""), before) == 0)
        assert_true(fake_turn(&f)); /* until it is saved */
    assert_int_equal(look_count, 2);
    assert_true(f.mono_ms < told + 60000);
    fake_restart(&f);
    fake_start(&f, 1);
    fake_run(&f);
    assert_non_null(f.chain);
    assert_in_range(looks[2], told + 595000, told + 605000);
    assert_int_equal(f.finalized, 1);
    fake_fini(&f);
}

static void endless_processing_ends_with_the_order(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.polls_processing = 1000000;
    fake_start(&f, 1);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.err.code, CM_ETIMEOUT);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_in_range(f.mono_ms - 5000, 3600000, 3600100); /* its life, and a last look */
    assert_null(cm_json_str(f.saved, "order_url"));
    assert_non_null(strstr(f.err.hint, "clock"));
    f.polls_processing = 0;
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 2);
    fake_fini(&f);
}

static void endless_pending_too(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.polls_pending = 1000000;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_ETIMEOUT);
    assert_in_range(f.mono_ms - 5000, 3600000, 3600100);
    fake_fini(&f);
}

static void no_expires_member(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.no_expires = true;
    f.polls_processing = 5;
    fake_issue(&f, 1);
    fake_fini(&f);
}

/* A CA that fails the authorization but leaves the order pending. */
static void order_stays(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)r;
    if (req->kind == FAKE_CHALLENGE) {
        f->authz[req->id].status = "invalid";
        f->authz[req->id].challenge = "invalid";
        f->polls_pending = 1000000;
    }
}

static void a_forgotten_failure_is_found(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = order_stays;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EPEER);
    assert_string_equal(f.err.object, "host www1.example.com");
    assert_true(f.mono_ms - 5000 < 120000); /* not only when the order expires */
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soon_at_first),
        cmocka_unit_test(pauses_grow_to_ten_seconds),
        cmocka_unit_test(retry_after_of_the_ca),
        cmocka_unit_test(retry_after_of_an_order_outlives_the_process),
        cmocka_unit_test(endless_processing_ends_with_the_order),
        cmocka_unit_test(endless_pending_too),
        cmocka_unit_test(no_expires_member),
        cmocka_unit_test(a_forgotten_failure_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
