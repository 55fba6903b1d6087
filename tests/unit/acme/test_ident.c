/* Identifiers: host names and addresses (RFC 8555 9.7.7, RFC 8738). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/core/json.h"
#include "certmgr/acme/ident.h"

static void as_json(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type, *value;
    } rows[] = {
        {"www.example.com", "dns", "www.example.com"},
        {"*.example.com", "dns", "*.example.com"},
        {"192.0.2.1", "ip", "192.0.2.1"},
        {"2001:db8::1", "ip", "2001:db8::1"},
        {"2001:DB8:0:0::0:1", "ip", "2001:db8::1"}, /* RFC 5952 */
        {"192.0.2.256", "dns", "192.0.2.256"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CM_AUTO_JSON ident = acme_ident_json(rows[i].name);
        assert_string_equal(cm_json_str(ident, "type"), rows[i].type);
        assert_string_equal(cm_json_str(ident, "value"), rows[i].value);
        assert_string_equal(acme_ident_type(rows[i].name), rows[i].type);
        assert_true(acme_ident_is(ident, rows[i].name));
        assert_false(acme_ident_is(ident, "other.example.com"));
        assert_false(acme_ident_is(ident, "198.51.100.7"));
    }
}

static void compared(void **state)
{
    (void)state;
    CM_AUTO_JSON v6 = json_pack("{s:s, s:s}", "type", "ip", "value", "2001:0db8:0000::0001");
    CM_AUTO_JSON as_dns = json_pack("{s:s, s:s}", "type", "dns", "value", "192.0.2.1");
    CM_AUTO_JSON upper = json_pack("{s:s, s:s}", "type", "dns", "value", "WWW.example.COM");
    CM_AUTO_JSON bare = json_pack("{s:i}", "type", 7);
    assert_true(acme_ident_is(v6, "2001:db8::1"));
    assert_false(acme_ident_is(v6, "2001:db8::2"));
    assert_false(acme_ident_is(v6, "192.0.2.1"));
    assert_false(acme_ident_is(as_dns, "192.0.2.1"));
    assert_true(acme_ident_is(upper, "www.example.com"));
    assert_false(acme_ident_is(bare, "www.example.com"));
    assert_false(acme_ident_is(NULL, "www.example.com"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_json),
        cmocka_unit_test(compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
