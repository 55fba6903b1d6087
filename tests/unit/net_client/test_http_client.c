/* The HTTP client against a raw peer: requests, replies, limits, failures, options. */
#include "tests/unit/net_client/client_rig.h"

static void requests_are_sent_as_asked(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0};
    static const char *const headers[] = {"Content-Type: application/jose+json", "X-One: 1", NULL};
    struct http_call_opts opts = options(url, sizeof(url), "/echo");
    opts.method = "POST";
    opts.headers = headers;
    opts.body = "{\"a\":1}";
    opts.body_len = 7;
    run(&c, &opts);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.code, 0);
    assert_string_equal(c.ip, "127.0.0.1");
    assert_memory_equal(c.body, "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:", 37);
    assert_non_null(strstr(c.body, "\r\nContent-Type: application/jose+json\r\n"));
    assert_non_null(strstr(c.body, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(c.body, "\r\nUser-Agent: certmgr\r\n"));
    assert_non_null(strstr(c.body, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(c.body, "Expect"));
}

static void empty_posts_and_puts(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0}, d = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/echo");
    opts.method = "POST";
    run(&c, &opts);
    assert_non_null(strstr(c.body, "\r\nContent-Length: 0\r\n"));
    assert_null(strstr(c.body, "Content-Type"));
    opts.method = "PUT";
    opts.body = "x";
    opts.body_len = 1;
    run(&d, &opts);
    assert_memory_equal(d.body, "PUT /echo HTTP/1.1\r\n", 20);
    assert_non_null(strstr(d.body, "\r\n\r\nx"));
}

static void head_has_no_body(void **state)
{
    (void)state;
    char url[200], nonce[10];
    struct call c = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/head");
    opts.method = "HEAD";
    run(&c, &opts);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.code, 0);
    assert_string_equal(c.body, "");
    assert_true(http_header_get(c.headers, "replay-nonce", 0, nonce, sizeof(nonce)));
    assert_string_equal(nonce, "n1");
}

static void statuses_are_results_not_errors(void **state)
{
    (void)state;
    struct call c;
    get(&c, "/missing");
    assert_int_equal(c.status, 404);
    assert_int_equal(c.code, 0);
    assert_string_equal(c.body, "gone");
    get(&c, "/redirect"); /* not followed */
    assert_int_equal(c.status, 302);
    assert_int_equal(server.requests, 2);
}

static void the_final_header_block_counts(void **state)
{
    (void)state;
    struct call c;
    get(&c, "/interim");
    assert_int_equal(c.status, 200);
    assert_string_equal(c.body, "ok");
    assert_string_equal(c.headers, "HTTP/1.1 200 OK\r\nX-Final: 2\r\nTransfer-Encoding: chunked\r\n"
                                   "Trailer: X-Late\r\n\r\n");
}

static void connections_are_kept_alive(void **state)
{
    (void)state;
    struct call c;
    for (int i = 0; i < 5; i++)
        get(&c, "/echo");
    assert_int_equal(server.connections, 1);
    assert_int_equal(server.requests, 5);
}

static void many_calls_at_once(void **state)
{
    (void)state;
    static struct call calls[60];
    char url[200];
    struct http_call_opts opts = options(url, sizeof(url), "/echo");
    memset(calls, 0, sizeof(calls));
    for (int i = 0; i < 60; i++)
        start(&calls[i], &opts);
    cm_loop_run(loop);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].status, 200);
    }
    assert_int_equal(server.connections, HTTP_HOST_CONNS_USUAL);
}

static void more_connections_where_allowed(void **state)
{
    (void)state;
    static struct call calls[40];
    char url[200];
    struct http_call_opts opts = options(url, sizeof(url), "/echo");
    memset(calls, 0, sizeof(calls));
    http_client_set_conns(client, 30);
    for (int i = 0; i < 40; i++)
        start(&calls[i], &opts);
    cm_loop_run(loop);
    for (int i = 0; i < 40; i++)
        assert_int_equal(calls[i].status, 200);
    assert_int_equal(server.connections, 30);
}

static void replies_are_capped(void **state)
{
    (void)state;
    char url[200];
    struct call c;
    get(&c, "/announced");
    assert_int_equal(c.code, CM_ELIMIT);
    get(&c, "/flood");
    assert_int_equal(c.code, CM_ELIMIT);
    assert_int_equal(c.retry, CM_RETRY_TRANSIENT);
    get(&c, "/headers");
    assert_int_equal(c.code, CM_ELIMIT);
    struct http_call_opts opts = options(url, sizeof(url), "/missing");
    opts.reply_max = 3;
    memset(&c, 0, sizeof(c));
    run(&c, &opts);
    assert_int_equal(c.code, CM_ELIMIT);
    opts.reply_max = 4;
    memset(&c, 0, sizeof(c));
    run(&c, &opts);
    assert_int_equal(c.code, 0);
}

static void broken_replies_are_explained(void **state)
{
    (void)state;
    struct call c;
    char want[100];
    get(&c, "/close");
    assert_int_equal(c.code, CM_ENET);
    assert_int_equal(c.status, 0);
    snprintf(want, sizeof(want),
             "host 127.0.0.1 port %d: it closed the connection without an answer", server.port);
    assert_string_equal(c.what, want);
    assert_string_not_equal(c.hint, "");
    get(&c, "/partial");
    assert_int_equal(c.code, CM_ENET);
    assert_non_null(strstr(c.what, "broke within the answer"));
    get(&c, "/nonsense");
    assert_int_equal(c.code, CM_ENET);
    assert_non_null(strstr(c.what, "not HTTP"));
}

static void no_listener(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound but not listening: refused for sure */
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    char url[100];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(addr.sin_port));
    struct http_call_opts opts = {.url = url, .allow_http = true};
    struct call c = {0};
    run(&c, &opts);
    close(fd);
    assert_int_equal(c.code, CM_ENET);
    assert_int_equal(c.retry, CM_RETRY_TRANSIENT);
    assert_non_null(strstr(c.what, "no connection"));
    assert_int_equal(c.sys_errno, ECONNREFUSED);
    opts.url = "http://[ff0e::1]/"; /* no TCP to a multicast address */
    memset(&c, 0, sizeof(c));
    run(&c, &opts);
    assert_int_equal(c.sys_errno, ENETUNREACH);
    opts = options(url, sizeof(url), "/echo");
    memset(&c, 0, sizeof(c));
    run(&c, &opts);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.sys_errno, 0);
}

static void deadlines(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/hang");
    opts.timeout_ms = 150;
    int64_t begin = cm_mono_ms();
    run(&c, &opts);
    assert_int_equal(c.code, CM_ETIMEOUT);
    assert_non_null(strstr(c.what, "within 150 ms"));
    assert_true(cm_mono_ms() - begin >= 140 &&
                cm_mono_ms() - begin < 4500); /* not by the peer, after 5 s */
}

/* TCP stands, TLS never does: nobody takes the connection out of the queue. */
static void a_connection_that_never_stands(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    char url[200];
    struct call c = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/");
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", ntohs(at.sin_port));
    opts.connect_ms = 150;
    run(&c, &opts);
    assert_int_equal(c.code, CM_ETIMEOUT);
    assert_non_null(strstr(c.what, "no connection within 150 ms"));
    close(fd);
}

/* A connection carries the hosts of one address; each request names its own. */
static void any_host_goes_over_a_connection_to_the_address(void **state)
{
    (void)state;
    const char *const host[] = {"one.invalid", "two.invalid", "three.invalid"};
    for (size_t i = 0; i < 3; i++) {
        char url[200], wanted[80];
        struct call c = {0};
        snprintf(url, sizeof(url), "http://%s:%d/echo", host[i], server.port);
        snprintf(wanted, sizeof(wanted), "Host: %s:%d\r\n", host[i], server.port);
        struct http_call_opts opts = {
            .url = url, .allow_http = true, .resolve = "127.0.0.1", .any_host = true};
        run(&c, &opts);
        assert_int_equal(c.status, 200);
        assert_non_null(strstr(c.body, "GET /echo HTTP/1.1\r\n"));
        assert_non_null(strstr(c.body, wanted));
        assert_ptr_equal(strstr(strstr(c.body, "Host:") + 1, "Host:"), NULL);
        assert_string_equal(c.ip, "127.0.0.1");
    }
    assert_int_equal(server.connections, 1);
    struct cm_err err = CM_ERR_INIT;
    struct call c = {0};
    struct http_call_opts tls = {
        .url = "https://one.invalid/", .resolve = "127.0.0.1", .any_host = true};
    assert_null(http_call(client, &tls, on_done, &c, &err));
    assert_non_null(strstr(err.what, "only a call of http to an address"));
    struct http_call_opts nowhere = {
        .url = "http://one.invalid/", .allow_http = true, .any_host = true};
    assert_null(http_call(client, &nowhere, on_done, &c, &err));
    cm_err_fini(&err);
}

static void resolve_replaces_the_look_up(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0};
    snprintf(url, sizeof(url), "http://www.invalid:%d/echo", server.port);
    struct http_call_opts opts = {.url = url, .allow_http = true, .resolve = "127.0.0.1"};
    run(&c, &opts);
    assert_int_equal(c.status, 200);
    assert_non_null(strstr(c.body, "\r\nHost: www.invalid:"));
}

static void unknown_hosts(void **state)
{
    (void)state;
    struct call c = {0};
    struct http_call_opts opts = {.url = "http://no-such-host.invalid/", .allow_http = true};
    run(&c, &opts);
    assert_int_equal(c.code, CM_ENET);
    assert_string_equal(c.what, "host no-such-host.invalid port 80: the name cannot be resolved");
}

static void refuse(struct http_call_opts opts, int code)
{
    struct cm_err err = CM_ERR_INIT;
    assert_null(http_call(client, &opts, on_done, NULL, &err));
    assert_int_equal(err.code, code);
    assert_string_not_equal(err.what, "");
}

static void wrong_options_are_refused_at_once(void **state)
{
    (void)state;
    static const char *const split[] = {"X: a\r\nY: b", NULL};
    static const char *const bare[] = {"no colon", NULL};
    const struct http_call_opts good = {.url = "https://127.0.0.1/"};
    struct http_call_opts opts = good;
    opts.url = "http://127.0.0.1/";
    refuse(opts, CM_EDENIED);
    opts.url = "file:///etc/passwd";
    refuse(opts, CM_EMALF);
    opts = good;
    opts.headers = split;
    refuse(opts, CM_EINVAL);
    opts.headers = bare;
    refuse(opts, CM_EINVAL);
    opts = good;
    opts.method = "TRACE";
    refuse(opts, CM_EINVAL);
    opts.method = "GET";
    opts.body = "x";
    opts.body_len = 1;
    refuse(opts, CM_EINVAL);
    opts = good;
    opts.resolve = "localhost";
    refuse(opts, CM_EINVAL);
    opts = good;
    opts.pin_spki = "abc";
    refuse(opts, CM_EINVAL);
}

/* libcurl takes an answerless end of a kept connection for a stale one and sends again. */
static void what_must_not_be_done_twice(void **state)
{
    (void)state;
    for (int once = 0; once < 2; once++) {
        char url[200];
        struct call c = {0}, d = {0};
        struct http_call_opts opts = options(url, sizeof(url), "/echo");
        run(&c, &opts); /* a connection to keep */
        int requests = server.requests;
        opts = options(url, sizeof(url), "/close");
        opts.method = "POST";
        opts.body = "pay";
        opts.body_len = 3;
        opts.once = once;
        run(&d, &opts);
        assert_int_equal(d.status, 0);
        assert_int_equal(d.code, CM_ENET);
        assert_int_equal(d.retry, CM_RETRY_TRANSIENT);
        assert_non_null(strstr(d.what, "closed the connection without an answer"));
        assert_int_equal(server.requests - requests, once ? 1 : 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_are_sent_as_asked),
        TEST(empty_posts_and_puts),
        TEST(head_has_no_body),
        TEST(statuses_are_results_not_errors),
        TEST(the_final_header_block_counts),
        TEST(connections_are_kept_alive),
        TEST(many_calls_at_once),
        TEST(more_connections_where_allowed),
        TEST(replies_are_capped),
        TEST(broken_replies_are_explained),
        TEST(no_listener),
        TEST(deadlines),
        TEST(a_connection_that_never_stands),
        TEST(any_host_goes_over_a_connection_to_the_address),
        TEST(resolve_replaces_the_look_up),
        TEST(unknown_hosts),
        TEST(wrong_options_are_refused_at_once),
        TEST(what_must_not_be_done_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
