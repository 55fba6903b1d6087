/* Order objects: identifiers in any order, URLs, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "certmgr/acme/resource.h"

static int parse(const char *text, struct acme_order_object *ret, json_t **keep)
{
    json_t *names = json_pack("[s, s]", "a.example.com", "*.example.com");
    json_decref(*keep);
    *keep = NULL;
    assert_int_equal(cm_json_parse_lax(text, strlen(text), keep, NULL), 0);
    int rc = acme_order_parse(*keep, names, false, ret, NULL);
    json_decref(names);
    return rc;
}

#define IDS                                                                                        \
    "\"identifiers\":[{\"type\":\"dns\",\"value\":\"*.EXAMPLE.com\"},{\"type\":\"dns\",\"value\":" \
    "\"a.example.com\"}]"
#define REST "\"authorizations\":[\"https://ca/z\"],\"finalize\":\"https://ca/f\""

static void accepted(void **state)
{
    (void)state;
    struct acme_order_object o;
    json_t *keep = NULL;
    assert_int_equal(parse("{\"status\":\"pending\"," IDS "," REST
                           ",\"expires\":\"2026-11-16T04:00:00+02:00\",\"error\":null}",
                           &o, &keep),
                     0);
    assert_int_equal(o.status, ACME_PENDING);
    assert_int_equal(o.expires_ms, INT64_C(1794794400000));
    assert_string_equal(o.finalize, "https://ca/f");
    assert_null(o.error);
    assert_null(o.certificate);
    assert_int_equal(parse("{\"status\":\"processing\"}", &o, &keep), 0);
    assert_int_equal(parse("{\"status\":\"valid\",\"certificate\":\"https://ca/c\"}", &o, &keep),
                     0);
    assert_int_equal(parse("{\"status\":\"invalid\",\"error\":{\"type\":\"x\"}}", &o, &keep), 0);
    assert_non_null(o.error);
    assert_string_equal(acme_status_name(o.status), "invalid");
    json_decref(keep);
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"status\":\"pending\"," IDS "}",
        "{\"status\":\"pending\"," IDS ",\"authorizations\":[],\"finalize\":\"https://ca/f\"}",
        "{\"status\":\"pending\"," IDS ",\"authorizations\":[7],\"finalize\":\"https://ca/f\"}",
        "{\"status\":\"pending\"," IDS ",\"authorizations\":[\"http://ca/z\"],\"finalize\":"
        "\"https://ca/f\"}",
        "{\"status\":\"ready\"," IDS "}",
        "{\"status\":\"valid\"}",
        "{\"status\":\"valid\",\"certificate\":\"http://ca/c\"}",
        "{\"status\":\"Pending\"," REST "}",
        "{\"status\":\"pending\"," REST ",\"identifiers\":[]}",
        "{\"status\":\"pending\"," REST ",\"identifiers\":[{\"type\":\"dns\",\"value\":"
        "\"a.example.com\"},{\"type\":\"dns\",\"value\":\"a.example.com\"}]}",
        "{\"status\":\"pending\"," REST ",\"identifiers\":[{\"type\":\"ip\",\"value\":"
        "\"a.example.com\"},{\"type\":\"dns\",\"value\":\"*.example.com\"}]}",
    };
    struct acme_order_object o;
    json_t *keep = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i], &o, &keep) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
    json_decref(keep);
}

static void authorizations_are_bounded(void **state)
{
    (void)state;
    json_t *names = json_pack("[s]", "a.example.com");
    json_t *urls = json_array();
    for (int i = 0; i < ACME_AUTHZ_MAX; i++)
        json_array_append_new(urls, json_string("https://ca/z"));
    json_t *obj = json_pack("{s:s, s:s, s:o}", "status", "pending", "finalize", "https://ca/f",
                            "authorizations", urls);
    struct acme_order_object o;
    assert_int_equal(acme_order_parse(obj, names, false, &o, NULL), 0);
    json_array_append_new(urls, json_string("https://ca/z"));
    assert_int_equal(acme_order_parse(obj, names, false, &o, NULL), CM_ELIMIT);
    json_decref(obj);
    json_decref(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(authorizations_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
