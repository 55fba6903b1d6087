/* The HTTP server against hostile clients: deadlines, caps, floods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/net/http_conn.h"
#include "http_harness.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define LATE_MS   4500 /* before the limits that a test does not mean: 5 s or more */

static void test_silent_client(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .header_ms = 100, .idle_ms = 5000};
    struct server s;
    server_start(&s, &opts);
    struct client c = client_open(&s);

    int64_t begin = cm_mono_ms();
    assert_true(client_wait_end(&c, LATE_MS));
    assert_in_range(cm_mono_ms() - begin, 90, LATE_MS);
    assert_int_equal(c.in.len, 0);
    client_close(&c);
    server_stop(&s);
}

/* The header deadline is absolute: a byte now and then does not move it. */
static void test_slowloris(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .header_ms = 200, .idle_ms = 5000};
    struct server s;
    server_start(&s, &opts);
    struct client c = client_open(&s);
    int64_t begin = cm_mono_ms();

    client_send(&c, "GET / HTTP/1.1\r\nHost: x\r\n");
    while (!c.eof && cm_mono_ms() - begin < LATE_MS) {
        client_send_bytes(&c, "a: b\r\n", 6);
        turn_for(&s, 20);
        client_pump(&c);
    }
    assert_true(c.eof);
    assert_in_range(cm_mono_ms() - begin, 190, LATE_MS);
    assert_non_null(strstr(cm_buf_str(&c.in), "HTTP/1.1 408 Request Timeout\r\n"));
    client_close(&c);
    server_stop(&s);
}

/* The same deadline counts for the second request of a connection, from its first byte on. */
static void test_header_deadline_second_request(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .header_ms = 400, .idle_ms = 5000};
    struct server s;
    server_start(&s, &opts);
    struct client c = client_open(&s);

    client_send(&c, GET("/"));
    assert_true(client_expect(&c, "hello"));
    assert_false(client_wait_end(&c, 700)); /* idle is longer */
    client_send(&c, "G");
    assert_true(client_wait_end(&c, LATE_MS));
    assert_non_null(strstr(c.in.data, "HTTP/1.1 408 "));
    client_close(&c);
    server_stop(&s);
}

static void test_idle_deadline(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .idle_ms = 150};
    struct server s;
    server_start(&s, &opts);
    struct client c = client_open(&s);

    int64_t begin = cm_mono_ms(); /* the server's own begins when it has answered */
    client_send(&c, GET("/"));
    assert_true(client_expect(&c, "hello"));
    cm_buf_reset(&c.in);
    assert_true(client_wait_end(&c, LATE_MS));
    assert_in_range(cm_mono_ms() - begin, 140, LATE_MS);
    assert_int_equal(c.in.len, 0);
    client_close(&c);
    server_stop(&s);
}

static void test_body_deadline(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .body_ms = 150};
    struct server s;
    server_start(&s, &opts);
    struct client c = client_open(&s);
    int64_t begin = cm_mono_ms();

    client_send(&c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n");
    while (!c.eof && cm_mono_ms() - begin < 400) {
        client_send_bytes(&c, "x", 1);
        turn_for(&s, 50);
        client_pump(&c);
    }
    assert_true(client_wait_end(&c, LATE_MS));
    assert_non_null(strstr(cm_buf_str(&c.in), "HTTP/1.1 408 "));
    assert_int_equal(s.handled, 0);
    client_close(&c);
    server_stop(&s);
}

/* A reply that nobody reads ends the connection, and the next client is served meanwhile. */
static void test_write_deadline(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .write_ms = 200};
    struct server s;
    server_start(&s, &opts);
    struct client c = client_open_from(&s, NULL, 4096);
    struct client other = client_open(&s);

    for (int i = 0; i < 8; i++)
        client_send(&c, GET("/large"));
    turn_for(&s, 50);
    client_send(&other, GET("/"));
    assert_true(client_expect(&other, "hello"));
    assert_true(s.handled < 9); /* what is behind the pending reply waits */
    WAIT_FOR(&s, http_listener_connections(s.listener) == 1);
    client_close(&c);
    client_close(&other);
    server_stop(&s);
}

static void test_total_cap(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .conns_max = 4};
    struct server s;
    struct client c[8];
    int refused = 0;
    server_start(&s, &opts);

    for (int i = 0; i < 8; i++)
        c[i] = client_open(&s);
    turn_for(&s, 50);
    assert_int_equal(http_listener_connections(s.listener), 4);
    for (int i = 0; i < 8; i++) {
        client_pump(&c[i]);
        refused += c[i].eof;
    }
    assert_int_equal(refused, 4); /* closed, not left waiting */
    client_close(&c[0]);
    WAIT_FOR(&s, http_listener_connections(s.listener) == 3);
    struct client late = client_open(&s);
    client_send(&late, GET("/"));
    assert_true(client_expect(&late, "hello"));
    client_close(&late);
    for (int i = 1; i < 8; i++)
        client_close(&c[i]);
    server_stop(&s);
}

static void test_address_cap(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .conns_per_addr = 3};
    struct server s;
    struct client c[5];
    server_start(&s, &opts);

    for (int i = 0; i < 5; i++)
        c[i] = client_open_from(&s, "127.0.0.7", 0);
    turn_for(&s, 50);
    assert_int_equal(http_listener_connections(s.listener), 3);
    struct client other = client_open_from(&s, "127.0.0.8", 0);
    client_send(&other, GET("/"));
    assert_true(client_expect(&other, "hello"));
    for (int i = 0; i < 5; i++)
        client_close(&c[i]);
    WAIT_FOR(&s, http_listener_connections(s.listener) == 1);
    c[0] = client_open_from(&s, "127.0.0.7", 0);
    client_send(&c[0], GET("/"));
    assert_true(client_expect(&c[0], "hello"));
    client_close(&c[0]);
    client_close(&other);
    server_stop(&s);
}

/* IPv4 counts as a whole, also in its mapped form; IPv6 by /64. */
static void test_address_keys(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"2001:db8::1", "2001:db8::ffff:1", true}, {"2001:db8::1", "2001:db8:0:1::1", false},
        {"::ffff:10.0.0.1", "10.0.0.1", true},     {"::ffff:10.0.0.1", "::ffff:10.0.0.2", false},
        {"10.0.0.1", "10.0.0.2", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_addr key[2];
        for (int k = 0; k < 2; k++) {
            const char *text = k == 0 ? cases[i].a : cases[i].b;
            struct sockaddr_storage ss = {0};
            if (uv_ip6_addr(text, 1, (struct sockaddr_in6 *)&ss) != 0)
                assert_int_equal(uv_ip4_addr(text, 1, (struct sockaddr_in *)&ss), 0);
            key[k] = http_addr_of((struct sockaddr *)&ss);
        }
        assert_int_equal(memcmp(&key[0], &key[1], sizeof(key[0])) == 0, cases[i].same);
    }
}

/* Many addresses come and go; the table counts each for itself and forgets the gone. */
static void test_caps_table(void **state)
{
    (void)state;
    struct http_caps caps;
    struct http_addr addr = {{0}};

    http_caps_init(&caps);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++) {
            memcpy(addr.key, &i, sizeof(i));
            assert_int_equal(http_caps_take(&caps, &addr, 2), round < 2);
        }
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            memcpy(addr.key, &i, sizeof(i));
            http_caps_give(&caps, &addr);
        }
    }
    assert_true(http_caps_take(&caps, &addr, 1));
    assert_false(http_caps_take(&caps, &addr, 1));
    http_caps_fini(&caps);
}

/* Bytes pipelined behind a parked request: up to the limit they wait, beyond it the client goes. */
static void test_flood_while_parked(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);
    char filler[HTTP_HEAD_MAX];

    memset(filler, 'x', sizeof(filler));
    client_send(&c, GET("/park"));
    WAIT_FOR(&s, s.parked_count == 1);
    client_send_bytes(&c, filler, sizeof(filler));
    turn_for(&s, 50);
    assert_int_equal(s.closed_count, 0);
    client_send_bytes(&c, filler, 1);
    WAIT_FOR(&s, s.closed_count == 1);
    assert_int_equal(http_listener_connections(s.listener), 0);
    client_close(&c);
    server_stop(&s);
}

/* Pipelining behind replies that nobody reads: handlers stop, memory stays bounded. */
static void test_flood_without_reading(void **state)
{
    (void)state;
    struct http_listen_opts opts = {.fd = -1, .write_ms = 300};
    struct server s;
    server_start(&s, &opts);
    struct client c = client_open_from(&s, NULL, 4096);
    size_t sent = 0;

    for (int i = 0; i < 4000; i++) {
        ssize_t n = send(c.fd, GET("/large"), strlen(GET("/large")), MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        cm_loop_turn(s.loop, false);
    }
    assert_true(sent > 0);
    assert_in_range(s.handled, 1, 8); /* socket buffers hold a few replies of 1 MiB */
    WAIT_FOR(&s, http_listener_connections(s.listener) == 0);
    client_close(&c);
    server_stop(&s);
}

/* Bodies announced and never sent cost nothing; the head alone is held. */
static void test_announced_bodies(void **state)
{
    (void)state;
    struct server s;
    struct client c[20];
    server_start(&s, NULL);

    for (int i = 0; i < 20; i++) {
        c[i] = client_open(&s);
        client_send(&c[i], "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\nxy");
    }
    turn_for(&s, 50);
    assert_int_equal(s.limited, 20);
    assert_int_equal(s.listener->body_bytes, 40);
    for (int i = 0; i < 20; i++)
        client_close(&c[i]);
    WAIT_FOR(&s, http_listener_connections(s.listener) == 0);
    assert_int_equal(s.listener->body_bytes, 0);
    server_stop(&s);
}

/* All bodies together have a limit; beyond it the newest is refused and the rest goes on. */
static void test_bodies_budget(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    s.listener->body_bytes = HTTP_BODIES_MAX - 2;
    client_send(&c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    assert_true(client_expect(&c, "hello"));
    client_send(&c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_true(client_expect(&c, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_non_null(strstr(c.in.data, "\r\nRetry-After: "));
    assert_int_equal(s.handled, 1);
    assert_int_equal(s.listener->body_bytes, HTTP_BODIES_MAX - 2);
    s.listener->body_bytes = 0;
    client_close(&c);
    server_stop(&s);
}

/* A body that was taken over outlives its request, and counts as long as that. */
static void test_taken_body(void **state)
{
    (void)state;
    struct server s;
    size_t len;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, "POST /park HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    WAIT_FOR(&s, s.parked_count == 1);
    struct http_exchange *ex = s.parked[0];
    CM_AUTO_STR body = http_ex_take_body(ex, &len);
    assert_int_equal(len, 3);
    assert_string_equal(http_ex_request(ex)->body, "");
    assert_int_equal(http_ex_request(ex)->body_len, 0);
    assert_int_equal(s.listener->body_bytes, 3);
    http_ex_reply(ex, 200, NULL, "taken", 5);
    assert_true(client_expect(&c, "taken"));
    assert_int_equal(s.listener->body_bytes, 0);
    client_send(&c, "POST /park HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nde");
    WAIT_FOR(&s, s.parked_count == 2); /* the connection goes on behind the body */
    CM_AUTO_STR other = http_ex_take_body(s.parked[1], &len);
    client_close(&c);
    WAIT_FOR(&s, s.closed_count == 1);
    assert_int_equal(s.listener->body_bytes, 0);
    assert_string_equal(body, "abc");
    assert_string_equal(other, "de");
    server_stop(&s);
}

/* Connections that die at every point of a request leave nothing behind. */
static void test_aborts_everywhere(void **state)
{
    (void)state;
    static const char request[] =
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /park HTTP/1.1\r\n"
        "Host: x\r\n\r\nGET /l";
    struct server s;
    server_start(&s, NULL);

    for (size_t cut = 0; cut < sizeof(request); cut++) {
        struct client c = client_open(&s);
        client_send_bytes(&c, request, cut);
        if (cut % 2 == 0)
            turn(&s);
        if (cut % 3 == 0)
            client_abort(&c);
        else
            client_close(&c);
    }
    WAIT_FOR(&s, http_listener_connections(s.listener) == 0);
    assert_int_equal(s.closed_count, s.parked_count);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_client),
        cmocka_unit_test(test_slowloris),
        cmocka_unit_test(test_header_deadline_second_request),
        cmocka_unit_test(test_idle_deadline),
        cmocka_unit_test(test_body_deadline),
        cmocka_unit_test(test_write_deadline),
        cmocka_unit_test(test_total_cap),
        cmocka_unit_test(test_address_cap),
        cmocka_unit_test(test_address_keys),
        cmocka_unit_test(test_caps_table),
        cmocka_unit_test(test_flood_while_parked),
        cmocka_unit_test(test_flood_without_reading),
        cmocka_unit_test(test_announced_bodies),
        cmocka_unit_test(test_bodies_budget),
        cmocka_unit_test(test_taken_body),
        cmocka_unit_test(test_aborts_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
