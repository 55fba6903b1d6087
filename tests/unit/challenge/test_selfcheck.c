/* The self-check against servers that answer well, badly, late or not at all. */
#include "tests/unit/challenge/rig.h"

#include "base/core/bytes.h"
#include "base/net/tls_alpn.h"

static void passes_when_every_address_answers(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(run(rig, ONE("two.example"), 5000), 0);
    assert_int_equal(rig->requests, 2);
}

static void many_names_pass_in_one_round(void **state)
{
    struct rig *rig = *state;
    json_t *tokens = json_array();
    for (int i = 0; i < 30; i++) {
        CM_AUTO_STR host = cm_asprintf("www%d.example", i);
        CM_AUTO_STR token = cm_asprintf("tok%d", i);
        CM_AUTO_STR thumb = cm_asprintf("tok%d.thumb", i);
        json_array_append_new(tokens, json_pack("{s:s,s:s,s:s}", "host", host, "token", token,
                                                "key_authorization", thumb));
    }
    assert_int_equal(run(rig, tokens, 10000), 0);
    assert_int_equal(rig->requests, 30);
}

static void nothing_to_check_passes(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(run(rig, json_array(), 1000), 0);
}

static void waits_while_the_document_is_on_its_way(void **state)
{
    struct rig *rig = *state;
    rig->not_yet = 3;
    assert_int_equal(run(rig, ONE("www.example"), 10000), 0);
    assert_int_equal(rig->requests, 4);
}

static void names_the_one_address_that_is_wrong(void **state)
{
    struct rig *rig = *state;
    rig->second_wrong = true;
    assert_int_equal(run(rig, ONE("two.example"), 200), CM_EPEER);
    assert_non_null(strstr(told(rig), "two.example"));
    assert_non_null(strstr(told(rig), "127.0.0.2"));
    assert_non_null(strstr(told(rig), "\"hello\""));
    assert_string_equal(rig->err.object, "host two.example");
    assert_int_equal(rig->err.retry, CM_RETRY_TRANSIENT);
}

static void shows_a_wrong_answer_without_its_control_bytes(void **state)
{
    struct rig *rig = *state;
    rig->wrong = "<h1>\x1b[31mIt works\n</h1>";
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    assert_non_null(strstr(told(rig), "<h1>.[31mIt works.</h1>"));
}

static void an_answer_of_the_same_length_is_wrong_too(void **state)
{
    struct rig *rig = *state;
    rig->wrong = "toK.thumb";
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    assert_non_null(strstr(told(rig), "another answer"));
}

static void names_a_status(void **state)
{
    struct rig *rig = *state;
    rig->not_yet = 1000;
    assert_int_equal(run(rig, ONE("www.example"), 120), CM_EPEER);
    assert_non_null(strstr(told(rig), "status 404"));
    assert_non_null(strstr(rig->err.hint, "self-check"));
}

static void tells_which_address_a_ca_tries_first(void **state)
{
    struct rig *rig = *state;
    http_listener_free(rig->first);
    rig->first = NULL;
    rig->second_wrong = true;
    assert_int_equal(run(rig, ONE("two.example"), 120), CM_ENET);
    has(rig->err.what, "127.0.0.1 port ");
    has(rig->err.what, "(the address a CA tries first)");
    has(rig->err.what, "nothing listens there");
    assert_int_equal(rig->requests > 0, 1); /* the other address was asked all the same */
}

static void asks_ipv6_and_ipv4(void **state)
{
    struct rig *rig = *state;
    rig->v6 = listen_at(rig, "[::1]", NULL, on_first);
    assert_int_equal(run(rig, ONE("six.example"), 5000), 0);
    assert_int_equal(rig->requests, 2);
}

/* RFC 8738: an address is asked for by itself; the Host field has brackets around IPv6. */
static void asks_addresses(void **state)
{
    struct rig *rig = *state;
    const struct route routes[] = {
        {"[/.well-known/acme-challenge/tok", 200, NULL, "tok.thumb"},
        {"127.0.0.2/.well-known/acme-challenge/tok", 200, NULL, "tok.thumb"},
        {NULL, 0, NULL, NULL}};
    rig->v6 = listen_at(rig, "[::1]", NULL, on_first);
    rig->routes = routes;
    rig->wrong = "not asked by its address";
    assert_int_equal(run(rig, ONE("::1"), 2000), 0);
    rig->called = false;
    assert_int_equal(run(rig, ONE("127.0.0.2"), 2000), 0);
    assert_int_equal(rig->requests, 2);
}

static void names_ipv6_without_listener_while_ipv4_answers(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(run(rig, ONE("six.example"), 120), CM_ENET);
    has(rig->err.what, "six.example");
    has(rig->err.what, "::1 port ");
    has(rig->err.what, "nothing listens there");
    has(rig->err.what, "127.0.0.1 answers as it should");
    has(rig->err.what, "the CA tries the first IPv6 address first");
    has(rig->err.hint, "AAAA record of six.example");
    has(rig->err.hint, "listen [::]:");
    assert_string_equal(rig->err.object, "host six.example");
}

static void an_address_without_route_from_here_is_left_out(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(run(rig, ONE("cast.example"), 5000), 0);
    assert_int_equal(rig->requests, 1);
}

static void no_address_with_a_route_is_a_failure(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(run(rig, ONE("onlycast.example"), 120), CM_ENET);
    has(rig->err.what, "ff0e::1");
    has(rig->err.hint, "no route");
}

static void names_a_host_without_address(void **state)
{
    struct rig *rig = *state;
    assert_int_not_equal(run(rig, ONE("none.example"), 120), 0);
    assert_non_null(strstr(told(rig), "none.example has no address"));
    assert_non_null(strstr(rig->err.hint, "A or AAAA"));
}

/* A resolver that fails says nothing about records: nobody is sent to make one. */
static void tells_a_sick_resolver_from_a_missing_record(void **state)
{
    struct rig *rig = *state;
    assert_int_not_equal(run(rig, ONE("sick.example"), 120), 0);
    has(told(rig), "the addresses of sick.example cannot be looked up");
    has(rig->err.hint, "resolver");
    assert_null(strstr(rig->err.hint, "AAAA"));
}

static void names_a_port_where_nobody_listens(void **state)
{
    struct rig *rig = *state;
    http_listener_free(rig->second);
    rig->second = NULL;
    assert_int_equal(run(rig, ONE("two.example"), 120), CM_ENET);
    assert_non_null(strstr(told(rig), "127.0.0.2"));
}

static void one_bad_host_of_two_is_enough(void **state)
{
    struct rig *rig = *state;
    json_t *tokens = make_tokens(
        (const char *const[][4]){{"www.example", "tok", "tok.thumb", "2030-01-01T00:00:00Z"},
                                 {"none.example", "tok2", "tok2.thumb", "2030-01-01T00:00:00Z"},
                                 {NULL}});
    assert_int_not_equal(run(rig, tokens, 120), 0);
    assert_non_null(strstr(told(rig), "none.example"));
    assert_int_equal(rig->requests, 1); /* what passed is not asked again */
}

/* A server that shows the challenge of TLS-ALPN-01 for "www.example" with this digest. */
struct shown {
    struct tls_alpn_cert *cert;
    unsigned not_yet;
};

static const struct tls_alpn_cert *show(void *arg, const char *sni)
{
    struct shown *shown = arg;
    if (strcmp(sni, "www.example") != 0)
        return NULL;
    if (shown->not_yet > 0) {
        shown->not_yet--;
        return NULL;
    }
    return shown->cert;
}

static int run_alpn(struct rig *rig, json_t *take_tokens, int port, int deadline_ms)
{
    size_t i;
    json_t *token;
    json_array_foreach(take_tokens, i, token)
    {
        if (i == 0)
            cm_json_set_str(token, "type", "tls-alpn-01");
    }
    ch_check_tls_port(check_begin(rig, take_tokens, deadline_ms), port);
    json_decref(take_tokens);
    return check_end(rig);
}

/* One token by handshake, the other by HTTP; the first is there after a while. */
static void tls_alpn_is_looked_at_by_handshake(void **state)
{
    struct rig *rig = *state;
    struct shown shown = {.not_yet = 2};
    struct tls_alpn *listener = NULL;
    uint8_t digest[32];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    int port = ntohs(address.sin_port);
    cm_sha256("tok.thumb", 9, digest);
    OK(tls_alpn_cert_new("www.example", digest, &shown.cert, &rig->err), rig->err);
    OK(tls_alpn_listen(rig->loop, fd, show, &shown, &listener, &rig->err), rig->err);
    json_t *tokens = make_tokens(
        (const char *const[][4]){{"www.example", "tok", "tok.thumb", "2030-01-01T00:00:00Z"},
                                 {"web.example", "tok2", "tok2.thumb", "2030-01-01T00:00:00Z"},
                                 {NULL}});
    OK(run_alpn(rig, tokens, port, 5000), rig->err);
    assert_int_equal(rig->requests, 1);
    assert_int_equal(shown.not_yet, 0);
    /* another order's certificate */
    rig->called = false;
    tokens = make_tokens((const char *const[][4]){
        {"www.example", "tok9", "tok9.thumb", "2030-01-01T00:00:00Z"}, {NULL}});
    assert_int_equal(run_alpn(rig, tokens, port, 300), CM_EPEER);
    has(told(rig), "the challenge of www.example is not shown on 127.0.0.1 port");
    has(told(rig), "another order or ACME account");
    assert_string_equal(rig->err.object, "host www.example");
    tls_alpn_close(listener);
    tls_alpn_cert_free(shown.cert);
}

/* A web server that knows nothing of it. */
static void tls_alpn_not_passed_on(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(run_alpn(rig, ONE("tls.example"), rig->port, 300), CM_EPEER);
    has(told(rig), "TLS is answered there, but not for ALPN acme-tls/1");
    has(rig->err.hint, "docs/beside-a-web-server.md");
}

static void a_cancelled_check_answers_nobody(void **state)
{
    struct rig *rig = *state;
    rig->not_yet = 1000;
    for (unsigned turns = 0; turns < 12; turns += 3) {
        json_t *tokens = ONE("two.example");
        struct ch_check *check =
            ch_self_check(rig->loop, rig->http, rig->dns, tokens, rig->port, 5000, on_checked, rig);
        json_decref(tokens);
        for (unsigned i = 0; i < turns; i++)
            cm_loop_turn(rig->loop, true);
        ch_check_cancel(check);
    }
    for (int i = 0; i < 20; i++)
        cm_loop_turn(rig->loop, false);
    assert_false(rig->called);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(passes_when_every_address_answers),
        TEST(many_names_pass_in_one_round),
        TEST(nothing_to_check_passes),
        TEST(waits_while_the_document_is_on_its_way),
        TEST(names_the_one_address_that_is_wrong),
        TEST(shows_a_wrong_answer_without_its_control_bytes),
        TEST(an_answer_of_the_same_length_is_wrong_too),
        TEST(names_a_status),
        TEST(tells_which_address_a_ca_tries_first),
        TEST(asks_ipv6_and_ipv4),
        TEST(asks_addresses),
        TEST(names_ipv6_without_listener_while_ipv4_answers),
        TEST(an_address_without_route_from_here_is_left_out),
        TEST(no_address_with_a_route_is_a_failure),
        TEST(names_a_host_without_address),
        TEST(tells_a_sick_resolver_from_a_missing_record),
        TEST(names_a_port_where_nobody_listens),
        TEST(one_bad_host_of_two_is_enough),
        TEST(a_cancelled_check_answers_nobody),
        TEST(tls_alpn_is_looked_at_by_handshake),
        TEST(tls_alpn_not_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
