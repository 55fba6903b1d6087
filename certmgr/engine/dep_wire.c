/*
 * A look at a TLS port: which leaf does it serve for this name?
 *
 * A plain OpenSSL client on a non-blocking socket.  Nothing is trusted and nothing is sent beyond
 * the handshake, so any certificate is accepted: only its fingerprint is wanted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/num.h"
#include "base/net/hostname.h"
#include "certmgr/engine/dep_run.h"

#define LOOK_MS 5000 /* connect and handshake together */

struct look {
    struct look *next;
    struct cm_loop *loop;
    char address[128];
    int fd;
    SSL *ssl;
    struct cm_watch *watch;
    struct cm_timer *timer;
    bool connected;
    struct cm_err err; /* of a deferred answer */
    dep_wire_fn done;
    void *done_arg;
};

/* Looks under way, so that they can be cancelled by what they answer to. */
static struct look *looks;
static SSL_CTX *client_ctx; /* made at the first look, kept */

static void look_free(struct look *look)
{
    for (struct look **at = &looks; *at; at = &(*at)->next) {
        if (*at == look) {
            *at = look->next;
            break;
        }
    }
    if (look->watch)
        cm_watch_free(look->watch);
    cm_timer_free(look->timer);
    SSL_free(look->ssl);
    if (look->fd >= 0)
        close(look->fd);
    cm_err_fini(&look->err);
    cm_free(look);
}

static void answer(struct look *look, const char *fingerprint, struct cm_err *err)
{
    dep_wire_fn done = look->done;
    void *arg = look->done_arg;
    look_free(look);
    done(arg, fingerprint, err);
}

static void fail_look(struct look *look, int code, const char *what, const char *why)
{
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, code, "%s %s", look->address, what);
    if (why)
        cm_err_cause(&err, "%s", why);
    answer(look, NULL, &err);
    cm_err_fini(&err);
}

/* ---- handshake ----------------------------------------------------------------------------------
 */

static void report_leaf(struct look *look)
{
    X509 *leaf = SSL_get1_peer_certificate(look->ssl);
    uint8_t digest[CM_SHA256_SIZE];
    unsigned len = 0;
    bool ok = leaf && X509_digest(leaf, EVP_sha256(), digest, &len) == 1 && len == sizeof(digest);
    X509_free(leaf);
    if (!ok) {
        fail_look(look, CM_EPEER, "showed no certificate", NULL);
        return;
    }
    char fingerprint[CM_SHA256_HEX];
    cm_hex(digest, sizeof(digest), fingerprint);
    answer(look, fingerprint, NULL);
}

static void handshake(struct look *look)
{
    ERR_clear_error();
    int rc = SSL_connect(look->ssl);
    if (rc == 1) {
        report_leaf(look);
        return;
    }
    switch (SSL_get_error(look->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        cm_watch_set(look->watch, CM_WATCH_READ);
        return;
    case SSL_ERROR_WANT_WRITE:
        cm_watch_set(look->watch, CM_WATCH_WRITE);
        return;
    default: {
        char text[256];
        ERR_error_string_n(ERR_get_error(), text, sizeof(text));
        ERR_clear_error();
        /* A server that asks for a client certificate has shown its own by then. */
        X509 *leaf = SSL_get0_peer_certificate(look->ssl);
        if (leaf)
            report_leaf(look);
        else
            fail_look(look, CM_EPEER, "does not complete a TLS handshake", text);
    }
    }
}

static void on_ready(void *arg, int events)
{
    struct look *look = arg;
    (void)events;
    if (!look->connected) {
        int error = 0;
        socklen_t size = sizeof(error);
        if (getsockopt(look->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
        if (error != 0) {
            fail_look(look, CM_ENET, "cannot be reached", cm_errno_text(error));
            return;
        }
        look->connected = true;
    }
    handshake(look);
}

static void on_time(void *arg)
{
    fail_look(arg, CM_ETIMEOUT, "does not answer in time", NULL);
}

/* ---- start
 * --------------------------------------------------------------------------------------- */

/* "127.0.0.1:443" or "[::1]:443": numbers only, so that nothing here waits for a resolver. */
static int parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                         struct cm_err *err)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    int64_t port = 0;
    size_t len = colon ? (size_t)(colon - text) : 0;
    const char *start = text;
    if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
        start++;
        len -= 2;
    }
    if (!colon || len == 0 || len >= sizeof(host) || cm_num_i64(colon + 1, 1, 65535, &port) != 0)
        return cm_fail(err, CM_EINVAL, "check = \"%.100s\" is not address:port", text);
    memcpy(host, start, len);
    host[len] = '\0';
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0 || !found)
        return cm_fail(err, CM_EINVAL, "check = \"%.100s\": the address must be numeric", text);
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int make_ssl(struct look *look, const char *server_name, struct cm_err *err)
{
    if (!client_ctx)
        client_ctx = SSL_CTX_new(TLS_client_method());
    look->ssl = client_ctx ? SSL_new(client_ctx) : NULL;
    if (!look->ssl || SSL_set_fd(look->ssl, look->fd) != 1)
        return cm_fail(err, CM_ECRYPTO, "OpenSSL could not prepare a connection");
    SSL_set_verify(look->ssl, SSL_VERIFY_NONE, NULL);
    if (server_name && *server_name && !hostname_is_ip(server_name) &&
        SSL_ctrl(look->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)server_name) != 1) /* the macro casts const away */
        return cm_fail(err, CM_EINVAL, "\"%.100s\" is no server name", server_name);
    return 0;
}

static int begin(struct look *look, const char *server_name, struct cm_err *err)
{
    struct sockaddr_storage address = {0};
    socklen_t len = 0;
    int rc = parse_address(look->address, &address, &len, err);
    if (rc != 0)
        return rc;
    look->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (look->fd < 0)
        return cm_fail_errno(err, errno, "no socket for the look at %s", look->address);
    rc = make_ssl(look, server_name, err);
    if (rc != 0)
        return rc;
    if (connect(look->fd, (const struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS) {
        cm_fail(err, CM_ENET, "%s cannot be reached", look->address);
        cm_err_cause(err, "%s", cm_errno_text(errno));
        return CM_ENET;
    }
    look->watch = cm_watch_new(look->loop, look->fd, on_ready, look);
    cm_watch_set(look->watch, CM_WATCH_WRITE);
    cm_timer_start(look->timer, LOOK_MS);
    return 0;
}

static void on_refused(void *arg)
{
    struct look *look = arg;
    struct cm_err err = look->err;
    look->err = CM_ERR_INIT;
    answer(look, NULL, &err);
    cm_err_fini(&err);
}

static void wire_look(void *arg, const char *address, const char *server_name, dep_wire_fn done,
                      void *done_arg)
{
    struct look *look = cm_calloc(1, sizeof(*look));
    *look = (struct look){.next = looks, .loop = arg, .fd = -1, .done = done, .done_arg = done_arg};
    looks = look;
    look->timer = cm_timer_new(arg, on_time, look);
    if (cm_strcpy(look->address, sizeof(look->address), address) == 0 &&
        begin(look, server_name, &look->err) == 0)
        return;
    if (look->err.code == 0)
        cm_fail(&look->err, CM_ELIMIT, "check = \"%.60s…\" is too long", address);
    cm_timer_free(look->timer);
    look->timer = cm_timer_new(arg, on_refused, look);
    cm_timer_start(look->timer, 0);
}

static void wire_cancel(void *arg, void *done_arg)
{
    (void)arg;
    struct look *next;
    for (struct look *look = looks; look; look = next) {
        next = look->next;
        if (look->done_arg == done_arg)
            look_free(look);
    }
}

struct dep_wire dep_wire_tls(struct cm_loop *loop)
{
    return (struct dep_wire){.arg = loop, .look = wire_look, .cancel = wire_cancel};
}
