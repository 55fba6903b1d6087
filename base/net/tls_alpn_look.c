/* One handshake as a CA does it for TLS-ALPN-01 (RFC 8737 3), on a non-blocking socket. */
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "base/net/tls.h"
#include "base/net/tls_alpn.h"

#define HINT_BESIDE "docs/beside-a-web-server.md"

struct tls_alpn_look {
    char name[HOSTNAME_MAX];
    uint8_t digest[TLS_ALPN_DIGEST];
    int fd, port;
    SSL_CTX *ctx;
    SSL *ssl;
    struct cm_watch *watch;
    struct cm_timer *timer;
    int timeout_ms;
    bool begun, connected;
    int sys_errno;
    struct cm_err err; /* of the beginning */
    tls_alpn_look_fn fn;
    void *arg;
};

void tls_alpn_look_cancel(struct tls_alpn_look *look)
{
    if (!look)
        return;
    if (look->watch)
        cm_watch_free(look->watch);
    cm_timer_free(look->timer);
    SSL_free(look->ssl);
    SSL_CTX_free(look->ctx);
    if (look->fd >= 0)
        close(look->fd);
    cm_err_fini(&look->err);
    cm_free(look);
}

static void finish(struct tls_alpn_look *look, struct cm_err *err)
{
    tls_alpn_look_fn fn = look->fn;
    void *arg = look->arg;
    struct tls_alpn_seen seen = {.proved = !err, .sys_errno = look->sys_errno, .err = err};
    ERR_clear_error();
    tls_alpn_look_cancel(look);
    fn(arg, &seen);
}

/* err's sentence is there already; hint NULL = the usual one. */
static void fail(struct tls_alpn_look *look, struct cm_err *err, const char *hint)
{
    cm_err_hint(err, "%s",
                hint ? hint
                     : "let what listens there pass connections with ALPN acme-tls/1 on to "
                       "CertMgr's tls_challenge_port, unopened (" HINT_BESIDE ")");
    finish(look, err);
    cm_err_fini(err);
}

static void fail_errno(struct tls_alpn_look *look, int number)
{
    struct cm_err err = CM_ERR_INIT;
    look->sys_errno = number;
    if (number == ECONNREFUSED)
        cm_fail(&err, CM_ENET, "nothing listens there on port %d (connection refused)", look->port);
    else
        cm_fail(&err, CM_ENET, "it cannot be reached (%s)", cm_errno_text(number));
    fail(look, &err,
         "let CertMgr ([server] tls_challenge_port) or the web server in front of it listen there, "
         "or correct the address record (" HINT_BESIDE ")");
}

/* ---- handshake ------------------------------------------------------------------------------ */

static void judge(struct tls_alpn_look *look)
{
    struct cm_err err = CM_ERR_INIT;
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    X509 *cert = SSL_get0_peer_certificate(look->ssl);
    SSL_get0_alpn_selected(look->ssl, &chosen, &len);
    if (len + 1 != sizeof(tls_alpn_protocol) || memcmp(chosen, tls_alpn_protocol + 1, len) != 0)
        cm_fail(&err, CM_EPEER, "TLS is answered there, but not for ALPN acme-tls/1");
    else if (!cert)
        cm_fail(&err, CM_EPEER, "no certificate was shown");
    else if (tls_alpn_judge(cert, look->name, look->digest, &err) == 0) {
        finish(look, NULL);
        return;
    }
    fail(look, &err, NULL);
}

/* The peer's alert tells most. */
static void fail_handshake(struct tls_alpn_look *look, int ssl_error)
{
    struct cm_err err = CM_ERR_INIT;
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    char text[256] = "the connection was closed";
    if (code != 0)
        ERR_error_string_n(code, text, sizeof(text));
    if (reason == SSL_AD_REASON_OFFSET + SSL_AD_UNRECOGNIZED_NAME)
        cm_fail(&err, CM_EPEER, "the server there does not know this challenge (yet)");
    else if (reason == SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL)
        cm_fail(&err, CM_EPEER, "TLS is answered there, but not for ALPN acme-tls/1");
    else
        cm_fail(&err, CM_EPEER, "the TLS handshake failed%s",
                ssl_error == SSL_ERROR_SYSCALL ? " (connection closed)" : "");
    if (err.code != 0 && code != 0)
        cm_err_cause(&err, "%s", text);
    fail(look, &err, NULL);
}

static void on_ready(void *arg, int events)
{
    struct tls_alpn_look *look = arg;
    int number = 0;
    socklen_t size = sizeof(number);
    (void)events;
    if (!look->connected) {
        if (getsockopt(look->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
            number = errno;
        if (number != 0) {
            fail_errno(look, number);
            return;
        }
        look->connected = true;
    }
    ERR_clear_error();
    int rc = SSL_connect(look->ssl);
    int why = SSL_get_error(look->ssl, rc);
    if (rc == 1)
        judge(look);
    else if (why == SSL_ERROR_WANT_READ)
        cm_watch_set(look->watch, CM_WATCH_READ);
    else if (why == SSL_ERROR_WANT_WRITE)
        cm_watch_set(look->watch, CM_WATCH_WRITE);
    else
        fail_handshake(look, why);
}

/* ---- beginning ------------------------------------------------------------------------------ */

static int make_ssl(struct tls_alpn_look *look, struct cm_err *err)
{
    char sni[TLS_ALPN_SNI_MAX];
    tls_alpn_sni(look->name, sni);
    look->ctx = SSL_CTX_new(TLS_client_method());
    look->ssl = look->ctx ? SSL_new(look->ctx) : NULL;
    if (!look->ssl || SSL_set_fd(look->ssl, look->fd) != 1 ||
        SSL_set_min_proto_version(look->ssl, TLS1_2_VERSION) != 1 ||
        SSL_set_alpn_protos(look->ssl, tls_alpn_protocol, sizeof(tls_alpn_protocol)) != 0 ||
        SSL_ctrl(look->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sni) != 1)
        return tls_fail(err, CM_ECRYPTO, "OpenSSL could not prepare a connection");
    SSL_set_verify(look->ssl, SSL_VERIFY_NONE, NULL); /* self-signed: it is judged afterwards */
    return 0;
}

static int begin(struct tls_alpn_look *look, const char *address, struct cm_err *err)
{
    char port[16];
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof(port), "%d", look->port);
    if (getaddrinfo(address, port, &hints, &found) != 0 || !found)
        return cm_fail(err, CM_EINVAL, "\"%.60s\" is no address", address);
    look->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = look->fd < 0 ? cm_fail_errno(err, errno, "no socket") : make_ssl(look, err);
    if (rc == 0 && connect(look->fd, found->ai_addr, found->ai_addrlen) != 0 &&
        errno != EINPROGRESS) {
        look->sys_errno = errno;
        rc = cm_fail(err, CM_ENET, "it cannot be reached (%s)", cm_errno_text(errno));
    }
    freeaddrinfo(found);
    return rc;
}

static void on_time(void *arg)
{
    struct tls_alpn_look *look = arg;
    struct cm_err err = CM_ERR_INIT;
    if (!look->begun) { /* the beginning failed: told from the loop */
        err = look->err;
        look->err = CM_ERR_INIT;
        fail(look, &err, look->sys_errno ? "correct the address record or the route to it" : NULL);
        return;
    }
    cm_fail(&err, CM_ETIMEOUT, "no answer within %d s", look->timeout_ms / 1000);
    fail(look, &err, look->connected ? NULL : "open the port in the firewall there");
}

struct tls_alpn_look *tls_alpn_look(struct cm_loop *loop, const char *address, int port,
                                    const char *name, const uint8_t digest[TLS_ALPN_DIGEST],
                                    int timeout_ms, tls_alpn_look_fn fn, void *arg)
{
    struct tls_alpn_look *look = cm_calloc(1, sizeof(*look));
    *look = (struct tls_alpn_look){
        .fd = -1, .port = port, .timeout_ms = timeout_ms, .fn = fn, .arg = arg};
    (void)cm_strcpy(look->name, sizeof(look->name), name);
    memcpy(look->digest, digest, TLS_ALPN_DIGEST);
    look->timer = cm_timer_new(loop, on_time, look);
    look->begun = begin(look, address, &look->err) == 0;
    if (look->begun) {
        look->watch = cm_watch_new(loop, look->fd, on_ready, look);
        cm_watch_set(look->watch, CM_WATCH_WRITE);
    }
    cm_timer_start(look->timer, look->begun ? timeout_ms : 0);
    return look;
}
