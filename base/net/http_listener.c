/*
 * HTTP listeners: accept, count, refuse.
 *
 * A connection over a cap is accepted and closed at once: left in the backlog it would delay
 * everybody behind it (reference/http-base.md finding 3).
 */
#include "base/net/http_conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define LISTEN_QUEUE      511
#define KEEPALIVE_SECONDS 60    /* a parked client that lost its power is noticed by TCP */
#define UNHEARD_MS        20000 /* … and one that takes nothing of what was sent to it (RFC 5482) */
#define FULL_LOG_EVERY_MS 60000

static void address_text(const struct sockaddr_storage *ss, socklen_t len, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct cm_buf text;

    cm_buf_init(&text, size - 1);
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
        uv_ip4_name(in, host, sizeof(host));
        cm_buf_printf(&text, "%s:%u", host, (unsigned)ntohs(in->sin_port));
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
        uv_ip6_name(in6, host, sizeof(host));
        cm_buf_printf(&text, "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_un *sun = (const struct sockaddr_un *)ss;
        size_t n = len > offsetof(struct sockaddr_un, sun_path)
                       ? strnlen(sun->sun_path, len - offsetof(struct sockaddr_un, sun_path))
                       : 0;
        cm_buf_printf(&text, "unix:%.*s", (int)n, sun->sun_path);
    }
    cm_strcpy(out, size, cm_buf_str(&text));
    cm_buf_fini(&text);
}

/* ---- connections --------------------------------------------------------------------------- */

/* Who is it?  False when the client is gone already. */
static bool identify(struct http_conn *conn)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    uv_os_fd_t fd;

    if (uv_fileno(&conn->u.handle, &fd) < 0)
        return false;
    if (conn->listener->unix_socket) {
        struct ucred cred;
        socklen_t cred_len = sizeof(cred);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
            return false;
        conn->peer_uid = cred.uid;
        cm_strcpy(conn->remote, sizeof(conn->remote), "unix");
        return true;
    }
    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
        return false;
    conn->addr = http_addr_of((const struct sockaddr *)&ss);
    address_text(&ss, len, conn->remote, sizeof(conn->remote));
    return true;
}

static void log_full(struct http_listener *listener, const struct http_conn *conn, const char *why)
{
    int64_t now = cm_mono_ms();

    if (listener->full_logged != 0 && now - listener->full_logged < FULL_LOG_EVERY_MS)
        return;
    listener->full_logged = now == 0 ? 1 : now;
    cm_log(CM_LOG_WARN, "http", NULL, "listener %s closes connections at once: %s (last: %s)",
           listener->address, why, conn->remote);
}

static bool enter(struct http_conn *conn)
{
    struct http_listener *listener = conn->listener;

    if (listener->count >= (size_t)listener->opts.conns_max) {
        log_full(listener, conn, "too many connections");
        return false;
    }
    if (!listener->unix_socket &&
        !http_caps_take(&listener->caps, &conn->addr, listener->opts.conns_per_addr)) {
        log_full(listener, conn, "too many connections of one address");
        return false;
    }
    conn->next = listener->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    listener->conns = conn;
    listener->count++;
    return true;
}

void http_listener_leave(struct http_conn *conn)
{
    struct http_listener *listener = conn->listener;

    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        listener->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    conn->prev = conn->next = NULL;
    listener->count--;
    if (!listener->unix_socket)
        http_caps_give(&listener->caps, &conn->addr);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct http_listener *listener = server->data;

    if (status < 0 || listener->closed)
        return;
    struct http_conn *conn = http_conn_new(listener);
    if (uv_accept(server, &conn->u.stream) < 0 || !identify(conn) || !enter(conn))
        http_conn_drop(conn);
    else
        http_conn_open(conn);
}

/* ---- listeners ----------------------------------------------------------------------------- */

void http_listener_unref(struct http_listener *listener)
{
    if (--listener->refs > 0)
        return;
    http_caps_fini(&listener->caps);
    cm_free(listener->unlink_path);
    cm_free(listener);
}

static void on_listener_closed(uv_handle_t *handle)
{
    http_listener_unref(handle->data);
}

static int or_default(int value, int fallback)
{
    return value > 0 ? value : fallback;
}

static struct http_listener *listener_new(struct cm_loop *loop, const struct http_listen_opts *opts)
{
    struct http_listener *listener = cm_calloc(1, sizeof(*listener));
    struct http_listen_opts *own = &listener->opts;

    listener->loop = loop;
    listener->refs = 1;
    *own = *opts;
    own->address = NULL;
    own->fd = -1;
    own->conns_max = or_default(own->conns_max, HTTP_CONNS_MAX);
    own->conns_per_addr = or_default(own->conns_per_addr, HTTP_CONNS_PER_ADDR);
    own->handshake_ms = or_default(own->handshake_ms, HTTP_HANDSHAKE_MS);
    own->header_ms = or_default(own->header_ms, HTTP_HEADER_MS);
    own->body_ms = or_default(own->body_ms, HTTP_BODY_MS);
    own->idle_ms = or_default(own->idle_ms, HTTP_IDLE_MS);
    own->write_ms = or_default(own->write_ms, HTTP_WRITE_MS);
    http_caps_init(&listener->caps);
    return listener;
}

/* A stream socket of a family that we serve; its name becomes the listener's address. */
static int inspect(struct http_listener *listener, int fd, struct cm_err *err)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss), type_len = sizeof(int);
    int type = 0;

    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_STREAM ||
        (ss.ss_family != AF_INET && ss.ss_family != AF_INET6 && ss.ss_family != AF_UNIX))
        return cm_fail(err, CM_EINVAL, "descriptor %d is not a listening socket", fd);
    listener->unix_socket = ss.ss_family == AF_UNIX;
    address_text(&ss, len, listener->address, sizeof(listener->address));
    return 0;
}

/* Takes fd over, also on failure. */
static int adopt(struct http_listener *listener, int fd, struct cm_err *err)
{
    uv_loop_t *uv = cm_loop_uv(listener->loop);
    int r = inspect(listener, fd, err);

    if (r < 0) {
        close(fd);
        http_listener_unref(listener);
        return r;
    }
    if (listener->unix_socket)
        uv_pipe_init(uv, &listener->u.pipe, 0);
    else
        uv_tcp_init(uv, &listener->u.tcp);
    listener->u.handle.data = listener;
    r = listener->unix_socket ? uv_pipe_open(&listener->u.pipe, fd)
                              : uv_tcp_open(&listener->u.tcp, fd);
    if (r == 0 && !listener->unix_socket) { /* accepted connections inherit these (tcp(7)) */
        uv_tcp_nodelay(&listener->u.tcp, 1);
        uv_tcp_keepalive(&listener->u.tcp, 1, KEEPALIVE_SECONDS);
        unsigned unheard = UNHEARD_MS;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard, sizeof(unheard));
    }
    if (r < 0)
        close(fd);
    else
        r = uv_listen(&listener->u.stream, LISTEN_QUEUE, on_connection);
    if (r == 0)
        return 0;
    cm_fail(err, CM_EIO, "cannot listen on %s", listener->address);
    if (err != NULL)
        cm_err_cause(err, "%s", uv_strerror(r));
    http_listener_free(listener);
    return CM_EIO;
}

int http_listen(struct cm_loop *loop, const struct http_listen_opts *opts,
                struct http_listener **ret, struct cm_err *err)
{
    int fd = opts->fd;
    int r = opts->address == NULL ? 0 : http_bind(opts->address, &fd, err);

    CM_BUG_ON(opts->handler == NULL);
    if (r < 0)
        return r;
    struct http_listener *listener = listener_new(loop, opts);
    if (opts->address != NULL && strncmp(opts->address, "unix:", 5) == 0)
        listener->unlink_path = cm_strdup(opts->address + 5);
    r = adopt(listener, fd, err);
    if (r == 0)
        *ret = listener;
    return r;
}

const char *http_listener_address(const struct http_listener *listener)
{
    return listener->address;
}

size_t http_listener_connections(const struct http_listener *listener)
{
    return listener->count;
}

void http_listener_free(struct http_listener *listener)
{
    if (listener == NULL || listener->closed)
        return;
    listener->closed = true;
    uv_close(&listener->u.handle, on_listener_closed);
    if (listener->unlink_path != NULL)
        unlink(listener->unlink_path);
    while (listener->conns != NULL)
        http_conn_close(listener->conns);
}
