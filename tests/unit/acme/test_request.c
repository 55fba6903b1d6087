/* Requests: nonces, storms, broken replies, Retry-After, caps, the budget of a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

static enum fake_kind target; /* the kind of request a hook acts on */
static int times;             /* how often it still acts */
static const char *header;
static const char *body;
static int status;

static bool reply_as_told(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != target || times <= 0)
        return false;
    times--;
    r->status = status;
    fake_body(r, body);
    if (header)
        fake_header(r, header);
    return true;
}

static void tell(struct fake *f, enum fake_kind kind, int n, int http, const char *line,
                 const char *text)
{
    target = kind;
    times = n;
    status = http;
    header = line;
    body = text;
    f->before = reply_as_told;
}

#define LIMITED "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"slow down\"}"

static void bad_nonce_storms(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.bad_nonces = ACME_NONCE_RETRY; /* the first signed request is refused again and again */
    fake_issue(&f, 1);
    assert_int_equal(f.count[FAKE_NEW_NONCE], 1); /* retried with the nonce of the refusal */
    assert_int_equal(f.count[FAKE_NEW_ACCOUNT], ACME_NONCE_RETRY + 1);
    fake_fini(&f);

    fake_init(&f);
    f.bad_nonces = 1000;
    fake_start(&f, 1);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.count[FAKE_NEW_ACCOUNT], ACME_NONCE_RETRY + 1);
    assert_int_equal(f.err.retry, CM_RETRY_REPAIR);
    assert_int_equal(f.orders_made, 0);
    fake_fini(&f);
}

static bool half_refused(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    if (req->payload && f->requests % 2 == 0) {
        fake_problem(r, 400, "badNonce", "again");
        return true;
    }
    return false;
}

static void every_second_nonce_is_refused(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.before = half_refused;
    fake_issue(&f, 30);
    assert_int_equal(f.orders_made, 1);
    assert_int_equal(f.finalized, 1);
    fake_fini(&f);
}

/* Nine of ten, by a generator of the test's own (Knuth's MMIX). */
static bool most_refused(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    uint64_t *dice = f->user;
    if (!req->payload)
        return false;
    *dice = *dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    if ((*dice >> 33) % 10 == 0)
        return false;
    fake_problem(r, 400, "badNonce", "again");
    return true;
}

/* An order for thirty names is some 75 signed requests: all of them get through in one run, and the
 * waits in between are short ones. */
static void nine_of_ten_nonces_are_refused(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fake f;
        fake_init(&f);
        uint64_t dice = seed;
        f.user = &dice;
        f.before = most_refused;
        int64_t begun = f.mono_ms;
        fake_issue(&f, ACME_NAMES_MAX);
        assert_int_equal(f.orders_made, 1);
        assert_int_equal(f.finalized, 1);
        assert_true(f.mono_ms - begun < 150000);
        fake_fini(&f);
    }
}

static void no_nonce(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    (void)req;
    cm_buf_reset(&r->headers);
    cm_buf_puts(&r->headers, "HTTP/1.1 200 OK\r\nReplay-Nonce: not/base64url\r\n");
}

static void missing_nonces(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = no_nonce;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EPEER);
    assert_non_null(strstr(f.err.cause[0], "no usable nonce"));
    assert_true(f.err.hint[0] != '\0');
    assert_int_equal(f.signs, 0); /* nothing is signed over a malformed nonce */
    fake_fini(&f);
}

static void retry_after_in_seconds(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    tell(&f, FAKE_NEW_ORDER, 1, 429, "Retry-After: 7200", LIMITED);
    fake_start(&f, 1);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_int_equal(f.err.next_attempt_ms, f.wall_ms + 7200000);
    assert_string_equal(cm_json_str(f.err.problem, "detail"), "slow down");
    assert_int_equal(f.count[FAKE_NEW_ORDER], 1); /* a rate limit is not hammered */
    assert_null(cm_json_str(f.saved, "ordering_at"));

    /* The floor holds for other orders of the account, for an hour at most. */
    unsigned requests = f.requests;
    fake_start(&f, 2);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EBUSY);
    assert_int_equal(f.requests, requests);
    assert_in_range(f.err.next_attempt_ms, f.wall_ms + 3500000, f.wall_ms + 3600000);
    f.wall_ms += 3600001;
    cm_clock_fake(f.wall_ms, f.mono_ms);
    fake_issue(&f, 2);
    fake_fini(&f);
}

static void retry_after_as_date(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    /* FAKE_START_MS is 2026-11-16T02:00:00Z */
    tell(&f, FAKE_FINALIZE, 1, 429, "Retry-After: Mon, 16 Nov 2026 05:00:00 GMT", LIMITED);
    fake_start(&f, 1);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.err.next_attempt_ms, FAKE_START_MS + 3 * 3600000);
    assert_non_null(cm_json_str(f.saved, "order_url")); /* the order stays usable */
    f.wall_ms += 3 * 3600000;
    f.order[0].expires = f.wall_ms + 3600000;
    cm_clock_fake(f.wall_ms, f.mono_ms);
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 1);
    fake_fini(&f);
}

static void short_waits_stay_inside_the_run(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    tell(&f, FAKE_AUTHZ, 1, 503, "Retry-After: 3", "busy");
    fake_issue(&f, 1);
    assert_in_range(f.mono_ms, 8000, 20000); /* began at 5000 */
    assert_int_equal(f.count[FAKE_AUTHZ], 2);
    tell(&f, FAKE_NEW_ORDER, 1, 429, "Retry-After: 2", LIMITED);
    json_decref(f.saved);
    f.saved = NULL;
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 2);
    fake_fini(&f);
}

/* 503 with Retry-After is a limit by address: nothing was done, so nothing is looked up. */
static void a_busy_front_has_not_done_it(void **state)
{
    (void)state;
    static const enum fake_kind kinds[] = {FAKE_NEW_ORDER, FAKE_FINALIZE};
    for (size_t i = 0; i < 2; i++) {
        struct fake f;
        fake_init(&f);
        tell(&f, kinds[i], 4, 503, "Retry-After: 1", "busy");
        fake_issue(&f, 1);
        assert_int_equal(f.count[kinds[i]], 5);
        assert_int_equal(f.count[FAKE_ACCOUNT], 0);
        assert_int_equal(f.orders_made, 1);
        fake_fini(&f);
        /* without it, what happened is asked */
        fake_init(&f);
        tell(&f, kinds[i], 1, 503, NULL, "busy");
        fake_issue(&f, 1);
        assert_int_equal(f.count[kinds[i]], 2);
        assert_int_equal(f.count[FAKE_ACCOUNT], kinds[i] == FAKE_NEW_ORDER);
        fake_fini(&f);
    }
}

static void an_error_page_is_retried_and_told(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    tell(&f, FAKE_AUTHZ, 2, 500, NULL, "<html><b>Oops %s%n</b></html>");
    fake_issue(&f, 1);
    assert_int_equal(f.count[FAKE_AUTHZ], 3);
    json_decref(f.saved);
    f.saved = NULL;
    tell(&f, FAKE_AUTHZ, 1000, 502, NULL, "<html>");
    fake_start(&f, 1);
    fake_run(&f);
    assert_null(f.chain);
    assert_int_equal(f.count[FAKE_AUTHZ], 3 + 5);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_non_null(strstr(f.err.what, "HTTP 502"));
    assert_true(f.err.hint[0] != '\0');
    assert_null(f.err.problem);
    fake_fini(&f);
}

static void silent(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind == target && times > 0) {
        times--;
        r->error = status;
    }
}

static void lost_replies(void **state)
{
    (void)state;
    static const enum fake_kind kinds[] = {FAKE_DIRECTORY, FAKE_NEW_NONCE, FAKE_NEW_ACCOUNT,
                                           FAKE_NEW_ORDER, FAKE_AUTHZ,     FAKE_CHALLENGE,
                                           FAKE_ORDER,     FAKE_FINALIZE,  FAKE_CERT};
    static const int codes[] = {CM_ENET, CM_ETIMEOUT};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (size_t k = 0; k < 2; k++) {
            struct fake f;
            fake_init(&f);
            f.after = silent;
            target = kinds[i];
            times = 2; /* the CA has done it, the answer is lost twice */
            status = codes[k];
            fake_issue(&f, 2);
            assert_int_equal(f.orders_made, 1);
            assert_int_equal(f.finalized, 1);
            fake_fini(&f);
        }
    }
}

static void an_unreachable_ca_ends_the_run(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = silent;
    target = FAKE_DIRECTORY;
    times = 1000;
    status = CM_ENET;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_ENET);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_int_equal(f.count[FAKE_DIRECTORY], 5);
    /* a certificate of the CA that does not verify is no case for quick retries */
    status = CM_EDENIED;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EDENIED);
    assert_int_equal(f.err.retry, CM_RETRY_CONFIGURATION);
    assert_int_equal(f.count[FAKE_DIRECTORY], 6);
    fake_fini(&f);
}

static void damaged_json(void **state)
{
    (void)state;
    char *deep = cm_malloc(4001);
    memset(deep, '[', 4000);
    memcpy(deep, "{\"a\":", 5);
    deep[4000] = '\0';
    const char *const bodies[] = {
        "{\"status\":\"pend", "", "[]", "null", deep, "{\"status\":7}", "{\"status\":\"strange\"}"};
    static const enum fake_kind kinds[] = {FAKE_DIRECTORY, FAKE_AUTHZ, FAKE_ORDER};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            struct fake f;
            fake_init(&f);
            tell(&f, kinds[k], 1000, 200, NULL, bodies[i]);
            fake_start(&f, 1);
            fake_run(&f);
            assert_true(f.done);
            assert_null(f.chain);
            assert_int_not_equal(f.err.code, 0);
            assert_int_not_equal(f.err.retry, CM_RETRY_NONE);
            assert_true(f.err.object[0] != '\0');
            assert_true(f.err.hint[0] != '\0');
            fake_fini(&f);
        }
    }
    cm_free(deep);
}

static void garble(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind == target)
        fake_body(r, body);
}

/* What was done stays done: the order is found by its Location, a finalized one by reading it. */
static void garbage_after_a_success(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{\"status\":\"pend", "<html>", ""};
    static const enum fake_kind kinds[] = {FAKE_NEW_ORDER, FAKE_CHALLENGE, FAKE_FINALIZE};
    for (size_t i = 0; i < 9; i++) {
        struct fake f;
        fake_init(&f);
        f.after = garble;
        target = kinds[i % 3];
        body = bodies[i / 3];
        fake_issue(&f, 1);
        assert_int_equal(f.orders_made, 1);
        assert_int_equal(f.finalized, 1);
        fake_fini(&f);
    }
}

static void huge_replies(void **state)
{
    (void)state;
    struct fake f;
    char *huge = cm_malloc((2 << 20) + 1);
    memset(huge, ' ', 2 << 20);
    huge[0] = '{';
    huge[(2 << 20) - 1] = '}';
    huge[2 << 20] = '\0';
    fake_init(&f);
    tell(&f, FAKE_AUTHZ, 1000, 200, NULL, huge);
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_ELIMIT);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    cm_free(huge);
    fake_fini(&f);
}

static bool always_new_authz(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    if (req->kind != FAKE_ORDER)
        return false;
    fake_body(r, "{\"status\":\"pending\",\"authorizations\":[\"" FAKE_BASE
                 "/authz/0\"],\"finalize\":\"" FAKE_BASE "/order/0/finalize\"}");
    return true;
}

static void the_budget_of_a_run(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.order_life_ms = INT64_C(30) * 86400000;
    f.before = always_new_authz; /* for ever pending */
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_ELIMIT);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_int_equal(f.requests, 1500);
    assert_non_null(cm_json_str(f.saved, "order_url")); /* the next run goes on */
    fake_fini(&f);
}

/* The CA has moved newOrder: the cached directory is stale and read again, once. */
static void stale_directory(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    if (req->kind != FAKE_DIRECTORY || f->count[FAKE_DIRECTORY] > 1)
        return;
    fake_body(r, "{\"newNonce\":\"" FAKE_BASE "/nonce\",\"newAccount\":\"" FAKE_BASE
                 "/acct\",\"newOrder\":\"" FAKE_BASE "/old\"}");
}

static void a_moved_url_is_found(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = stale_directory;
    fake_issue(&f, 1);
    assert_int_equal(f.count[FAKE_DIRECTORY], 2);
    assert_int_equal(f.count[FAKE_UNKNOWN], 1);
    assert_int_equal(f.orders_made, 1);
    fake_fini(&f);
}

static void a_refusal_that_was_meant(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    tell(&f, FAKE_NEW_ORDER, 1000, 400, NULL,
         "{\"type\":\"urn:ietf:params:acme:error:malformed\",\"detail\":\"bad name\"}");
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.retry, CM_RETRY_PERMANENT);
    assert_string_equal(cm_json_str(f.err.problem, "detail"), "bad name");
    assert_int_equal(f.count[FAKE_NEW_ORDER], 1); /* not repeated: nothing has moved */
    assert_int_equal(f.count[FAKE_DIRECTORY], 2);
    fake_fini(&f);
}

static void a_signing_failure_ends_the_run(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.fail_sign = CM_EBUSY;
    fake_start(&f, 1);
    fake_run(&f);
    assert_int_equal(f.err.code, CM_EBUSY);
    assert_int_equal(f.err.retry, CM_RETRY_TRANSIENT);
    assert_int_equal(f.orders_made, 0);
    fake_restart(&f);
    fake_issue(&f, 1);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_nonce_storms),
        cmocka_unit_test(every_second_nonce_is_refused),
        cmocka_unit_test(nine_of_ten_nonces_are_refused),
        cmocka_unit_test(missing_nonces),
        cmocka_unit_test(retry_after_in_seconds),
        cmocka_unit_test(retry_after_as_date),
        cmocka_unit_test(short_waits_stay_inside_the_run),
        cmocka_unit_test(a_busy_front_has_not_done_it),
        cmocka_unit_test(an_error_page_is_retried_and_told),
        cmocka_unit_test(lost_replies),
        cmocka_unit_test(an_unreachable_ca_ends_the_run),
        cmocka_unit_test(damaged_json),
        cmocka_unit_test(garbage_after_a_success),
        cmocka_unit_test(huge_replies),
        cmocka_unit_test(the_budget_of_a_run),
        cmocka_unit_test(a_moved_url_is_found),
        cmocka_unit_test(a_refusal_that_was_meant),
        cmocka_unit_test(a_signing_failure_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
