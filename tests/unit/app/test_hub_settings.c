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
    char *secret;
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

/* What the sealed text opens. */
static void logs_in(const json_t *doc, const char *secret, const char *authorization,
                    const char *key)
{
    struct hub_login login;
    hub_login(doc, secret, &login);
    if (authorization)
        assert_string_equal(login.authorization, authorization);
    else
        assert_null(login.authorization);
    if (key)
        assert_string_equal(login.key_pem, key);
    else
        assert_null(login.key_pem);
    hub_login_fini(&login);
    assert_null(login.key_pem);
}

static void test_the_secret_is_kept_apart(void **state)
{
    char *secret;
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
    cm_free_secret(secret, strlen(secret));
    logs_in(doc, "p:ä", "Basic ZmxlZXQ6cDrDpA==", NULL);
    cm_json_set_str(doc, "user", "Aladdin");
    logs_in(doc, "open sesame",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", NULL); /* RFC 7617 section 2 */
}

static void test_a_key_in_place_of_a_password(void **state)
{
    char *secret;
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
    cm_free_secret(secret, strlen(secret));
    logs_in(doc, KEY, NULL, KEY);
}

/* A proxy before the hub lets in by certificate, the hub behind it wants a name. */
static void test_a_key_beside_a_password(void **state)
{
    char *secret;
    json_t *kept;
    (void)state;
    CM_AUTO_JSON in = json_pack("{s:s,s:s,s:s,s:s,s:s}", "url", URL, "cert_pem", HUB_CERT_PEM,
                                "key_pem", KEY, "user", "Aladdin", "password", "open sesame");
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, NULL), 0);
    CM_AUTO_JSON doc = kept;
    assert_null(json_object_get(doc, "password"));
    assert_null(json_object_get(doc, "key_pem"));
    CM_AUTO_JSON view = hub_settings_view(doc);
    assert_string_equal(cm_json_str(view, "authentication"), "password and client certificate");
    assert_string_equal(cm_json_str(view, "user"), "Aladdin");
    assert_non_null(cm_json_str(view, "cert_not_after"));
    logs_in(doc, secret, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", KEY);
    cm_free_secret(secret, strlen(secret));
    logs_in(doc, "", NULL, NULL); /* what the agent opens is looked at, too */
    /* Half of one or the other is refused as it is alone. */
    json_object_del(in, "key_pem");
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, NULL), CM_EINVAL);
    assert_null(secret);
    json_object_set_new(in, "key_pem", json_string(KEY));
    json_object_del(in, "password");
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, NULL), CM_EINVAL);
    assert_null(secret);
}

/* Each fits, both together are more than the agent seals. */
static void test_both_have_a_limit(void **state)
{
    char *secret;
    json_t *kept;
    size_t len = HUB_SECRET_MAX - strlen(KEY) - 1;
    struct cm_err err = CM_ERR_INIT;
    (void)state;
    CM_AUTO_STR password = cm_malloc(len + 2);
    memset(password, 'p', len);
    password[len] = '\0';
    CM_AUTO_JSON in = json_pack("{s:s,s:s,s:s,s:s,s:s}", "url", URL, "cert_pem", HUB_CERT_PEM,
                                "key_pem", KEY, "user", "u", "password", password);
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, &err), 0);
    assert_int_equal(strlen(secret), HUB_SECRET_MAX);
    cm_free_secret(secret, strlen(secret));
    json_decref(kept);
    password[len] = 'p';
    password[len + 1] = '\0';
    cm_json_set_str(in, "password", password);
    assert_int_equal(hub_settings_check(in, false, &kept, &secret, &err), CM_EINVAL);
    assert_int_equal(strncmp(err.what, "key_pem:", 8), 0);
    assert_null(kept);
    assert_null(secret);
    cm_err_fini(&err);
}

static void test_plain_http_in_the_laboratory_only(void **state)
{
    char *secret;
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
        cmocka_unit_test(test_a_key_beside_a_password),
        cmocka_unit_test(test_both_have_a_limit),
        cmocka_unit_test(test_plain_http_in_the_laboratory_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
