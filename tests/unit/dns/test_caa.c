/* CAA: a table of record sets and questions (RFC 8659, RFC 8657). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <ares.h>

#include "base/core/json.h"
#include "certmgr/dns/caa.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT    22320
#define ACCOUNT "https://ca.example/acct/1"
#define CAA(at, ...)                                                                               \
    {                                                                                              \
        .name = at ".test", .type = DNS_CAA, .answer = { __VA_ARGS__ }                             \
    }

static const struct fake_rule rules[] = {
    CAA("ours", "ours.test CAA 0 issue ca.example"),
    CAA("upper", "upper.test CAA 0 ISSUE CA.Example"),
    CAA("theirs", "theirs.test CAA 0 issue other.example"),
    CAA("both", "both.test CAA 0 issue other.example", "both.test CAA 0 issue ca.example"),
    CAA("nobody", "nobody.test CAA 0 issue ;"),
    CAA("empty", "empty.test CAA 0 issue "),
    CAA("broken", "broken.test CAA 0 issue ca.example %%%"),
    CAA("brokenparam", "brokenparam.test CAA 0 issue ca.example; nonsense"),
    CAA("wild", "wild.test CAA 0 issue other.example", "wild.test CAA 0 issuewild ca.example"),
    CAA("nowild", "nowild.test CAA 0 issue ca.example", "nowild.test CAA 0 issuewild ;"),
    CAA("onlywild", "onlywild.test CAA 0 issuewild other.example"),
    CAA("iodef", "iodef.test CAA 0 iodef mailto:a@b.example"),
    CAA("critical", "critical.test CAA 128 future x", "critical.test CAA 0 issue ca.example"),
    CAA("criticalknown", "criticalknown.test CAA 128 issue ca.example"),
    CAA("uncritical", "uncritical.test CAA 0 future x"),
    CAA("account", "account.test CAA 0 issue ca.example; accounturi=" ACCOUNT),
    CAA("twoaccounts", "twoaccounts.test CAA 0 issue ca.example; accounturi=" ACCOUNT
                       "; accounturi=https://ca.example/acct/2"),
    CAA("stranger", "stranger.test CAA 0 issue ca.example; accounturi=https://ca.example/acct/2"),
    CAA("dnsonly", "dnsonly.test CAA 0 issue ca.example ; validationmethods = dns-01"),
    CAA("methods", "methods.test CAA 0 issue ca.example;validationmethods=tls-alpn-01,http-01;x=y"),
    CAA("alias", "alias.test CNAME target.test", "target.test CAA 0 issue other.example"),
    CAA("bare", "bare.test CNAME theirs.test"),
    CAA("circle", "circle.test CNAME circle.test"),
    {.name = "closer.theirs.test",
     .type = DNS_CAA,
     .answer = {"closer.theirs.test CAA 0 issue ca.example"}},
    {.name = "fail.test", .type = DNS_CAA, .rcode = 2},
    {.name = "refused.test", .type = DNS_CAA, .rcode = 5},
    {.name = NULL},
};

static struct cm_loop *loop;
static struct dns_client *dns;
static struct fake_dns fake;

struct outcome {
    bool done;
    struct cm_err err;
    json_t *found;
};

static void on_caa(void *arg, const json_t *found, const struct cm_err *err)
{
    struct outcome *o = arg;
    o->done = true;
    o->found = found ? json_deep_copy(found) : NULL;
    if (err)
        cm_err_copy(&o->err, err);
}

static struct caa_memory *memory; /* NULL = the DNS is asked */

static struct outcome ask(const char *name, const char *account, const char *method)
{
    struct outcome o = {.err = CM_ERR_INIT};
    CM_AUTO_JSON identities = json_pack("[ss]", "also.example", "ca.example");
    struct caa_question question = {.name = name,
                                    .identities = identities,
                                    .account_uri = account,
                                    .method = method,
                                    .memory = memory};
    assert_non_null(caa_check(loop, dns, &question, on_caa, &o));
    while (!o.done)
        cm_loop_turn(loop, true);
    return o;
}

static int setup(void **state)
{
    (void)state;
    fake_start(&fake, "127.0.22.30", PORT, rules);
    loop = cm_loop_new();
    return dns_client_new(loop, "127.0.22.30:22320", &dns, NULL);
}

static int teardown(void **state)
{
    (void)state;
    dns_client_free(dns);
    cm_loop_free(loop);
    fake_stop(&fake);
    return 0;
}

static void the_table(void **state)
{
    static const struct {
        const char *name, *account, *method;
        bool allowed;
        const char *at; /* where records were found, NULL = nowhere */
    } rows[] = {
        {"nothing.test", NULL, NULL, true, NULL},
        {"ours.test", NULL, NULL, true, "ours.test"},
        {"a.b.ours.test", NULL, NULL, true, "ours.test"},
        {"*.ours.test", NULL, NULL, true, "ours.test"},
        {"upper.test", NULL, NULL, true, "upper.test"},
        {"theirs.test", NULL, NULL, false, "theirs.test"},
        {"*.theirs.test", NULL, NULL, false, "theirs.test"},
        {"x.theirs.test", NULL, NULL, false, "theirs.test"},
        {"x.closer.theirs.test", NULL, NULL, true, "closer.theirs.test"},
        {"both.test", NULL, NULL, true, "both.test"},
        {"nobody.test", NULL, NULL, false, "nobody.test"},
        {"empty.test", NULL, NULL, false, "empty.test"},
        {"broken.test", NULL, NULL, false, "broken.test"},
        {"brokenparam.test", NULL, NULL, false, "brokenparam.test"},
        {"wild.test", NULL, NULL, false, "wild.test"},
        {"*.wild.test", NULL, NULL, true, "wild.test"},
        {"nowild.test", NULL, NULL, true, "nowild.test"},
        {"*.nowild.test", NULL, NULL, false, "nowild.test"},
        {"onlywild.test", NULL, NULL, true, "onlywild.test"},
        {"*.onlywild.test", NULL, NULL, false, "onlywild.test"},
        {"iodef.test", NULL, NULL, true, "iodef.test"},
        {"critical.test", NULL, NULL, false, "critical.test"},
        {"criticalknown.test", NULL, NULL, true, "criticalknown.test"},
        {"uncritical.test", NULL, NULL, true, "uncritical.test"},
        {"account.test", ACCOUNT, NULL, true, "account.test"},
        {"account.test", NULL, NULL, true, "account.test"}, /* not registered yet */
        {"account.test", "https://ca.example/acct/11", NULL, false, "account.test"},
        {"twoaccounts.test", ACCOUNT, NULL, false, "twoaccounts.test"},
        {"stranger.test", ACCOUNT, NULL, false, "stranger.test"},
        {"dnsonly.test", NULL, "dns-01", true, "dnsonly.test"},
        {"dnsonly.test", NULL, "http-01", false, "dnsonly.test"},
        {"dnsonly.test", NULL, NULL, true, "dnsonly.test"},
        {"methods.test", NULL, "http-01", true, "methods.test"},
        {"methods.test", NULL, "http-0", false, "methods.test"},
        {"methods.test", NULL, "dns-01", false, "methods.test"},
        {"alias.test", NULL, NULL, false, "alias.test"},
        {"bare.test", NULL, NULL, false, "bare.test"},
        {"circle.test", NULL, NULL, true, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome o = ask(rows[i].name, rows[i].account, rows[i].method);
        const char *at = cm_json_str(o.found, "at");
        if ((o.err.code == 0) != rows[i].allowed ||
            strcmp(at ? at : "-", rows[i].at ? rows[i].at : "-") != 0)
            fail_msg("row %zu, %s: %s at %s", i, rows[i].name, o.err.what, at ? at : "-");
        if (!rows[i].allowed) {
            assert_int_equal(o.err.code, CM_EDENIED);
            assert_int_equal(o.err.retry, CM_RETRY_CONFIGURATION);
        }
        cm_err_fini(&o.err);
        json_decref(o.found);
    }
}

/* A kept "yes" will do; a "no" is looked up again each time. */
static void the_table_from_memory(void **state)
{
    (void)state;
    memory = caa_memory_new(loop, dns);
    the_table(state);
    unsigned first = caa_memory_questions(memory);
    struct outcome o = ask("a.b.ours.test", NULL, NULL);
    assert_int_equal(o.err.code, 0);
    assert_int_equal(caa_memory_questions(memory), first);
    json_decref(o.found);
    o = ask("x.theirs.test", NULL, NULL);
    assert_int_equal(o.err.code, CM_EDENIED);
    assert_int_equal(caa_memory_questions(memory), first + 2); /* x.theirs.test, theirs.test */
    cm_err_fini(&o.err);
    json_decref(o.found);
    the_table(state);
    caa_memory_free(memory);
    memory = NULL;
}

static void a_refusal_shows_records_and_what_to_add(void **state)
{
    (void)state;
    struct outcome o = ask("*.x.theirs.test", ACCOUNT, NULL);
    assert_string_equal(o.err.what, "CAA at theirs.test does not let the CA (\"also.example\" or "
                                    "\"ca.example\") issue for *.x.theirs.test");
    assert_string_equal(o.err.cause[0], "theirs.test CAA 0 issue \"other.example\"");
    assert_non_null(strstr(o.err.hint, "theirs.test CAA 0 issuewild \"also.example\""));
    assert_non_null(strstr(o.err.hint, ACCOUNT));
    assert_string_equal(json_string_value(json_array_get(cm_json_arr(o.found, "records"), 0)),
                        "0 issue \"other.example\"");
    cm_err_fini(&o.err);
    json_decref(o.found);
    o = ask("critical.test", NULL, NULL);
    assert_non_null(strstr(o.err.what, "critical property \"future\""));
    cm_err_fini(&o.err);
    json_decref(o.found);
}

static void a_failed_look_up_is_no_permission(void **state)
{
    static const char *const names[] = {"fail.test", "www.fail.test", "refused.test"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct outcome o = ask(names[i], NULL, NULL);
        assert_int_equal(o.err.code, CM_EPEER);
        assert_int_equal(o.err.retry, CM_RETRY_TRANSIENT);
        assert_null(o.found);
        cm_err_fini(&o.err);
    }
}

static void without_identities_only_nobody_forbids(void **state)
{
    (void)state;
    struct outcome o = {.err = CM_ERR_INIT};
    struct caa_question question = {.name = "theirs.test"};
    caa_check(loop, dns, &question, on_caa, &o);
    while (!o.done)
        cm_loop_turn(loop, true);
    assert_int_equal(o.err.code, 0);
    assert_non_null(o.found);
    json_decref(o.found);
    o = (struct outcome){.err = CM_ERR_INIT};
    question.name = "nobody.test";
    caa_check(loop, dns, &question, on_caa, &o);
    while (!o.done)
        cm_loop_turn(loop, true);
    assert_int_equal(o.err.code, CM_EDENIED);
    cm_err_fini(&o.err);
    json_decref(o.found);
}

static void a_check_can_be_cancelled(void **state)
{
    (void)state;
    struct outcome o = {.err = CM_ERR_INIT};
    struct caa_question question = {.name = "theirs.test"};
    caa_cancel(caa_check(loop, dns, &question, on_caa, &o));
    struct outcome other = ask("ours.test", NULL, NULL);
    assert_false(o.done);
    json_decref(other.found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table),
        cmocka_unit_test(the_table_from_memory),
        cmocka_unit_test(a_refusal_shows_records_and_what_to_add),
        cmocka_unit_test(a_failed_look_up_is_no_permission),
        cmocka_unit_test(without_identities_only_nobody_forbids),
        cmocka_unit_test(a_check_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
