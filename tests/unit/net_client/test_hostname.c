/* Host names as typed: the vectors of reference/acme.md 5.4 and our own rule. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/net/hostname.h"

static void accepted(const char *typed, const char *want, enum hostname_kind want_kind)
{
    char out[HOSTNAME_MAX];
    enum hostname_kind kind = HOSTNAME_DNS;
    struct cm_err err = CM_ERR_INIT;
    int rc = hostname_to_ascii(typed, out, &kind, &err);
    assert_string_equal(err.what, "");
    assert_int_equal(rc, 0);
    assert_string_equal(out, want);
    assert_int_equal(kind, want_kind);
    /* What we give out we take back unchanged. */
    assert_int_equal(hostname_to_ascii(want, out, NULL, NULL), 0);
    assert_string_equal(out, want);
}

static void refused(const char *typed, const char *part_of_reason)
{
    char out[HOSTNAME_MAX];
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(hostname_to_ascii(typed, out, NULL, &err), CM_EINVAL);
    if (!strstr(err.what, part_of_reason))
        assert_string_equal(err.what, part_of_reason);
}

static void idna_vectors(void **state)
{
    (void)state;
    accepted("faß.de", "xn--fa-hia.de", HOSTNAME_DNS); /* transitional would be fass.de */
    accepted("βόλος.com", "xn--nxasmm1c.com", HOSTNAME_DNS);
    accepted("نامه\u200cای.com", "xn--mgba3gch31f060k.com", HOSTNAME_DNS);
    accepted("日本語.jp", "xn--wgv71a119e.jp", HOSTNAME_DNS);
    accepted("日本語。jp", "xn--wgv71a119e.jp", HOSTNAME_DNS);
    accepted("*.日本語.jp", "*.xn--wgv71a119e.jp", HOSTNAME_WILDCARD);
    accepted("ドメイン名例.jp", "xn--eckwd4c7cu47r2wf.jp", HOSTNAME_DNS);
    accepted("BÜCHER.example", "xn--bcher-kva.example", HOSTNAME_DNS);
    accepted("bücher.example", "xn--bcher-kva.example", HOSTNAME_DNS);
    accepted("ｅｘａｍｐｌｅ.com", "example.com", HOSTNAME_DNS);
    accepted("例え.テスト", "xn--r8jz45g.xn--zckzah", HOSTNAME_DNS);
}

static void idna_refusals(void **state)
{
    (void)state;
    refused("☃.net", "character that is not allowed");
    refused("I❤.ws", "character that is not allowed");
    refused("-a.example", "hyphen");
    refused("a-.example", "hyphen");
    refused("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", "63");
    refused("xn--zz.example", "xn--");
    refused("xn--a.example", "character that is not allowed"); /* encodes a control character */
    refused("ab--cd.example", "third and fourth");
    refused("\u202eexample.com", "not allowed");
}

/* libidn2 lets all of these pass. */
static void our_own_rule(void **state)
{
    (void)state;
    refused("a_b.example", "underscore");
    refused("a b.example", "other than letters");
    refused("．example.com", "empty part");
    refused("a--b", "only one part");
    refused("localhost", "only one part");
    refused("a..example", "empty part");
    refused(".example.com", "empty part");
    refused("example.com..", "empty part");
    refused("https://www.example.com/", "a URL");
    refused("www.example.com/path", "a URL");
    refused("admin@example.com", "mail address");
    refused("www.example.com:443", "a port");
    refused("192.0.2.1:443", "a port");
    refused("www.example.com:", "other than letters");
    refused("1.2.3", "number");
    refused("１２７.0.0.1", "number");
    refused("host.123", "number");
    refused("a/b.example", "a URL");
    refused("a:80.example", "other than letters");
    refused("a\nb.example", "other than letters");
    accepted("a--b.example", "a--b.example", HOSTNAME_DNS);
    accepted("1a.2b.3c", "1a.2b.3c", HOSTNAME_DNS);
}

static void wildcards_only_as_whole_first_label(void **state)
{
    (void)state;
    accepted("*.example.com", "*.example.com", HOSTNAME_WILDCARD);
    accepted("*。日本語。jp", "*.xn--wgv71a119e.jp", HOSTNAME_WILDCARD);
    refused("*", "asterisk");
    refused("*.com", "only one part");
    refused("a.*.com", "asterisk");
    refused("*.*.example.com", "asterisk");
    refused("w*.example.com", "asterisk");
    refused("*w.example.com", "asterisk");
    refused("＊.example.com", "asterisk"); /* full width: people should see what they ask for */
    refused("*.1.2.3.4", "number");
}

static void typing_habits(void **state)
{
    (void)state;
    accepted("WWW.Example.COM", "www.example.com", HOSTNAME_DNS);
    accepted("example.com.", "example.com", HOSTNAME_DNS);
    accepted("日本語.jp。", "xn--wgv71a119e.jp", HOSTNAME_DNS);
    accepted(" \twww.example.com \r\n", "www.example.com", HOSTNAME_DNS);
    accepted("XN--WGV71A119E.JP", "xn--wgv71a119e.jp", HOSTNAME_DNS);
    refused("", "empty");
    refused("   ", "empty");
    refused("\xff.example", "UTF-8");
}

static void address_literals(void **state)
{
    (void)state;
    accepted("127.0.0.1", "127.0.0.1", HOSTNAME_IP);
    accepted("2001:DB8:0:0::1", "2001:db8::1", HOSTNAME_IP);
    accepted("[::1]", "::1", HOSTNAME_IP);
    refused("[127.0.0.1]", "other than letters");
    refused("127.0.0.256", "number");
    refused("*.127.0.0.1", "number");
    assert_true(hostname_is_ip("::ffff:1.2.3.4"));
    assert_true(hostname_is_ip("10.0.0.1"));
    assert_false(hostname_is_ip("10.1"));
    assert_false(hostname_is_ip("010.0.0.1"));
    assert_false(hostname_is_ip("[::1]"));
    assert_false(hostname_is_ip("example.com"));
}

static void length_limits_are_exact(void **state)
{
    (void)state;
    char name[64] = "";
    memset(name, 'a', 63);
    /* 63 + 1 + 63 + 1 + 63 + 1 + 61 = 253 */
    char long_name[400];
    int n = snprintf(long_name, sizeof(long_name), "%s.%s.%s.%.61s", name, name, name, name);
    assert_int_equal(n, 253);
    accepted(long_name, long_name, HOSTNAME_DNS);
    snprintf(long_name, sizeof(long_name), "%s.%s.%s.%.62s", name, name, name, name);
    refused(long_name, "253");
    snprintf(long_name, sizeof(long_name), "*.%s.%s.%s.%.60s", name, name, name, name);
    refused(long_name, "253");
}

static void shown_as_people_write_them(void **state)
{
    (void)state;
    char out[200];
    hostname_to_unicode("xn--wgv71a119e.jp", out, sizeof(out));
    assert_string_equal(out, "日本語.jp");
    hostname_to_unicode("*.xn--wgv71a119e.jp", out, sizeof(out));
    assert_string_equal(out, "*.日本語.jp");
    hostname_to_unicode("www.example.com", out, sizeof(out));
    assert_string_equal(out, "www.example.com");
    hostname_to_unicode("xn--zz.example", out, sizeof(out)); /* no valid encoding: as it is */
    assert_string_equal(out, "xn--zz.example");
    hostname_to_unicode("127.0.0.1", out, sizeof(out));
    assert_string_equal(out, "127.0.0.1");
    hostname_to_unicode("xn--wgv71a119e.jp", out, 13); /* 12 bytes needed, and the NUL */
    assert_string_equal(out, "日本語.jp");
    hostname_to_unicode("xn--wgv71a119e.jp", out, 12);
    assert_string_equal(out, "xn--wgv71a1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idna_vectors),
        cmocka_unit_test(idna_refusals),
        cmocka_unit_test(our_own_rule),
        cmocka_unit_test(wildcards_only_as_whole_first_label),
        cmocka_unit_test(typing_habits),
        cmocka_unit_test(address_literals),
        cmocka_unit_test(length_limits_are_exact),
        cmocka_unit_test(shown_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
