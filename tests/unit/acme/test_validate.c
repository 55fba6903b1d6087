/* Proof of names: matching, tokens, plain URLs, failures told per name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

static void expect_failure(struct fake *f, int code, enum cm_retry retry)
{
    fake_run(f);
    assert_true(f->done);
    assert_null(f->chain);
    if (f->err.code != code || f->err.retry != retry)
        fail_msg("%s: %s, %s", f->err.what, cm_code_name(f->err.code), cm_retry_name(f->err.retry));
}

static void evil_tokens(void **state)
{
    (void)state;
    char longest[258];
    memset(longest, 'a', 257);
    longest[257] = '\0';
    const char *const tokens[] = {"../x", "", "a b", "x%2f", "a=", "\xc3\xa9", longest + 1};
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        struct fake f;
        fake_init(&f);
        f.token = tokens[i];
        fake_start(&f, 1);
        expect_failure(&f, CM_EPEER, CM_RETRY_TRANSIENT);
        assert_int_equal(f.publishes, 0);
        assert_int_equal(f.answers, 0);
        fake_fini(&f);
    }
    struct fake f;
    fake_init(&f);
    f.token = longest + 2; /* 255 characters */
    fake_issue(&f, 1);
    fake_fini(&f);
}

static enum fake_kind target;
static const char *from;
static const char *to;

/* Replaces text in a reply body. */
static void replace(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    (void)f;
    const char *at = strstr(cm_buf_str(&r->body), from);
    if (req->kind != target || !at)
        return;
    char *text = cm_asprintf("%.*s%s%s", (int)(at - cm_buf_str(&r->body)), cm_buf_str(&r->body), to,
                             at + strlen(from));
    fake_body(r, text);
    cm_free(text);
}

static void plain_http_is_refused_everywhere(void **state)
{
    (void)state;
    static const struct {
        enum fake_kind kind;
        const char *from, *to;
    } rows[] = {
        {FAKE_DIRECTORY, "https://ca.test/nonce", "http://ca.test/nonce"},
        {FAKE_DIRECTORY, "https://ca.test/acct", "http://ca.test/acct"},
        {FAKE_DIRECTORY, "\"https://ca.test/order\"", "\"http://127.0.0.1/order\""},
        {FAKE_NEW_ORDER, "https://ca.test/authz", "http://ca.test/authz"},
        {FAKE_NEW_ORDER, "https://ca.test/order/0/fin", "http://ca.test/order/0/fin"},
        {FAKE_AUTHZ, "https://ca.test/chal", "http://ca.test/chal"},
        {FAKE_ORDER, "https://ca.test/cert", "http://ca.test/cert"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake f;
        fake_init(&f);
        f.after = replace;
        target = rows[i].kind;
        from = rows[i].from;
        to = rows[i].to;
        fake_start(&f, 1);
        expect_failure(&f, CM_EDENIED, CM_RETRY_CONFIGURATION);
        fake_fini(&f);
    }
}

static void null_meta_and_odd_members(void **state)
{
    (void)state;
    static const char *const metas[] = {
        "\"meta\":null", "\"meta\":{}", "\"meta\":7",
        "\"meta\":{\"termsOfService\":null,\"caaIdentities\":null}"};
    for (size_t i = 0; i < 4; i++) {
        struct fake f;
        fake_init(&f);
        f.after = replace;
        target = FAKE_DIRECTORY;
        from = "\"unknown\":1.5";
        to = metas[i];
        f.terms_refused = true;
        fake_issue(&f, 1);
        fake_fini(&f);
    }
}

static void names_nobody_asked_for(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = replace;
    target = FAKE_AUTHZ;
    from = "www1.example.com";
    to = "bank.example.org";
    fake_start(&f, 1);
    expect_failure(&f, CM_EPEER, CM_RETRY_TRANSIENT);
    assert_non_null(strstr(f.err.what, "bank.example.org"));
    assert_int_equal(f.publishes, 0);
    fake_fini(&f);

    fake_init(&f);
    f.after = replace;
    target = FAKE_NEW_ORDER;
    from = "www1.example.com";
    to = "bank.example.org";
    fake_start(&f, 1);
    expect_failure(&f, CM_EPEER, CM_RETRY_TRANSIENT);
    assert_non_null(strstr(f.err.what, "other names"));
    fake_fini(&f);
}

static void upper_case_from_the_ca(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = replace;
    target = FAKE_AUTHZ;
    from = "www1.example.com";
    to = "WWW1.Example.COM";
    fake_issue(&f, 1);
    assert_string_equal(cm_json_str(json_array_get(f.published, 0), "host"), "www1.example.com");
    fake_fini(&f);
}

static void wildcards_need_dns(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.wildcard_only_dns = true;
    json_t *names = json_pack("[s, s]", "example.com", "*.example.com");
    fake_start_names(&f, names);
    expect_failure(&f, CM_EHUMAN, CM_RETRY_CONFIGURATION);
    assert_string_equal(f.err.object, "host *.example.com");
    assert_non_null(strstr(f.err.hint, "DNS-01"));
    assert_int_equal(f.answers, 0);
    json_decref(names);
    fake_fini(&f);
}

/* The order fails; each failed name is named, with the CA's reason. */
static void a_failed_name_is_named(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.fail_name = "www2.example.com";
    fake_start(&f, 3);
    expect_failure(&f, CM_EPEER, CM_RETRY_TRANSIENT);
    assert_string_equal(f.err.object, "host www2.example.com");
    assert_non_null(strstr(f.err.what, "www2.example.com"));
    assert_string_equal(cm_json_str(f.err.problem, "detail"), "no route to host");
    assert_non_null(strstr(f.err.hint, "port 80"));
    assert_int_equal(f.finalized, 0);
    /* the order is dead: the next run begins a new one, and no state is in its way */
    assert_null(cm_json_str(f.saved, "order_url"));
    f.fail_name = NULL;
    fake_issue(&f, 3);
    assert_int_equal(f.orders_made, 2);
    fake_fini(&f);
}

static void invalid_order_with_subproblems(struct fake *f, const struct fake_req *req,
                                           struct fake_reply *r)
{
    if (req->kind != FAKE_ORDER || f->answers == 0)
        return;
    fake_body(r,
              "{\"status\":\"invalid\",\"error\":{\"type\":\"urn:ietf:params:acme:error:compound\","
              "\"detail\":\"two names failed\",\"subproblems\":[{\"type\":"
              "\"urn:ietf:params:acme:error:caa\",\"detail\":\"CAA forbids\\nit\",\"identifier\":{"
              "\"type\":\"dns\",\"value\":\"www1.example.com\"}},{\"type\":"
              "\"urn:ietf:params:acme:error:rejectedIdentifier\",\"identifier\":{\"type\":\"dns\","
              "\"value\":\"www2.example.com\"}}]}}");
}

static void subproblems_are_readable(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = invalid_order_with_subproblems;
    fake_start(&f, 2);
    expect_failure(&f, CM_EPEER, CM_RETRY_PERMANENT); /* the hardest of its reasons */
    assert_string_equal(f.err.cause[1], "The CA says: two names failed");
    assert_string_equal(f.err.cause[2], "www1.example.com: caa: CAA forbids it");
    assert_non_null(strstr(f.err.cause[3], "www2.example.com: rejectedIdentifier: "));
    assert_int_equal(json_array_size(cm_json_arr(f.err.problem, "subproblems")), 2);
    assert_int_equal(json_array_size(f.err.names), 2);
    fake_fini(&f);
}

static void order_error_without_a_name(struct fake *f, const struct fake_req *req,
                                       struct fake_reply *r)
{
    if (req->kind == FAKE_ORDER && f->answers > 0 && strcmp(f->order[0].status, "pending") != 0)
        fake_body(r, "{\"status\":\"invalid\",\"error\":{\"type\":"
                     "\"urn:ietf:params:acme:error:dns\",\"detail\":\"of the order\"}}");
}

/* Pebble copies the problem of one challenge into the order: whose it is, the authorization tells.
 */
static void an_order_error_is_traced_to_its_name(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.after = order_error_without_a_name;
    f.fail_name = "www2.example.com";
    fake_start(&f, 2);
    expect_failure(&f, CM_EPEER, CM_RETRY_TRANSIENT);
    assert_string_equal(f.err.object, "host www2.example.com");
    assert_string_equal(cm_json_str(f.err.problem, "detail"), "no route to host");
    assert_true(json_array_size(f.err.names) == 1 && cm_json_has_str(f.err.names, f.fail_name));
    f.fail_name = NULL; /* no authorization has failed: the order's own words */
    fake_restart(&f);
    json_decref(f.saved);
    f.saved = NULL;
    fake_start(&f, 1);
    expect_failure(&f, CM_EPEER, CM_RETRY_TRANSIENT);
    assert_string_equal(cm_json_str(f.err.problem, "detail"), "of the order");
    fake_fini(&f);
}

static void a_dead_authorization_ends_the_order(void **state)
{
    (void)state;
    static const char *const dead[] = {"\"status\":\"invalid\",\"id", "\"status\":\"expired\",\"id",
                                       "\"status\":\"deactivated\",\"id",
                                       "\"status\":\"revoked\",\"id"};
    for (size_t i = 0; i < 4; i++) {
        struct fake f;
        fake_init(&f);
        f.after = replace;
        target = FAKE_AUTHZ;
        from = "\"status\":\"pending\",\"id";
        to = dead[i];
        fake_start(&f, 1);
        fake_run(&f);
        assert_null(f.chain);
        assert_non_null(strstr(f.err.what, "www1.example.com"));
        assert_null(cm_json_str(f.saved, "order_url"));
        assert_int_equal(f.answers, 0);
        fake_fini(&f);
    }
}

static void publishing_fails(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.fail_publish = CM_EPEER;
    fake_start(&f, 1);
    expect_failure(&f, CM_EPEER, CM_RETRY_TRANSIENT);
    assert_int_equal(f.answers, 0); /* the CA is not told before the answer stands */
    fake_issue(&f, 1);
    assert_int_equal(f.orders_made, 1);
    fake_fini(&f);
}

static bool already_taken(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    if (req->kind != FAKE_CHALLENGE)
        return false;
    f->authz[req->id].challenge = "processing";
    fake_problem(r, 400, "malformed", "challenge is not pending");
    return true;
}

static void an_answer_that_was_taken_before(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.before = already_taken;
    f.polls_pending = 1;
    fake_issue(&f, 1);
    assert_int_equal(f.count[FAKE_CHALLENGE], 1);
    assert_int_equal(f.count[FAKE_AUTHZ], 2); /* looked again instead of giving up */
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evil_tokens),
        cmocka_unit_test(plain_http_is_refused_everywhere),
        cmocka_unit_test(null_meta_and_odd_members),
        cmocka_unit_test(names_nobody_asked_for),
        cmocka_unit_test(upper_case_from_the_ca),
        cmocka_unit_test(wildcards_need_dns),
        cmocka_unit_test(a_failed_name_is_named),
        cmocka_unit_test(subproblems_are_readable),
        cmocka_unit_test(an_order_error_is_traced_to_its_name),
        cmocka_unit_test(a_dead_authorization_ends_the_order),
        cmocka_unit_test(publishing_fails),
        cmocka_unit_test(an_answer_that_was_taken_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
