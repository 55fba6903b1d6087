/* Settings of a hub: what is taken, what is kept, what people see. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/hub_settings.h"
#include "tests/unit/app/hub_pem.h"

#define URL  "https://hub.example:6984/certstore"
#define CERT "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
#define KEY  "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"

static json_t *settings(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static void refused_as(const char *text, bool lab, const char *field)
{
    struct cm_err err = CM_ERR_INIT;
    const char *secret;
    json_t *doc;
    CM_AUTO_JSON in = settings(text);
    assert_int_equal(hub_settings_check(in, lab, &doc, &secret, &err), CM_EINVAL);
    assert_null(doc);
    assert_int_equal(strncmp(err.what, field, strlen(field)), 0);
    cm_err_fini(&err);
}

static void test_what_cannot_be(void **state)
{
    (void)state;
    refused_as("{}", false, "url:");
    refused_as("{\"url\":\"http://hub.example/db\"}", false, "url:");
    refused_as("{\"url\":\"http://127.0.0.1:5984/db\"}", false, "url:");
    refused_as("{\"url\":\"http://hub.example/db\"}", true, "url:");
    refused_as("{\"url\":\"https://hub.example/\"}", false, "url:");
    refused_as("{\"url\":\"https://hub.example/db/\"}", false, "url:");
    refused_as("{\"url\":\"https://hub.example/db?x=1\"}", false, "url:");
    refused_as("{\"url\":\"https://u:p@hub.example/db\"}", false, "url:");
    refused_as("{\"url\":\"" URL "\",\"user\":\"u\"}", false, "user:");
    refused_as("{\"url\":\"" URL "\",\"password\":\"p\"}", false, "user:");
    refused_as("{\"url\":\"" URL "\",\"user\":\"u:v\",\"password\":\"p\"}", false, "user:");
    refused_as("{\"url\":\"" URL "\",\"user\":\"u\",\"password\":\"\"}", false, "password:");
    refused_as("{\"url\":\"" URL "\",\"user\":\"u\",\"password\":\"p\\r\\nX: y\"}", false,
               "password:");
    refused_as("{\"url\":\"" URL "\",\"cert_pem\":\"x\"}", false, "cert_pem:");
    refused_as("{\"url\":\"" URL "\",\"cert_pem\":\"x\",\"key_pem\":\"y\"}", false, "cert_pem:");
    refused_as("{\"url\":\"" URL
               "\",\"cert_pem\":\"-----BEGIN CERTIFICATE-----\",\"key_pem\":\"y\"}",
               false, "cert_pem: the certificate cannot be read");
    refused_as("{\"url\":\"" URL "\",\"ca_pem\":\"x\"}", false, "ca_pem:");
}

static void test_the_secret_is_kept_apart(void **state)
{
    const char *secret;
    json_t *kept;
    (void)state;
    CM_AUTO_JSON in = json_pack("{s:s,s:s,s:s,s:s}", "url", URL, "user", "fleet", "password", "p:ä",
                                "ca_pem", CERT);
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, NULL), 0);
    CM_AUTO_JSON doc = kept;
    assert_string_equal(secret, "p:ä");
    assert_null(json_object_get(doc, "password"));
    CM_AUTO_JSON want = json_pack("{s:s,s:s,s:s,s:s,s:b}", "kind", "hub", "url", URL, "user",
                                  "fleet", "authentication", "password", "own_ca", 1);
    CM_AUTO_JSON view = hub_settings_view(doc);
    assert_true(json_equal(view, want));
    char *basic = hub_basic("Aladdin", "open sesame"); /* RFC 7617 section 2 */
    assert_string_equal(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    cm_free_secret(basic, strlen(basic));
}

static void test_a_key_in_place_of_a_password(void **state)
{
    const char *secret;
    json_t *kept;
    (void)state;
    CM_AUTO_JSON in =
        json_pack("{s:s,s:s,s:s}", "url", URL, "cert_pem", HUB_CERT_PEM, "key_pem", KEY);
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, NULL), 0);
    CM_AUTO_JSON doc = kept;
    assert_string_equal(secret, KEY);
    assert_null(json_object_get(doc, "key_pem"));
    assert_string_equal(cm_json_str(doc, "cert_pem"), HUB_CERT_PEM);
    CM_AUTO_JSON view = hub_settings_view(doc);
    assert_string_equal(cm_json_str(view, "authentication"), "client certificate");
    json_object_set_new(in, "user", json_string("u"));
    json_object_set_new(in, "password", json_string("p"));
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, NULL), CM_EINVAL);
    assert_null(kept);
}

static void test_plain_http_in_the_laboratory_only(void **state)
{
    const char *secret;
    json_t *kept;
    (void)state;
    CM_AUTO_JSON in = settings("{\"url\":\"http://127.0.0.1:5984/db\"}");
    assert_int_equal(hub_settings_check(in, true, &kept, &secret, NULL), 0);
    assert_null(secret);
    json_decref(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_the_secret_is_kept_apart),
        cmocka_unit_test(test_a_key_in_place_of_a_password),
        cmocka_unit_test(test_plain_http_in_the_laboratory_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
