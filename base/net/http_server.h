/*
 * HTTP/1.1 server on the loop: listeners (TCP, TLS, Unix), connections, exchanges.
 *
 * One exchange at a time per connection.  A handler may answer at once, later (the exchange is
 * *parked*: on_close tells when the client vanished), or as a stream with back-pressure.
 */
#pragma once

#include "base/net/http_parse.h"
#include "base/net/loop.h"
#include "base/net/tls.h"

#define HTTP_HANDSHAKE_MS   10000 /* TLS handshake deadline */
#define HTTP_HEADER_MS      10000 /* first byte to complete header block */
#define HTTP_BODY_MS        30000 /* whole body, plus one second for every HTTP_BODY_RATE bytes */
#define HTTP_BODY_RATE      65536 /* slowest accepted upload, bytes a second */
#define HTTP_IDLE_MS        60000 /* between exchanges */
#define HTTP_WRITE_MS       60000 /* no progress while output is pending */
#define HTTP_LINGER_MS      3000  /* after our last byte: time for the client to read it */
#define HTTP_CONNS_MAX      2048  /* per listener */
#define HTTP_CONNS_PER_ADDR 256   /* per listener and client address (not for Unix sockets) */
#define HTTP_BODY_MAX       (16u << 20)  /* absolute cap; routes ask for less */
#define HTTP_BODIES_MAX     (128u << 20) /* all bodies held by one listener; beyond it 503 */
#define HTTP_OUT_HIGH       (256u << 10) /* stream back-pressure mark */
#define HTTP_OUT_MAX        (64u << 20)  /* output of one connection; beyond it it is cut */

struct http_listener;
struct http_exchange;

struct http_request {
    struct http_head head;
    const char *body; /* NUL-terminated; "" when none */
    size_t body_len;
    const char *remote;    /* "127.0.0.1:1234" or "unix" */
    const char *peer_spki; /* hex SHA-256 of the client certificate's SPKI, or NULL */
    bool tls;
    bool unix_socket;
    uint32_t peer_uid; /* of a Unix socket client (SO_PEERCRED), else (uint32_t)-1 */
};

/* Called when the head is complete, before the body is read.  Returns the largest body allowed for
 * this request (0 = none), or a negative HTTP status to refuse with at once (-401, -404, …). */
typedef int64_t (*http_limit_fn)(void *arg, const struct http_request *req);
/* Called when the request is complete.  Must lead to exactly one reply sooner or later. */
typedef void (*http_handler_fn)(void *arg, struct http_exchange *ex);

struct http_listen_opts {
    const char *address;    /* as for http_bind() – or NULL with fd */
    int fd;                 /* a bound stream socket (from the supervisor), or -1; the listener
                               owns it from the call on */
    struct tls_server *tls; /* NULL = plain; borrowed, outlives the listener */
    http_limit_fn limit;    /* NULL = no bodies */
    http_handler_fn handler;
    /* The body is larger than allowed and is not read: replies 413, at once; the connection ends
     * with that.  NULL = a line of text. */
    http_handler_fn too_large;
    void *arg;
    int conns_max, conns_per_addr;                           /* 0 = the defaults above */
    int handshake_ms, header_ms, body_ms, idle_ms, write_ms; /* 0 = defaults (tests lower them) */
};

/* Binds and listens on "127.0.0.1:8443", "[::1]:80" (IPv6 only, also for [::]) or "unix:/path"
 * (mode 0660; a stale socket is replaced, a live one refused).  *ret_fd is the caller's (for a
 * later http_listen).  Errors: CM_EINVAL, CM_ECONFLICT (taken), CM_EDENIED (port needs a right),
 * CM_EIO. */
int http_bind(const char *address, int *ret_fd, struct cm_err *err);
/* The same without listening: clients are refused until http_listen() gets the descriptor. */
int http_bind_closed(const char *address, int *ret_fd, struct cm_err *err);

int http_listen(struct cm_loop *loop, const struct http_listen_opts *opts,
                struct http_listener **ret, struct cm_err *err);
/* The bound address ("127.0.0.1:34567"), for port 0. */
const char *http_listener_address(const struct http_listener *listener);
/* Closes the socket and all its connections (parked exchanges get on_close). */
void http_listener_free(struct http_listener *listener);
size_t http_listener_connections(const struct http_listener *listener);

const struct http_request *http_ex_request(const struct http_exchange *ex);
/* Hands the body over (cm_free; NUL-terminated): for a handler that goes on with it after the
 * client may have vanished.  The request has none any more. */
char *http_ex_take_body(struct http_exchange *ex, size_t *ret_len);
/* Adds a reply header; name and value are copied.  A malformed name or a control byte in the value
 * is a bug of the caller: logged, the header is left out.  Framing headers are the server's own;
 * "Connection: close" ends the connection after this reply. */
void http_ex_header(struct http_exchange *ex, const char *name, const char *value);
/* Complete reply; body is copied.  After this ex must not be used.  content_type may be NULL.  No
 * handler and no on_close is ever called from inside the http_ex_* functions. */
void http_ex_reply(struct http_exchange *ex, int status, const char *content_type, const void *body,
                   size_t len);
/* Stream: chunked for HTTP/1.1.  write returns 0, or CM_EBUSY when more than HTTP_OUT_HIGH is
 * pending (the data was taken all the same: stop until on_drain). */
void http_ex_stream(struct http_exchange *ex, int status, const char *content_type);
int http_ex_write(struct http_exchange *ex, const void *data, size_t len);
void http_ex_on_drain(struct http_exchange *ex, cm_fn fn, void *arg);
void http_ex_end(struct http_exchange *ex); /* after this ex must not be used */
/* fn(arg) is called at most once, if the client vanishes or the listener is freed before the reply
 * has been handed over; ex is gone when it returns. */
void http_ex_on_close(struct http_exchange *ex, cm_fn fn, void *arg);

/* Replies {"error":…} style bodies are the callers' business; this is the reason phrase. */
const char *http_status_text(int status);
