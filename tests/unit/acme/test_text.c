/* URLs, times, tokens, sentences of a CA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "certmgr/acme/order.h"
#include "certmgr/acme/text.h"

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool plain, lab;
    } rows[] = {
        {"https://ca.test/x?y=z", true, true},
        {"https://ca.test:14000/", true, true},
        {"http://ca.test/", false, false},
        {"http://10.0.0.1/", false, false},
        {"http://127.0.0.1:4001/dir", false, true},
        {"http://127.8.9.10/", false, true},
        {"http://[::1]:80/", false, true},
        {"http://localhost/", false, true},
        {"http://localhost.evil.test/", false, false},
        {"ftp://ca.test/", false, false},
        {"javascript:alert(1)", false, false},
        {"/path", false, false},
        {"", false, false},
        {NULL, false, false},
        {"https://ca.test/a b", false, false},
        {"https://ca.test/\r\nX: y", false, false},
        {"https://ca.test/#f", false, false},
        {"https://user@ca.test/", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((acme_url_check(rows[i].url, false, NULL) == 0) != rows[i].plain ||
            (acme_url_check(rows[i].url, true, NULL) == 0) != rows[i].lab)
            fail_msg("%s", rows[i].url ? rows[i].url : "NULL");
    }
    char longest[ACME_URL_MAX + 1];
    snprintf(longest, sizeof(longest), "https://ca.test/%0*d", ACME_URL_MAX - 16, 0);
    assert_int_equal(acme_url_check(longest, false, NULL), CM_EMALF);
    longest[ACME_URL_MAX - 1] = '\0';
    assert_int_equal(acme_url_check(longest, false, NULL), 0);
}

static void resolving(void **state)
{
    (void)state;
    char out[ACME_URL_MAX];
    assert_int_equal(acme_url_resolve("https://ca.test/a/b", "/c", false, out, NULL), 0);
    assert_string_equal(out, "https://ca.test/c");
    assert_int_equal(acme_url_resolve("https://ca.test/a", "https://b.test/c", false, out, NULL),
                     0);
    assert_string_equal(out, "https://b.test/c");
    assert_true(acme_url_resolve("https://ca.test/a", "http://ca.test/c", false, out, NULL) < 0);
}

static void times(void **state)
{
    (void)state;
    const int64_t want = INT64_C(784111777000);
    assert_int_equal(acme_time("1994-11-06T08:49:37Z"), want);
    assert_int_equal(acme_time("1994-11-06t08:49:37z"), want);
    assert_int_equal(acme_time("1994-11-06T08:49:37.123456789Z"), want + 123);
    assert_int_equal(acme_time("1994-11-06T10:49:37+02:00"), want);
    assert_int_equal(acme_time("1994-11-06T03:19:37.5-05:30"), want + 500);
    static const char *const bad[] = {
        "",
        "1994",
        "1994-11-06T08:49:37",
        "1994-11-06T08:49:37+0200",
        "1994-11-06T08:49:37+2a:00",
        "1994-13-06T08:49:37Z",
        "1994-11-06T08:49:37+24:00",
        "1994-11-06T08:49:37.000000000000000000000000000000000000000000000Z"};
    assert_int_equal(acme_time(NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(acme_time(bad[i]), 0);
}

static void sentences(void **state)
{
    (void)state;
    char out[ACME_TEXT_MAX];
    acme_text(NULL, out);
    assert_string_equal(out, "");
    acme_text("a\r\nb\x1b[31m\x7f %s", out);
    assert_string_equal(out, "a  b [31m  %s");
    char big[2000];
    for (size_t i = 0; i + 2 < sizeof(big); i += 2)
        memcpy(big + i, "\xc3\xa9", 3);
    acme_text(big, out);
    assert_true(strlen(out) < ACME_TEXT_MAX);
    assert_string_equal(out + strlen(out) - 5, "\xc3\xa9...");
    acme_text("\xff", out);
    assert_string_equal(out, "?");
}

/* The vectors of reference/acme.md 5.2. */
static void key_authorizations(void **state)
{
    (void)state;
    char *text = acme_key_authorization("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
                                        "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    assert_string_equal(text, "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA."
                              "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    cm_free(text);
    assert_true(acme_token_ok("-abc_123"));
    assert_false(acme_token_ok("../x"));
    assert_false(acme_token_ok("a.b"));
    assert_false(acme_token_ok(""));
    assert_false(acme_token_ok(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),      cmocka_unit_test(resolving),          cmocka_unit_test(times),
        cmocka_unit_test(sentences), cmocka_unit_test(key_authorizations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
