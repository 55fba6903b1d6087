/* Answers to a challenge: which are right, and how the wrong ones are named. */
#include "tests/unit/challenge/support.h"

#include "certmgr/challenge/answer.h"

#define TOKEN "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
#define OTHER "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
#define THUMB "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
#define RIGHT TOKEN "." THUMB
#define X20   "xxxxxxxxxxxxxxxxxxxx"

static int judge(int status, const char *headers, const char *body, int code, struct cm_err *err)
{
    struct cm_err call = CM_ERR_INIT;
    if (code != 0) {
        cm_fail(&call, code, "host a port 80: the connection broke within the answer");
        cm_err_hint(&call, "check the network path");
    }
    struct http_result res = {.status = status,
                              .headers = headers,
                              .body = body,
                              .body_len = strlen(body),
                              .remote_ip = "",
                              .err = &call};
    return ch_answer(&res, TOKEN, RIGHT, err);
}

static void right_answers(void **state)
{
    (void)state;
    static const char *const rows[] = {RIGHT, RIGHT "\n", RIGHT " \t\r\n\r\n"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(judge(200, "", rows[i], 0, NULL), 0);
}

static void wrong_answers_are_named(void **state)
{
    (void)state;
    static const char *const nginx = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n";
    static const struct {
        int status;
        const char *body, *what, *hint;
    } rows[] = {
        {404, "<html>\r\n<h1>Not Found</h1>",
         "status 404 instead of 200 from the web server \"nginx/1.22.1\": "
         "\"<html>..<h1>Not Found</h1>\"",
         "self-check"},
        {404, "", "status 404 instead of 200 from the web server \"nginx/1.22.1\"", "CertMgr"},
        {403, "no", "status 403", "pass /.well-known/acme-challenge/ on"},
        {404, "no such challenge\n", "status 404 from CertMgr: the server that answers there",
         "belongs to this fleet"},
        {206, RIGHT, "status 206 instead of 200", ""},
        {200, "", "an empty answer from the web server \"nginx/1.22.1\"", ""},
        {200, "<h1>\x1b[31mIt works", "another answer", ""},
        {200, "<h1>\x1b[31mIt works", "\"<h1>.[31mIt works\"", "no page of its own"},
        {200, " " RIGHT, "another answer", ""},
        {200, RIGHT "x", "of this token, but of another ACME account", "another ACME client"},
        {200, TOKEN "." OTHER, "of this token, but of another ACME account", "account key"},
        {200, OTHER "." THUMB, "the key authorization of another token", "alike"},
        {200, TOKEN, "another answer", ""},
        {200, RIGHT X20 X20 "x", "an answer of 128 bytes", "add nothing"},
        {200, RIGHT "                                         ", "an answer of 128 bytes", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = CM_ERR_INIT;
        int rc = judge(rows[i].status, nginx, rows[i].body, 0, &err);
        if (rc != CM_EPEER || !strstr(err.what, rows[i].what) || !strstr(err.hint, rows[i].hint) ||
            !err.hint[0])
            fail_msg("\"%s\": %d \"%s\" \"%s\"", rows[i].body, rc, err.what, err.hint);
    }
}

static void white_space_counts_for_the_length(void **state)
{
    (void)state;
    assert_int_equal(strlen(RIGHT), 87);
    assert_int_equal(judge(200, "", RIGHT "                                        ", 0, NULL), 0);
}

static void answers_that_broke_off_or_had_no_end(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    assert_int_equal(judge(200, "", RIGHT, CM_ENET, &err), CM_ENET);
    assert_non_null(strstr(err.what, "broke within the answer"));
    assert_non_null(strstr(err.hint, "network path"));
    assert_int_equal(judge(200, "", "<html>", CM_ELIMIT, &err), CM_EPEER);
    assert_non_null(strstr(err.what, "more than 6 bytes"));
    cm_err_fini(&err);
}

static void a_long_server_header_is_cut(void **state)
{
    (void)state;
    struct cm_err err = CM_ERR_INIT;
    judge(404, "HTTP/1.1 404 x\r\nServer: \x01" X20 X20 X20 X20 "\r\n\r\n", "", 0, &err);
    assert_non_null(strstr(err.what, "\"." X20 "xxxxxxxxxxxxxxxxxxx\""));
    cm_err_fini(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_answers),
        cmocka_unit_test(wrong_answers_are_named),
        cmocka_unit_test(white_space_counts_for_the_length),
        cmocka_unit_test(answers_that_broke_off_or_had_no_end),
        cmocka_unit_test(a_long_server_header_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
