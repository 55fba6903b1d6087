/*
 * The listener of TLS-ALPN-01 (RFC 8737 3): a handshake for acme-tls/1, then the end.
 *
 * What a client wants is read from its hello before anything is answered, so a certificate of a
 * challenge is never shown under another protocol.  No data is read or written after the handshake;
 * one timer bounds the whole connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "base/net/http_conn.h"
#include "base/net/tls.h"
#include "base/net/tls_alpn.h"

#define LISTEN_QUEUE   128
#define ACCEPTS_MAX    32  /* of one turn */
#define ACCEPT_NAP_MS  250 /* when there are no descriptors left */
#define HELLO_LIST_MAX 512 /* bytes of the ALPN list that is looked through */

struct conn {
    struct conn *next;
    struct tls_alpn *listener;
    int fd;
    SSL *ssl;
    struct cm_watch *watch;
    struct cm_timer *timer;
    struct http_addr addr;
    bool done; /* the handshake is over: waiting for the client to close */
};

struct tls_alpn {
    struct cm_loop *loop;
    SSL_CTX *ctx;
    int fd;
    struct cm_watch *watch;
    struct cm_timer *nap;
    struct conn *conns;
    size_t count;
    struct http_caps caps;
    tls_alpn_find_fn find;
    void *arg;
};

static void conn_free(struct conn *conn)
{
    struct tls_alpn *all = conn->listener;
    for (struct conn **at = &all->conns; *at; at = &(*at)->next) {
        if (*at == conn) {
            *at = conn->next;
            break;
        }
    }
    all->count--;
    http_caps_give(&all->caps, &conn->addr);
    cm_watch_free(conn->watch);
    cm_timer_free(conn->timer);
    SSL_free(conn->ssl);
    close(conn->fd);
    cm_free(conn);
}

/* ---- hello ---------------------------------------------------------------------------------- */

/* ProtocolNameList (RFC 7301 3.1): does it offer acme-tls/1? */
static bool offers_acme(SSL *ssl)
{
    const unsigned char *list = NULL;
    size_t len = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &list,
                                  &len) != 1 ||
        len < 2 || len > HELLO_LIST_MAX || ((size_t)list[0] << 8 | list[1]) != len - 2)
        return false;
    for (size_t at = 2; at < len; at += 1 + (size_t)list[at]) {
        size_t size = 1 + (size_t)list[at];
        if (at + size <= len && size == sizeof(tls_alpn_protocol) &&
            memcmp(list + at, tls_alpn_protocol, size) == 0)
            return true;
    }
    return false;
}

/* The one host_name of server_name (RFC 6066 3), in lower case. */
static bool server_name(SSL *ssl, char out[TLS_ALPN_SNI_MAX])
{
    const unsigned char *ext = NULL;
    size_t len = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1 || len < 5 ||
        ((size_t)ext[0] << 8 | ext[1]) != len - 2 || ext[2] != TLSEXT_NAMETYPE_host_name ||
        ((size_t)ext[3] << 8 | ext[4]) != len - 5 || len - 5 == 0 || len - 5 >= TLS_ALPN_SNI_MAX)
        return false;
    for (size_t i = 0; i < len - 5; i++) {
        unsigned char c = ext[5 + i];
        if (c <= ' ' || c >= 0x7f)
            return false;
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    out[len - 5] = '\0';
    return true;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    const struct tls_alpn *all = arg;
    char sni[TLS_ALPN_SNI_MAX];
    if (!offers_acme(ssl)) {
        *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
        return SSL_CLIENT_HELLO_ERROR;
    }
    const struct tls_alpn_cert *cert = server_name(ssl, sni) ? all->find(all->arg, sni) : NULL;
    if (!cert || !tls_alpn_cert_use(cert, ssl)) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)in; /* on_hello() has read it */
    (void)in_len;
    (void)arg;
    *out = tls_alpn_protocol + 1;
    *out_len = sizeof(tls_alpn_protocol) - 1;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_ctx(struct tls_alpn *all)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_client_hello_cb(ctx, on_hello, all);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    return ctx;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void on_ready(void *arg, int events)
{
    struct conn *conn = arg;
    (void)events;
    ERR_clear_error();
    if (conn->done) { /* whatever comes now is not for us: close_notify, the end, or data */
        conn_free(conn);
        return;
    }
    int rc = SSL_accept(conn->ssl);
    int why = SSL_get_error(conn->ssl, rc);
    if (rc == 1) {
        conn->done = true;
        SSL_shutdown(conn->ssl);
        cm_watch_set(conn->watch, CM_WATCH_READ);
    } else if (why == SSL_ERROR_WANT_READ) {
        cm_watch_set(conn->watch, CM_WATCH_READ);
    } else if (why == SSL_ERROR_WANT_WRITE) {
        cm_watch_set(conn->watch, CM_WATCH_WRITE);
    } else {
        conn_free(conn); /* the alert is sent */
    }
    ERR_clear_error();
}

static void on_time(void *arg)
{
    conn_free(arg);
}

static void take_conn(struct tls_alpn *all, int fd, const struct sockaddr *address)
{
    struct http_addr addr = http_addr_of(address);
    if (all->count >= TLS_ALPN_CONNS_MAX ||
        !http_caps_take(&all->caps, &addr, TLS_ALPN_CONNS_PER_ADDR)) {
        close(fd);
        return;
    }
    struct conn *conn = cm_calloc(1, sizeof(*conn));
    *conn = (struct conn){.next = all->conns, .listener = all, .fd = fd, .addr = addr};
    all->conns = conn;
    all->count++;
    conn->watch = cm_watch_new(all->loop, fd, on_ready, conn);
    conn->timer = cm_timer_new(all->loop, on_time, conn);
    conn->ssl = SSL_new(all->ctx);
    if (!conn->ssl || SSL_set_fd(conn->ssl, fd) != 1) {
        ERR_clear_error();
        conn_free(conn);
        return;
    }
    SSL_set_accept_state(conn->ssl);
    cm_timer_start(conn->timer, TLS_ALPN_HANDSHAKE_MS);
    cm_watch_set(conn->watch, CM_WATCH_READ);
}

static void on_connection(void *arg, int events)
{
    struct tls_alpn *all = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof(address);
        int fd = accept4(all->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take_conn(all, fd, (const struct sockaddr *)&address);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            cm_watch_set(all->watch, 0);
            cm_timer_start(all->nap, ACCEPT_NAP_MS);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

static void on_nap_over(void *arg)
{
    struct tls_alpn *all = arg;
    cm_watch_set(all->watch, CM_WATCH_READ);
}

/* ---- listener ------------------------------------------------------------------------------- */

int tls_alpn_listen(struct cm_loop *loop, int take_fd, tls_alpn_find_fn find, void *arg,
                    struct tls_alpn **ret, struct cm_err *err)
{
    struct tls_alpn *all = cm_calloc(1, sizeof(*all));
    *all = (struct tls_alpn){.loop = loop, .fd = take_fd, .find = find, .arg = arg};
    http_caps_init(&all->caps);
    all->nap = cm_timer_new(loop, on_nap_over, all);
    all->ctx = make_ctx(all);
    int rc = 0;
    if (!all->ctx)
        rc = tls_fail(err, CM_ECRYPTO, "OpenSSL refuses the TLS policy");
    else if (fcntl(take_fd, F_SETFL, O_NONBLOCK) != 0 || listen(take_fd, LISTEN_QUEUE) != 0)
        rc = cm_fail_errno(err, errno, "cannot listen for TLS-ALPN-01");
    if (rc < 0) {
        tls_alpn_close(all);
        return rc;
    }
    all->watch = cm_watch_new(loop, take_fd, on_connection, all);
    cm_watch_set(all->watch, CM_WATCH_READ);
    *ret = all;
    return 0;
}

void tls_alpn_close(struct tls_alpn *all)
{
    if (!all)
        return;
    while (all->conns)
        conn_free(all->conns);
    if (all->watch)
        cm_watch_free(all->watch);
    cm_timer_free(all->nap);
    SSL_CTX_free(all->ctx);
    http_caps_fini(&all->caps);
    close(all->fd);
    cm_free(all);
}

size_t tls_alpn_connections(const struct tls_alpn *all)
{
    return all->count;
}
