/* What an unwelcome answer is said to mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "replicator/failure.h"
#include "replicator/replicator.h"

#define NOW 1795392000000 /* 2026-11-23 */

static int64_t explain(int status, const char *headers, const char *body, bool hub,
                       struct cm_err *ret)
{
    struct cm_err none = CM_ERR_INIT;
    const struct http_result res = {
        .status = status, .headers = headers, .body = body, .body_len = strlen(body), .err = &none};
    cm_err_fini(ret);
    return rp_failure_explain(&res, hub, "opening the database of", ret);
}

static void says(const struct cm_err *err, const char *what, const char *hint)
{
    assert_string_equal(err->what, what);
    if (!strstr(err->hint, hint) || (!*hint && err->hint[0]))
        fail_msg("%s: not %s", err->hint, hint);
}

static void each_with_its_way_out(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    static const char html[] = "<html>";
    explain(200, "", html, true, &err);
    says(&err, "opening the database of the peer: it does not answer as a CouchDB does (HTTP 200)",
         "a login page");
    explain(302, "Location: https://login.example/?to=hub\r\n", html, true, &err);
    says(&err, "opening the database of the peer: HTTP 302 ",
         "It sends to https://login.example/?to=hub, which is not followed");
    assert_int_equal(err.retry, CM_RETRY_CONFIGURATION);
    explain(302, "", html, true, &err);
    says(&err, "opening the database of the peer: HTTP 302 ", "");
    explain(200, "Content-Encoding: gzip\r\n", "\037\213", true, &err);
    says(&err, "opening the database of the peer: it does not answer as a CouchDB does (HTTP 200)",
         "It answers compressed (gzip)");
    explain(401, "", "{\"reason\":\"Name or password is incorrect.\"}", true, &err);
    says(&err, "opening the database of the peer: HTTP 401 Name or password is incorrect.",
         "user's name and password");
    assert_int_equal(err.code, CM_EDENIED);
    explain(401, "", "{}", false, &err); /* ours has neither */
    says(&err, "opening the database of the peer: HTTP 401 ", "");
    explain(400, "", html, true, &err);
    says(&err, "opening the database of the peer: HTTP 400 ", "client certificate");
    explain(404, "", "{\"reason\":\"Database does not exist.\"}", true, &err);
    says(&err, "opening the database of the peer: HTTP 404 Database does not exist.",
         "Create the database");
    explain(407, "", html, true, &err);
    says(&err, "opening the database of the peer: HTTP 407 ", "A proxy in between");
    cm_err_fini(&err);
}

static void who_asks_for_time_gets_it(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    cm_clock_fake(NOW, -1);
    assert_int_equal(explain(503, "Retry-After: 7\r\n", "", true, &err), 7000);
    assert_int_equal(explain(429, "Retry-After: 999999\r\n", "", true, &err), RP_TIMEOUT_MAX);
    assert_int_equal(explain(429, "Retry-After: soon\r\n", "", true, &err), 0);
    assert_int_equal(explain(503, "Retry-After: -5\r\n", "", true, &err), 0);
    assert_int_equal(explain(500, "Retry-After: 7\r\n", "", true, &err), 0);
    cm_clock_fake(-1, -1);
    cm_err_fini(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_with_its_way_out),
        cmocka_unit_test(who_asks_for_time_gets_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
