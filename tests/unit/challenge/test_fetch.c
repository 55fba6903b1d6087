/* Redirects of a challenge, followed over real connections as a CA follows them. */
#include "tests/unit/challenge/rig.h"

#define TOK "www.example" CH_PATH "tok"

static void follows_to_another_host_and_path(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 301, "http://other.example:%d/elsewhere?a=b", NULL},
        {"other.example/elsewhere", 302, "../answer", NULL},
        {"other.example/answer", 200, NULL, "tok.thumb\n"},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 2000), 0);
    assert_int_equal(rig->requests, 3);
}

static void follows_to_https_whatever_the_certificate(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 301, "https://tls.example:%d" CH_PATH "tok", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 2000), 0);
    assert_int_equal(rig->requests, 2);
}

static void ten_redirects_are_followed(void **state)
{
    struct rig *rig = *state;
    rig->chain = 10;
    assert_int_equal(run(rig, ONE("www.example"), 2000), 0);
    assert_int_equal(rig->requests, 11);
}

static void eleven_are_one_too_many(void **state)
{
    struct rig *rig = *state;
    rig->chain = 11;
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    has(rig->err.what, "hop 12, http://www.example:");
    has(rig->err.what, "/hop11: redirected once more; a CA follows 10 redirects");
    assert_int_equal(rig->err.cause_count, 5);
    has(rig->err.cause[0], "hop 1, http://www.example:");
    has(rig->err.cause[0], "(127.0.0.1): status 302, redirect to /hop1");
    has(rig->err.cause[2], "hops 3 to 9");
    has(rig->err.cause[4], "hop 11, ");
}

static void the_wrong_port_is_named_with_its_hop(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 301, "http://www.example:%d/two", NULL},
        {"www.example/two", 301, "https://www.example:8443/three", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    has(rig->err.what, "hop 3, https://www.example:8443/three: redirected to port 8443; a CA "
                       "follows only 80 and 443");
    assert_int_equal(rig->err.cause_count, 2);
    has(rig->err.cause[0], "hop 1, ");
    has(rig->err.cause[1], "hop 2, ");
    has(rig->err.cause[1], "redirect to https://www.example:8443/three");
    has(rig->err.hint, "docs/beside-a-web-server.md");
    assert_string_equal(rig->err.object, "host www.example");
    assert_int_equal(rig->err.retry, CM_RETRY_TRANSIENT);
}

static void the_missing_slash_is_named(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 301, "https://www.example.well-known/acme-challenge/tok", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    has(rig->err.what, "hop 2, https://www.example.well-known/");
    has(rig->err.what, "a slash is missing");
    has(rig->err.hint, "https://www.example/");
}

static void a_circle_is_named(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 307, "/a", NULL},
        {"www.example/a", 308, CH_PATH "tok", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    has(rig->err.what, "hop 3, ");
    has(rig->err.what, "in a circle");
}

static void a_redirect_to_nowhere_is_named(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 302, "http://none.example/x", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_not_equal(run(rig, ONE("www.example"), 120), 0);
    has(rig->err.what, "hop 2, http://none.example/x: the host of this redirect has no address");
    has(rig->err.cause[0], "redirect to http://none.example/x");
}

static void a_redirect_to_a_port_without_listener_names_the_address(void **state)
{
    struct rig *rig = *state;
    http_listener_free(rig->tls_first);
    rig->tls_first = NULL;
    rig->routes = (const struct route[]){
        {TOK, 302, "https://tls.example:%d/x", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_ENET);
    has(rig->err.what, "hop 2, https://tls.example:");
    has(rig->err.what, "/x (127.0.0.3): nothing listens there");
}

static void plain_http_on_the_https_port_is_named(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 302, "https://www.example:%d/x", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_ENET);
    has(rig->err.what, "hop 2, https://www.example:");
    has(rig->err.what, "TLS handshake failed");
}

static void redirects_without_location_are_named(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){{TOK, 302, NULL, NULL}, {NULL, 0, NULL, NULL}};
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    has(rig->err.what, "status 302 without a Location");
}

static void status_303_is_no_redirect_of_a_ca(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){{TOK, 303, "/a", NULL}, {NULL, 0, NULL, NULL}};
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    has(rig->err.what, "status 303 instead of 200");
}

static void the_page_of_another_server_behind_a_redirect_is_named(void **state)
{
    struct rig *rig = *state;
    rig->server = "nginx/1.22.1";
    rig->routes = (const struct route[]){
        {TOK, 301, "http://other.example:%d/404", NULL},
        {"other.example/404", 404, NULL, "<h1>404 Not Found</h1>"},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    has(rig->err.what, "hop 2, http://other.example:");
    has(rig->err.what, "(127.0.0.1): status 404 instead of 200 from the web server "
                       "\"nginx/1.22.1\": \"<h1>404 Not Found</h1>\"");
}

static void the_same_host_is_asked_on_the_address_under_test(void **state)
{
    struct rig *rig = *state;
    rig->second_wrong = true; /* 127.0.0.2 answers wrongly, also behind the redirect */
    rig->routes = (const struct route[]){
        {"two.example" CH_PATH "tok", 301, "/b", NULL},
        {NULL, 0, NULL, NULL},
    };
    assert_int_equal(run(rig, ONE("two.example"), 120), CM_EPEER);
    has(rig->err.what, "is not served on 127.0.0.2 port ");
    has(rig->err.what, "/b (127.0.0.2): another answer");
}

static void a_check_may_be_cancelled_at_any_hop(void **state)
{
    struct rig *rig = *state;
    rig->routes = (const struct route[]){
        {TOK, 301, "http://other.example:%d/x", NULL},
        {"other.example/x", 301, "http://third.example:%d/y", NULL},
        {NULL, 0, NULL, NULL},
    };
    for (unsigned turns = 0; turns < 40; turns++) {
        json_t *tokens = ONE("www.example");
        struct ch_check *check =
            ch_self_check(rig->loop, rig->http, rig->dns, tokens, rig->port, 5000, on_checked, rig);
        json_decref(tokens);
        for (unsigned i = 0; i < turns && !rig->called; i++)
            cm_loop_turn(rig->loop, true);
        if (rig->called)
            break;
        ch_check_cancel(check);
    }
    for (int i = 0; i < 20; i++)
        cm_loop_turn(rig->loop, false);
    assert_true(rig->requests > 3); /* some were cancelled beyond the first hop */
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(follows_to_another_host_and_path),
        TEST(follows_to_https_whatever_the_certificate),
        TEST(ten_redirects_are_followed),
        TEST(eleven_are_one_too_many),
        TEST(the_wrong_port_is_named_with_its_hop),
        TEST(the_missing_slash_is_named),
        TEST(a_circle_is_named),
        TEST(a_redirect_to_nowhere_is_named),
        TEST(a_redirect_to_a_port_without_listener_names_the_address),
        TEST(plain_http_on_the_https_port_is_named),
        TEST(redirects_without_location_are_named),
        TEST(status_303_is_no_redirect_of_a_ca),
        TEST(the_page_of_another_server_behind_a_redirect_is_named),
        TEST(the_same_host_is_asked_on_the_address_under_test),
        TEST(a_check_may_be_cancelled_at_any_hop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
