/* The self-check against listeners that answer well, badly, late or not at all. */
#include "tests/unit/challenge/support.h"

/* One resolver: "none.example" has no address, "two.example" has 127.0.0.1 and 127.0.0.2, every
 * other name 127.0.0.1; no AAAA. */
struct fixture {
    struct cm_loop *loop;
    struct http_client *http;
    struct dns_client *dns;
    struct http_listener *first, *second; /* 127.0.0.1 and 127.0.0.2, same port */
    int dns_fd, port;
    struct cm_watch *dns_watch;
    /* what the listeners do */
    unsigned not_yet; /* so many 404 first */
    unsigned requests;
    const char *wrong;    /* another body */
    const char *redirect; /* 302 to there */
    bool second_wrong;
    bool called;
    struct cm_err err;
};

static size_t put_u16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return 2;
}

static void on_dns(void *arg, int events)
{
    struct fixture *f = arg;
    (void)events;
    uint8_t q[512], r[1024];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(f->dns_fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_len);
    if (n < 17)
        return;
    size_t end = 12;
    while (end < (size_t)n && q[end])
        end += 1u + q[end];
    end += 5; /* root label, type, class */
    unsigned type = q[end - 3];
    bool none = memcmp(q + 13, "none", 4) == 0, two = memcmp(q + 13, "two", 3) == 0;
    unsigned answers = type != 1 || none ? 0 : two ? 2 : 1;
    memcpy(r, q, end);
    r[2] = 0x81;
    r[3] = none ? 0x83 : 0x80;
    memset(r + 6, 0, 6);
    r[7] = (uint8_t)answers;
    size_t at = end;
    for (unsigned i = 0; i < answers; i++) {
        at += put_u16(r + at, 0xc00c);
        at += put_u16(r + at, 1);
        at += put_u16(r + at, 1);
        at += put_u16(r + at, 0);
        at += put_u16(r + at, 0);
        at += put_u16(r + at, 4);
        memcpy(r + at, (const uint8_t[]){127, 0, 0, (uint8_t)(i + 1)}, 4);
        at += 4;
    }
    sendto(f->dns_fd, r, at, 0, (struct sockaddr *)&from, from_len);
}

static void answer(struct fixture *f, struct http_exchange *ex, bool second)
{
    const char *path = http_ex_request(ex)->head.path;
    f->requests++;
    if (f->redirect) {
        http_ex_header(ex, "Location", f->redirect);
        http_ex_reply(ex, 302, NULL, NULL, 0);
        return;
    }
    if (f->not_yet > 0) {
        f->not_yet--;
        http_ex_reply(ex, 404, "text/plain", "no", 2);
        return;
    }
    CM_AUTO_STR body = cm_asprintf("%s.thumb \r\n", path + strlen(CH_PATH)); /* blanks are cut */
    const char *text = f->wrong ? f->wrong : second && f->second_wrong ? "hello" : body;
    http_ex_reply(ex, 200, "text/plain", text, strlen(text));
}

static void on_first(void *arg, struct http_exchange *ex)
{
    answer(arg, ex, false);
}

static void on_second(void *arg, struct http_exchange *ex)
{
    answer(arg, ex, true);
}

static int setup(void **state)
{
    struct fixture *f = cm_calloc(1, sizeof(*f));
    struct cm_err err = CM_ERR_INIT;
    f->loop = cm_loop_new();
    f->http = http_client_new(f->loop);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    f->dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->dns_fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(f->dns_fd, (struct sockaddr *)&address, &len), 0);
    f->dns_watch = cm_watch_new(f->loop, f->dns_fd, on_dns, f);
    cm_watch_set(f->dns_watch, CM_WATCH_READ);
    CM_AUTO_STR resolver = cm_asprintf("127.0.0.1:%d", ntohs(address.sin_port));
    OK(dns_client_new(f->loop, resolver, &f->dns, &err), err);
    struct http_listen_opts opts = {
        .address = "127.0.0.1:0", .fd = -1, .handler = on_first, .arg = f};
    OK(http_listen(f->loop, &opts, &f->first, &err), err);
    const char *bound = http_listener_address(f->first);
    f->port = (int)strtol(strrchr(bound, ':') + 1, NULL, 10);
    CM_AUTO_STR other = cm_asprintf("127.0.0.2:%d", f->port);
    opts.address = other;
    opts.handler = on_second;
    OK(http_listen(f->loop, &opts, &f->second, &err), err);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_listener_free(f->first);
    http_listener_free(f->second);
    dns_client_free(f->dns);
    http_client_free(f->http);
    cm_watch_free(f->dns_watch);
    cm_loop_turn(f->loop, false);
    cm_loop_free(f->loop);
    close(f->dns_fd);
    cm_err_fini(&f->err);
    cm_free(f);
    return 0;
}

static void on_checked(void *arg, const struct cm_err *err)
{
    struct fixture *f = arg;
    assert_false(f->called);
    f->called = true;
    if (err)
        cm_err_copy(&f->err, err);
}

static int run(struct fixture *f, json_t *take_tokens, int deadline_ms)
{
    ch_self_check(f->loop, f->http, f->dns, take_tokens, f->port, deadline_ms, on_checked, f);
    json_decref(take_tokens); /* the check has its own copy */
    assert_false(f->called);
    while (!f->called)
        cm_loop_turn(f->loop, true);
    return f->err.code;
}

#define ONE(host)                                                                                  \
    make_tokens(                                                                                   \
        (const char *const[][4]){{host, "tok", "tok.thumb", "2030-01-01T00:00:00Z"}, {NULL}})

static const char *told(const struct fixture *f)
{
    static char line[4096];
    cm_err_line(&f->err, line, sizeof(line));
    return line;
}

static void passes_when_every_address_answers(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, ONE("two.example"), 5000), 0);
    assert_int_equal(f->requests, 2);
}

static void many_names_pass_in_one_round(void **state)
{
    struct fixture *f = *state;
    json_t *tokens = json_array();
    for (int i = 0; i < 30; i++) {
        CM_AUTO_STR host = cm_asprintf("www%d.example", i);
        CM_AUTO_STR token = cm_asprintf("tok%d", i);
        CM_AUTO_STR thumb = cm_asprintf("tok%d.thumb", i);
        json_array_append_new(tokens, json_pack("{s:s,s:s,s:s}", "host", host, "token", token,
                                                "key_authorization", thumb));
    }
    assert_int_equal(run(f, tokens, 10000), 0);
    assert_int_equal(f->requests, 30);
}

static void nothing_to_check_passes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, json_array(), 1000), 0);
}

static void waits_while_the_document_is_on_its_way(void **state)
{
    struct fixture *f = *state;
    f->not_yet = 3;
    assert_int_equal(run(f, ONE("www.example"), 10000), 0);
    assert_int_equal(f->requests, 4);
}

static void names_the_one_address_that_is_wrong(void **state)
{
    struct fixture *f = *state;
    f->second_wrong = true;
    assert_int_equal(run(f, ONE("two.example"), 600), CM_EPEER);
    assert_non_null(strstr(told(f), "two.example"));
    assert_non_null(strstr(told(f), "127.0.0.2"));
    assert_non_null(strstr(told(f), "\"hello\""));
    assert_string_equal(f->err.object, "host two.example");
    assert_int_equal(f->err.retry, CM_RETRY_TRANSIENT);
}

static void shows_a_wrong_answer_without_its_control_bytes(void **state)
{
    struct fixture *f = *state;
    f->wrong = "<h1>\x1b[31mIt works\n</h1>";
    assert_int_equal(run(f, ONE("www.example"), 300), CM_EPEER);
    assert_non_null(strstr(told(f), "<h1>.[31mIt works.</h1>"));
}

static void names_a_status(void **state)
{
    struct fixture *f = *state;
    f->not_yet = 1000;
    assert_int_equal(run(f, ONE("www.example"), 300), CM_EPEER);
    assert_non_null(strstr(told(f), "status 404"));
    assert_non_null(strstr(f->err.hint, "self-check"));
}

static void names_a_redirect_as_the_hop_that_breaks(void **state)
{
    struct fixture *f = *state;
    f->redirect = "https://www.example/elsewhere";
    assert_int_equal(run(f, ONE("www.example"), 300), CM_EPEER);
    assert_non_null(strstr(told(f), "redirect to https://www.example/elsewhere"));
}

static void names_a_host_without_address(void **state)
{
    struct fixture *f = *state;
    assert_int_not_equal(run(f, ONE("none.example"), 500), 0);
    assert_non_null(strstr(told(f), "none.example has no address"));
    assert_non_null(strstr(f->err.hint, "A or AAAA"));
}

static void names_a_port_where_nobody_listens(void **state)
{
    struct fixture *f = *state;
    http_listener_free(f->second);
    f->second = NULL;
    assert_int_equal(run(f, ONE("two.example"), 400), CM_ENET);
    assert_non_null(strstr(told(f), "127.0.0.2"));
}

static void one_bad_host_of_two_is_enough(void **state)
{
    struct fixture *f = *state;
    json_t *tokens = make_tokens(
        (const char *const[][4]){{"www.example", "tok", "tok.thumb", "2030-01-01T00:00:00Z"},
                                 {"none.example", "tok2", "tok2.thumb", "2030-01-01T00:00:00Z"},
                                 {NULL}});
    assert_int_not_equal(run(f, tokens, 500), 0);
    assert_non_null(strstr(told(f), "none.example"));
    assert_int_equal(f->requests, 1); /* what passed is not asked again */
}

static void a_cancelled_check_answers_nobody(void **state)
{
    struct fixture *f = *state;
    f->not_yet = 1000;
    for (unsigned turns = 0; turns < 12; turns += 3) {
        json_t *tokens = ONE("two.example");
        struct ch_check *check =
            ch_self_check(f->loop, f->http, f->dns, tokens, f->port, 5000, on_checked, f);
        json_decref(tokens);
        for (unsigned i = 0; i < turns; i++)
            cm_loop_turn(f->loop, true);
        ch_check_cancel(check);
    }
    for (int i = 0; i < 20; i++)
        cm_loop_turn(f->loop, false);
    assert_false(f->called);
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
        TEST(names_a_status),
        TEST(names_a_redirect_as_the_hop_that_breaks),
        TEST(names_a_host_without_address),
        TEST(names_a_port_where_nobody_listens),
        TEST(one_bad_host_of_two_is_enough),
        TEST(a_cancelled_check_answers_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
