/* The check before a request, name by name: where the challenge is written, CAA, addresses, the
 * probe, the time limit; and that whatever is found wrong comes with what to do about it. */
#include "tests/unit/engine/harness.h"

#include "certmgr/engine/preflight.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT 23121

static const struct fake_rule rules[] = {
    {.name = "_acme-challenge.loop.test",
     .type = DNS_CNAME,
     .answer = {"_acme-challenge.loop.test CNAME other.loop.test"}},
    {.name = "other.loop.test",
     .type = DNS_CNAME,
     .answer = {"other.loop.test CNAME _acme-challenge.loop.test"}},
    {.name = "_acme-challenge.alias.test",
     .type = DNS_CNAME,
     .answer = {"_acme-challenge.alias.test CNAME x.people.test"}},
    {.name = "people.test", .type = DNS_SOA, .answer = {"people.test SOA ns.people.test"}},
    {.name = "people.test", .type = DNS_NS, .answer = {"people.test NS ns.people.test"}},
    {.name = "hook.test", .type = DNS_SOA, .answer = {"hook.test SOA ns.hook.test"}},
    {.name = "hook.test", .type = DNS_NS, .answer = {"hook.test NS ns.hook.test"}},
    {.name = "broken.test", .type = DNS_CAA, .rcode = 2},
    {.name = "slow.test", .type = DNS_CAA, .rcode = FAKE_SILENT},
    {.name = "two.test", .type = DNS_A, .answer = {"two.test A 127.0.204.29"}},
    {.name = "two.test", .type = DNS_AAAA, .answer = {"two.test AAAA ::1"}},
    {.name = NULL},
};

static const struct eng_actor actor = {.who = "ada", .via = "form"};
static struct fake_dns fake;
static struct dns_client *dns;
static json_t *report;

/* Put before the loop's by the linker: the patience of a check, which is without end on a slow
 * machine and short when a test waits for its end. */
static int64_t patience_ms;
void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    __real_cm_timer_start(timer, ms != PREFLIGHT_MS ? ms
                                 : patience_ms      ? patience_ms
                                                    : H_SECONDS * 1000);
}

static void dns_account(struct h *h, json_t *take_fields)
{
    eng_dns_account_put(h->engine, take_fields, &actor, h_on_done, h);
    json_decref(take_fields);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
}

static int setup(void **state)
{
    assert_int_equal(h_setup(state), 0);
    struct h *h = *state;
    fake_start(&fake, "127.0.204.20", PORT, rules);
    assert_int_equal(dns_client_new(h->loop, "127.0.204.20:23121", &dns, NULL), 0);
    h->engine->env.dns = dns;
    h_account(h);
    dns_account(h, json_pack("{s:s,s:s,s:s}", "name", "people", "kind", "manual", "domains",
                             "people.test"));
    dns_account(h, json_pack("{s:s,s:s,s:s,s:{s:s}}", "name", "hook", "kind", "exec", "domains",
                             "hook.test", "options", "program", "none"));
    return 0;
}

static int teardown(void **state)
{
    struct h *h = *state;
    patience_ms = 0;
    json_decref(report);
    report = NULL;
    eng_free(h->engine); /* before its client */
    h->env.dns = NULL;
    h->engine = eng_new(&h->env);
    dns_client_free(dns);
    fake_stop(&fake);
    return h_teardown(state);
}

static void on_report(void *arg, const json_t *found, const json_t *errors,
                      const struct cm_err *err)
{
    (void)errors;
    json_decref(report);
    report = json_deep_copy(found);
    h_on_done(arg, err);
}

/* Runs the check; everything that is not well names its fix, and the worst of it is the result. */
static void check(struct h *h, json_t *take_fields, bool probe)
{
    struct eng_preflight_opts opts = {.actor = actor, .probe_dns = probe};
    const char *worst = "ok";
    size_t i;
    json_t *row;
    eng_preflight(h->engine, take_fields, &opts, on_report, h);
    json_decref(take_fields);
    if (h_done(h) != 0)
        fail_msg("%s", h_line(h));
    json_array_foreach(cm_json_arr(report, "checks"), i, row)
    {
        const char *result = cm_json_str_or(row, "result", "");
        bool good = strcmp(result, "ok") == 0;
        if (good != (cm_json_str_or(row, "fix", "")[0] == '\0'))
            fail_msg("%s (%s): fix \"%s\"", cm_json_str_or(row, "text", ""), result,
                     cm_json_str_or(row, "fix", ""));
        if (!good && strcmp(worst, "fail") != 0)
            worst = strcmp(result, "fail") == 0 ? "fail" : "warn";
    }
    assert_string_equal(cm_json_str(report, "result"), worst);
}

/* The nth row of this id, or NULL. */
static const json_t *row_at(const char *id, size_t n)
{
    size_t i;
    json_t *row;
    json_array_foreach(cm_json_arr(report, "checks"), i, row)
    {
        if (strcmp(cm_json_str_or(row, "id", ""), id) == 0 && n-- == 0)
            return row;
    }
    return NULL;
}

/* Found once, with this result, its text holding that. */
static void assert_row(const char *id, const char *result, const char *text)
{
    const json_t *row = row_at(id, 0);
    if (!row)
        fail_msg("no %s", id);
    assert_string_equal(cm_json_str(row, "result"), result);
    if (!strstr(cm_json_str(row, "text"), text))
        fail_msg("\"%s\" does not say \"%s\"", cm_json_str(row, "text"), text);
}

static void where_the_challenge_is_written(void **state)
{
    struct h *h = *state;
    check(h, h_fields("alias.test"), false);
    assert_row("cname_ok", "ok", "_acme-challenge.alias.test is a CNAME");
    assert_row("cname_ok", "ok", "x.people.test (zone people.test)");
    assert_row("challenge_ok", "ok", "the DNS account people covers x.people.test");
    assert_row("by_hand", "warn", "The name is proved by a TXT record that people write");
    assert_null(row_at("address_none", 0)); /* dns-01 wants none */
    check(h, h_fields("loop.test"), false);
    assert_row("cname_broken", "warn", "lead back to themselves");
    assert_row("challenge_ok", "ok", "http-01");
}

/* Neither it nor what its CNAME could lead to is covered. */
static void a_wildcard_without_an_account(void **state)
{
    struct h *h = *state;
    check(h, h_fields("*.none.test"), false);
    assert_row("challenge_none", "fail", "*.none.test can be proved by dns-01 only");
    check(h, h_fields("*.alias.test"), false);
    assert_row("challenge_ok", "ok", "the DNS account people covers x.people.test");
}

static void caa_and_addresses(void **state)
{
    struct h *h = *state;
    check(h, h_fields("broken.test"), false);
    assert_row("caa_failed", "fail", "broken.test");
    assert_row("address_none", "fail", "broken.test has no address");
    /* Every address is asked, of both kinds, and named. */
    check(h, h_fields("two.test"), false);
    assert_row("caa_ok", "ok", "No CAA record");
    bool v6 = row_at("address_bad", 1) != NULL;
    assert_row(v6 ? "address_bad" : "address_no_route", v6 ? "fail" : "warn", "::1");
    const json_t *v4 = row_at("address_bad", v6);
    assert_non_null(v4);
    assert_non_null(strstr(cm_json_str(v4, "text"), "127.0.204.29"));
    json_t *fields = h_fields("two.test");
    cm_json_set_str(fields, "challenge", "tls-alpn-01");
    check(h, fields, false);
    assert_row("challenge_ok", "ok", "tls-alpn-01: chosen in the request");
    assert_row("address_later", "ok", "two.test has 2 addresses, the first is ::1");
}

static void a_probe_that_fails(void **state)
{
    struct h *h = *state;
    check(h, h_fields("www.hook.test, alias.test"), false);
    assert_null(row_at("dns_probe_bad", 0)); /* only when it is wished for */
    check(h, h_fields("www.hook.test, alias.test"), true);
    const json_t *by_hand = row_at("dns_probe_bad", 0), *failed = row_at("dns_probe_bad", 1);
    assert_non_null(failed);
    assert_string_equal(cm_json_str(by_hand, "result"), "warn");
    assert_non_null(strstr(cm_json_str(by_hand, "text"), "DNS account people"));
    assert_string_equal(cm_json_str(failed, "result"), "fail");
    assert_non_null(strstr(cm_json_str(failed, "text"), "DNS account hook"));
}

static void what_takes_too_long_is_told(void **state)
{
    struct h *h = *state;
    patience_ms = 200;
    check(h, h_fields("slow.test"), false);
    assert_row("time", "warn", "The checks of slow.test did not end");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(where_the_challenge_is_written),
        TEST(a_wildcard_without_an_account),
        TEST(caa_and_addresses),
        TEST(a_probe_that_fails),
        TEST(what_takes_too_long_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
