/*
 * Connected sockets only: the kernel drops what comes from elsewhere.  The same bytes are sent
 * again after silence, so a server may see them twice.
 */
#include "base/net/dns_exchange.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/mem.h"

#define HEADER_SIZE  12
#define FLAGS_AT     2
#define TRUNCATED    0x02
#define UDP_TRIES    3
#define UDP_FIRST_MS 1500 /* doubled with each try */
#define TCP_LIMIT_MS 10000

struct dns_exchange {
    struct cm_loop *loop;
    dns_exchange_fn fn;
    void *arg;
    struct cm_timer *timer;
    struct cm_watch *watch;
    int fd;
    struct sockaddr_storage to;
    socklen_t to_size;
    char address[INET6_ADDRSTRLEN];
    unsigned port, tries;
    bool tcp;
    int error;        /* errno of the last failure */
    uint8_t *message; /* two bytes of length, then the message (RFC 1035 4.2.2) */
    size_t len;       /* of the message */
    size_t sent, got; /* TCP, with the length */
    /* Last, and not zeroed. */
    uint8_t answer[2 + DNS_MESSAGE_MAX];
};

static bool to_sockaddr(const char *address, unsigned port, struct sockaddr_storage *to,
                        socklen_t *size)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    *to = (struct sockaddr_storage){0};
    if (port == 0 || port > UINT16_MAX)
        return false;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *size = sizeof(*v4);
        return true;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    *size = sizeof(*v6);
    return inet_pton(AF_INET6, address, &v6->sin6_addr) == 1;
}

bool dns_routable(const char *address)
{
    struct sockaddr_storage to;
    socklen_t size;
    if (!to_sockaddr(address, 53, &to, &size))
        return false;
    int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool way = connect(fd, (struct sockaddr *)&to, size) == 0;
    close(fd);
    return way;
}

static void close_socket(struct dns_exchange *x)
{
    cm_watch_free(x->watch);
    x->watch = NULL;
    if (x->fd >= 0)
        close(x->fd);
    x->fd = -1;
}

void dns_exchange_cancel(struct dns_exchange *x)
{
    if (!x)
        return;
    close_socket(x);
    cm_timer_free(x->timer);
    cm_free(x->message);
    cm_free(x);
}

static void succeed(struct dns_exchange *x, const uint8_t *answer, size_t len)
{
    x->fn(x->arg, answer, len, NULL);
    dns_exchange_cancel(x);
}

static void fail(struct dns_exchange *x)
{
    struct cm_err err = CM_ERR_INIT;
    const char *how = x->tcp ? "TCP" : "UDP";
    if (x->error == EINVAL) {
        cm_fail(&err, CM_EINVAL, "\"%s\" port %u is no address of a DNS server", x->address,
                x->port);
    } else if (x->error == 0 || x->error == ETIMEDOUT) {
        cm_fail(&err, CM_ETIMEOUT, "the DNS server %s port %u gave no answer over %s in time",
                x->address, x->port, how);
        err.retry = CM_RETRY_TRANSIENT;
    } else {
        cm_fail(&err, CM_ENET, "the DNS server %s port %u cannot be reached over %s", x->address,
                x->port, how);
        cm_err_cause(&err, "%s", cm_errno_text(x->error));
        err.retry = CM_RETRY_TRANSIENT;
    }
    x->fn(x->arg, NULL, 0, &err);
    cm_err_fini(&err);
    dns_exchange_cancel(x);
}

/* Ends on the next turn. */
static void fail_soon(struct dns_exchange *x, int error)
{
    close_socket(x);
    x->error = error;
    x->tries = UDP_TRIES;
    cm_timer_start(x->timer, 0);
}

static bool is_ours(const struct dns_exchange *x, const uint8_t *answer, size_t len)
{
    return len >= HEADER_SIZE && memcmp(answer, x->message + 2, 2) == 0 && (answer[2] & 0x80);
}

static bool open_socket(struct dns_exchange *x, int type, cm_watch_fn fn)
{
    x->fd = socket(x->to.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (x->fd < 0 ||
        (connect(x->fd, (struct sockaddr *)&x->to, x->to_size) < 0 && errno != EINPROGRESS)) {
        fail_soon(x, errno);
        return false;
    }
    x->watch = cm_watch_new(x->loop, x->fd, fn, x);
    return true;
}

/* ---- TCP ---------------------------------------------------------------------------------- */

static void tcp_send(struct dns_exchange *x)
{
    ssize_t n = send(x->fd, x->message + x->sent, x->len + 2 - x->sent, MSG_NOSIGNAL);
    if (n >= 0)
        x->sent += (size_t)n;
    else if (errno != EAGAIN && errno != EINTR)
        fail_soon(x, errno);
    if (x->watch && x->sent == x->len + 2)
        cm_watch_set(x->watch, CM_WATCH_READ);
}

static void tcp_read(struct dns_exchange *x)
{
    size_t want = x->got < 2 ? 2 : 2u + ((size_t)x->answer[0] << 8 | x->answer[1]);
    ssize_t n = recv(x->fd, x->answer + x->got, want - x->got, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            fail_soon(x, n == 0 ? ECONNRESET : errno);
        return;
    }
    x->got += (size_t)n;
    if (x->got < 2)
        return;
    want = 2u + ((size_t)x->answer[0] << 8 | x->answer[1]);
    if (x->got < want)
        return;
    if (is_ours(x, x->answer + 2, want - 2))
        succeed(x, x->answer + 2, want - 2);
    else
        fail_soon(x, EBADMSG);
}

static void on_tcp(void *arg, int events)
{
    struct dns_exchange *x = arg;
    if (x->sent < x->len + 2)
        tcp_send(x);
    else if (events & CM_WATCH_READ)
        tcp_read(x);
}

static void go_tcp(struct dns_exchange *x)
{
    close_socket(x);
    x->tcp = true;
    x->error = 0;
    if (!open_socket(x, SOCK_STREAM, on_tcp))
        return;
    cm_watch_set(x->watch, CM_WATCH_WRITE);
    cm_timer_start(x->timer, TCP_LIMIT_MS);
}

/* ---- UDP ---------------------------------------------------------------------------------- */

static void on_udp(void *arg, int events)
{
    struct dns_exchange *x = arg;
    (void)events;
    ssize_t n = recv(x->fd, x->answer, sizeof(x->answer), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) { /* nobody listens on UDP there; perhaps on TCP */
        go_tcp(x);
        return;
    }
    if (!is_ours(x, x->answer, (size_t)n))
        return; /* late or forged: wait on */
    if (x->answer[FLAGS_AT] & TRUNCATED)
        go_tcp(x);
    else
        succeed(x, x->answer, (size_t)n);
}

static void udp_send(struct dns_exchange *x)
{
    if (!x->watch && !open_socket(x, SOCK_DGRAM, on_udp))
        return;
    cm_watch_set(x->watch, CM_WATCH_READ);
    if (send(x->fd, x->message + 2, x->len, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
        if (errno == ECONNREFUSED)
            go_tcp(x);
        else
            fail_soon(x, errno);
        return;
    }
    cm_timer_start(x->timer, (int64_t)UDP_FIRST_MS << x->tries);
    x->tries++;
}

static void on_timer(void *arg)
{
    struct dns_exchange *x = arg;
    if (x->error != 0 || x->tcp || x->tries >= UDP_TRIES)
        fail(x);
    else if (x->len > DNS_UDP_MAX)
        go_tcp(x);
    else
        udp_send(x);
}

/* ---- public ------------------------------------------------------------------------------- */

struct dns_exchange *dns_exchange(struct cm_loop *loop, const char *address, unsigned port,
                                  const uint8_t *message, size_t len, dns_exchange_fn fn, void *arg)
{
    CM_BUG_ON(len < HEADER_SIZE || len > DNS_MESSAGE_MAX);
    struct dns_exchange *x = cm_malloc(sizeof(*x));
    memset(x, 0, offsetof(struct dns_exchange, answer)); /* 64 KiB that few answers fill */
    x->loop = loop;
    x->fn = fn;
    x->arg = arg;
    x->fd = -1;
    x->port = port;
    x->timer = cm_timer_new(loop, on_timer, x);
    x->len = len;
    x->message = cm_malloc(len + 2);
    x->message[0] = (uint8_t)(len >> 8);
    x->message[1] = (uint8_t)len;
    memcpy(x->message + 2, message, len);
    if (cm_strcpy(x->address, sizeof(x->address), address) < 0 ||
        !to_sockaddr(address, port, &x->to, &x->to_size))
        x->error = EINVAL;
    cm_timer_start(x->timer, 0);
    return x;
}
