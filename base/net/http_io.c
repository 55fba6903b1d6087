/*
 * HTTP transport: moves bytes between socket, TLS and the connection's buffers.
 *
 * Output waits as plain bytes and is encrypted piece by piece when the socket has taken the piece
 * before, so a slow reader costs its reply once, not twice.  Reading goes on while an exchange is
 * parked, so a vanished client is noticed at once; it pauses only when a finished reply is still
 * being sent and enough is buffered behind it.
 */
#include "base/net/http_conn.h"

#include "base/core/mem.h"

#define KEEP_SIZE    4096u         /* an idle connection keeps buffers of this size */
#define COMPACT_SIZE (1024u << 10) /* sent bytes that may wait at the front of `out` */

static void recycle(struct cm_buf *buf)
{
    if (buf->size > KEEP_SIZE)
        cm_buf_fini(buf);
    else
        cm_buf_reset(buf);
}

/* ---- input --------------------------------------------------------------------------------- */

static bool discards(const struct http_conn *conn)
{
    return conn->state == CONN_CLOSED || conn->state == CONN_LINGER || conn->broken ||
           (conn->state == CONN_FLUSH && conn->close_after);
}

/* Plain bytes for the state machine. */
static void give(struct http_conn *conn, const char *data, size_t len)
{
    if (conn->in_off > 0) {
        cm_buf_consume(&conn->in, conn->in_off);
        conn->in_off = 0;
    }
    /* Reading pauses in time, so the cap is not reached; if it were, nothing could be trusted. */
    if (cm_buf_add(&conn->in, data, len) < 0) {
        http_conn_close(conn);
        return;
    }
    http_conn_run(conn);
    if (conn->state != CONN_CLOSED && conn->in_off == conn->in.len) {
        recycle(&conn->in);
        conn->in_off = 0;
    }
}

/* Returns false when there is nothing to read for now. */
static bool tls_handshake(struct http_conn *conn)
{
    int r = tls_conn_handshake(conn->tls, NULL);

    http_io_flush(conn); /* records, or the alert that tells why not */
    if (r < 0)
        http_conn_linger(conn);
    else if (r > 0)
        http_conn_secured(conn);
    return r > 0;
}

static void tls_input(struct http_conn *conn)
{
    char *plain = conn->listener->slab + HTTP_READ_SIZE - HTTP_TLS_READ_SIZE;

    if (conn->state == CONN_HANDSHAKE && !tls_handshake(conn))
        return;
    while (!discards(conn) && http_conn_wants_input(conn)) {
        int n = tls_conn_read(conn->tls, plain, HTTP_TLS_READ_SIZE);
        if (n == 0)
            break;
        if (n == CM_ECLOSED) {
            http_conn_eof(conn);
            return;
        }
        if (n < 0) {
            http_io_flush(conn);
            http_conn_close(conn);
            return;
        }
        give(conn, plain, (size_t)n);
    }
    if (conn->state == CONN_CLOSED)
        return;
    http_io_flush(conn);
    /* Data leaves through `wire` only; what piles up behind it is protocol output that the peer
     * provokes (key updates) without reading it. */
    if (conn->writing && tls_conn_pending(conn->tls) > HTTP_PROTO_MAX)
        http_conn_close(conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct http_conn *conn = handle->data;

    (void)suggested;
    *buf =
        uv_buf_init(conn->listener->slab, conn->tls != NULL ? HTTP_TLS_READ_SIZE : HTTP_READ_SIZE);
}

static void pause_if_full(struct http_conn *conn)
{
    if (conn->state == CONN_CLOSED || !conn->reading || http_conn_wants_input(conn))
        return;
    uv_read_stop(&conn->u.stream);
    conn->reading = false;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct http_conn *conn = stream->data;

    if (conn->state == CONN_CLOSED || n == 0)
        return;
    if (n < 0) {
        uv_read_stop(stream);
        conn->reading = false;
        if (n == UV_EOF)
            http_conn_eof(conn);
        else
            http_conn_close(conn);
        return;
    }
    if (discards(conn))
        return;
    if (conn->tls == NULL)
        give(conn, buf->base, (size_t)n);
    else if (tls_conn_feed(conn->tls, buf->base, (size_t)n) < 0)
        http_conn_close(conn);
    else
        tls_input(conn);
    pause_if_full(conn);
}

void http_io_start(struct http_conn *conn)
{
    conn->reading = true;
    if (uv_read_start(&conn->u.stream, on_alloc, on_read) < 0)
        http_conn_break(conn);
}

void http_io_resume(struct http_conn *conn)
{
    if (conn->state == CONN_CLOSED || conn->reading || !http_conn_wants_input(conn))
        return;
    if (conn->tls != NULL)
        tls_input(conn); /* what was received before the pause */
    if (conn->state != CONN_CLOSED && http_conn_wants_input(conn))
        http_io_start(conn);
}

/* ---- output -------------------------------------------------------------------------------- */

static size_t out_left(const struct http_conn *conn)
{
    return conn->out.len - conn->out_off;
}

size_t http_io_pending(const struct http_conn *conn)
{
    return out_left(conn) + (conn->wire.len - conn->wire_off) +
           (conn->tls != NULL ? tls_conn_pending(conn->tls) : 0);
}

static void out_advance(struct http_conn *conn, size_t n)
{
    conn->out_off += n;
    if (conn->out_off == conn->out.len) {
        recycle(&conn->out);
        conn->out_off = 0;
    } else if (conn->out_off >= COMPACT_SIZE && conn->out_off >= conn->out.len / 2) {
        cm_buf_consume(&conn->out, conn->out_off);
        conn->out_off = 0;
    }
}

/* Puts the next piece on the wire; false when there is none. */
static bool next_piece(struct http_conn *conn)
{
    size_t n = out_left(conn);

    cm_buf_reset(&conn->wire);
    conn->wire_off = 0;
    if (n > HTTP_PIECE_SIZE / 2)
        n = HTTP_PIECE_SIZE / 2; /* encryption adds a little */
    if (conn->tls == NULL) {
        if (n > 0) {
            cm_buf_add(&conn->wire, conn->out.data + conn->out_off, n);
            out_advance(conn, n);
        }
    } else {
        if (n > 0 && tls_conn_pending(conn->tls) == 0) {
            if (tls_conn_write(conn->tls, conn->out.data + conn->out_off, n) < 0) {
                http_conn_break(conn);
                return false;
            }
            out_advance(conn, n);
        }
        tls_conn_take(conn->tls, &conn->wire, HTTP_PIECE_SIZE);
    }
    return conn->wire.len > 0;
}

static void on_write(uv_write_t *req, int status)
{
    struct http_conn *conn = req->data;

    conn->writing = false;
    if (conn->state == CONN_CLOSED)
        return;
    if (status < 0) {
        http_conn_close(conn);
        return;
    }
    conn->wire_off = conn->wire.len;
    http_io_flush(conn);
    http_conn_progress(conn);
}

/* The socket is full: libuv finishes this piece. */
static void write_rest(struct http_conn *conn)
{
    uv_buf_t rest =
        uv_buf_init(conn->wire.data + conn->wire_off, (unsigned)(conn->wire.len - conn->wire_off));

    conn->write_req.data = conn;
    if (uv_write(&conn->write_req, &conn->u.stream, &rest, 1, on_write) < 0)
        http_conn_break(conn);
    else
        conn->writing = true;
}

void http_io_flush(struct http_conn *conn)
{
    while (!conn->writing && !conn->broken && conn->state != CONN_CLOSED) {
        if (conn->wire_off == conn->wire.len && !next_piece(conn)) {
            recycle(&conn->wire);
            return;
        }
        uv_buf_t piece = uv_buf_init(conn->wire.data + conn->wire_off,
                                     (unsigned)(conn->wire.len - conn->wire_off));
        int n = uv_try_write(&conn->u.stream, &piece, 1);
        if (n >= 0)
            conn->wire_off += (size_t)n;
        else if (n == UV_EAGAIN)
            write_rest(conn);
        else
            http_conn_break(conn);
    }
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    /* A failure means that the client is gone: reading tells, or the linger deadline. */
    (void)req;
    (void)status;
}

void http_io_shutdown(struct http_conn *conn)
{
    if (conn->tls != NULL) {
        tls_conn_shutdown(conn->tls);
        http_io_flush(conn);
    }
    if (uv_shutdown(&conn->shutdown_req, &conn->u.stream, on_shutdown) < 0)
        http_conn_break(conn);
}
