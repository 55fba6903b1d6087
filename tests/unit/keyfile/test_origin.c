/* Origins of URLs. */
#include "support.h"

#include "keyfile/origin.h"

static void reads_origins(void **state)
{
    (void)state;
    static const struct {
        const char *url, *origin;
    } rows[] = {
        {"https://ca.example", "https://ca.example"},
        {"https://ca.example/", "https://ca.example"},
        {"https://CA.Example/Dir?x=1", "https://ca.example"},
        {"https://ca.example:443/x", "https://ca.example"},
        {"https://ca.example:8443/x", "https://ca.example:8443"},
        {"https://127.0.0.1:14000/dir", "https://127.0.0.1:14000"},
        {"https://[::1]:14000/dir", "https://[::1]:14000"},
        {"https://[2001:DB8::1]/", "https://[2001:db8::1]"},
        {"http://127.0.0.1:4001/dir", "http://127.0.0.1:4001"}, /* a lab's CA */
        {"http://127.0.0.1:80/", "http://127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[KF_ORIGIN_TEXT];
        if (kf_origin(rows[i].url, out, NULL) != 0 || strcmp(out, rows[i].origin) != 0)
            fail_msg("%s: %s", rows[i].url, out);
    }
}

static void refuses_the_rest(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",
        "ca.example",
        "HTTPS://ca.example",
        "http://ca.example",
        "http://127.evil@x/",
        "ftp://ca.example",
        "https://",
        "https:///x",
        "https://user@ca.example/",
        "https://ca.example@evil.example/",
        "https://ca.example:/x",
        "https://ca.example:0/",
        "https://ca.example:65536/",
        "https://ca.example:8443x/",
        "https://ca.example:-1/",
        "https://ca.example#evil",
        "https://ca.example\\evil",
        "https://ca.example /x",
        "https://ca.example\n/x",
        "https://ca.example\t",
        "https://[::1/x",
        "https://[]/x",
        "https://[::g]/x",
        "https://日本語.jp/",
        "https://a_b.example/",
        "https://a%2eb/",
    };
    char out[KF_ORIGIN_TEXT];
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        if (kf_origin(urls[i], out, NULL) != CM_EMALF)
            fail_msg("\"%s\" passed as %s", urls[i], out);
    }
    CM_AUTO_STR longest = cm_calloc(1, KF_URL_MAX + 10);
    memset(longest, 'a', KF_URL_MAX + 5);
    memcpy(longest, "https://a/", 10);
    assert_int_equal(kf_origin(longest, out, NULL), CM_EMALF);
    memset(longest + 8, 'a', 300);
    longest[308] = '\0';
    assert_int_equal(kf_origin(longest, out, NULL), CM_EMALF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_origins),
        cmocka_unit_test(refuses_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
