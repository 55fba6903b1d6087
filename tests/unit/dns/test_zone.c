/* CNAME chains, zone cuts, wildcards: against a scripted resolver. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <ares.h>

#include "certmgr/dns/zone.h"
#include "tests/unit/dns/fake_dns.h"

#define PORT 22310

/* A chain of CNAMEs from NAME0 to NAME1. */
#define LINK(from, to)                                                                             \
    {                                                                                              \
        .name = from, .type = DNS_CNAME, .answer = { from " CNAME " to }                           \
    }
#define ZONE(zone)                                                                                 \
    {.name = zone, .type = DNS_SOA, .answer = {zone " SOA ns1." zone}},                            \
    {                                                                                              \
        .name = zone, .type = DNS_NS, .answer = { zone " NS ns1." zone, zone " NS NS2." zone }     \
    }

static const struct fake_rule rules[] = {
    ZONE("example.test"),
    ZONE("deep.example.test"),
    ZONE("co.uk"),
    ZONE("duckdns.org"),
    {.name = ".", .type = DNS_SOA, .answer = {". SOA root-servers.invalid"}},
    ZONE("quick.test"),
    /* a negative answer names its zone */
    {.name = "_acme-challenge.quick.test",
     .type = DNS_CNAME,
     .authority = "quick.test SOA ns1.quick.test"},
    /* a root's or registry's negative answer is no zone of ours */
    {.name = "_acme-challenge.rooted.test", .type = DNS_CNAME, .authority = ". SOA root.invalid"},
    {.name = "_acme-challenge.no.co.uk", .type = DNS_CNAME, .authority = "co.uk SOA ns1.nic.uk"},
    /* SOA of the target's zone beside a CNAME must not be taken for the name's */
    {.name = "www.example.test",
     .type = DNS_SOA,
     .answer = {"www.example.test CNAME web.elsewhere.test"},
     .authority = "test SOA ns1.elsewhere.test"},
    LINK("c0.example.test", "c1.example.test"),
    LINK("c1.example.test", "c2.example.test"),
    LINK("c2.example.test", "C3.example.test"),
    LINK("c3.example.test", "c4.example.test"),
    LINK("c4.example.test", "c5.example.test"),
    LINK("c5.example.test", "c6.example.test"),
    LINK("c6.example.test", "c7.example.test"),
    LINK("c7.example.test", "c8.deep.example.test"),
    LINK("c-1.example.test", "c0.example.test"),
    LINK("l0.example.test", "l1.example.test"),
    LINK("l1.example.test", "l0.example.test"),
    LINK("self.example.test", "self.example.test"),
    LINK("_acme-challenge.given.example.test", "given.deep.example.test"),
    /* a DNAME with the CNAME that servers make of it, and from one that leaves that to others */
    {.name = "*.old.example.test",
     .type = DNS_CNAME,
     .answer = {"old.example.test DNAME deep.example.test", "@ CNAME ^deep.example.test"}},
    {.name = "*.bare.example.test",
     .type = DNS_CNAME,
     .answer = {"other.test DNAME wrong.test", "bare.example.test DNAME deep.example.test"}},
    {.name = "*.stripped.example.test", .type = DNS_CNAME, .answer = {"@ CNAME ^quick.test"}},
    {.name = "*.up.example.test",
     .type = DNS_CNAME,
     .answer = {"up.example.test DNAME deep.example.test"}},
    {.name = "*.turn.example.test", .type = DNS_CNAME, .answer = {"@ CNAME ^nrut.example.test"}},
    {.name = "*.nrut.example.test", .type = DNS_CNAME, .answer = {"@ CNAME ^turn.example.test"}},
    {.name = "*.long.example.test", .type = DNS_CNAME, .rcode = 6},
    LINK("c.old.example.test", "x.bare.example.test"),
    /* wildcards: of all names, and beside one that somebody made */
    {.name = "*.wild.example.test", .type = DNS_CNAME, .answer = {"@ CNAME deep.example.test"}},
    LINK("_acme-challenge.made.wild.example.test", "made.deep.example.test"),
    {.name = "fail.example.test", .type = DNS_CNAME, .rcode = 2},
    {.name = "silent.example.test", .type = DNS_CNAME, .rcode = FAKE_SILENT},
    {.name = "garbage.example.test", .type = DNS_CNAME, .rcode = FAKE_GARBAGE},
    {.name = "lame.test", .type = DNS_SOA, .answer = {"lame.test SOA ns1.lame.test"}},
    {.name = "cut.test", .type = DNS_SOA, .answer = {"cut.test SOA ns1.cut.test"}},
    {.name = "cut.test",
     .type = DNS_NS,
     .rcode = FAKE_CUT,
     .answer = {"other.test NS wrong.cut.test", "cut.test TXT odd", "cut.test NS ns9.cut.test"}},
    {.name = NULL},
};

static struct cm_loop *loop;
static struct dns_client *dns;
static struct fake_dns fake;

struct outcome {
    bool done;
    int code;
    enum cm_retry retry;
    char name[256], zone[256], primary[256], servers[512], what[512], cause[512];
    unsigned hops;
    bool wildcard;
};

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *err)
{
    struct outcome *o = arg;
    o->done = true;
    if (err) {
        assert_null(place);
        o->code = err->code;
        o->retry = err->retry;
        snprintf(o->what, sizeof(o->what), "%s", err->what);
        snprintf(o->cause, sizeof(o->cause), "%s", err->cause_count > 0 ? err->cause[0] : "");
        return;
    }
    snprintf(o->name, sizeof(o->name), "%s", place->name);
    snprintf(o->zone, sizeof(o->zone), "%s", place->zone);
    snprintf(o->primary, sizeof(o->primary), "%s", place->primary);
    for (size_t i = 0; i < place->server_count; i++) {
        size_t len = strlen(o->servers);
        snprintf(o->servers + len, sizeof(o->servers) - len, "%s ", place->servers[i]);
    }
    o->hops = place->hops;
    o->wildcard = place->wildcard;
}

static struct outcome find(const char *name)
{
    struct outcome o = {0};
    assert_non_null(dns_place_find(loop, dns, name, on_place, &o));
    assert_false(o.done); /* never from inside */
    while (!o.done)
        cm_loop_turn(loop, true);
    return o;
}

static int setup(void **state)
{
    (void)state;
    fake_start(&fake, "127.0.22.20", PORT, rules);
    loop = cm_loop_new();
    return dns_client_new(loop, "127.0.22.20:22310", &dns, NULL);
}

static int teardown(void **state)
{
    (void)state;
    dns_client_free(dns);
    cm_loop_free(loop);
    fake_stop(&fake);
    return 0;
}

static void the_zone_comes_from_a_walk(void **state)
{
    (void)state;
    struct outcome o = find("_acme-challenge.www.example.test");
    assert_string_equal(o.name, "_acme-challenge.www.example.test");
    assert_string_equal(o.zone, "example.test");
    assert_string_equal(o.primary, "ns1.example.test");
    assert_string_equal(o.servers, "ns1.example.test ns2.example.test ");
    assert_int_equal(o.hops, 0);
    assert_false(o.wildcard);
    o = find("_ACME-challenge.x.Deep.example.test");
    assert_string_equal(o.name, "_acme-challenge.x.deep.example.test");
    assert_string_equal(o.zone, "deep.example.test");
}

static void a_negative_answer_saves_the_walk(void **state)
{
    (void)state;
    int before = fake.questions;
    assert_string_equal(find("_acme-challenge.quick.test").zone, "quick.test");
    assert_int_equal(fake.questions - before, 2);
    before = fake.questions;
    assert_string_equal(find("_acme-challenge.quick.test").zone, "quick.test");
    assert_int_equal(fake.questions - before, 0); /* all of it is still known */
}

static void eight_hops_are_followed_nine_are_not(void **state)
{
    (void)state;
    struct outcome o = find("c0.example.test");
    assert_string_equal(o.name, "c8.deep.example.test");
    assert_string_equal(o.zone, "deep.example.test");
    assert_int_equal(o.hops, 8);
    o = find("c-1.example.test");
    assert_int_equal(o.code, CM_EPEER);
    assert_int_equal(o.retry, CM_RETRY_CONFIGURATION);
    assert_non_null(strstr(o.what, "too many"));
    assert_non_null(strstr(o.cause, "c-1.example.test -> c0.example.test -> c1"));
}

static void loops_are_named(void **state)
{
    (void)state;
    struct outcome o = find("l0.example.test");
    assert_int_equal(o.code, CM_EPEER);
    assert_non_null(strstr(o.what, "lead back to themselves"));
    assert_string_equal(o.cause, "l0.example.test -> l1.example.test -> l0.example.test");
    assert_non_null(strstr(find("self.example.test").what, "lead back"));
}

static void a_delegation_is_followed_and_no_wildcard(void **state)
{
    (void)state;
    struct outcome o = find("_acme-challenge.given.example.test");
    assert_string_equal(o.name, "given.deep.example.test");
    assert_int_equal(o.hops, 1);
    assert_false(o.wildcard);
}

/* RFC 6672: what is below a DNAME lives elsewhere.  Servers send the CNAME along that it makes; one
 * that does not is understood, too, and neither is taken for a wildcard's. */
static void a_dname_is_followed(void **state)
{
    (void)state;
    static const char *const names[] = {"_acme-challenge.old.example.test",
                                        "_acme-challenge.a.b.old.example.test",
                                        "_acme-challenge.bare.example.test"};
    static const char *const targets[] = {"_acme-challenge.deep.example.test",
                                          "_acme-challenge.a.b.deep.example.test",
                                          "_acme-challenge.deep.example.test"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct outcome o = find(names[i]);
        assert_string_equal(o.name, targets[i]);
        assert_string_equal(o.zone, "deep.example.test");
        assert_int_equal(o.hops, 1);
        assert_false(o.wildcard);
    }
    struct outcome o = find("_acme-challenge.stripped.example.test"); /* the DNAME was left out */
    assert_string_equal(o.name, "_acme-challenge.quick.test");
    assert_false(o.wildcard);
    o = find("c.old.example.test"); /* a CNAME to what a DNAME moves */
    assert_string_equal(o.name, "x.deep.example.test");
    assert_int_equal(o.hops, 2);
}

static void dnames_that_lead_nowhere_are_named(void **state)
{
    (void)state;
    assert_non_null(strstr(find("_acme-challenge.turn.example.test").what, "lead back"));
    struct outcome o = find("_acme-challenge.long.example.test"); /* the new name is too long */
    assert_int_equal(o.code, CM_EPEER);
    assert_non_null(strstr(o.cause, "YXDOMAIN"));
    char name[300];
    memset(name, 'a', sizeof(name));
    for (size_t i = 50; i < 230; i += 50)
        name[i] = '.';
    for (size_t len = 235; len <= 237; len += 2) { /* two letters more: 253, and 255 */
        snprintf(name + len, sizeof(name) - len, ".up.example.test");
        o = find(name);
        assert_int_equal(o.hops, len == 235);
        assert_string_equal(o.zone, len == 235 ? "deep.example.test" : "example.test");
        memset(name + len, 'a', 2);
    }
}

static void a_wildcards_cname_is_told_from_one_that_was_made(void **state)
{
    (void)state;
    struct outcome o = find("_acme-challenge.www.wild.example.test");
    assert_true(o.wildcard);
    assert_string_equal(o.name, "_acme-challenge.www.wild.example.test");
    assert_string_equal(o.zone, "example.test");
    assert_int_equal(o.hops, 0);
    o = find("_acme-challenge.made.wild.example.test");
    assert_false(o.wildcard);
    assert_string_equal(o.name, "made.deep.example.test");
}

static void registries_and_the_root_are_no_zones(void **state)
{
    (void)state;
    struct outcome o = find("_acme-challenge.www.gone.co.uk");
    assert_int_equal(o.code, CM_ENOENT);
    assert_non_null(strstr(o.what, "co.uk"));
    assert_int_equal(find("_acme-challenge.no.co.uk").code, CM_ENOENT);
    assert_int_equal(find("_acme-challenge.rooted.test").code, CM_ENOENT);
    assert_int_equal(find("nowhere.invalid").code, CM_ENOENT);
    /* a private suffix of the list is a zone like others */
    assert_string_equal(find("_acme-challenge.me.duckdns.org").zone, "duckdns.org");
}

static void a_cname_in_the_walk_does_not_lead_astray(void **state)
{
    (void)state;
    assert_string_equal(find("_acme-challenge.www.example.test").zone, "example.test");
}

static void failures_are_told_apart(void **state)
{
    (void)state;
    struct outcome o = find("fail.example.test");
    assert_int_equal(o.code, CM_EPEER);
    assert_int_equal(o.retry, CM_RETRY_TRANSIENT);
    assert_non_null(strstr(o.cause, "SERVFAIL"));
    struct dns_client *patient = dns;
    fake_hurry = 20;
    assert_int_equal(dns_client_new(loop, "127.0.22.20:22310", &dns, NULL), 0);
    assert_int_equal(find("silent.example.test").code, CM_ETIMEOUT);
    dns_client_free(dns);
    dns = patient;
    fake_hurry = 1;
    assert_int_equal(find("garbage.example.test").code, CM_EPEER);
    assert_int_equal(find("not a name..").code, CM_EINVAL);
    o = find("_acme-challenge.lame.test");
    assert_int_equal(o.code, CM_EPEER);
    assert_non_null(strstr(o.what, "no servers"));
}

static void a_cut_answer_is_asked_again_over_tcp(void **state)
{
    (void)state;
    int before = fake.over_tcp;
    assert_string_equal(find("cut.test").servers, "ns9.cut.test ");
    assert_int_equal(fake.over_tcp - before, 1);
}

static void a_search_can_be_cancelled(void **state)
{
    (void)state;
    struct outcome o = {0};
    dns_place_cancel(dns_place_find(loop, dns, "silent.example.test", on_place, &o));
    dns_place_cancel(NULL);
    find("_acme-challenge.www.example.test");
    assert_false(o.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_zone_comes_from_a_walk),
        cmocka_unit_test(a_negative_answer_saves_the_walk),
        cmocka_unit_test(eight_hops_are_followed_nine_are_not),
        cmocka_unit_test(loops_are_named),
        cmocka_unit_test(a_delegation_is_followed_and_no_wildcard),
        cmocka_unit_test(a_dname_is_followed),
        cmocka_unit_test(dnames_that_lead_nowhere_are_named),
        cmocka_unit_test(a_wildcards_cname_is_told_from_one_that_was_made),
        cmocka_unit_test(registries_and_the_root_are_no_zones),
        cmocka_unit_test(a_cname_in_the_walk_does_not_lead_astray),
        cmocka_unit_test(failures_are_told_apart),
        cmocka_unit_test(a_cut_answer_is_asked_again_over_tcp),
        cmocka_unit_test(a_search_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
