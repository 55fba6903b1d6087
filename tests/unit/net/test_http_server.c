/* The HTTP server over real sockets: framing, order, bodies, replies, listeners. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "http_harness.h"
#include "http_rows.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void test_keep_alive(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    for (int i = 1; i <= 3; i++) {
        cm_buf_reset(&c.in);
        client_send(&c, GET("/"));
        assert_true(client_expect(&c, "\r\n\r\nhello"));
        assert_non_null(strstr(c.in.data, "HTTP/1.1 200 OK\r\nDate: "));
        assert_non_null(strstr(c.in.data, " GMT\r\n"));
        assert_non_null(strstr(c.in.data, "\r\nContent-Type: text/plain\r\n"));
        assert_non_null(strstr(c.in.data, "\r\nContent-Length: 5\r\n"));
        assert_null(strstr(c.in.data, "Connection:"));
        assert_int_equal(s.handled, i);
    }
    assert_int_equal(http_listener_connections(s.listener), 1);
    client_close(&c);
    WAIT_FOR(&s, http_listener_connections(s.listener) == 0);
    server_stop(&s);
}

static void test_pipelining(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    /* The parked one holds back the two behind it. */
    client_send(&c, GET("/") "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" GET(
                        "/park") GET("/empty") GET("/last") GET("/never"));
    WAIT_FOR(&s, s.parked_count == 1);
    turn_for(&s, 20);
    assert_int_equal(s.handled, 3);
    client_pump(&c);
    assert_int_equal(count_of(cm_buf_str(&c.in), "hello"), 2);
    http_ex_reply(s.parked[0], 202, NULL, "parked", 6);
    assert_int_equal(s.handled, 3); /* no handler runs inside a reply */
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_int_equal(s.handled, 5);
    assert_string_equal(s.last_path, "/last");
    const char *first = strstr(c.in.data, "202 Accepted");
    const char *second = first == NULL ? NULL : strstr(first, "204 No Content");
    const char *third = second == NULL ? NULL : strstr(second, "Connection: close\r\n\r\nbye");
    assert_non_null(third);
    assert_int_equal(s.closed_count, 0);
    client_close(&c);
    server_stop(&s);
}

/* A thousand requests in one go: in order, without recursion. */
static void test_pipelining_many(void **state)
{
    (void)state;
    struct server s;
    struct cm_buf text;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    cm_buf_init(&text, 1u << 20);
    for (int i = 0; i < 1000; i++)
        cm_buf_puts(&text, GET("/"));
    cm_buf_puts(&text, GET("/last"));
    client_send(&c, text.data);
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_int_equal(count_of(c.in.data, "hello"), 1000);
    assert_int_equal(s.handled, 1001);
    cm_buf_fini(&text);
    client_close(&c);
    server_stop(&s);
}

/* Every row of the leniency table on the wire: a refusal is one reply, then the end, and nothing
 * behind it reaches a handler. */
static void test_rows(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    for (size_t i = 0; i < HTTP_ROWS_COUNT; i++) {
        const struct http_row *row = &http_rows[i];
        if (row->status == HTTP_ROW_MORE)
            continue;
        struct client c = client_open(&s);
        char status[16];
        s.handled = 0;
        client_send_bytes(&c, row->raw, row->len);
        for (unsigned n = 0; n < row->count; n++)
            client_send_bytes(&c, row->unit, strlen(row->unit));
        client_send_bytes(&c, row->tail, strlen(row->tail));
        snprintf(status, sizeof(status), "HTTP/1.1 %d ", row->status);
        if (!client_expect(&c, "\r\n\r\n") || strncmp(c.in.data, status, strlen(status)) != 0)
            fail_msg("%s: expected %d, got %.40s", row->name, row->status, cm_buf_str(&c.in));
        if (row->status != 200) {
            if (!client_wait_end(&c, HARNESS_WAIT_MS) || c.reset)
                fail_msg("%s: connection not closed in order", row->name);
            assert_int_equal(count_of(c.in.data, "\r\nDate: "), 1);
            assert_non_null(strstr(c.in.data, "\r\nConnection: close\r\n"));
            assert_int_equal(s.handled, 0);
        } else {
            assert_true(s.handled >= 1);
        }
        client_close(&c);
    }
    server_stop(&s);
}

static void test_head(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" GET("/empty"));
    assert_true(client_expect(&c, "204 No Content"));
    assert_non_null(strstr(c.in.data, "\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204"));
    assert_null(strstr(c.in.data, "hello"));
    client_send(&c, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    WAIT_FOR(&s, s.parked_count == 1);
    assert_int_equal(http_ex_write(s.parked[0], "data", 4), 0);
    http_ex_end(s.parked[0]);
    cm_buf_reset(&c.in);
    client_send(&c, GET("/"));
    assert_true(client_expect(&c, "hello"));
    assert_null(strstr(c.in.data, "data"));
    assert_null(strstr(c.in.data, "0\r\n\r\n"));
    client_close(&c);
    server_stop(&s);
}

static void test_no_content(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, GET("/empty") GET("/unmodified") GET("/"));
    assert_true(client_expect(&c, "hello"));
    assert_int_equal(count_of(c.in.data, "Content-Length"), 1);
    assert_null(strstr(c.in.data, "never sent"));
    assert_non_null(strstr(c.in.data, "\r\nETag: \"1\"\r\n\r\nHTTP/1.1 200"));
    client_close(&c);
    server_stop(&s);
}

static void test_http10(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);

    ask(&s, &c, "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_non_null(strstr(c.in.data, "\r\nConnection: close\r\n\r\nhello"));
    client_close(&c);
    /* A stream has no chunks; the end of the connection is its end. */
    ask(&s, &c, "GET /stream HTTP/1.0\r\nHost: x\r\n\r\n");
    http_ex_write(s.parked[0], "data", 4);
    http_ex_end(s.parked[0]);
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_null(strstr(c.in.data, "chunked"));
    assert_non_null(strstr(c.in.data, "\r\n\r\ndata"));
    client_close(&c);
    server_stop(&s);
}

static void test_bodies(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    /* The largest allowed body, in two pieces. */
    client_send(&c, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n01234567");
    turn_for(&s, 20);
    assert_int_equal(s.handled, 0);
    client_send(&c, "89abcdef");
    assert_true(client_expect(&c, "hello"));
    assert_string_equal(s.last_body, "0123456789abcdef");
    client_close(&c);
    /* One byte more is refused before it is sent. */
    ask(&s, &c, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n");
    assert_non_null(strstr(c.in.data, "HTTP/1.1 413 Content Too Large\r\n"));
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_int_equal(s.handled, 1);
    client_close(&c);
    /* The absolute cap stands above what a route allows. */
    ask(&s, &c, "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 16777217\r\n\r\n");
    assert_non_null(strstr(c.in.data, "HTTP/1.1 413 "));
    client_close(&c);
    server_stop(&s);
}

/* A client that goes on sending still reads its 413: no reset destroys it. */
static void test_early_413_while_sending(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);
    size_t len = 4u << 20;
    char *body = cm_calloc(1, len);

    client_send(&c, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n\r\n");
    assert_int_equal(client_send_bytes(&c, body, len), len);
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_false(c.reset);
    assert_non_null(strstr(c.in.data, "HTTP/1.1 413 "));
    assert_non_null(strstr(c.in.data, "\r\nConnection: close\r\n"));
    assert_int_equal(s.handled, 0);
    cm_free(body);
    client_close(&c);
    server_stop(&s);
}

static void test_large_body(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);
    size_t len = HTTP_BODY_MAX;
    char *body = cm_malloc(len);

    memset(body, 'b', len);
    client_send(&c, "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\n");
    assert_int_equal(client_send_bytes(&c, body, len), len);
    assert_true(client_expect(&c, "hello"));
    client_send(&c, GET("/large"));
    cm_buf_reset(&c.in);
    WAIT_FOR(&s, (client_pump(&c), c.in.len > BIG_BODY));
    const char *content = strstr(c.in.data, "\r\n\r\n") + 4;
    assert_int_equal(strspn(content, "L"), BIG_BODY);
    cm_free(body);
    client_close(&c);
    server_stop(&s);
}

static void test_limit_refusals(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    /* Without a body the connection goes on. */
    client_send(&c, GET("/missing") "HEAD /missing HTTP/1.1\r\nHost: x\r\n\r\n" GET("/"));
    assert_true(client_expect(&c, "hello"));
    assert_int_equal(count_of(c.in.data, "HTTP/1.1 404 Not Found\r\n"), 2);
    assert_int_equal(count_of(c.in.data, "\r\n\r\n404 Not Found\n"), 1);
    assert_int_equal(s.handled, 1);
    client_close(&c);
    /* With one it ends. */
    ask(&s, &c, "POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" GET("/"));
    assert_non_null(strstr(c.in.data, "HTTP/1.1 401 Unauthorized\r\n"));
    assert_non_null(strstr(c.in.data, "\r\nWWW-Authenticate: Bearer"));
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_int_equal(count_of(c.in.data, "\r\nDate: "), 1);
    assert_int_equal(s.handled, 1);
    client_close(&c);
    ask(&s, &c, "BREW / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(c.in.data, "\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r"));
    client_close(&c);
    server_stop(&s);
}

static void test_continue(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);

    ask(&s, &c, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(c.in.data, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(&c, "abc");
    assert_true(client_expect(&c, "hello"));
    assert_string_equal(s.last_body, "abc");
    client_close(&c);
    /* Refused instead: no 100, the limit callback came first. */
    ask(&s, &c,
        "POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_non_null(strstr(c.in.data, "HTTP/1.1 401 "));
    assert_null(strstr(c.in.data, "100 Continue"));
    client_close(&c);
    ask(&s, &c,
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\n");
    assert_non_null(strstr(c.in.data, "HTTP/1.1 413 "));
    client_close(&c);
    /* The body is here already: no 100. */
    ask(&s, &c,
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\na");
    assert_null(strstr(c.in.data, "100 Continue"));
    client_close(&c);
    server_stop(&s);
}

static void test_bad_reply_headers(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    server_start(&s, NULL);

    ask(&s, &c, GET("/bad-header"));
    assert_null(strstr(c.in.data, "X-Evil"));
    assert_null(strstr(c.in.data, "X Y"));
    assert_null(strstr(c.in.data, "77"));
    assert_non_null(strstr(c.in.data, "\r\nX-Good: yes\r\n"));
    assert_non_null(strstr(c.in.data, "\r\nContent-Length: 2\r\n"));
    client_close(&c);
    server_stop(&s);
}

/* A client that shuts its sending side behind the request gets its reply. */
static void test_half_close(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL);
    struct client c = client_open(&s);

    client_send(&c, GET("/") GET("/large"));
    shutdown(c.fd, SHUT_WR);
    assert_true(client_wait_end(&c, HARNESS_WAIT_MS));
    assert_false(c.reset);
    assert_int_equal(s.handled, 2);
    assert_true(c.in.len > BIG_BODY);
    client_close(&c);
    server_stop(&s);
}

static int unix_connect(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cm_strcpy(sun.sun_path, sizeof(sun.sun_path), path);
    assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

static void test_unix_socket(void **state)
{
    (void)state;
    char dir[] = "/tmp/cm-http-XXXXXX";
    assert_non_null(mkdtemp(dir));
    CM_AUTO_STR path = cm_asprintf("%s/s", dir);
    CM_AUTO_STR address = cm_asprintf("unix:%s", path);
    struct http_listen_opts opts = {.address = address, .fd = -1};
    struct cm_err err = CM_ERR_INIT;
    struct stat st;
    struct server s;
    int fd;

    /* A socket that nobody serves any more is replaced. */
    assert_int_equal(http_bind(address, &fd, &err), 0);
    close(fd);
    server_start(&s, &opts);
    assert_string_equal(http_listener_address(s.listener), address);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    /* A live one is not. */
    assert_int_equal(http_bind(address, &fd, &err), CM_ECONFLICT);
    cm_err_fini(&err);

    struct client c = {.server = &s, .fd = unix_connect(path)};
    cm_buf_init(&c.in, 65536);
    client_send(&c, GET("/"));
    assert_true(client_expect(&c, "hello"));
    assert_int_equal(s.last_uid, getuid());
    client_close(&c);
    server_stop(&s);
    assert_int_equal(stat(path, &st), -1);

    /* What is not a socket stays. */
    fclose(fopen(path, "w"));
    assert_int_equal(http_bind(address, &fd, &err), CM_ECONFLICT);
    cm_err_fini(&err);
    unlink(path);
    rmdir(dir);
}

static void test_adopted_socket(void **state)
{
    (void)state;
    struct server s;
    struct client c;
    struct cm_err err = CM_ERR_INIT;
    int fd;

    assert_int_equal(http_bind("127.0.0.1:0", &fd, &err), 0);
    struct http_listen_opts opts = {.fd = fd};
    server_start(&s, &opts);
    assert_true(server_port(&s) > 0);
    ask(&s, &c, GET("/"));
    assert_true(client_expect(&c, "hello"));
    assert_int_equal(s.last_uid, (uint32_t)-1);
    client_close(&c);
    server_stop(&s);

    /* Something else than a socket is refused. */
    struct cm_loop *loop = cm_loop_new();
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    struct http_listen_opts bad = {.fd = pipe_fd[0], .handler = harness_handler};
    struct http_listener *listener = NULL;
    assert_int_equal(http_listen(loop, &bad, &listener, &err), CM_EINVAL);
    close(pipe_fd[1]);
    cm_err_fini(&err);
    cm_loop_free(loop);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"127.0.0.1",    "127.0.0.1:", "127.0.0.1:65536", "host:80",
                                      "127.0.0.1:-1", "[::1:80",    "::1:80",          ":80",
                                      "unix:",        "unix:rel",   "[::1]80",         ""};
    struct cm_err err = CM_ERR_INIT;
    struct server s;
    int fd;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(http_bind(bad[i], &fd, &err), CM_EINVAL);
        cm_err_fini(&err);
    }
    server_start(&s, NULL);
    assert_int_equal(http_bind(http_listener_address(s.listener), &fd, &err), CM_ECONFLICT);
    assert_true(err.hint[0] != '\0');
    cm_err_fini(&err);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_pipelining_many),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_no_content),
        cmocka_unit_test(test_http10),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_early_413_while_sending),
        cmocka_unit_test(test_large_body),
        cmocka_unit_test(test_limit_refusals),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_bad_reply_headers),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_adopted_socket),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
