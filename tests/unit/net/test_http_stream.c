/* Parked exchanges and streams: vanished clients, back-pressure, shutdown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>

#include "base/net/http_conn.h"
#include "http_harness.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void test_parked_fin(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, GET("/park"));
    WAIT_FOR(&s, s.parked_count == 1);
    turn_for(&s, 30);
    assert_int_equal(s.closed_count, 0);
    client_close(&c);
    int64_t begin = cm_mono_ms();
    WAIT_FOR(&s, s.closed_count == 1);
    assert_true(cm_mono_ms() - begin < 1000);
    assert_int_equal(http_listener_connections(s.listener), 0);
    server_stop(&s);
    assert_int_equal(s.closed_count, 1);
}

static void test_parked_rst(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, GET("/park"));
    WAIT_FOR(&s, s.parked_count == 1);
    client_abort(&c);
    WAIT_FOR(&s, s.closed_count == 1);
    server_stop(&s);
    assert_int_equal(s.closed_count, 1);
}

/* Many vanish at once, some with requests behind the parked one. */
static void test_parked_many(void **state)
{
    (void)state;
    struct server s;
    struct client c[PARKED_MAX];
    server_start(&s, NULL);

    for (int i = 0; i < PARKED_MAX; i++) {
        c[i] = client_open(&s);
        client_send(&c[i], i % 2 == 0 ? GET("/park") : GET("/park") GET("/"));
    }
    WAIT_FOR(&s, s.parked_count == PARKED_MAX);
    for (int i = 0; i < PARKED_MAX / 2; i++)
        client_close(&c[i]);
    WAIT_FOR(&s, s.closed_count == PARKED_MAX / 2);
    server_stop(&s); /* the others get on_close here */
    assert_int_equal(s.closed_count, PARKED_MAX);
    for (int i = PARKED_MAX / 2; i < PARKED_MAX; i++)
        client_close(&c[i]);
}

static void stop_loop(void *arg)
{
    cm_loop_stop(arg);
}

/* Parked clients cost no CPU and have no deadline. */
static void test_parked_rests(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .header_ms = 50, .idle_ms = 50, .write_ms = 50};
    struct server s;
    struct rusage before, after;
    server_start(&s, &opts);
    struct client c = client_open(&s);
    client_send(&c, GET("/park"));
    WAIT_FOR(&s, s.parked_count == 1);

    struct cm_timer *end = cm_timer_new(s.loop, stop_loop, s.loop);
    cm_timer_start(end, 500);
    getrusage(RUSAGE_SELF, &before);
    cm_loop_run(s.loop);
    getrusage(RUSAGE_SELF, &after);
    int64_t used = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                   (after.ru_utime.tv_usec - before.ru_utime.tv_usec);
    assert_true(used < 100000);
    cm_timer_free(end);
    http_ex_reply(s.parked[0], 200, NULL, "late", 4);
    assert_true(client_expect(&c, "late"));
    assert_int_equal(s.closed_count, 0);
    client_close(&c);
    server_stop(&s);
}

static void test_stream(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, GET("/stream"));
    assert_true(client_expect(&c, "\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_null(strstr(c.in.data, "Content-Length"));
    assert_int_equal(http_ex_write(s.parked[0], "hello", 5), 0);
    assert_int_equal(http_ex_write(s.parked[0], "", 0), 0); /* not the end */
    assert_true(client_expect(&c, "\r\n\r\n5\r\nhello\r\n"));
    assert_int_equal(http_ex_write(s.parked[0], "0123456789abcdefg", 17), 0);
    http_ex_end(s.parked[0]);
    assert_true(client_expect(&c, "\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n"));
    assert_int_equal(s.closed_count, 0);
    client_send(&c, GET("/"));
    assert_true(client_expect(&c, "HTTP/1.1 200 OK\r\n"));
    assert_int_equal(s.drained, 0);
    client_close(&c);
    server_stop(&s);
    assert_int_equal(s.closed_count, 0);
}

static void test_stream_vanish(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, GET("/stream"));
    WAIT_FOR(&s, s.parked_count == 1);
    http_ex_write(s.parked[0], "hello", 5);
    client_abort(&c);
    /* Writing to a reset socket is no teardown: ex is valid until on_close. */
    for (int i = 0; i < 10 && s.closed_count == 0; i++) {
        http_ex_write(s.parked[0], "hello", 5);
        assert_int_equal(s.closed_count, 0);
        http_ex_write(s.parked[0], "hello", 5);
        turn(&s);
    }
    WAIT_FOR(&s, s.closed_count == 1);
    server_stop(&s);
}

/* A reader that never reads: production stops at the mark, then the connection goes. */
static void test_stream_back_pressure(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .write_ms = 300};
    struct server s;
    static char block[16384];
    server_start(&s, &opts);
    struct client c = client_open_from(&s, NULL, 4096);
    size_t produced = 0;

    client_send(&c, GET("/stream"));
    WAIT_FOR(&s, s.parked_count == 1);
    while (http_ex_write(s.parked[0], block, sizeof(block)) == 0) {
        produced += sizeof(block);
        assert_true(produced < (32u << 20));
    }
    size_t pending = http_io_pending(s.parked[0]->conn);
    assert_in_range(pending, HTTP_OUT_HIGH, HTTP_OUT_HIGH + HTTP_READ_SIZE + sizeof(block));
    turn_for(&s, 50);
    assert_int_equal(s.drained, 0);
    WAIT_FOR(&s, s.closed_count == 1); /* no progress for write_ms */
    assert_int_equal(http_listener_connections(s.listener), 0);
    client_close(&c);
    server_stop(&s);
}

/* A slow but living reader: on_drain comes back, and every byte arrives. */
static void test_stream_drain(void **state)
{
    (void)state;
    struct server s;
    static char block[16384];
    server_start(&s, NULL);
    struct client c = client_open_from(&s, NULL, 8192);
    size_t produced = 0, rounds = 0;

    memset(block, 'd', sizeof(block));
    client_send(&c, GET("/stream"));
    WAIT_FOR(&s, s.parked_count == 1);
    while (produced < (12u << 20)) {
        produced += sizeof(block);
        if (http_ex_write(s.parked[0], block, sizeof(block)) == 0)
            continue;
        int before = s.drained;
        rounds++;
        WAIT_FOR(&s, (client_pump(&c), s.drained == before + 1));
    }
    http_ex_end(s.parked[0]);
    WAIT_FOR(&s, (client_pump(&c),
                  c.in.len > produced && memcmp(c.in.data + c.in.len - 5, "0\r\n\r\n", 5) == 0));
    assert_true(rounds >= 2);
    size_t data = 0;
    for (size_t i = strstr(c.in.data, "\r\n\r\n") - c.in.data; i < c.in.len; i++)
        data += c.in.data[i] == 'd';
    assert_int_equal(data, produced);
    client_close(&c);
    server_stop(&s);
}

/* A handler that ignores CM_EBUSY meets the hard limit; the connection is cut, nothing else. */
static void test_stream_overflow(void **state)
{
    (void)state;
    struct server s;
    static char block[1 << 20];
    server_start(&s, NULL);
    struct client c = client_open_from(&s, NULL, 4096);

    client_send(&c, GET("/stream"));
    WAIT_FOR(&s, s.parked_count == 1);
    for (unsigned i = 0; i < (HTTP_OUT_MAX >> 20) + 16; i++)
        http_ex_write(s.parked[0], block, sizeof(block));
    assert_int_equal(s.closed_count, 0);
    WAIT_FOR(&s, s.closed_count == 1);
    client_close(&c);
    server_stop(&s);
}

/* What on_close functions may do: look at the exchange, and (by mistake) reply. */
struct closing {
    struct server *server;
    struct http_exchange *ex;
    int count;
};

static void reply_in_close(void *arg)
{
    struct closing *closing = arg;
    closing->count++;
    assert_string_equal(http_ex_request(closing->ex)->head.path, "/park");
    http_ex_reply(closing->ex, 200, NULL, "x", 1);
}

static void test_listener_free_parked(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);
    struct closing closing = {.server = &s};

    client_send(&c, GET("/park"));
    WAIT_FOR(&s, s.parked_count == 1);
    closing.ex = s.parked[0];
    http_ex_on_close(closing.ex, reply_in_close, &closing);
    http_listener_free(s.listener);
    assert_int_equal(closing.count, 1);
    cm_loop_free(s.loop);
    client_pump(&c);
    assert_true(c.eof);
    assert_int_equal(c.in.len, 0);
    client_close(&c);
}

static void free_in_handler(void *arg, struct http_exchange *ex)
{
    struct server *s = arg;
    s->handled++;
    http_ex_on_close(ex, count_close, s);
    http_listener_free(s->listener);
}

/* A handler may stop the server that called it. */
static void test_listener_free_in_handler(void **state)
{
    (void)state;
    struct server s = {.loop = cm_loop_new()};
    struct http_listen_opts opts = {
        .address = "127.0.0.1:0", .fd = -1, .handler = free_in_handler, .arg = &s};

    assert_int_equal(http_listen(s.loop, &opts, &s.listener, NULL), 0);
    struct client c = client_open(&s);
    client_send(&c, GET("/a") GET("/b"));
    WAIT_FOR(&s, s.closed_count == 1);
    assert_int_equal(s.handled, 1);
    cm_loop_free(s.loop);
    client_close(&c);
}

/* Replying to many parked exchanges in one go never re-enters a handler. */
static void test_reply_does_not_reenter(void **state)
{
    (void)state;
    struct server s;
    struct client c[8];
    server_start(&s, NULL);

    for (int i = 0; i < 8; i++) {
        c[i] = client_open(&s);
        client_send(&c[i], GET("/park") GET("/park"));
    }
    WAIT_FOR(&s, s.parked_count == 8);
    for (int i = 0; i < 8; i++)
        http_ex_reply(s.parked[i], 200, NULL, "a", 1);
    assert_int_equal(s.parked_count, 8);
    WAIT_FOR(&s, s.parked_count == 16);
    for (int i = 0; i < 8; i++)
        client_close(&c[i]);
    WAIT_FOR(&s, s.closed_count == 8);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parked_fin),
        cmocka_unit_test(test_parked_rst),
        cmocka_unit_test(test_parked_many),
        cmocka_unit_test(test_parked_rests),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_vanish),
        cmocka_unit_test(test_stream_back_pressure),
        cmocka_unit_test(test_stream_drain),
        cmocka_unit_test(test_stream_overflow),
        cmocka_unit_test(test_listener_free_parked),
        cmocka_unit_test(test_listener_free_in_handler),
        cmocka_unit_test(test_reply_does_not_reenter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
