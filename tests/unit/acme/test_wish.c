/* What an order asks for besides names (profile, replaces), and mixed challenges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "tests/unit/acme/fake_ca.h"

#define PROFILES "\"meta\":{\"profiles\":{\"shortlived\":\"6 days\",\"classic\":\"90 days\"}}"
#define ARI      "{\"renewalInfo\":\"" FAKE_BASE "/ari\"," PROFILES "}"

struct orders {
    char sent[4][1024]; /* payloads of newOrder */
    unsigned count;
    int status; /* of the refusal of the first; 0 = none */
    const char *type, *detail;
};

static bool on_request(struct fake *f, const struct fake_req *req, struct fake_reply *r)
{
    struct orders *orders = f->user;
    if (req->kind != FAKE_NEW_ORDER)
        return false;
    if (orders->count < 4)
        snprintf(orders->sent[orders->count], sizeof(orders->sent[0]), "%s", req->payload);
    if (orders->count++ > 0 || orders->status == 0)
        return false;
    fake_problem(r, orders->status, orders->type, orders->detail);
    return true;
}

static void begin(struct fake *f, struct orders *orders, const struct acme_order_wish *wish)
{
    fake_init(f);
    f->wish = wish;
    f->directory_more = ARI;
    f->before = on_request;
    f->user = orders;
}

static void sent_when_set(void **state)
{
    (void)state;
    struct fake f;
    struct orders orders = {.count = 0};
    struct acme_order_wish wish = {.profile = "shortlived", .replaces = "aki.serial"};
    begin(&f, &orders, &wish);
    fake_issue(&f, 1);
    assert_non_null(strstr(orders.sent[0], "\"profile\":\"shortlived\""));
    assert_non_null(strstr(orders.sent[0], "\"replaces\":\"aki.serial\""));
    assert_int_equal(orders.count, 1);
    fake_fini(&f);
    /* not to a CA without ARI (RFC 9773 5) */
    struct orders plain = {.count = 0};
    begin(&f, &plain, &wish);
    f.directory_more = "{" PROFILES "}";
    fake_issue(&f, 1);
    assert_non_null(strstr(plain.sent[0], "profile"));
    assert_null(strstr(plain.sent[0], "replaces"));
    fake_fini(&f);
    /* and nothing of it when nothing is wished for */
    struct orders none = {.count = 0};
    struct acme_order_wish empty = {.profile = ""};
    begin(&f, &none, &empty);
    fake_issue(&f, 1);
    assert_null(strstr(none.sent[0], "profile"));
    assert_null(strstr(none.sent[0], "replaces"));
    fake_fini(&f);
}

static void replaces_refused(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *type, *detail;
    } rows[] = {{409, "alreadyReplaced", "cert was replaced"},
                {409, "conflict", "conflict"},
                {409, "orderExists", "a type that nobody has heard of"},
                {400, "malformed", "could not parse 'Replaces' field"},
                {400, "malformed", "parsing ARI CertID failed"},
                {401, "unauthorized", "requester account did not request that certificate"}};
    struct acme_order_wish wish = {.replaces = "aki.serial"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake f;
        struct orders orders = {
            .status = rows[i].status, .type = rows[i].type, .detail = rows[i].detail};
        begin(&f, &orders, &wish);
        fake_issue(&f, 1);
        assert_int_equal(orders.count, 2);
        assert_non_null(strstr(orders.sent[0], "replaces"));
        assert_null(strstr(orders.sent[1], "replaces"));
        assert_non_null(strstr(cm_buf_str(&f.log), rows[i].detail));
        assert_string_equal(cm_json_str(f.saved, "replaces_refused"), "aki.serial");
        fake_fini(&f);
    }
}

/* A profile that the CA does not list: preferred, it is left out. */
static void an_unknown_profile_is_left_out(void **state)
{
    (void)state;
    static const char *const directories[] = {ARI, NULL};
    for (size_t i = 0; i < 2; i++) {
        struct fake f;
        struct orders orders = {.count = 0};
        struct acme_order_wish wish = {.profile = "tlsclient"};
        begin(&f, &orders, &wish);
        f.directory_more = directories[i];
        fake_issue(&f, 1);
        assert_int_equal(orders.count, 1);
        assert_null(strstr(orders.sent[0], "profile"));
        assert_non_null(strstr(cm_buf_str(&f.log), "does not list the profile \"tlsclient\""));
        fake_fini(&f);
    }
}

/* Required, it ends the run before anything is ordered; once it is listed all goes on. */
static void a_required_profile_is_had_or_nothing(void **state)
{
    (void)state;
    struct fake f;
    struct orders orders = {.count = 0};
    struct acme_order_wish wish = {.profile = "tlsclient", .profile_required = true};
    begin(&f, &orders, &wish);
    fake_start(&f, 1);
    fake_run(&f);
    assert_true(f.done);
    assert_null(f.chain);
    assert_int_equal(orders.count, 0);
    assert_int_equal(f.err.code, CM_EHUMAN);
    assert_int_equal(f.err.retry, CM_RETRY_CONFIGURATION);
    assert_non_null(strstr(f.err.what, "\"tlsclient\""));
    assert_int_equal(f.err.cause_count, 2);
    assert_null(cm_json_str(f.saved, "ordering_at"));
    wish.profile = "classic";
    fake_restart(&f);
    fake_issue(&f, 1);
    assert_non_null(strstr(orders.sent[0], "\"profile\":\"classic\""));
    fake_fini(&f);
}

/* A refusal of anything else is no matter of `replaces`. */
static void other_refusals_stay(void **state)
{
    (void)state;
    struct fake f;
    struct orders orders = {
        .status = 400, .type = "rejectedIdentifier", .detail = "no such domain"};
    struct acme_order_wish wish = {.replaces = "aki.serial"};
    begin(&f, &orders, &wish);
    fake_start(&f, 1);
    fake_run(&f);
    assert_true(f.done);
    assert_null(f.chain);
    assert_int_equal(orders.count, 1);
    fake_fini(&f);
}

/* ---- challenges ----------------------------------------------------------------------------- */

static const char *choose(void *arg, const char *name)
{
    (void)arg;
    if (strncmp(name, "*.", 2) == 0)
        return "dns-01";
    return strcmp(name, "192.0.2.1") == 0 || strchr(name, ':') ? "tls-alpn-01" : "http-01";
}

static const char *type_of(const json_t *tokens, const char *host)
{
    size_t i;
    json_t *token;
    json_array_foreach(tokens, i, token)
    {
        if (strcmp(cm_json_str_or(token, "host", ""), host) == 0)
            return cm_json_str(token, "type");
    }
    return "none";
}

/* Name, its wildcard and addresses in one order: each has its own authorization and challenge (the
 * fake refuses an answer to another challenge than the published one). */
static void mixed_in_one_order(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    f.offer_all = true;
    f.choose = choose;
    json_t *names =
        json_pack("[s, s, s, s]", "example.com", "*.example.com", "192.0.2.1", "2001:db8::1");
    fake_start_names(&f, names);
    fake_run(&f);
    if (!f.chain)
        fail_msg("%s\n%s", f.err.what, cm_buf_str(&f.log));
    assert_int_equal(f.answers, 4);
    assert_int_equal(json_array_size(f.published), 4);
    assert_string_equal(type_of(f.published, "example.com"), "http-01");
    assert_string_equal(type_of(f.published, "*.example.com"), "dns-01");
    assert_string_equal(type_of(f.published, "192.0.2.1"), "tls-alpn-01");
    assert_string_equal(type_of(f.published, "2001:db8::1"), "tls-alpn-01");
    assert_non_null(strstr(cm_buf_str(&f.log),
                           "4 names to prove: 1 by http-01, 1 by dns-01, 2 by tls-alpn-01"));
    json_decref(names);
    fake_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent_when_set),
        cmocka_unit_test(an_unknown_profile_is_left_out),
        cmocka_unit_test(a_required_profile_is_had_or_nothing),
        cmocka_unit_test(replaces_refused),
        cmocka_unit_test(other_refusals_stay),
        cmocka_unit_test(mixed_in_one_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
