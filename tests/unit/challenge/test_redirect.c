/* Targets of redirects: how they are resolved, and which a CA does not follow. */
#include "tests/unit/challenge/support.h"

#include "certmgr/challenge/redirect.h"

#define FROM "http://www.example.com/.well-known/acme-challenge/tok"
#define HOST "www.example.com"

static void statuses(void **state)
{
    (void)state;
    static const int yes[] = {301, 302, 307, 308}, no[] = {200, 300, 303, 304, 305, 404, 0};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(ch_redirect_status(yes[i]));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(ch_redirect_status(no[i]));
}

static void targets_are_resolved(void **state)
{
    (void)state;
    static const struct {
        const char *from, *location, *target;
    } rows[] = {
        {FROM, "https://www.example.com/x", "https://www.example.com/x"},
        {FROM, "HTTPS://WWW.Example.COM:443/X", "https://www.example.com/X"},
        {FROM, "http://www.example.com:80", "http://www.example.com/"},
        {FROM, "https://www.example.com:80/x", "https://www.example.com:80/x"},
        {FROM, "http://www.example.com:443/x", "http://www.example.com:443/x"},
        {FROM, "//b.example.org/x?y", "http://b.example.org/x?y"},
        {"https://a.example.com/", "//b.example.org", "https://b.example.org/"},
        {FROM, "/x/y", "http://www.example.com/x/y"},
        {FROM, "x", "http://www.example.com/.well-known/acme-challenge/x"},
        {FROM, "../x", "http://www.example.com/.well-known/x"},
        {FROM, "../../../../x", "http://www.example.com/x"},
        {FROM, "./x/./y/..", "http://www.example.com/.well-known/acme-challenge/x/"},
        {FROM, "/a/b/.", "http://www.example.com/a/b/"},
        {FROM, "/a/.b/..c/...", "http://www.example.com/a/.b/..c/..."},
        {FROM, "/..", "http://www.example.com/"},
        {FROM, "?q=/../x", "http://www.example.com/.well-known/acme-challenge/tok?q=/../x"},
        {"http://www.example.com/a?b/c", "d", "http://www.example.com/d"},
        {"http://www.example.com/a?b/c", "#x", "http://www.example.com/a?b/c"},
        {"http://www.example.com/a?b/c", "?x", "http://www.example.com/a?x"},
        {FROM, "/x#part", "http://www.example.com/x"},
        {FROM, "#part", FROM},
        {FROM, "http://xn--wgv71a119e.example/", "http://xn--wgv71a119e.example/"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[CH_URL_MAX];
        struct cm_err err = CM_ERR_INIT;
        int rc = ch_redirect(rows[i].from, rows[i].location, HOST, 80, out, sizeof(out), &err);
        if (rc != 0 || strcmp(out, rows[i].target) != 0)
            fail_msg("\"%s\": %d \"%s\" %s", rows[i].location, rc, out, err.what);
    }
}

static void targets_no_ca_follows_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *location, *what, *hint;
    } rows[] = {
        {"https://www.example.com:8443/x", "port 8443; a CA follows only 80 and 443", "port 80"},
        {"http://www.example.com:8080/x", "port 8080", "port 80"},
        {"ftp://www.example.com/x", "scheme \"ftp\"", "pass /.well-known/"},
        {"javascript:alert(1)", "scheme \"javascript\"", "pass /.well-known/"},
        {"https://192.0.2.1/x", "IP address", "host name"},
        {"https://[2001:db8::1]/x", "IP address", "host name"},
        {"https://3221225985/x", "no name of the public DNS", "public"},
        {"https://192.513/x", "no name of the public DNS", "public"},
        {"https://localhost/x", "localhost, which is no name of the public DNS", "public"},
        {"https://intranet/x", "intranet, which is no name", "public"},
        {"https://www.corp.local/x", "www.corp.local, which is no name", "public"},
        {"https://printer.home.arpa/x", "no name of the public DNS", "public"},
        {"https://www.example.com.well-known/acme-challenge/tok",
         "a slash is missing behind \"www.example.com\"", "https://www.example.com/"},
        {"http://WWW.EXAMPLE.COM.WELL-KNOWN/acme-challenge/tok", "a slash is missing",
         "http://WWW.EXAMPLE.COM/"},
        {"https://www.example.com:8443.well-known/acme-challenge/tok",
         "a slash is missing behind \"www.example.com:8443\"", "https://www.example.com:8443/"},
        {"//www.example.com.well-known/acme-challenge/tok", "a slash is missing",
         "http://www.example.com/"},
        {"https://user:word@www.example.com/x", "no URL a CA could follow", "correct"},
        {"https:///x", "no URL a CA could follow", "correct"},
        {"https://www.example.com/a b", "no URL a CA could follow", "correct"},
        {"https://www.example.com/\xff", "no URL a CA could follow", "correct"},
        {"https://www.exa%mple.com/", "no URL a CA could follow", "correct"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[CH_URL_MAX];
        struct cm_err err = CM_ERR_INIT;
        int rc = ch_redirect(FROM, rows[i].location, HOST, 80, out, sizeof(out), &err);
        if (rc != CM_EPEER || !strstr(err.what, rows[i].what) || !strstr(err.hint, rows[i].hint))
            fail_msg("\"%s\": %d \"%s\" \"%s\"", rows[i].location, rc, err.what, err.hint);
    }
}

static void the_port_of_a_laboratory_is_allowed_too(void **state)
{
    (void)state;
    char out[CH_URL_MAX];
    struct cm_err err = CM_ERR_INIT;
    const char *lab = "http://www.example.com:5002/.well-known/acme-challenge/tok";
    assert_int_equal(
        ch_redirect(lab, "http://b.example.org:5002/x", HOST, 5002, out, sizeof(out), &err), 0);
    assert_string_equal(out, "http://b.example.org:5002/x");
    assert_int_equal(ch_redirect(lab, "http://b.example.org/x", HOST, 5002, out, sizeof(out), &err),
                     0);
    assert_int_equal(
        ch_redirect(lab, "http://b.example.org:5003/x", HOST, 5002, out, sizeof(out), &err),
        CM_EPEER);
    assert_non_null(strstr(err.what, "only 80 and 443 (and 5002"));
}

static void a_name_is_as_public_as_the_validated_one(void **state)
{
    (void)state;
    char out[CH_URL_MAX];
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(ch_redirect("http://a.corp.local/", "http://b.corp.local/", "a.corp.local", 80,
                                 out, sizeof(out), &err),
                     0);
    assert_int_equal(ch_redirect("http://a.corp.local/", "http://b.corp.lan/", "a.corp.local", 80,
                                 out, sizeof(out), &err),
                     CM_EPEER);
}

static void long_targets(void **state)
{
    (void)state;
    char out[CH_URL_MAX], location[8000];
    struct cm_err err = CM_ERR_INIT;
    memset(location, 'a', sizeof(location));
    location[0] = '/';
    location[2000] = '\0';
    assert_int_equal(ch_redirect(FROM, location, HOST, 80, out, sizeof(out), &err), 0);
    location[2000] = 'a';
    location[2001] = '\0';
    assert_int_equal(ch_redirect(FROM, location, HOST, 80, out, sizeof(out), &err), CM_EPEER);
    assert_non_null(strstr(err.what, "path of 2001 bytes"));
    location[2001] = 'a';
    location[7999] = '\0';
    assert_int_equal(ch_redirect(FROM, location, HOST, 80, out, sizeof(out), &err), CM_EPEER);
    assert_non_null(strstr(err.what, "no URL"));
    cm_err_fini(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(targets_are_resolved),
        cmocka_unit_test(targets_no_ca_follows_are_named),
        cmocka_unit_test(the_port_of_a_laboratory_is_allowed_too),
        cmocka_unit_test(a_name_is_as_public_as_the_validated_one),
        cmocka_unit_test(long_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
