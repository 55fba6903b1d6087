/*
 * A server and raw clients in one thread, for the HTTP server tests.
 *
 * Clients are non-blocking sockets; whatever waits turns the server's loop meanwhile, so a test is
 * a straight line.  Every wait has an end: HARNESS_WAIT_MS.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/http_server.h"

#define HARNESS_WAIT_MS 10000
#define PARKED_MAX      32
#define BIG_BODY        (1 << 20)

struct server {
    struct cm_loop *loop;
    struct http_listener *listener;
    struct http_exchange *parked[PARKED_MAX];
    int parked_count, closed_count, handled, limited, drained;
    char last_path[64];
    uint32_t last_uid;
    char last_spki[65];
    char last_body[64];
};

struct client {
    struct server *server;
    int fd;
    struct cm_buf in;
    bool eof, reset;
};

static inline void count_close(void *arg)
{
    ((struct server *)arg)->closed_count++;
}

static inline void count_drain(void *arg)
{
    ((struct server *)arg)->drained++;
}

static inline int64_t harness_limit(void *arg, const struct http_request *req)
{
    struct server *s = arg;
    s->limited++;
    if (strcmp(req->head.path, "/denied") == 0)
        return -401;
    if (strcmp(req->head.path, "/missing") == 0)
        return -404;
    if (strcmp(req->head.path, "/big") == 0)
        return HTTP_BODY_MAX;
    return 16;
}

static inline void harness_handler(void *arg, struct http_exchange *ex)
{
    struct server *s = arg;
    const struct http_request *req = http_ex_request(ex);
    const char *path = req->head.path;

    s->handled++;
    cm_strcpy(s->last_path, sizeof(s->last_path), path);
    cm_strcpy(s->last_body, sizeof(s->last_body), req->body);
    cm_strcpy(s->last_spki, sizeof(s->last_spki), req->peer_spki == NULL ? "" : req->peer_spki);
    s->last_uid = req->peer_uid;
    if (strncmp(path, "/park", 5) == 0 || strncmp(path, "/stream", 7) == 0) {
        s->parked[s->parked_count++ % PARKED_MAX] = ex;
        http_ex_on_close(ex, count_close, s);
        http_ex_on_drain(ex, count_drain, s);
        if (path[1] == 's')
            http_ex_stream(ex, 200, "text/plain");
    } else if (strcmp(path, "/empty") == 0) {
        http_ex_reply(ex, 204, NULL, NULL, 0);
    } else if (strcmp(path, "/unmodified") == 0) {
        http_ex_header(ex, "ETag", "\"1\"");
        http_ex_reply(ex, 304, NULL, "never sent", 10);
    } else if (strcmp(path, "/large") == 0) {
        char *body = cm_malloc(BIG_BODY);
        memset(body, 'L', BIG_BODY);
        http_ex_reply(ex, 200, NULL, body, BIG_BODY);
        cm_free(body);
    } else if (strcmp(path, "/last") == 0) {
        http_ex_header(ex, "Connection", "close");
        http_ex_reply(ex, 200, NULL, "bye", 3);
    } else if (strcmp(path, "/bad-header") == 0) {
        http_ex_header(ex, "X-Split", "a\r\nX-Evil: b");
        http_ex_header(ex, "X Y", "a");
        http_ex_header(ex, "Content-Length", "77");
        http_ex_header(ex, "X-Good", "yes");
        http_ex_reply(ex, 200, "text/plain\r\nX-Evil: c", "ok", 2);
    } else {
        http_ex_reply(ex, 200, "text/plain", "hello", 5);
    }
}

/* Starts on a free loopback port unless opts name an address; opts may be NULL. */
static inline void server_start(struct server *s, const struct http_listen_opts *opts)
{
    struct http_listen_opts o = {.fd = -1};
    struct cm_err err = CM_ERR_INIT;

    if (opts != NULL)
        o = *opts;
    if (o.address == NULL && o.fd <= 0)
        o.address = "127.0.0.1:0";
    o.limit = harness_limit;
    o.handler = harness_handler;
    o.arg = s;
    *s = (struct server){.loop = cm_loop_new()};
    if (http_listen(s->loop, &o, &s->listener, &err) < 0)
        fail_msg("http_listen: %s", err.what);
}

static inline void server_stop(struct server *s)
{
    http_listener_free(s->listener);
    cm_loop_free(s->loop);
}

static inline int server_port(const struct server *s)
{
    const char *colon = strrchr(http_listener_address(s->listener), ':');
    int port = 0;
    for (const char *c = colon + 1; *c != '\0'; c++)
        port = port * 10 + (*c - '0');
    return port;
}

static inline void turn(struct server *s)
{
    struct timespec pause = {.tv_nsec = 200000};
    cm_loop_turn(s->loop, false);
    nanosleep(&pause, NULL);
}

static inline void turn_for(struct server *s, int64_t ms)
{
    int turns = 0; /* a machine that was away for all of the time has still turned */
    for (int64_t end = cm_mono_ms() + ms; cm_mono_ms() < end || turns < 10; turns++)
        turn(s);
}

#define WAIT_FOR(s, cond)                                                                          \
    do {                                                                                           \
        int64_t wait_end = cm_mono_ms() + HARNESS_WAIT_MS;                                         \
        while (!(cond) && cm_mono_ms() < wait_end)                                                 \
            turn(s);                                                                               \
        assert_true(cond);                                                                         \
    } while (0)

static inline struct client client_open_from(struct server *s, const char *source, int rcvbuf)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server_port(s))};
    struct client c = {.server = s, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    assert_true(c.fd >= 0);
    cm_buf_init(&c.in, 64u << 20);
    if (source != NULL) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        inet_pton(AF_INET, source, &from.sin_addr);
        assert_int_equal(bind(c.fd, (struct sockaddr *)&from, sizeof(from)), 0);
    }
    if (rcvbuf > 0)
        setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    /* The kernel completes loopback connections by itself: this does not wait for the loop. */
    assert_int_equal(connect(c.fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return c;
}

static inline struct client client_open(struct server *s)
{
    return client_open_from(s, NULL, 0);
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    cm_buf_fini(&c->in);
}

/* Closes with RST. */
static inline void client_abort(struct client *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    client_close(c);
}

/* Takes what is there. */
static inline void client_pump(struct client *c)
{
    char piece[65536];
    ssize_t n;

    while ((n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
        cm_buf_add(&c->in, piece, (size_t)n);
    if (n == 0)
        c->eof = true;
    else if (errno != EAGAIN)
        c->eof = c->reset = true;
}

/* Sends as much as the server takes; returns the bytes sent before the server closed. */
static inline size_t client_send_bytes(struct client *c, const void *data, size_t len)
{
    size_t done = 0;
    int64_t end = cm_mono_ms() + HARNESS_WAIT_MS;

    while (done < len && cm_mono_ms() < end) {
        ssize_t n = send(c->fd, (const char *)data + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EAGAIN)
            break;
        else
            turn(c->server);
    }
    return done;
}

static inline void client_send(struct client *c, const char *text)
{
    assert_int_equal(client_send_bytes(c, text, strlen(text)), strlen(text));
}

/* Waits until text was received; false when the connection ended without it. */
static inline bool client_expect(struct client *c, const char *text)
{
    int64_t end = cm_mono_ms() + HARNESS_WAIT_MS;

    for (;;) {
        client_pump(c);
        if (strstr(cm_buf_str(&c->in), text) != NULL)
            return true;
        if (c->eof || cm_mono_ms() >= end)
            return false;
        turn(c->server);
    }
}

/* Waits for the end of the connection; false when it stays open. */
static inline bool client_wait_end(struct client *c, int64_t ms)
{
    int64_t end = cm_mono_ms() + ms;

    for (;;) {
        client_pump(c);
        if (c->eof)
            return true;
        if (cm_mono_ms() >= end)
            return false;
        turn(c->server);
    }
}

static inline size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        n++;
    return n;
}

/* One request on its own connection; the whole answer is left in c->in. */
static inline void ask(struct server *s, struct client *c, const char *request)
{
    *c = client_open(s);
    client_send(c, request);
    assert_true(client_expect(c, "\r\n\r\n"));
}
