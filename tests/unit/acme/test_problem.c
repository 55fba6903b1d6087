/* The decoder: every row has words, special rows win, documents are kept within bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/acme/problem.h"

#define URN "urn:ietf:params:acme:error:"

static json_t *problem(const char *type, const char *detail)
{
    return json_pack("{s:o, s:s}", "type", json_sprintf(URN "%s", type), "detail", detail);
}

static void every_type_has_words(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        enum cm_retry retry;
    } rows[] = {{"accountDoesNotExist", CM_RETRY_REPAIR},
                {"alreadyRevoked", CM_RETRY_NONE},
                {"badCSR", CM_RETRY_PERMANENT},
                {"badNonce", CM_RETRY_REPAIR},
                {"badPublicKey", CM_RETRY_CONFIGURATION},
                {"badRevocationReason", CM_RETRY_CONFIGURATION},
                {"badSignatureAlgorithm", CM_RETRY_CONFIGURATION},
                {"caa", CM_RETRY_CONFIGURATION},
                {"compound", CM_RETRY_TRANSIENT},
                {"connection", CM_RETRY_TRANSIENT},
                {"dns", CM_RETRY_TRANSIENT},
                {"externalAccountRequired", CM_RETRY_CONFIGURATION},
                {"incorrectResponse", CM_RETRY_TRANSIENT},
                {"invalidContact", CM_RETRY_CONFIGURATION},
                {"malformed", CM_RETRY_PERMANENT},
                {"orderNotReady", CM_RETRY_REPAIR},
                {"rateLimited", CM_RETRY_TRANSIENT},
                {"rejectedIdentifier", CM_RETRY_PERMANENT},
                {"serverInternal", CM_RETRY_TRANSIENT},
                {"tls", CM_RETRY_TRANSIENT},
                {"unauthorized", CM_RETRY_CONFIGURATION},
                {"unsupportedContact", CM_RETRY_CONFIGURATION},
                {"unsupportedIdentifier", CM_RETRY_PERMANENT},
                {"userActionRequired", CM_RETRY_CONFIGURATION},
                {"agreementRequired", CM_RETRY_CONFIGURATION},
                {"alreadyReplaced", CM_RETRY_REPAIR},
                {"invalidProfile", CM_RETRY_CONFIGURATION},
                {"conflict", CM_RETRY_TRANSIENT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct acme_problem_row *row = acme_problem_row(rows[i].type, ACME_ABOUT_ORDER, 400);
        assert_string_equal(row->type, rows[i].type);
        assert_int_equal(row->retry, rows[i].retry);
        assert_true(row->code < 0);
        assert_true(strlen(row->meaning) > 15 && strlen(row->hint) > 15 && strlen(row->who) > 3);
    }
}

/* Every row of the error table of JPRS's manual with the words it prints there, and the types that
 * came later: type, status, who must act, how it is tried again; the words stay as they are. */
static void jprs_rows(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int status;
        enum acme_about about;
        const char *who;
        enum cm_retry retry;
        const char *words;
    } rows[] = {
        {"accountDoesNotExist", 400, ACME_ABOUT_ORDER, "CertMgr", CM_RETRY_REPAIR,
         "The request specified an account that does not exist"},
        {"alreadyRevoked", 400, ACME_ABOUT_ANY, "Nobody", CM_RETRY_NONE,
         "The request specified a certificate to be revoked that has already been revoked: [1a2b]"},
        {"alreadyRevoked", 409, ACME_ABOUT_ANY, "Nobody", CM_RETRY_NONE,
         "certificate has already been revoked"},
        {"badCSR", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_PERMANENT,
         "The CSR is unacceptable"},
        {"badNonce", 400, ACME_ABOUT_ORDER, "CertMgr", CM_RETRY_REPAIR,
         "The client sent an unacceptable anti-replay nonce"},
        {"badPublicKey", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_CONFIGURATION,
         "The JWS was signed by a public key the server does not support"},
        {"badRevocationReason", 400, ACME_ABOUT_ANY, "Operator", CM_RETRY_CONFIGURATION,
         "The revocation reason provided is not allowed by the server: [6]"},
        {"badSignatureAlgorithm", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_CONFIGURATION,
         "The JWS was signed with an algorithm the server does not support: [ES512]"},
        {"caa", 403, ACME_ABOUT_ORDER, "Owner of the DNS zone", CM_RETRY_CONFIGURATION,
         "CAA records forbid the CA from issuing a certificate"},
        {"connection", 400, ACME_ABOUT_CHALLENGE, "Owner of the web server", CM_RETRY_TRANSIENT,
         "The server could not connect to validation target : [a.example]"},
        {"dns", 400, ACME_ABOUT_CHALLENGE, "Owner of the DNS zone", CM_RETRY_TRANSIENT,
         "DNS problem: NXDOMAIN looking up A for a.example"},
        {"tls", 400, ACME_ABOUT_CHALLENGE, "Owner of the web server", CM_RETRY_TRANSIENT,
         "remote error: tls: handshake failure"},
        {"incorrectResponse", 400, ACME_ABOUT_CHALLENGE, "Owner of the web server",
         CM_RETRY_TRANSIENT, "The response received didn't match"},
        {"unauthorized", 403, ACME_ABOUT_CHALLENGE, "Owner of the web server",
         CM_RETRY_CONFIGURATION, "Invalid response from http://a.example/"},
        {"unauthorized", 401, ACME_ABOUT_ORDER, "Operator", CM_RETRY_CONFIGURATION,
         "The client lacks sufficient authorization"},
        {"externalAccountRequired", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_CONFIGURATION,
         "The request must include a value for the externalAccountBinding field"},
        {"invalidContact", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_CONFIGURATION,
         "A contact URL for an account was invalid: [mailto:]"},
        {"unsupportedContact", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_CONFIGURATION,
         "A contact URL for an account used an unsupported protocol scheme: [tel:+81]"},
        {"malformed", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_PERMANENT,
         "The request information is invalid"},
        {"malformed", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_PERMANENT,
         "Unable to create account"},
        {"malformed", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_PERMANENT,
         "The contact information is invalid:"},
        {"malformed", 400, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_PERMANENT,
         "Please agree to the term of service."},
        {"malformed", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_PERMANENT,
         "The FQDN is invalid: [a_b.example]"},
        {"malformed", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_PERMANENT,
         "Validity period of application has been expired"},
        {"malformed", 400, ACME_ABOUT_CHALLENGE, "Operator", CM_RETRY_PERMANENT,
         "Validity period of application has been expired"},
        {"malformed", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_PERMANENT,
         "Unable to accept order"},
        {"malformed", 400, ACME_ABOUT_CHALLENGE, "Operator", CM_RETRY_PERMANENT,
         "Unable to accept order"},
        {"malformed", 400, ACME_ABOUT_REVOCATION, "Operator", CM_RETRY_PERMANENT,
         "The certificate does not exist: [1a2b]"},
        {"malformed", 405, ACME_ABOUT_ORDER, "The makers of CertMgr", CM_RETRY_PERMANENT,
         "The HTTP method is invalid: [GET]"},
        {"malformed", 415, ACME_ABOUT_ORDER, "The makers of CertMgr", CM_RETRY_PERMANENT,
         "The content-type is invalid: [text/plain]"},
        {"orderNotReady", 403, ACME_ABOUT_ORDER, "CertMgr", CM_RETRY_REPAIR,
         "The request attempted to finalize an order that is not ready to be finalized"},
        {"rejectedIdentifier", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_PERMANENT,
         "The server will not issue certificates for the identifier"},
        {"unsupportedIdentifier", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_PERMANENT,
         "An identifier is of an unsupported type"},
        {"serverInternal", 500, ACME_ABOUT_ORDER, "The CA", CM_RETRY_TRANSIENT,
         "The server experienced an internal error"},
        {"rateLimited", 429, ACME_ABOUT_ORDER, "CertMgr", CM_RETRY_TRANSIENT,
         "too many certificates (5) already issued for this exact set"},
        {"userActionRequired", 403, ACME_ABOUT_ORDER, "Operator", CM_RETRY_CONFIGURATION,
         "Terms of service have changed"},
        {"compound", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_TRANSIENT,
         "Some of the identifiers requested were rejected"},
        {"alreadyReplaced", 409, ACME_ABOUT_ORDER, "CertMgr", CM_RETRY_REPAIR,
         "cannot indicate an order replaces certificate, which already has a replacement order"},
        {"invalidProfile", 400, ACME_ABOUT_ORDER, "Operator", CM_RETRY_CONFIGURATION,
         "The request specified an unrecognized profile"},
        {"conflict", 409, ACME_ABOUT_ORDER, "CertMgr", CM_RETRY_TRANSIENT,
         "another request is in progress"},
        {"agreementRequired", 403, ACME_ABOUT_ACCOUNT, "Operator", CM_RETRY_CONFIGURATION,
         "Provided account did not agree to the terms of service"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        json_t *p = problem(rows[i].type, rows[i].words);
        CM_AUTO_STR said = cm_asprintf("The CA says: %s", rows[i].words);
        acme_problem_fail(&err, p, rows[i].status, NULL, rows[i].about, "the thing");
        assert_int_equal(err.retry, rows[i].retry);
        assert_int_equal(strncmp(err.hint, rows[i].who, strlen(rows[i].who)), 0);
        assert_true(strlen(err.hint) > strlen(rows[i].who) + 20); /* and what to do */
        assert_non_null(strstr(err.what, rows[i].type));
        assert_string_equal(err.cause[1], said);
        assert_true(json_equal(err.problem, p));
        cm_err_fini(&err);
        json_decref(p);
    }
}

static void the_hardest_reason_decides(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        enum cm_retry retry;
    } rows[] = {{"dns", "connection", CM_RETRY_TRANSIENT},
                {"dns", "caa", CM_RETRY_CONFIGURATION},
                {"caa", "dns", CM_RETRY_CONFIGURATION},
                {"rejectedIdentifier", "caa", CM_RETRY_PERMANENT},
                {"caa", "rejectedIdentifier", CM_RETRY_PERMANENT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        json_t *p = problem("compound", "several");
        json_object_set_new(p, "subproblems",
                            json_pack("[{s:o}, {s:o}]", "type",
                                      json_sprintf(URN "%s", rows[i].first), "type",
                                      json_sprintf(URN "%s", rows[i].second)));
        acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ORDER, "the new order");
        assert_int_equal(err.retry, rows[i].retry);
        cm_err_fini(&err);
        json_decref(p);
    }
}

/* What can be left out: names of the request alone, in its own spelling, each once. */
static void the_names_it_is_about(void **state)
{
    (void)state;
    CM_AUTO_JSON names =
        json_pack("[s, s, s, s]", "good.example", "bad.example", "*.bad.example", "192.0.2.7");
    struct cm_err err = CM_ERR_INIT;
    json_t *p = problem("compound", "good.example would be fine");
    json_object_set_new(
        p, "subproblems",
        json_pack("[{s:{s:s, s:s}}, {s:{s:s, s:s}}, {s:{s:s, s:s}}, {s:s}, {s:{s:s, s:s}}]",
                  "identifier", "type", "dns", "value", "BAD.example", "identifier", "type", "dns",
                  "value", "bad.example", "identifier", "type", "dns", "value", "<script>.example",
                  "identifier", "text", "identifier", "type", "ip", "value", "192.0.2.7"));
    acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ORDER, "the new order");
    acme_problem_names(&err, names);
    CM_AUTO_JSON both = json_pack("[s, s]", "bad.example", "192.0.2.7");
    assert_true(json_equal(err.names, both));
    json_decref(p);
    static const struct {
        const char *type, *detail, *name;
    } said[] = {
        {"rejectedIdentifier", "Cannot issue for \"bad.example\": blocked", "bad.example"},
        {"rejectedIdentifier", "policy forbids *.Bad.example.", "*.bad.example"},
        {"unsupportedIdentifier", "192.0.2.7", "192.0.2.7"},
        {"rejectedIdentifier", "not very-bad.example, x.bad.example, bad.example.net", NULL},
        {"malformed", "bad.example is odd", NULL},
        {"rejectedIdentifier", "", NULL},
    };
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        p = problem(said[i].type, said[i].detail);
        acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ORDER, "the new order");
        acme_problem_names(&err, names);
        assert_int_equal(json_array_size(err.names), said[i].name ? 1 : 0);
        assert_true(!said[i].name || cm_json_has_str(err.names, said[i].name));
        json_decref(p);
    }
    cm_err_fini(&err);
}

static void special_rows_win(void **state)
{
    (void)state;
    assert_string_equal(acme_problem_row("unauthorized", ACME_ABOUT_CHALLENGE, 403)->who,
                        "Owner of the web server");
    assert_string_equal(acme_problem_row("unauthorized", ACME_ABOUT_ORDER, 403)->who, "Operator");
    assert_non_null(
        strstr(acme_problem_row("malformed", ACME_ABOUT_ORDER, 405)->meaning, "method"));
    assert_non_null(
        strstr(acme_problem_row("malformed", ACME_ABOUT_ORDER, 415)->meaning, "content type"));
    assert_non_null(strstr(acme_problem_row("malformed", ACME_ABOUT_ACCOUNT, 400)->hint, "terms"));
    assert_non_null(strstr(acme_problem_row("malformed", ACME_ABOUT_REVOCATION, 400)->meaning,
                           "does not know the certificate"));
    assert_non_null(
        strstr(acme_problem_row("unauthorized", ACME_ABOUT_REVOCATION, 403)->hint, "own key"));
    assert_int_equal(acme_problem_row("new thing", ACME_ABOUT_ANY, 503)->retry, CM_RETRY_TRANSIENT);
    assert_int_equal(acme_problem_row(NULL, ACME_ABOUT_ANY, 302)->retry, CM_RETRY_CONFIGURATION);
    assert_int_equal(acme_problem_row(NULL, ACME_ABOUT_ANY, 418)->retry, CM_RETRY_CONFIGURATION);
    assert_int_equal(acme_problem_row(NULL, ACME_ABOUT_ANY, 0)->retry, CM_RETRY_TRANSIENT);
    assert_int_equal(acme_problem_row(NULL, ACME_ABOUT_ANY, 999)->retry, CM_RETRY_TRANSIENT);
}

static void the_types_name_space(void **state)
{
    (void)state;
    json_t *p = problem("badNonce", "x");
    assert_true(acme_problem_is(p, "badNonce"));
    assert_false(acme_problem_is(p, "badCSR"));
    assert_false(acme_problem_is(NULL, "badNonce"));
    json_object_set_new(p, "type", json_string("about:blank"));
    assert_null(acme_problem_type(p));
    json_object_set_new(p, "type", json_integer(3));
    assert_null(acme_problem_type(p));
    json_decref(p);
}

static void text_is_shown_not_obeyed(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    json_t *p = problem("caa", "%s%n <script>\r\nline");
    acme_problem_fail(&err, p, 403, NULL, ACME_ABOUT_ORDER, "the new order");
    assert_string_equal(err.what, "The CA refused the new order (caa, HTTP 403)");
    assert_string_equal(err.cause[1], "The CA says: %s%n <script>  line");
    assert_true(json_equal(err.problem, p)); /* verbatim */
    assert_int_equal(err.code, CM_EHUMAN);
    cm_err_fini(&err);
    json_decref(p);
}

static void huge_documents_are_shortened(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    char *big = cm_malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = '\0';
    json_t *p = problem("malformed", big);
    acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ORDER, "the new order");
    size_t len = 0;
    char *text = cm_json_dump(err.problem, &len);
    assert_true(len < 1000);
    assert_true(cm_json_bool(err.problem, "shortened", false));
    assert_string_equal(cm_json_str(err.problem, "type"), URN "malformed");
    cm_free(text);
    cm_err_fini(&err);
    json_decref(p);
    cm_free(big);
}

static void many_subproblems(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    json_t *p = problem("rejectedIdentifier", "many");
    json_t *subs = json_array();
    for (int i = 0; i < 30; i++)
        json_array_append_new(subs, json_pack("{s:s, s:{s:o}}", "type", URN "dns", "identifier",
                                              "value", json_sprintf("w%d.example.com", i)));
    json_object_set_new(p, "subproblems", subs);
    acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ORDER, "the new order");
    assert_int_equal(err.cause_count, CM_ERR_CAUSES_MAX);
    assert_non_null(strstr(err.cause[2], "w0.example.com: dns: "));
    assert_non_null(strstr(err.cause[5], "27 more"));
    assert_int_equal(json_array_size(cm_json_arr(err.problem, "subproblems")), 30);
    cm_err_fini(&err);
    json_object_set_new(p, "subproblems", json_string("odd"));
    acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ORDER, "the new order");
    assert_int_equal(err.cause_count, 2);
    cm_err_fini(&err);
    json_decref(p);
}

static void pages_for_people(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    json_t *p = problem("userActionRequired", "new terms");
    json_object_set_new(p, "instance", json_string("https://ca.test/agree"));
    const char *head = "Link: <https://ca.test/terms>;rel=\"terms-of-service\"\r\n";
    acme_problem_fail(&err, p, 403, head, ACME_ABOUT_ACCOUNT, "the new order");
    assert_string_equal(err.cause[2], "The CA points to https://ca.test/agree");
    assert_string_equal(err.cause[3], "The terms of service are at https://ca.test/terms");
    assert_string_equal(cm_json_str(err.problem, "terms"), "https://ca.test/terms");
    json_object_del(p, "instance");
    acme_problem_fail(&err, p, 403, head, ACME_ABOUT_ACCOUNT, "the new order");
    assert_string_equal(err.cause[2], "The terms of service are at https://ca.test/terms");
    json_t *limited = problem("rateLimited", "too many");
    acme_problem_fail(&err, limited, 429, "Link: <https://ca.test/limits>;rel=\"help\"\r\n",
                      ACME_ABOUT_ORDER, "the new order");
    assert_string_equal(err.cause[2], "The CA points to https://ca.test/limits");
    assert_int_equal(err.next_attempt_ms, 0);
    cm_err_fini(&err);
    json_decref(p);
    json_decref(limited);
}

static void algorithms_the_ca_takes(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    json_t *p = problem("badSignatureAlgorithm", "not this one");
    acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ACCOUNT, "the registration");
    assert_int_equal(err.cause_count, 2); /* no list, no line */
    json_object_set_new(p, "algorithms", json_pack("[s, i, s]", "ES384", 7, "Ed\nDSA%n"));
    acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ACCOUNT, "the registration");
    assert_string_equal(err.cause[2], "The CA takes: ES384, Ed DSA%n");
    json_t *list = json_array(); /* endless: cut, not overrun */
    for (int i = 0; i < 1000; i++)
        json_array_append_new(list, json_string("an-algorithm-with-a-rather-long-name-indeed"));
    json_object_set_new(p, "algorithms", list);
    acme_problem_fail(&err, p, 400, NULL, ACME_ABOUT_ACCOUNT, "the registration");
    assert_int_equal(err.cause_count, 3);
    cm_err_fini(&err);
    json_decref(p);
}

static void no_document_at_all(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(acme_problem_fail(&err, NULL, 500, NULL, ACME_ABOUT_ANY, "its directory"),
                     CM_EPEER);
    assert_string_equal(err.what, "The CA refused its directory (HTTP 500)");
    assert_null(err.problem);
    assert_int_equal(acme_problem_fail(NULL, NULL, 500, NULL, ACME_ABOUT_ANY, "x"), CM_EPEER);
    json_t *empty = json_object();
    acme_problem_fail(&err, empty, 400, NULL, ACME_ABOUT_ANY, "x");
    assert_string_equal(err.what, "The CA refused x (no type, HTTP 400)");
    json_decref(empty);
    cm_err_fini(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_words),
        cmocka_unit_test(jprs_rows),
        cmocka_unit_test(the_hardest_reason_decides),
        cmocka_unit_test(the_names_it_is_about),
        cmocka_unit_test(special_rows_win),
        cmocka_unit_test(the_types_name_space),
        cmocka_unit_test(text_is_shown_not_obeyed),
        cmocka_unit_test(huge_documents_are_shortened),
        cmocka_unit_test(many_subproblems),
        cmocka_unit_test(pages_for_people),
        cmocka_unit_test(algorithms_the_ca_takes),
        cmocka_unit_test(no_document_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
