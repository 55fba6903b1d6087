/* Waiting for TXT values: every authoritative address, resolvers, stale and silent servers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <ares.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "certmgr/dns/propagate.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT 22330 /* .40 is the resolver, .41 to .43 answer for zones */
#define ZONE(zone, ...)                                                                            \
    {.name = zone, .type = DNS_SOA, .answer = {zone " SOA ns1." zone}},                            \
    {                                                                                              \
        .name = zone, .type = DNS_NS, .answer = { __VA_ARGS__ }                                    \
    }
#define HOST(host, ...)                                                                            \
    {                                                                                              \
        .name = host, .type = DNS_A, .answer = { __VA_ARGS__ }                                     \
    }
#define TXT(owner, server, ...)                                                                    \
    {                                                                                              \
        .name = owner, .type = DNS_TXT, .at = server, .answer = { __VA_ARGS__ }                    \
    }

static const struct fake_rule rules[] = {
    ZONE("two.test", "two.test NS ns1.two.test", "two.test NS ns2.two.test"),
    HOST("ns1.two.test", "ns1.two.test A 127.0.22.41"),
    HOST("ns2.two.test", "ns2.two.test A 127.0.22.42", "ns2.two.test A 127.0.22.43"),
    /* values in any order, split, beside others */
    TXT("all.two.test", 0, "all.two.test TXT other", "all.two.test TXT b|b", "all.two.test TXT aa"),
    TXT("stale.two.test", 2, "stale.two.test TXT v"),
    TXT("stale.two.test", 4, "stale.two.test TXT v"),
    TXT("stale.two.test", 3, "stale.two.test TXT old"),
    TXT("late.two.test", 2, "late.two.test TXT v"),
    TXT("late.two.test", 4, "late.two.test TXT v"),
    {.name = "late.two.test",
     .type = DNS_TXT,
     .at = 3,
     .answer = {"late.two.test TXT v"},
     .after = 1},
    TXT("sick.two.test", 0, "sick.two.test TXT v"),
    {.name = "sick.two.test", .type = DNS_TXT, .at = 4, .rcode = 5},
    TXT("mute.two.test", 0, "mute.two.test TXT v"),
    {.name = "mute.two.test", .type = DNS_TXT, .at = 4, .rcode = FAKE_SILENT},
    {.name = "cname.two.test", .type = DNS_CNAME, .answer = {"cname.two.test CNAME all.two.test"}},
    TXT("cname.two.test", 1, "cname.two.test CNAME all.two.test", "all.two.test TXT aa"),
    ZONE("lame.test", "lame.test NS ns1.two.test", "lame.test NS ghost.test"),
    TXT("x.lame.test", 0, "x.lame.test TXT v"),
    /* connect() refuses the broadcast address as it does IPv6 where there is none */
    ZONE("noway.test", "noway.test NS ns1.two.test", "noway.test NS noway.test"),
    HOST("noway.test", "noway.test A 255.255.255.255"),
    TXT("x.noway.test", 0, "x.noway.test TXT v"),
    ZONE("dark.test", "dark.test NS ns1.two.test", "dark.test NS unknown.test"),
    {.name = "unknown.test", .type = DNS_A, .rcode = 2},
    {.name = "unknown.test", .type = DNS_AAAA, .rcode = 2},
    {.name = "broken.test", .type = DNS_CNAME, .answer = {"broken.test CNAME broken.test"}},
    {.name = NULL},
};

static struct cm_loop *loop;
static struct dns_client *dns;
static struct fake_dns fake;

struct outcome {
    bool done;
    int64_t began, ended;
    int code;
    char line[2048]; /* of the error */
    json_t *report;
};

static void on_wait(void *arg, const json_t *report, const struct cm_err *err)
{
    struct outcome *o = arg;
    o->done = true;
    o->ended = cm_mono_ms();
    o->report = json_deep_copy(report);
    if (err) {
        o->code = err->code;
        cm_err_line(err, o->line, sizeof(o->line));
    }
}

/* "name value name value" */
static void begin(struct outcome *o, const char *const *pairs, struct dns_wait_options options)
{
    CM_AUTO_JSON values = json_array();
    for (; pairs[0]; pairs += 2)
        json_array_append_new(values, json_pack("{ssss}", "fqdn", pairs[0], "value", pairs[1]));
    options.interval_s = 1;
    o->began = cm_mono_ms();
    assert_non_null(dns_wait(loop, dns, values, &options, on_wait, o));
    assert_false(o->done);
}

static struct outcome *finish(struct outcome *o)
{
    while (!o->done)
        cm_loop_turn(loop, true);
    return o;
}

static struct outcome wait_for(const char *const *pairs, struct dns_wait_options options)
{
    struct outcome o = {0};
    begin(&o, pairs, options);
    return *finish(&o);
}

/* Those that take a second or more run side by side. */
static struct outcome stale, late, sick, missing, dark, fixed, early;

#define BEGIN(o, limit, ...)                                                                       \
    begin((o), (const char *const[]){__VA_ARGS__, NULL},                                           \
          (struct dns_wait_options){.authoritative = true, .limit_s = (limit)})
#define WAIT(limit, ...)                                                                           \
    wait_for((const char *const[]){__VA_ARGS__, NULL},                                             \
             (struct dns_wait_options){.authoritative = true, .limit_s = (limit)})

static const char *said(const struct outcome *o, const char *server)
{
    size_t i;
    json_t *line;
    json_array_foreach(o->report, i, line) if (strcmp(cm_json_str_or(line, "server", ""), server) ==
                                               0) return cm_json_str_or(line, "said", "");
    fail_msg("no report of %s", server);
    return "";
}

static int setup(void **state)
{
    (void)state;
    fake_hurry = 8; /* for the mute one; the others have 250 ms for each of two tries */
    fake_start(&fake, "127.0.22.40", PORT, rules);
    loop = cm_loop_new();
    assert_int_equal(dns_client_new(loop, "127.0.22.40:22330", &dns, NULL), 0);
    dns_client_set_port(dns, PORT);
    BEGIN(&stale, 1, "stale.two.test", "v");
    BEGIN(&late, 10, "late.two.test", "v", "all.two.test", "aa");
    BEGIN(&sick, 1, "sick.two.test", "v", "mute.two.test", "v");
    BEGIN(&dark, 1, "x.dark.test", "v");
    begin(&missing, (const char *const[]){"all.two.test", "missing", NULL},
          (struct dns_wait_options){.resolvers = "127.0.22.41:22330", .limit_s = 1});
    begin(&fixed, (const char *const[]){"all.two.test", "never", NULL},
          (struct dns_wait_options){.authoritative = true, .fixed_s = 1});
    begin(&early, (const char *const[]){"stale.two.test", "v", NULL},
          (struct dns_wait_options){
              .authoritative = true, .resolvers = "127.0.22.40:22330", .limit_s = 1});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_client_free(dns);
    cm_loop_free(loop);
    fake_stop(&fake);
    return 0;
}

static void every_address_of_every_server_is_asked(void **state)
{
    (void)state;
    struct outcome o = WAIT(5, "all.two.test", "aa", "all.two.test", "bb");
    assert_int_equal(o.code, 0);
    assert_int_equal(json_array_size(o.report), 3);
    assert_string_equal(said(&o, "ns1.two.test (127.0.22.41)"), "all values");
    assert_string_equal(said(&o, "ns2.two.test (127.0.22.42)"), "all values");
    assert_string_equal(said(&o, "ns2.two.test (127.0.22.43)"), "all values");
    json_decref(o.report);
}

static void a_stale_secondary_ends_in_its_name(void **state)
{
    (void)state;
    struct outcome o = *finish(&stale);
    assert_int_equal(o.code, CM_ETIMEOUT);
    assert_non_null(strstr(o.line, "stale.two.test are not seen at 1 of 3 DNS servers"));
    assert_non_null(strstr(o.line, "ns2.two.test (127.0.22.42): 0 of 1 values, 1 others"));
    assert_null(strstr(o.line, "127.0.22.43"));
    json_decref(o.report);
}

static void a_late_secondary_is_waited_for(void **state)
{
    (void)state;
    struct outcome o = *finish(&late);
    assert_true(o.ended - o.began >= 240); /* the second look */
    assert_int_equal(o.code, 0);
    assert_int_equal(json_array_size(o.report), 6);
    size_t i;
    json_t *line;
    json_array_foreach(o.report, i, line) assert_true(cm_json_bool(line, "seen", false));
    json_decref(o.report);
}

static void refusal_and_silence_are_told_apart(void **state)
{
    (void)state;
    struct outcome o = *finish(&sick);
    assert_int_equal(o.code, CM_ETIMEOUT);
    assert_non_null(strstr(o.line, "127.0.22.43): refused"));
    assert_non_null(strstr(o.line, "127.0.22.43): no answer in time"));
    json_decref(o.report);
}

static void cnames_are_followed_and_resolvers_asked(void **state)
{
    (void)state;
    struct outcome o = wait_for(
        (const char *const[]){"cname.two.test", "aa", NULL},
        (struct dns_wait_options){.authoritative = true, .resolvers = "127.0.22.40:22330,"});
    assert_int_equal(o.code, 0);
    assert_int_equal(json_array_size(o.report), 4);
    assert_string_equal(said(&o, "resolver 127.0.22.40:22330"), "all values");
    assert_string_equal(cm_json_str(json_array_get(o.report, 1), "name"), "all.two.test");
    json_decref(o.report);
    o = *finish(&missing);
    assert_int_equal(o.code, CM_ETIMEOUT);
    assert_non_null(strstr(o.line, "resolver 127.0.22.41:22330: 0 of 1 values, 3 others"));
    json_decref(o.report);
}

/* As a recipe may wish it: whoever asks for names here shows them. */
static void the_own_resolver_alone_is_asked(void **state)
{
    (void)state;
    struct outcome o = wait_for((const char *const[]){"cname.two.test", "aa", NULL},
                                (struct dns_wait_options){.resolver = true});
    assert_int_equal(o.code, 0);
    assert_int_equal(json_array_size(o.report), 1);
    assert_string_equal(said(&o, "the resolver"), "all values");
    json_decref(o.report);
}

/* An early question would make it keep the "no" (RFC 2308). */
static void a_resolver_is_not_asked_before_the_zones_servers_agree(void **state)
{
    (void)state;
    struct outcome o = *finish(&early);
    assert_int_equal(o.code, CM_ETIMEOUT);
    assert_non_null(strstr(said(&o, "resolver 127.0.22.40:22330"), "not asked before"));
    json_decref(o.report);
}

static void a_server_without_address_is_skipped(void **state)
{
    (void)state;
    struct outcome o = WAIT(2, "x.lame.test", "v");
    assert_int_equal(o.code, 0);
    assert_string_equal(said(&o, "ghost.test (?)"), "its name has no address");
    json_decref(o.report);
}

static void a_server_this_host_has_no_way_to_is_skipped(void **state)
{
    (void)state;
    struct outcome o = WAIT(2, "x.noway.test", "v");
    assert_int_equal(o.code, 0);
    assert_string_equal(said(&o, "noway.test (255.255.255.255)"), "this host has no way to it");
    assert_true(cm_json_bool(json_array_get(o.report, 0), "skipped", false) !=
                cm_json_bool(json_array_get(o.report, 1), "skipped", false));
    json_decref(o.report);
}

static void a_server_that_cannot_be_found_is_not(void **state)
{
    (void)state;
    struct outcome o = *finish(&dark);
    assert_int_equal(o.code, CM_EPEER);
    assert_non_null(strstr(o.line, "unknown.test"));
    json_decref(o.report);
}

static void a_loop_ends_the_wait_at_once(void **state)
{
    (void)state;
    int64_t began = cm_mono_ms();
    struct outcome o = WAIT(600, "broken.test", "v");
    assert_int_equal(o.code, CM_EPEER);
    assert_non_null(strstr(o.line, "lead back to themselves"));
    assert_true(cm_mono_ms() - began < 30000);
    json_decref(o.report);
}

static void a_fixed_time_asks_nobody(void **state)
{
    (void)state;
    struct outcome o = *finish(&fixed);
    assert_int_equal(o.code, 0);
    assert_true(o.ended - o.began >= 990);
    assert_int_equal(json_array_size(o.report), 0);
    json_decref(o.report);
}

static void the_first_look_comes_when_it_was_measured(void **state)
{
    (void)state;
    struct outcome o =
        wait_for((const char *const[]){"all.two.test", "aa", NULL},
                 (struct dns_wait_options){.authoritative = true, .start_ms = 300, .limit_s = 20});
    assert_int_equal(o.code, 0);
    assert_true(o.ended - o.began >= 290);
    json_decref(o.report);
}

static void a_wait_can_be_cancelled_at_any_time(void **state)
{
    CM_AUTO_JSON values = json_pack("[{ssss}]", "fqdn", "mute.two.test", "value", "v");
    struct dns_wait_options options = {.authoritative = true};
    struct outcome o = {0};
    (void)state;
    for (int turns = 0; turns < 12; turns++) {
        struct dns_wait *wait = dns_wait(loop, dns, values, &options, on_wait, &o);
        for (int i = 0; i < turns; i++)
            cm_loop_turn(loop, true);
        dns_wait_cancel(wait);
    }
    assert_false(o.done);
}

static void too_many_values_are_refused(void **state)
{
    CM_AUTO_JSON values = json_array();
    struct dns_wait_options options = {.authoritative = true};
    struct outcome o = {0};
    (void)state;
    for (int i = 0; i <= DNS_WAIT_VALUES_MAX; i++)
        json_array_append_new(values, json_pack("{ssss}", "fqdn", "a.test", "value", "v"));
    dns_wait(loop, dns, values, &options, on_wait, &o);
    while (!o.done)
        cm_loop_turn(loop, true);
    assert_int_equal(o.code, CM_ELIMIT);
    json_decref(o.report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_address_of_every_server_is_asked),
        cmocka_unit_test(a_stale_secondary_ends_in_its_name),
        cmocka_unit_test(a_late_secondary_is_waited_for),
        cmocka_unit_test(refusal_and_silence_are_told_apart),
        cmocka_unit_test(cnames_are_followed_and_resolvers_asked),
        cmocka_unit_test(the_own_resolver_alone_is_asked),
        cmocka_unit_test(a_resolver_is_not_asked_before_the_zones_servers_agree),
        cmocka_unit_test(a_server_without_address_is_skipped),
        cmocka_unit_test(a_server_this_host_has_no_way_to_is_skipped),
        cmocka_unit_test(a_server_that_cannot_be_found_is_not),
        cmocka_unit_test(a_loop_ends_the_wait_at_once),
        cmocka_unit_test(a_fixed_time_asks_nobody),
        cmocka_unit_test(the_first_look_comes_when_it_was_measured),
        cmocka_unit_test(a_wait_can_be_cancelled_at_any_time),
        cmocka_unit_test(too_many_values_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
