/* Requests outside an order: directory, GET, signed; repairs; refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certmgr/acme/op.h"
#include "tests/unit/acme/fake_ca.h"

#define MORE "{\"renewalInfo\":\"" FAKE_BASE "/op\",\"revokeCert\":\"" FAKE_BASE "/op/7\"}"

struct end {
    unsigned calls;
    int status, code;
    bool unknown;
    char url[256], body[256], what[512];
    int64_t retry_after;
    struct acme_op *op;
};

static void on_end(void *arg, const struct acme_op_reply *reply, const struct cm_err *err)
{
    struct end *end = arg;
    end->calls++;
    end->status = reply->status;
    end->code = err ? err->code : 0;
    end->unknown = reply->unknown;
    end->retry_after = reply->retry_after;
    snprintf(end->url, sizeof(end->url), "%s", reply->url ? reply->url : "");
    snprintf(end->body, sizeof(end->body), "%s", reply->body);
    snprintf(end->what, sizeof(end->what), "%s", err ? err->what : "");
    acme_op_free(end->op); /* allowed here */
    end->op = NULL;
}

static void run(struct fake *f, const struct acme_op_request *request, struct end *end)
{
    struct acme_ports ports = fake_port_table(f);
    struct acme_account account = {
        .directory = FAKE_DIR, .kid = f->saved_kid, .thumbprint = FAKE_THUMB};
    struct cm_err err = CM_ERR_INIT;
    *end = (struct end){0};
    end->op = acme_op_new(f->ca, &account, request, false, &ports, on_end, end, &err);
    if (!end->op)
        fail_msg("%s", err.what);
    assert_int_equal(end->calls, 0);
    for (unsigned i = 0; i < 1000 && end->calls == 0 && fake_turn(f); i++) {
    }
    assert_int_equal(end->calls, 1);
}

/* A CA with our account. */
static void begin(struct fake *f)
{
    fake_init(f);
    f->directory_more = MORE;
    fake_issue(f, 1);
    f->requests = f->signs = 0;
}

static void directory_only(void **state)
{
    (void)state;
    struct fake f;
    struct end end;
    fake_init(&f);
    f.directory_more = MORE;
    assert_false(acme_ca_directory(f.ca)->loaded);
    run(&f, &(struct acme_op_request){.kind = ACME_OP_DIRECTORY, .what = "its directory"}, &end);
    assert_int_equal(end.code, 0);
    assert_int_equal(f.requests, 1);
    assert_string_equal(acme_ca_directory(f.ca)->renewal_info, FAKE_BASE "/op");
    assert_int_equal(f.accounts_made, 0);
    fake_fini(&f);
}

static void unsigned_get(void **state)
{
    (void)state;
    struct fake f;
    struct end end;
    fake_init(&f);
    f.directory_more = MORE;
    struct acme_op_request get = {.kind = ACME_OP_GET,
                                  .member = "renewalInfo",
                                  .url = "/5",
                                  .what = "the renewal information"};
    run(&f, &get, &end);
    assert_int_equal(end.code, 0);
    assert_int_equal(end.status, 200);
    assert_string_equal(end.url, FAKE_BASE "/op/5");
    assert_string_equal(end.body, "{}");
    assert_int_equal(f.signs, 0);
    assert_int_equal(f.accounts_made, 0);
    fake_fini(&f);
}

static void signed_by_the_account(void **state)
{
    (void)state;
    struct fake f;
    struct end end;
    begin(&f);
    f.bad_nonces = 2; /* retried with the reply's nonce */
    struct acme_op_request revoke = {.kind = ACME_OP_KID,
                                     .member = "revokeCert",
                                     .payload = "{\"certificate\":\"AA\"}",
                                     .what = "the revocation"};
    run(&f, &revoke, &end);
    assert_int_equal(end.code, 0);
    assert_string_equal(end.url, FAKE_BASE "/op/7");
    assert_int_equal(f.signs, 3);
    /* the account itself, by POST-as-GET of its URL */
    run(&f, &(struct acme_op_request){.kind = ACME_OP_KID, .payload = "", .what = "the account"},
        &end);
    assert_int_equal(end.code, 0);
    assert_string_equal(end.url, FAKE_KID);
    assert_non_null(strstr(end.body, "valid"));
    fake_fini(&f);
}

static void key_embedded(void **state)
{
    (void)state;
    struct fake f;
    struct end end;
    begin(&f);
    run(&f,
        &(struct acme_op_request){
            .kind = ACME_OP_JWK, .member = "revokeCert", .payload = "{}", .what = "x"},
        &end);
    assert_int_equal(end.code, 0);
    fake_fini(&f);
}

/* No account is made on the way, and the CA may lack what is asked for. */
static void not_possible(void **state)
{
    (void)state;
    struct fake f;
    struct end end;
    struct cm_err err = CM_ERR_INIT;
    fake_init(&f);
    f.directory_more = MORE;
    struct acme_op_request request = {
        .kind = ACME_OP_KID, .member = "revokeCert", .payload = "{}", .what = "the revocation"};
    run(&f, &request, &end);
    assert_int_equal(end.code, CM_EHUMAN);
    assert_non_null(strstr(end.what, "not registered"));
    assert_int_equal(f.accounts_made, 0);
    request = (struct acme_op_request){
        .kind = ACME_OP_GET, .member = "newAuthz", .what = "pre-authorization"};
    run(&f, &request, &end);
    assert_int_equal(end.code, CM_ENOENT);
    assert_non_null(strstr(end.what, "does not offer pre-authorization"));
    request = (struct acme_op_request){
        .kind = ACME_OP_GET, .url = "http://ca.test/plain", .what = "a page"};
    run(&f, &request, &end);
    assert_int_equal(end.code, CM_EDENIED); /* never plain http */
    struct acme_ports ports = fake_port_table(&f);
    struct acme_account account = {.directory = FAKE_DIR, .thumbprint = FAKE_THUMB};
    request = (struct acme_op_request){.kind = ACME_OP_KID, .what = "no payload"};
    assert_null(acme_op_new(f.ca, &account, &request, false, &ports, on_end, &end, &err));
    assert_int_equal(err.code, CM_EINVAL);
    cm_err_fini(&err);
    fake_fini(&f);
}

static void refuse(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    if (req->kind != FAKE_OTHER || r->status != 200)
        return;
    int *status = f->user;
    fake_problem(r, *status, *status == 400 ? "alreadyRevoked" : "serverInternal", "told so");
    if (*status == 503) {
        fake_header(r, "Retry-After: 60");
        r->error = 0;
    }
}

static void refusals_come_through(void **state)
{
    (void)state;
    struct fake f;
    struct end end;
    int status = 400;
    begin(&f);
    f.user = &status;
    f.after = refuse;
    struct acme_op_request revoke = {
        .kind = ACME_OP_KID, .member = "revokeCert", .payload = "{}", .what = "the revocation"};
    run(&f, &revoke, &end);
    assert_int_equal(end.status, 400);
    assert_int_not_equal(end.code, 0);
    assert_non_null(strstr(end.body, "alreadyRevoked"));
    /* a long Retry-After ends the run, and is told */
    status = 503;
    run(&f, &revoke, &end);
    assert_int_equal(end.status, 503);
    assert_int_not_equal(end.code, 0);
    assert_in_range(end.retry_after, cm_now_ms() + 50000, cm_now_ms() + 61000);
    /* and the floor of the CA holds for the next one */
    f.after = NULL;
    run(&f, &revoke, &end);
    assert_int_equal(end.status, 0);
    assert_int_equal(end.code, CM_EBUSY);
    fake_fini(&f);
}

/* The CA has forgotten the account's URL but knows the key: looked up, saved, asked again. */
static void account_found_again(void **state)
{
    (void)state;
    struct fake f;
    struct end end;
    begin(&f);
    f.account_number = 4;
    unsigned saves = f.account_saves;
    run(&f,
        &(struct acme_op_request){
            .kind = ACME_OP_KID, .member = "revokeCert", .payload = "{}", .what = "x"},
        &end);
    assert_int_equal(end.code, 0);
    assert_int_equal(f.account_saves, saves + 1);
    assert_string_equal(f.saved_kid, FAKE_BASE "/acct/4");
    /* and a key it does not know is not registered */
    f.account = false;
    run(&f,
        &(struct acme_op_request){
            .kind = ACME_OP_KID, .member = "revokeCert", .payload = "{}", .what = "x"},
        &end);
    assert_int_equal(end.code, CM_EHUMAN);
    assert_int_equal(f.accounts_made, 1);
    fake_fini(&f);
}

static void dropped_in_flight(void **state)
{
    (void)state;
    struct fake f;
    struct end end = {0};
    struct cm_err err = CM_ERR_INIT;
    begin(&f);
    struct acme_ports ports = fake_port_table(&f);
    struct acme_account account = {.kid = f.saved_kid, .thumbprint = FAKE_THUMB};
    struct acme_op_request request = {
        .kind = ACME_OP_KID, .member = "revokeCert", .payload = "{}", .what = "x"};
    for (int turns = 0; turns < 4; turns++) {
        struct acme_op *op =
            acme_op_new(f.ca, &account, &request, false, &ports, on_end, &end, &err);
        assert_non_null(op);
        for (int i = 0; i < turns; i++)
            fake_turn(&f);
        acme_op_free(op);
        while (fake_turn(&f)) {
        }
    }
    assert_int_equal(end.calls, 0);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_only),        cmocka_unit_test(unsigned_get),
        cmocka_unit_test(signed_by_the_account), cmocka_unit_test(key_embedded),
        cmocka_unit_test(not_possible),          cmocka_unit_test(refusals_come_through),
        cmocka_unit_test(account_found_again),   cmocka_unit_test(dropped_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
