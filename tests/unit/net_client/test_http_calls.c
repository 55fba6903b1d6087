/* Calls of the HTTP client that stream, wait, are cancelled or start others. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/unit/net_client/client_rig.h"

static int take(void *arg, const void *data, size_t len)
{
    struct call *c = arg;
    (void)data;
    c->chunks++;
    c->data_len += len;
    if (c->cancel_self)
        http_call_cancel(c->handle);
    if (c->other) {
        http_call_cancel(c->other);
        c->other = NULL;
    }
    if (c->start_next) {
        static struct call next;
        char url[200];
        struct http_call_opts opts = options(url, sizeof(url), "/echo");
        c->start_next = false;
        memset(&next, 0, sizeof(next));
        start(&next, &opts);
    }
    return c->data_rc;
}

static void silence_is_a_failure_slowness_is_not(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0}, d = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/silent");
    opts.silence_ms = 350;
    opts.timeout_ms = -1;
    opts.on_data = take;
    run(&c, &opts);
    assert_int_equal(c.code, CM_ETIMEOUT);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.chunks, 1);
    assert_non_null(strstr(c.what, "no byte came for 350 ms"));
    opts = options(url, sizeof(url), "/slow"); /* 1250 ms in pieces of 50 */
    opts.silence_ms = 1000;
    opts.on_data = take;
    run(&d, &opts);
    assert_int_equal(d.code, 0);
    assert_int_equal(d.data_len, 100);
}

/* Of the kept connection's two ends the client's. */
static void what_is_not_acknowledged_ends_the_connection(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/echo");
    unsigned found = 0, unheard = 0;
    run(&c, &opts);
    assert_int_equal(c.code, 0);
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in there;
        socklen_t len = sizeof(there), size = sizeof(unheard);
        if (getpeername(fd, (struct sockaddr *)&there, &len) != 0 || there.sin_family != AF_INET ||
            ntohs(there.sin_port) != server.port)
            continue;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard, &size), 0);
        assert_int_equal(unheard, HTTP_UNHEARD_MS);
        found++;
    }
    assert_true(found > 0);
}

static void streams_go_to_on_data(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0}, d = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/stream");
    opts.on_data = take;
    opts.reply_max = 3; /* does not limit a stream */
    run(&c, &opts);
    assert_int_equal(c.code, 0);
    assert_int_equal(c.status, 200);
    assert_int_equal(c.data_len, 20);
    assert_true(c.chunks > 1);
    assert_string_equal(c.body, "");
    opts = options(url, sizeof(url), "/missing");
    opts.on_data = take;
    run(&d, &opts);
    assert_int_equal(d.chunks, 0);
    assert_string_equal(d.body, "gone");
}

static void on_data_may_abort(void **state)
{
    (void)state;
    char url[200];
    struct call c = {.data_rc = -1};
    struct http_call_opts opts = options(url, sizeof(url), "/flood");
    opts.on_data = take;
    run(&c, &opts);
    assert_int_equal(c.code, CM_ECLOSED);
    assert_int_equal(c.chunks, 1);
}

static void turns(int ms)
{
    for (int64_t until = cm_mono_ms() + ms; cm_mono_ms() < until;) {
        cm_loop_turn(loop, false);
        usleep(2000);
    }
}

/* Until so many requests have come to the server, which answers in threads of its own. */
static void until_asked(int requests)
{
    for (int i = 0; i < 200 && server.requests < requests; i++)
        turns(20);
    assert_int_equal(server.requests, requests);
}

static void cancelled_calls_are_never_heard_of(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0}, d = {.cancel_self = true}, e = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/hang");
    start(&c, &opts);
    until_asked(1);
    http_call_cancel(c.handle); /* on the wire */
    start(&c, &opts);
    http_call_cancel(c.handle); /* before it began */
    opts = options(url, sizeof(url), "/flood");
    opts.on_data = take;
    start(&d, &opts); /* cancels itself inside its own callback */
    opts = options(url, sizeof(url), "/hang");
    opts.silence_ms = 400; /* before e ends */
    struct call f = {0};
    start(&f, &opts); /* cancelled from the callback of another call */
    e.other = f.handle;
    opts = options(url, sizeof(url), "/stream");
    opts.on_data = take;
    start(&e, &opts);
    for (int i = 0; i < 100 && e.done == 0; i++)
        turns(50);
    assert_int_equal(c.done, 0);
    assert_int_equal(d.done, 0);
    assert_int_equal(d.chunks, 1);
    assert_int_equal(f.done, 0);
    assert_int_equal(e.done, 1);
    assert_int_equal(e.code, 0);
}

static void calls_without_a_connection_wait(void **state)
{
    (void)state;
    char hang_url[200], echo_url[200];
    static struct call a, b, c, d, e, f;
    struct http_call_opts hang = options(hang_url, sizeof(hang_url), "/hang");
    struct http_call_opts echo = options(echo_url, sizeof(echo_url), "/echo");
    http_client_set_conns(client, 2);
    start(&a, &hang);
    start(&b, &hang);
    start(&c, &echo);
    start(&d, &echo);
    http_call_cancel(d.handle); /* while it waits */
    until_asked(2);
    turns(50);
    assert_int_equal(server.requests, 2);
    http_call_cancel(a.handle); /* its place is c's */
    for (int i = 0; i < 80 && c.done == 0; i++)
        turns(50);
    assert_int_equal(c.status, 200);
    assert_int_equal(d.done, 0);
    start(&e, &hang);
    until_asked(4);
    echo.timeout_ms = 200;
    start(&f, &echo); /* whoever waits for long is given up in the end */
    for (int i = 0; i < 60 && f.done == 0; i++)
        turns(50);
    assert_int_equal(f.code, CM_ETIMEOUT);
    assert_int_equal(e.done, 0);
    memset(&f, 0, sizeof(f));
    start(&f, &echo);
    http_client_free(client);
    assert_int_equal(f.code, CM_ECLOSED);
    assert_int_equal(f.done, 1);
    assert_int_equal(server.requests, 4); /* e's came before f was given up */
    client = http_client_new(loop);
}

static void a_call_may_start_inside_on_data(void **state)
{
    (void)state;
    char url[200];
    struct call c = {.start_next = true};
    struct http_call_opts opts = options(url, sizeof(url), "/stream");
    opts.on_data = take;
    run(&c, &opts); /* ends when both are done */
    assert_int_equal(c.code, 0);
    assert_int_equal(server.requests, 2);
}

static void freeing_the_client_ends_its_calls(void **state)
{
    (void)state;
    char url[200];
    struct call c = {0}, d = {0};
    struct http_call_opts opts = options(url, sizeof(url), "/hang");
    start(&c, &opts);
    until_asked(1);
    start(&d, &opts);
    http_client_free(client);
    assert_int_equal(c.done, 1);
    assert_int_equal(c.code, CM_ECLOSED);
    assert_int_equal(d.code, CM_ECLOSED);
    client = http_client_new(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_without_a_connection_wait),
        TEST(silence_is_a_failure_slowness_is_not),
        TEST(what_is_not_acknowledged_ends_the_connection),
        TEST(streams_go_to_on_data),
        TEST(on_data_may_abort),
        TEST(cancelled_calls_are_never_heard_of),
        TEST(a_call_may_start_inside_on_data),
        TEST(freeing_the_client_ends_its_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
