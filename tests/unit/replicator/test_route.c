/* Targets of requests: database, document, verb, query. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicator/route.h"

static void test_places(void **state)
{
    static const struct {
        const char *target, *db, *name;
        enum rp_place place;
    } table[] = {
        {"/", "", "", RP_AT_ROOT},
        {"/?x=1", "", "", RP_AT_ROOT},
        {"/db", "db", "", RP_AT_DB},
        {"/db/", "db", "", RP_AT_DB},
        {"/db/?x", "db", "", RP_AT_DB},
        {"/a%2Fb/", "a/b", "", RP_AT_DB},
        {"/db/_changes?since=0", "db", "_changes", RP_AT_VERB},
        {"/db/_changes/", "db", "_changes", RP_AT_VERB},
        {"/db/credential:01", "db", "credential:01", RP_AT_DOC},
        {"/db/a%2Fb", "db", "a/b", RP_AT_DOC},
        {"/db/a%252Fb", "db", "a%2Fb", RP_AT_DOC},
        {"/db/a+b%20c", "db", "a+b c", RP_AT_DOC},
        {"//db//a//", "db", "a", RP_AT_DOC},
        {"/db//_design//x//f", "db", "_design/x", RP_AT_ATTACHMENT},
        {"/db/_local//x//", "db", "x", RP_AT_LOCAL},
        {"//?x=1", "", "", RP_AT_ROOT},
        {"/db/%E5%90%8D", "db", "\xe5\x90\x8d", RP_AT_DOC},
        {"/db/_design/x", "db", "_design/x", RP_AT_DOC},
        {"/db/_design%2Fx", "db", "_design/x", RP_AT_DOC},
        {"/db/_local/job", "db", "job", RP_AT_LOCAL},
        {"/db/_local%2Fjob", "db", "job", RP_AT_LOCAL},
        {"/db/_local/a%2Fb", "db", "a/b", RP_AT_LOCAL},
        {"/db/_local/a/b", "db", "a", RP_AT_BELOW_LOCAL},
        {"/db/_local/a/", "db", "a", RP_AT_LOCAL},
        {"/db/doc/file.txt", "db", "doc", RP_AT_ATTACHMENT},
        {"/db/_design/x/_view/y", "db", "_design/x", RP_AT_ATTACHMENT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct rp_route route;
        assert_int_equal(rp_route_parse(table[i].target, &route, NULL), 0);
        assert_string_equal(route.db, table[i].db);
        assert_string_equal(route.name, table[i].name);
        assert_int_equal(route.place, table[i].place);
        rp_route_fini(&route);
    }
}

static void test_refused(void **state)
{
    static const char *const table[] = {"",        "db",        "/%00",       "/db/a%00b",
                                        "/db/%ff", "/%c0%80/x", "/db/x?a=%zz"};
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct rp_route route;
        assert_true(rp_route_parse(table[i], &route, NULL) < 0);
        rp_route_fini(&route);
    }
}

static void test_query(void **state)
{
    struct rp_route route;
    (void)state;
    assert_int_equal(
        rp_route_parse(
            "/db/x?revs=true&open_revs=%5B%221-a%22%5D&latest=1&rev=a&rev=b&key=%22a+b%2Bc%22",
            &route, NULL),
        0);
    assert_string_equal(rp_query(&route, "open_revs"), "[\"1-a\"]");
    assert_string_equal(rp_query(&route, "rev"), "b");
    assert_string_equal(rp_query(&route, "key"), "\"a b+c\""); /* unlike in the path */
    assert_null(rp_query(&route, "conflicts"));
    assert_true(rp_query_true(&route, "revs"));
    assert_false(rp_query_true(&route, "latest"));
    assert_false(rp_query_true(&route, "conflicts"));
    rp_route_fini(&route);
}

static void test_count(void **state)
{
    static const struct {
        const char *text;
        int64_t count; /* -1 = refused */
    } table[] = {
        {"0", 0},
        {"42", 42},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", INT64_MAX},
        {"", -1},
        {"-1", -1},
        {"99999999999999999999", INT64_MAX},
        {"99999999999999999999x", -1},
        {"+1", -1},
        {"1.5", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        int64_t count = -1;
        bool ok = rp_count(table[i].text, &count);
        assert_int_equal(ok, table[i].count >= 0);
        if (ok)
            assert_int_equal(count, table[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
