/*
 * Seeded chaos: many connections with random requests, cuts, floods, half closes and resets,
 * against handlers that reply at once, later, as streams, or when it is too late.  What is checked
 * is the books: every exchange ends in exactly one way, and nothing is left (AddressSanitizer sees
 * the rest).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/net/http_conn.h"
#include "http_harness.h"
#include "http_rows.h"

#define CLIENTS 24
#define ROUNDS  6000
#define LIVE    64

struct job {
    struct http_exchange *ex; /* NULL = free slot */
    struct chaos *chaos;
    bool streaming;
};

struct chaos {
    struct server server;
    uint64_t seed;
    struct job job[LIVE];
    int begun, ended, vanished;
};

static unsigned dice(struct chaos *c, unsigned sides)
{
    c->seed = c->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(c->seed >> 33) % sides;
}

static void on_vanish(void *arg)
{
    struct job *job = arg;
    job->chaos->vanished++;
    job->ex = NULL;
}

static void end_job(struct job *job)
{
    struct http_exchange *ex = job->ex;
    job->ex = NULL;
    job->chaos->ended++;
    if (job->streaming)
        http_ex_end(ex);
    else
        http_ex_reply(ex, 200, "text/plain", "late", 4);
}

static void handle(void *arg, struct http_exchange *ex)
{
    static char block[200000];
    struct chaos *c = arg;
    struct job *job = &c->job[dice(c, LIVE)];

    c->begun++;
    if (job->ex != NULL || dice(c, 3) == 0) {
        c->ended++;
        http_ex_reply(ex, 200, NULL, block, dice(c, 8) == 0 ? sizeof(block) : 10);
        return;
    }
    *job = (struct job){.ex = ex, .chaos = c, .streaming = dice(c, 2)};
    http_ex_on_close(ex, on_vanish, job);
    if (job->streaming)
        http_ex_stream(ex, 200, NULL);
}

static void work_on_jobs(struct chaos *c)
{
    static char block[50000];
    struct job *job = &c->job[dice(c, LIVE)];

    if (job->ex == NULL)
        return;
    if (job->streaming && dice(c, 2) == 0)
        http_ex_write(job->ex, block, dice(c, sizeof(block)));
    else
        end_job(job);
}

static int64_t random_limit(void *arg, const struct http_request *req)
{
    struct chaos *c = arg;
    (void)req;
    return dice(c, 20) == 0 ? -(int64_t)(400 + dice(c, 200)) : (int64_t)dice(c, 100000);
}

static void send_something(struct chaos *c, struct client *client)
{
    static char body[100000];
    const struct http_row *row = &http_rows[dice(c, HTTP_ROWS_COUNT)];
    struct cm_buf text;

    cm_buf_init(&text, 1u << 20);
    switch (dice(c, 6)) {
    case 0:
        cm_buf_add(&text, row->raw, dice(c, 2) ? row->len : dice(c, (unsigned)row->len + 1));
        break;
    case 1:
        cm_buf_printf(&text, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %u\r\n%s\r\n",
                      dice(c, 120000), dice(c, 2) ? "Expect: 100-continue\r\n" : "");
        break;
    case 2:
        cm_buf_add(&text, body, dice(c, sizeof(body)));
        break;
    default:
        for (unsigned i = dice(c, 30); i > 0; i--)
            cm_buf_puts(&text, dice(c, 40) == 0 ? "GET / HTTP/1.0\r\nHost: x\r\n\r\n"
                                                : "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        break;
    }
    (void)!send(client->fd, cm_buf_str(&text), text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    cm_buf_fini(&text);
}

static void act(struct chaos *c, struct client *client)
{
    if (client->fd < 0) {
        *client = client_open_from(&c->server, NULL, dice(c, 2) ? 4096 : 0);
        return;
    }
    switch (dice(c, 10)) {
    case 0:
        client_close(client);
        break;
    case 1:
        client_abort(client);
        break;
    case 2:
        shutdown(client->fd, SHUT_WR);
        break;
    case 3:
    case 4:
        client_pump(client);
        cm_buf_reset(&client->in);
        break;
    default:
        send_something(c, client);
        break;
    }
}

static void chaos_run(uint64_t seed, struct tls_server *tls)
{
    struct chaos c = {.seed = seed};
    struct http_listen_opts opts = {.address = "127.0.0.1:0",
                                    .fd = -1,
                                    .tls = tls,
                                    .limit = random_limit,
                                    .handler = handle,
                                    .arg = &c,
                                    .conns_max = CLIENTS - 4,
                                    .handshake_ms = 20,
                                    .header_ms = 20,
                                    .body_ms = 20,
                                    .idle_ms = 20,
                                    .write_ms = 20};
    struct client client[CLIENTS];

    c.server.loop = cm_loop_new();
    assert_int_equal(http_listen(c.server.loop, &opts, &c.server.listener, NULL), 0);
    for (int i = 0; i < CLIENTS; i++)
        client[i] = (struct client){.fd = -1};
    for (int round = 0; round < ROUNDS; round++) {
        act(&c, &client[dice(&c, CLIENTS)]);
        work_on_jobs(&c);
        if (dice(&c, 3) == 0)
            cm_loop_turn(c.server.loop, false);
        assert_true(http_listener_connections(c.server.listener) <= CLIENTS - 4);
    }
    for (int i = 0; i < CLIENTS; i++)
        client_close(&client[i]);
    if (seed % 2 == 0)
        WAIT_FOR(&c.server, http_listener_connections(c.server.listener) == 0);
    if (seed % 2 == 0)
        assert_int_equal(c.server.listener->body_bytes, 0);
    http_listener_free(c.server.listener);
    assert_int_equal(c.begun, c.ended + c.vanished);
    assert_true(tls != NULL || (c.ended > 100 && c.vanished > 10));
    cm_loop_free(c.server.loop);
}

static void test_chaos_plain(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        chaos_run(seed, NULL);
}

/* Without a handshake: garbage, cuts and deadlines in front of TLS. */
static void test_chaos_tls(void **state)
{
    (void)state;
    char dir[] = "/tmp/cm-chaos-XXXXXX";
    struct tls_server *tls = NULL;
    assert_non_null(mkdtemp(dir));
    CM_AUTO_STR cert = cm_asprintf("%s/c", dir);
    CM_AUTO_STR key = cm_asprintf("%s/k", dir);
    struct tls_server_opts opts = {.cert_file = cert, .key_file = key};

    assert_int_equal(tls_identity_make("x", cert, key, NULL), 0);
    assert_int_equal(tls_server_new(&opts, &tls, NULL), 0);
    for (uint64_t seed = 1; seed <= 2; seed++)
        chaos_run(seed, tls);
    tls_server_free(tls);
    unlink(cert);
    unlink(key);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chaos_plain),
        cmocka_unit_test(test_chaos_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
