/* Authorizations: the name or address, the chosen challenge among others, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "certmgr/acme/resource.h"

static const char *chosen; /* for every name; NULL = dns-01 for wildcards, http-01 for others */

static const char *choose(void *arg, const char *name)
{
    (void)arg;
    if (chosen)
        return chosen;
    return strncmp(name, "*.", 2) == 0 ? "dns-01" : NULL;
}

static int parse(const char *text, struct acme_authz *ret, json_t **keep, struct cm_err *err)
{
    json_t *names = json_pack("[s, s, s, s, s]", "a.example.com", "*.example.com", "example.com",
                              "192.0.2.1", "2001:db8::1");
    json_decref(*keep);
    *keep = NULL;
    assert_int_equal(cm_json_parse_lax(text, strlen(text), keep, NULL), 0);
    int rc = acme_authz_parse(*keep, names, false, choose, NULL, ret, err);
    json_decref(names);
    return rc;
}

#define ID(v) "\"identifier\":{\"type\":\"dns\",\"value\":\"" v "\"}"
#define HTTP01                                                                                     \
    "{\"type\":\"http-01\",\"url\":\"https://ca/c\",\"token\":\"-t\",\"status\":\"pending\"}"
#define DNS01 "{\"type\":\"dns-01\",\"url\":\"http://x\",\"token\":\"../\",\"status\":\"?\"}"
#define DNS   "{\"type\":\"dns-01\",\"url\":\"https://ca/d\",\"token\":\"d\",\"status\":\"pending\"}"
#define ALPN                                                                                       \
    "{\"type\":\"tls-alpn-01\",\"url\":\"https://ca/a\",\"token\":\"al\",\"status\":\"pending\"}"
#define IP(v)   "\"identifier\":{\"type\":\"ip\",\"value\":\"" v "\"}"
#define PENDING "{\"status\":\"pending\","

static void accepted(void **state)
{
    (void)state;
    struct acme_authz a;
    json_t *keep = NULL;
    assert_int_equal(parse(PENDING ID("A.example.com") ",\"challenges\":[7," DNS01 "," HTTP01 "]}",
                           &a, &keep, NULL),
                     0);
    assert_string_equal(a.name, "a.example.com");
    assert_string_equal(a.token, "-t");
    assert_string_equal(a.url, "https://ca/c");
    assert_int_equal(a.challenge_status, ACME_PENDING);
    /* base and wildcard of it are two names */
    assert_int_equal(
        parse("{\"status\":\"valid\"," ID("example.com") ",\"wildcard\":true}", &a, &keep, NULL),
        0);
    assert_string_equal(a.name, "*.example.com");
    assert_int_equal(parse("{\"status\":\"valid\"," ID("example.com") "}", &a, &keep, NULL), 0);
    assert_string_equal(a.name, "example.com");
    assert_int_equal(
        parse("{\"status\":\"invalid\"," ID("example.com") ",\"challenges\":[{\"type\":\"http-01\","
                                                           "\"error\":{\"detail\":\"d\"}}]}",
              &a, &keep, NULL),
        0);
    assert_string_equal(cm_json_str(a.error, "detail"), "d");
    json_decref(keep);
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "null",
        PENDING "\"challenges\":[" HTTP01 "]}",
        PENDING ID("b.example.com") ",\"challenges\":[" HTTP01 "]}",
        PENDING "\"identifier\":{\"type\":\"ip\",\"value\":\"a.example.com\"}}",
        PENDING ID("a.example.com") ",\"wildcard\":true,\"challenges\":[" HTTP01 "]}",
        PENDING ID("a.example.com") ",\"challenges\":[{\"type\":\"http-01\",\"url\":"
                                    "\"https://ca/c\",\"status\":\"pending\"}]}",
        PENDING ID("a.example.com") ",\"challenges\":[{\"type\":\"http-01\",\"url\":"
                                    "\"http://ca/c\",\"token\":\"t\",\"status\":\"pending\"}]}",
        PENDING ID("a.example.com") ",\"challenges\":[{\"type\":\"http-01\",\"url\":"
                                    "\"https://ca/c\",\"token\":\"t\"}]}",
    };
    struct acme_authz a;
    json_t *keep = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i], &a, &keep, NULL) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
    json_decref(keep);
}

/* Base and wildcard of one name, and addresses, each proved its own way. */
static void chosen_challenges(void **state)
{
    (void)state;
    struct acme_authz a;
    json_t *keep = NULL;
    assert_int_equal(parse(PENDING ID("example.com") ",\"challenges\":[" HTTP01 "," DNS "," ALPN
                                                     "]}",
                           &a, &keep, NULL),
                     0);
    assert_string_equal(a.name, "example.com");
    assert_string_equal(a.type, "http-01");
    assert_string_equal(a.token, "-t");
    assert_int_equal(parse(PENDING ID("example.com") ",\"wildcard\":true,\"challenges\":[" HTTP01
                                                     "," DNS "]}",
                           &a, &keep, NULL),
                     0);
    assert_string_equal(a.name, "*.example.com");
    assert_string_equal(a.type, "dns-01");
    assert_string_equal(a.token, "d");
    chosen = "tls-alpn-01";
    assert_int_equal(
        parse(PENDING IP("192.0.2.1") ",\"challenges\":[" HTTP01 "," ALPN "]}", &a, &keep, NULL),
        0);
    assert_string_equal(a.name, "192.0.2.1");
    assert_string_equal(a.url, "https://ca/a");
    /* the CA's spelling of an address may differ, ours goes on */
    assert_int_equal(
        parse(PENDING IP("2001:0DB8:0::1") ",\"challenges\":[" ALPN "]}", &a, &keep, NULL), 0);
    assert_string_equal(a.name, "2001:db8::1");
    /* an address is no host name, and has no wildcard */
    assert_true(parse(PENDING ID("192.0.2.1") ",\"challenges\":[" ALPN "]}", &a, &keep, NULL) < 0);
    assert_true(parse(PENDING IP("192.0.2.1") ",\"wildcard\":true,\"challenges\":[" ALPN "]}", &a,
                      &keep, NULL) < 0);
    chosen = NULL;
    json_decref(keep);
}

static void not_offered(void **state)
{
    (void)state;
    struct acme_authz a;
    json_t *keep = NULL;
    struct cm_err err = CM_ERR_INIT;
    chosen = "tls-alpn-01";
    assert_int_equal(
        parse(PENDING ID("example.com") ",\"challenges\":[" HTTP01 "," DNS "]}", &a, &keep, &err),
        CM_EHUMAN);
    assert_int_equal(err.retry, CM_RETRY_CONFIGURATION);
    assert_string_equal(err.what, "The CA offers no tls-alpn-01 challenge for example.com (it "
                                  "offers: http-01, dns-01)");
    assert_string_equal(err.object, "host example.com");
    assert_non_null(strstr(err.hint, "account"));
    assert_int_equal(
        parse(PENDING IP("192.0.2.1") ",\"challenges\":[" HTTP01 "]}", &a, &keep, &err), CM_EHUMAN);
    assert_non_null(strstr(err.hint, "RFC 8738"));
    chosen = "dns-01";
    assert_int_equal(
        parse(PENDING ID("example.com") ",\"challenges\":[" HTTP01 "]}", &a, &keep, &err),
        CM_EHUMAN);
    assert_non_null(strstr(err.hint, "DNS account"));
    chosen = NULL;
    cm_err_fini(&err);
    json_decref(keep);
}

static void without_http01(void **state)
{
    (void)state;
    struct acme_authz a;
    json_t *keep = NULL;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(parse(PENDING ID("example.com") ",\"wildcard\":true,\"challenges\":[" HTTP01
                                                     "]}",
                           &a, &keep, &err),
                     CM_EHUMAN);
    assert_int_equal(err.retry, CM_RETRY_CONFIGURATION);
    assert_non_null(strstr(err.hint, "DNS-01"));
    assert_int_equal(parse(PENDING ID("example.com") ",\"challenges\":null}", &a, &keep, NULL),
                     CM_EHUMAN);
    cm_err_fini(&err);
    json_decref(keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),          cmocka_unit_test(refused),
        cmocka_unit_test(chosen_challenges), cmocka_unit_test(not_offered),
        cmocka_unit_test(without_http01),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
