/*
 * Inside of the HTTP server: what listener, connection, transport and exchange share.
 *
 * http_listener.c accepts and counts; http_io.c moves bytes (socket, TLS); http_conn.c is the state
 * machine over them; http_exchange.c makes replies.  Included by these files alone.
 *
 * One rule keeps pointers valid: a connection is torn down only from the loop (read, write, timer,
 * accept) or by http_listener_free(), never inside a http_ex_* call of a handler; errors found
 * there set `broken` and the teardown happens in the next turn.
 */
#pragma once

#include <uv.h>

#include "base/core/buf.h"
#include "base/net/http_server.h"
#include "base/net/tls_conn.h"

#define HTTP_READ_SIZE      (64u << 10) /* one read */
#define HTTP_TLS_READ_SIZE  (16u << 10) /* one read of a TLS socket; one record */
#define HTTP_PIECE_SIZE     (64u << 10) /* one write; its completion counts as progress */
#define HTTP_PROTO_MAX      (64u << 10) /* TLS protocol output a peer may cause without reading */
#define HTTP_REPLY_HEAD_MAX (32u << 10) /* header lines of one reply */
#define HTTP_REMOTE_TEXT    64
#define HTTP_DATE_TEXT      32 /* "Sun, 06 Nov 1994 08:49:37 GMT" + NUL */
#define HTTP_ADDR_KEY       16

/* Connections per client address: IPv4 as a whole, IPv6 by /64 (what one customer has). */
struct http_caps_entry;
struct http_caps {
    struct http_caps_entry **bucket;
    uint64_t seed; /* secret, so that nobody can choose colliding addresses */
};
struct http_addr {
    uint8_t key[HTTP_ADDR_KEY];
};
void http_caps_init(struct http_caps *caps);
void http_caps_fini(struct http_caps *caps);
struct http_addr http_addr_of(const struct sockaddr *sa);
/* Counts one connection more; false (and not counted) when max is reached. */
bool http_caps_take(struct http_caps *caps, const struct http_addr *addr, int max);
void http_caps_give(struct http_caps *caps, const struct http_addr *addr);

enum conn_state {
    CONN_HANDSHAKE, /* TLS is not up yet */
    CONN_HEAD,      /* between requests, or within a header block */
    CONN_BODY,      /* reading the body of ex */
    CONN_BUSY,      /* the handler owns ex: parked or streaming */
    CONN_FLUSH,     /* the reply was handed over; output is pending */
    CONN_LINGER,    /* our side is shut; input is discarded until the client closes */
    CONN_CLOSED,    /* handle closing; memory goes with its callback */
};

union http_handle {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct http_conn {
    union http_handle u;
    struct http_listener *listener;
    struct http_conn *prev, *next;
    struct http_addr addr;
    enum conn_state state;
    struct cm_timer *deadline; /* of the present state, or of output without progress */
    struct cm_timer *kick;     /* zero delay: go on with buffered input, or tear down */

    struct tls_conn *tls; /* NULL = plain */
    struct cm_buf in;     /* plain bytes not consumed yet, from in_off */
    size_t in_off;
    size_t scanned;  /* of in, by http_head_scan */
    bool head_begun; /* the header deadline runs */
    bool reading;
    bool eof;         /* the client has shut its side */
    bool broken;      /* the transport failed; teardown in the next turn */
    bool close_after; /* no further request on this connection */
    bool running;     /* http_conn_run() is on the stack */

    struct cm_buf out; /* plain bytes to send, from out_off */
    size_t out_off;
    struct cm_buf wire; /* the piece on its way (encrypted for TLS), from wire_off */
    size_t wire_off;
    bool writing; /* write_req is in flight */
    uv_write_t write_req;
    uv_shutdown_t shutdown_req;

    struct http_exchange *ex;
    char remote[HTTP_REMOTE_TEXT];
    char peer_spki[CM_SHA256_HEX]; /* "" = no client certificate */
    uint32_t peer_uid;
};

struct http_listener {
    union http_handle u;
    struct cm_loop *loop;
    struct http_listen_opts opts; /* defaults filled in; address and fd are not used any more */
    bool unix_socket, closed;
    char address[HTTP_REMOTE_TEXT + 108];
    char *unlink_path; /* the Unix socket that we made */
    struct http_conn *conns;
    size_t count;
    size_t refs;         /* the listener's handle and every connection's */
    size_t body_bytes;   /* of all bodies held, at most HTTP_BODIES_MAX */
    int64_t full_logged; /* monotonic ms of the last "full" line in the log */
    int64_t date_second; /* date[] is the Date header of this second */
    char date[HTTP_DATE_TEXT];
    struct http_caps caps;
    char slab[HTTP_READ_SIZE];
};

struct http_exchange {
    struct http_conn *conn;
    struct http_request req;
    struct cm_buf body;
    size_t taken;          /* length of a body that the handler took over */
    struct cm_buf headers; /* "Name: value" CRLF … of the reply */
    cm_fn close_fn;
    void *close_arg;
    cm_fn drain_fn;
    void *drain_arg;
    bool streaming; /* the head was sent */
    bool chunked;
    bool no_body; /* HEAD, 204, 304: nothing follows the head */
    bool busy;    /* http_ex_write said CM_EBUSY and on_drain is due */
    bool gone;    /* the client vanished: nothing is sent any more */
};

/* ---- http_listener.c ---- */
void http_listener_unref(struct http_listener *listener);
void http_listener_leave(struct http_conn *conn); /* the connection no longer counts */

/* ---- http_io.c: the transport.  Calls http_conn_* below. ---- */
void http_io_start(struct http_conn *conn);
/* Goes on with input after a pause. */
void http_io_resume(struct http_conn *conn);
/* Sends what the socket takes.  Never tears down; may set broken. */
void http_io_flush(struct http_conn *conn);
/* Bytes handed over and not taken by the kernel yet. */
size_t http_io_pending(const struct http_conn *conn);
/* After everything is sent: close_notify and FIN. */
void http_io_shutdown(struct http_conn *conn);

/* ---- http_conn.c: the state machine ---- */
struct http_conn *http_conn_new(struct http_listener *listener); /* initialised for uv_accept() */
void http_conn_drop(struct http_conn *conn);                     /* one that was never opened */
void http_conn_open(struct http_conn *conn);
/* Handles what is buffered as far as possible. */
void http_conn_run(struct http_conn *conn);
void http_conn_secured(struct http_conn *conn);  /* the TLS handshake is complete */
void http_conn_eof(struct http_conn *conn);      /* the client shut its side */
void http_conn_progress(struct http_conn *conn); /* a pending write completed */
void http_conn_close(struct http_conn *conn);    /* at once; see the rule above */
/* Transport failure found in a place that must not tear down. */
void http_conn_break(struct http_conn *conn);
/* Sends what is pending, then FIN, then discards input for a while: so that the client reads our
 * last bytes (a reply, an alert) before a reset can destroy them (RFC 9112 9.6). */
void http_conn_linger(struct http_conn *conn);
/* The exchange's reply was handed over completely; ex is gone. */
void http_conn_replied(struct http_conn *conn);
/* Output may be pending: the write deadline runs while it is. */
void http_conn_watch_output(struct http_conn *conn);
bool http_conn_wants_input(const struct http_conn *conn);

/* ---- http_exchange.c ---- */
struct http_exchange *http_ex_new(struct http_conn *conn);
/* Tells the handler that the client is gone, then frees. */
void http_ex_vanish(struct http_exchange *ex);
/* A reply of the server itself, before or instead of the handler; ends ex if there is one. */
void http_ex_refuse(struct http_conn *conn, int status, const char *why);
