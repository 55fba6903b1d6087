/* Why a call failed, in words: codes, hints, retry classes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <string.h>

#include "base/net/http_failure.h"

static struct cm_err explain(int curl, int fault, bool client_cert, const char *why)
{
    struct cm_err err = CM_ERR_INIT;
    const struct http_failure failure = {.curl = curl,
                                         .fault = fault,
                                         .host = "ca.example",
                                         .port = 443,
                                         .timeout_ms = 3000,
                                         .silence_ms = 700,
                                         .client_cert = client_cert,
                                         .why = why};
    http_failure_explain(&failure, &err);
    return err;
}

static void every_failure_names_the_host(void **state)
{
    (void)state;
    for (int rc = 1; rc < CURL_LAST; rc++) {
        struct cm_err err = explain(rc, 0, false, "");
        assert_true(err.code < 0);
        assert_string_equal(err.object, "host ca.example");
        assert_memory_equal(err.what, "host ca.example port 443: ", 26);
        assert_string_not_equal(err.cause[0], "");
        assert_string_not_equal(err.hint, "");
        assert_int_not_equal(err.retry, CM_RETRY_NONE);
    }
}

static void the_cause_is_the_library_s_message(void **state)
{
    (void)state;
    struct cm_err err = explain(CURLE_COULDNT_CONNECT, 0, false, "Connection refused");
    assert_int_equal(err.code, CM_ENET);
    assert_int_equal(err.retry, CM_RETRY_TRANSIENT);
    assert_string_equal(err.cause[0], "Connection refused");
    err = explain(CURLE_OPERATION_TIMEDOUT, 0, false, "");
    assert_int_equal(err.code, CM_ETIMEOUT);
    assert_non_null(strstr(err.what, "no complete answer within 3000 ms"));
    err = explain(CURLE_PEER_FAILED_VERIFICATION, 0, false, "x");
    assert_int_equal(err.code, CM_EDENIED);
    assert_int_equal(err.retry, CM_RETRY_CONFIGURATION);
}

static void a_refused_client_certificate_is_recognised(void **state)
{
    (void)state;
    const char *alert = "OpenSSL SSL_read: ... tlsv13 alert certificate required";
    struct cm_err err = explain(CURLE_RECV_ERROR, 0, true, alert);
    assert_non_null(strstr(err.hint, "refused our TLS certificate"));
    err = explain(CURLE_RECV_ERROR, 0, false, alert);
    assert_null(strstr(err.hint, "refused our TLS certificate"));
    assert_non_null(strstr(err.hint, "demands a client certificate"));
    err = explain(CURLE_RECV_ERROR, 0, false, "Connection reset by peer");
    assert_null(strstr(err.hint, "client certificate"));
}

/* The words are libcurl's and OpenSSL's (test_http_tls.c meets three of them for real). */
static void each_fault_of_a_certificate_has_its_way_out(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"SSL certificate problem: certificate has expired", "renewed"},
        {"SSL certificate problem: certificate is not yet valid", "the clock of this server, and"},
        {"SSL: no alternative certificate subject name matches target host name 'h'", "the name"},
        {"SSL: certificate subject name 'a' does not match target host name 'h'", "the name"},
        {"SSL certificate problem: unable to get local issuer certificate", "CA bundle of this"},
        {"SSL certificate problem: unable to get issuer certificate", "CA bundle of this"},
        {"SSL certificate problem: self-signed certificate", "CA bundle of this"},
        {"SSL certificate problem: self-signed certificate in certificate chain", "intermediate"},
        {"SSL certificate problem: CA signature digest algorithm too weak", "check the host name"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct cm_err err = explain(CURLE_PEER_FAILED_VERIFICATION, 0, false, table[i][0]);
        if (!strstr(err.hint, table[i][1]))
            fail_msg("%s: %s", table[i][0], err.hint);
        assert_string_equal(err.cause[0], table[i][0]);
    }
}

static void our_own_reasons_come_first(void **state)
{
    (void)state;
    struct cm_err err = explain(CURLE_WRITE_ERROR, CM_ELIMIT, false, "Failed writing body");
    assert_int_equal(err.code, CM_ELIMIT);
    assert_int_equal(err.retry, CM_RETRY_TRANSIENT);
    err = explain(CURLE_WRITE_ERROR, CM_ETIMEOUT, false, "");
    assert_int_equal(err.code, CM_ETIMEOUT);
    assert_non_null(strstr(err.what, "700 ms"));
    err = explain(CURLE_ABORTED_BY_CALLBACK, CM_ECLOSED, false, "");
    assert_int_equal(err.code, CM_ECLOSED);
    assert_int_equal(err.retry, CM_RETRY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_names_the_host),
        cmocka_unit_test(the_cause_is_the_library_s_message),
        cmocka_unit_test(a_refused_client_certificate_is_recognised),
        cmocka_unit_test(each_fault_of_a_certificate_has_its_way_out),
        cmocka_unit_test(our_own_reasons_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
