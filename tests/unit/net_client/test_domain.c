/* Registered domains and registries. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

#include "base/net/domain.h"

static void the_registered_part_of_names(void **state)
{
    static const struct {
        const char *name, *registered;
    } rows[] = {
        {"example.com", "example.com"},
        {"a.b.example.co.uk", "example.co.uk"},
        {"*.example.com", "example.com"},
        {"*.a.example.com", "example.com"},
        {"www.xn--85x722f.com.cn", "xn--85x722f.com.cn"},
        {"www.city.kawasaki.jp", "city.kawasaki.jp"}, /* exception of a wildcard rule */
        {"a.b.c.kawasaki.jp", "b.c.kawasaki.jp"},
        {"me.duckdns.org", "me.duckdns.org"}, /* private part of the list */
        {"x.me.duckdns.org", "me.duckdns.org"},
        {"host.corp.lan", "corp.lan"}, /* unknown top level */
        {"192.0.2.1", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *registered = domain_registered(rows[i].name);
        if (!registered || strcmp(registered, rows[i].registered) != 0)
            fail_msg("%s: %s", rows[i].name, registered ? registered : "NULL");
    }
    assert_null(domain_registered("com"));
    assert_null(domain_registered("co.uk"));
    assert_null(domain_registered("*.co.uk"));
    assert_null(domain_registered("duckdns.org"));
}

static void registries_are_not_private_suffixes(void **state)
{
    (void)state;
    assert_true(domain_is_registry("com"));
    assert_true(domain_is_registry("co.uk"));
    assert_false(domain_is_registry("example.co.uk"));
    assert_false(domain_is_registry("duckdns.org"));
    assert_false(domain_is_registry("lan"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_registered_part_of_names),
        cmocka_unit_test(registries_are_not_private_suffixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
