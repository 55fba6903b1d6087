/* Authorizations: the name, the http-01 challenge among others, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "certmgr/acme/resource.h"

static int parse(const char *text, struct acme_authz *ret, json_t **keep, struct cm_err *err)
{
    json_t *names = json_pack("[s, s, s]", "a.example.com", "*.example.com", "example.com");
    json_decref(*keep);
    *keep = NULL;
    assert_int_equal(cm_json_parse_lax(text, strlen(text), keep, NULL), 0);
    int rc = acme_authz_parse(*keep, names, false, ret, err);
    json_decref(names);
    return rc;
}

#define ID(v) "\"identifier\":{\"type\":\"dns\",\"value\":\"" v "\"}"
#define HTTP01                                                                                     \
    "{\"type\":\"http-01\",\"url\":\"https://ca/c\",\"token\":\"-t\",\"status\":\"pending\"}"
#define DNS01   "{\"type\":\"dns-01\",\"url\":\"http://x\",\"token\":\"../\",\"status\":\"?\"}"
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

static void without_http01(void **state)
{
    (void)state;
    struct acme_authz a;
    json_t *keep = NULL;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(parse(PENDING ID("example.com") ",\"wildcard\":true,\"challenges\":[" DNS01
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
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(without_http01),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
