/* Answers that may serve again: how long, for whom, and how many. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/net/dns_kept.h"

static struct dns_keeper keeper;
static const struct dns_asked question = {.name = "www.example.com", .type = 1};

static int setup(void **state)
{
    (void)state;
    cm_clock_fake(1000000, 1000000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_keeper_clear(&keeper);
    cm_clock_fake(-1, -1);
    return 0;
}

static void keep(const struct dns_asked *asked, unsigned ttl_s, const char *text)
{
    dns_keep(&keeper, asked, ttl_s, (const uint8_t *)text, strlen(text) + 1);
}

/* The answer's text, or "-". */
static const char *kept(const struct dns_asked *asked, unsigned age_s)
{
    size_t len = 0;
    const uint8_t *wire = dns_kept(&keeper, asked, age_s, &len);
    if (wire)
        assert_int_equal(len, strlen((const char *)wire) + 1);
    return wire ? (const char *)wire : "-";
}

static void an_answer_serves_as_long_as_it_may(void **state)
{
    (void)state;
    assert_string_equal(kept(&question, 60), "-");
    keep(&question, 0, "never");
    assert_string_equal(kept(&question, 60), "-");
    keep(&question, 10, "one");
    cm_clock_fake(1000000, 1000000 + 4999);
    assert_string_equal(kept(&question, 5), "one");
    cm_clock_fake(1000000, 1000000 + 5000);
    assert_string_equal(kept(&question, 5), "-");    /* too old for this one … */
    assert_string_equal(kept(&question, 60), "one"); /* … and not for that one */
    keep(&question, 10, "two");
    assert_string_equal(kept(&question, 60), "two");
    cm_clock_fake(1000000, 1000000 + 15000);
    assert_string_equal(kept(&question, 60), "-");
}

static void another_question_has_another_answer(void **state)
{
    const struct dns_asked others[] = {
        {.name = "example.com", .type = 1},
        {.name = "www.example.com", .type = 28},
        {.name = "www.example.com", .servers = "192.0.2.1:53", .type = 1},
    };
    const struct dns_asked same = {.name = "WWW.Example.COM", .type = 1};
    (void)state;
    keep(&question, 10, "resolver");
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(kept(&others[i], 60), "-");
    keep(&others[2], 10, "server");
    assert_string_equal(kept(&others[2], 60), "server");
    assert_string_equal(kept(&same, 60), "resolver");
}

/* The newest stay; one name's answers never take more than their list. */
static void there_are_never_too_many(void **state)
{
    char names[4 * DNS_KEPT_MAX][24];
    size_t found = 0;
    (void)state;
    for (unsigned i = 0; i < 2 * DNS_KEPT_EACH; i++) {
        struct dns_asked asked = {.name = "a.example", .type = i};
        keep(&asked, 10, "x");
        assert_string_equal(kept(&asked, 60), "x");
    }
    for (unsigned i = 0; i < 2 * DNS_KEPT_EACH; i++) {
        struct dns_asked asked = {.name = "a.example", .type = i};
        assert_string_equal(kept(&asked, 60), i < DNS_KEPT_EACH ? "-" : "x");
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct dns_asked asked = {.name = names[i], .type = 1};
        snprintf(names[i], sizeof(names[i]), "h%zu.example.com", i);
        keep(&asked, 10, "x");
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct dns_asked asked = {.name = names[i], .type = 1};
        found += strcmp(kept(&asked, 60), "x") == 0;
    }
    assert_in_range(found, DNS_KEPT_MAX * 9 / 10, DNS_KEPT_MAX);
}

static void a_long_answer_is_not_kept(void **state)
{
    static const uint8_t wire[DNS_KEPT_BYTES + 1];
    size_t len = 0;
    (void)state;
    dns_keep(&keeper, &question, 10, wire, DNS_KEPT_BYTES);
    assert_non_null(dns_kept(&keeper, &question, 60, &len));
    assert_int_equal(len, DNS_KEPT_BYTES);
    const struct dns_asked other = {.name = "long.example", .type = 1};
    dns_keep(&keeper, &other, 10, wire, sizeof(wire));
    assert_null(dns_kept(&keeper, &other, 60, &len));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_serves_as_long_as_it_may),
        TEST(another_question_has_another_answer),
        TEST(there_are_never_too_many),
        TEST(a_long_answer_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
