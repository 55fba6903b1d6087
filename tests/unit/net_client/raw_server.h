/*
 * A raw HTTP peer for the client's tests: one thread per connection, plain or TLS, whose answers
 * are chosen by the request's path and may be as wrong as a test wants.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"

#define RAW_REQUEST_MAX (64u << 10)

struct raw_server {
    int fd, port;
    SSL_CTX *tls; /* NULL = plain */
    pthread_t thread;
    atomic_int connections, requests, alive;
    atomic_bool stop;
};

struct raw_conn {
    struct raw_server *server;
    int fd;
    SSL *ssl;
};

static int raw_write(struct raw_conn *c, const void *data, size_t len)
{
    if (c->ssl)
        return SSL_write(c->ssl, data, (int)len) == (int)len ? 0 : -1;
    return send(c->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

static int raw_puts(struct raw_conn *c, const char *text)
{
    return raw_write(c, text, strlen(text));
}

static ssize_t raw_read(struct raw_conn *c, char *out, size_t len)
{
    return c->ssl ? SSL_read(c->ssl, out, (int)len) : recv(c->fd, out, len, 0);
}

/* Waits until the client or the test ends the connection (or the time is over). */
static void raw_hang(struct raw_conn *c, int ms)
{
    for (int waited = 0; waited < ms && !c->server->stop; waited += 20) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        char byte;
        if (poll(&p, 1, 20) > 0 && recv(c->fd, &byte, 1, MSG_PEEK) <= 0)
            return;
    }
}

/* Reads one request with its body; returns its length, or 0 at the end of the connection. */
static size_t raw_request(struct raw_conn *c, char *out)
{
    size_t len = 0, need = 0;
    while (len < RAW_REQUEST_MAX - 1) {
        ssize_t n = raw_read(c, out + len, RAW_REQUEST_MAX - 1 - len);
        if (n <= 0)
            return 0;
        len += (size_t)n;
        out[len] = '\0';
        char *end = strstr(out, "\r\n\r\n");
        if (!end)
            continue;
        const char *length = strcasestr(out, "\r\nContent-Length:");
        need = (size_t)(end + 4 - out) + (length ? strtoul(length + 17, NULL, 10) : 0);
        if (len >= need)
            return len;
    }
    return 0;
}

static bool raw_is(const char *request, const char *path)
{
    const char *blank = strchr(request, ' ');
    size_t len = strlen(path);
    return blank && strncmp(blank + 1, path, len) == 0 && blank[1 + len] == ' ';
}

static int raw_flood(struct raw_conn *c, const char *head, const char *line)
{
    if (raw_puts(c, head) < 0)
        return -1;
    for (int i = 0; i < 200000 && !c->server->stop; i++) {
        if (raw_puts(c, line) < 0)
            return -1;
    }
    return -1;
}

static int raw_stream(struct raw_conn *c, int pieces, int pause_ms)
{
    raw_puts(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < pieces; i++) {
        raw_puts(c, "4\r\nline\r\n");
        usleep((useconds_t)pause_ms * 1000);
    }
    return raw_puts(c, "0\r\n\r\n");
}

/* Answers one request; negative = close the connection. */
static int raw_answer(struct raw_conn *c, const char *request, size_t len)
{
    char head[200];
    if (raw_is(request, "/echo")) {
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
        return raw_puts(c, head) < 0 || raw_write(c, request, len) < 0 ? -1 : 0;
    }
    if (raw_is(request, "/head"))
        return raw_puts(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nReplay-Nonce: n1\r\n\r\n");
    if (raw_is(request, "/missing"))
        return raw_puts(c, "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone");
    if (raw_is(request, "/redirect"))
        return raw_puts(c, "HTTP/1.1 302 F\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n");
    if (raw_is(request, "/interim"))
        return raw_puts(c, "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
                           "HTTP/1.1 200 OK\nX-Final: 2\nTransfer-Encoding: chunked\r\n"
                           "Trailer: X-Late\r\n\r\n2\r\nok\r\n0\r\nX-Late: 3\r\n\r\n");
    if (raw_is(request, "/stream"))
        return raw_stream(c, 5, 100);
    if (raw_is(request, "/slow"))
        return raw_stream(c, 25, 50);
    if (raw_is(request, "/announced"))
        return raw_puts(c, "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\nx"), -1;
    if (raw_is(request, "/flood"))
        return raw_flood(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                         "a\r\n0123456789\r\n");
    if (raw_is(request, "/headers"))
        return raw_flood(c, "HTTP/1.1 200 OK\r\n", "X-Header: 0123456789\r\n");
    if (raw_is(request, "/partial"))
        return raw_puts(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), -1;
    if (raw_is(request, "/nonsense"))
        return raw_puts(c, "SSH-2.0-OpenSSH_9.2\r\n"), -1;
    if (raw_is(request, "/silent")) {
        raw_puts(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        return raw_hang(c, 5000), -1;
    }
    if (raw_is(request, "/hang"))
        return raw_hang(c, 5000), -1;
    return -1; /* "/close": no answer at all */
}

static void *raw_serve(void *arg)
{
    struct raw_conn *c = arg;
    char *request = cm_malloc(RAW_REQUEST_MAX);
    size_t len;
    if (!c->ssl || SSL_accept(c->ssl) == 1) {
        while (!c->server->stop && (len = raw_request(c, request)) > 0) {
            c->server->requests++;
            if (raw_answer(c, request, len) < 0)
                break;
        }
    }
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
    }
    close(c->fd);
    cm_free(request);
    c->server->alive--;
    cm_free(c);
    return NULL;
}

static void *raw_accept(void *arg)
{
    struct raw_server *s = arg;
    while (!s->stop) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0)
            continue;
        struct raw_conn *c = cm_calloc(1, sizeof(*c));
        *c = (struct raw_conn){.server = s, .fd = accept(s->fd, NULL, NULL)};
        if (s->tls) {
            c->ssl = SSL_new(s->tls);
            SSL_set_fd(c->ssl, c->fd);
        }
        s->connections++;
        s->alive++;
        pthread_t thread;
        if (pthread_create(&thread, NULL, raw_serve, c) != 0)
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static void raw_start(struct raw_server *s, SSL_CTX *tls)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    memset(s, 0, sizeof(*s));
    s->tls = tls;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&addr, &len), 0);
    s->port = ntohs(addr.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, raw_accept, s), 0);
}

static void raw_stop(struct raw_server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    for (int i = 0; i < 500 && s->alive > 0; i++)
        usleep(10000);
    assert_int_equal(s->alive, 0);
    close(s->fd);
    SSL_CTX_free(s->tls);
}
