/*
 * HTTP connection: the state machine from the first byte to the last (RFC 9112).
 *
 *   HANDSHAKE -> HEAD -> BODY -> BUSY -> FLUSH -> HEAD …          (keep-alive)
 *                  \________\______________/ \-> LINGER -> CLOSED (last reply)
 *
 * One timer carries the deadline of the present state.  The header deadline is absolute, so a
 * client that trickles bytes dies like a silent one.
 */
#include "base/net/http_conn.h"

#include <string.h>

#include "base/core/mem.h"

/* Once this part of a body is here, there is room for all of it: growing it copies no more, and who
 * only announces a body gets no memory. */
#define BODY_SHOWN 8

static void on_deadline(void *arg);
static void on_kick(void *arg);

/* ---- birth and death ----------------------------------------------------------------------- */

struct http_conn *http_conn_new(struct http_listener *listener)
{
    struct http_conn *conn = cm_calloc(1, sizeof(*conn));

    conn->listener = listener;
    conn->state = CONN_CLOSED; /* until http_conn_open() */
    conn->peer_uid = (uint32_t)-1;
    cm_buf_init(&conn->in, HTTP_HEAD_MAX + HTTP_READ_SIZE);
    cm_buf_init(&conn->out, HTTP_OUT_MAX + HTTP_REPLY_HEAD_MAX);
    cm_buf_init(&conn->wire, HTTP_PIECE_SIZE);
    if (listener->unix_socket)
        uv_pipe_init(cm_loop_uv(listener->loop), &conn->u.pipe, 0);
    else
        uv_tcp_init(cm_loop_uv(listener->loop), &conn->u.tcp);
    conn->u.handle.data = conn;
    listener->refs++;
    return conn;
}

static void on_closed(uv_handle_t *handle)
{
    struct http_conn *conn = handle->data;

    tls_conn_free(conn->tls);
    cm_buf_fini(&conn->in);
    cm_buf_fini(&conn->out);
    cm_buf_fini(&conn->wire);
    http_listener_unref(conn->listener);
    cm_free(conn);
}

void http_conn_drop(struct http_conn *conn)
{
    CM_BUG_ON(conn->state != CONN_CLOSED);
    uv_close(&conn->u.handle, on_closed);
}

void http_conn_close(struct http_conn *conn)
{
    struct http_exchange *ex = conn->ex;

    if (conn->state == CONN_CLOSED)
        return;
    conn->state = CONN_CLOSED;
    conn->ex = NULL;
    cm_timer_free(conn->deadline);
    cm_timer_free(conn->kick);
    conn->deadline = conn->kick = NULL;
    http_listener_leave(conn);
    uv_close(&conn->u.handle, on_closed);
    if (ex != NULL)
        http_ex_vanish(ex);
}

void http_conn_break(struct http_conn *conn)
{
    if (conn->state == CONN_CLOSED || conn->broken)
        return;
    conn->broken = true;
    cm_timer_start(conn->kick, 0);
}

static size_t buffered(const struct http_conn *conn)
{
    return conn->in.len - conn->in_off;
}

static void drop_input(struct http_conn *conn)
{
    cm_buf_fini(&conn->in);
    conn->in_off = 0;
}

static void begin_head(struct http_conn *conn, bool first)
{
    const struct http_listen_opts *opts = &conn->listener->opts;

    conn->state = CONN_HEAD;
    conn->scanned = 0;
    /* A fresh connection has no idle time: who connects is about to ask. */
    conn->head_begun = first;
    cm_timer_start(conn->deadline, first ? opts->header_ms : opts->idle_ms);
}

void http_conn_open(struct http_conn *conn)
{
    struct http_listener *listener = conn->listener;

    conn->deadline = cm_timer_new(listener->loop, on_deadline, conn);
    conn->kick = cm_timer_new(listener->loop, on_kick, conn);
    if (listener->opts.tls != NULL) {
        conn->state = CONN_HANDSHAKE;
        cm_timer_start(conn->deadline, listener->opts.handshake_ms);
        conn->tls = tls_conn_new(listener->opts.tls);
        if (conn->tls == NULL) {
            http_conn_break(conn);
            return;
        }
    } else {
        begin_head(conn, true);
    }
    http_io_start(conn);
}

void http_conn_secured(struct http_conn *conn)
{
    if (!tls_conn_peer_spki(conn->tls, conn->peer_spki))
        conn->peer_spki[0] = '\0';
    begin_head(conn, true);
}

/* ---- end of a connection ------------------------------------------------------------------- */

void http_conn_linger(struct http_conn *conn)
{
    if (conn->state == CONN_CLOSED || conn->state == CONN_LINGER)
        return;
    conn->state = CONN_FLUSH;
    conn->close_after = true;
    drop_input(conn);
    http_io_flush(conn);
    if (conn->broken)
        return;
    if (http_io_pending(conn) > 0) {
        http_conn_watch_output(conn); /* comes back from FLUSH */
        return;
    }
    if (conn->eof) {
        http_conn_close(conn);
        return;
    }
    conn->state = CONN_LINGER;
    http_io_shutdown(conn);
    cm_timer_start(conn->deadline, HTTP_LINGER_MS);
    http_io_resume(conn); /* discards */
}

void http_conn_eof(struct http_conn *conn)
{
    conn->eof = true;
    /* A finished reply is still delivered to a client that shut only its sending side. */
    if (conn->state != CONN_FLUSH)
        http_conn_close(conn);
}

static void on_deadline(void *arg)
{
    struct http_conn *conn = arg;

    switch (conn->state) {
    case CONN_HEAD:
        if (conn->head_begun && buffered(conn) > 0)
            http_ex_refuse(conn, 408, "the header block did not arrive in time");
        else
            http_conn_close(conn);
        break;
    case CONN_BODY:
        http_ex_refuse(conn, 408, "the body did not arrive in time");
        break;
    default: /* handshake too slow, output without progress, lingered long enough */
        http_conn_close(conn);
        break;
    }
}

static void on_kick(void *arg)
{
    struct http_conn *conn = arg;

    if (conn->broken) {
        http_conn_close(conn);
        return;
    }
    http_conn_run(conn);
    http_io_resume(conn);
}

/* ---- requests ------------------------------------------------------------------------------ */

bool http_conn_wants_input(const struct http_conn *conn)
{
    if (conn->eof || conn->broken)
        return false;
    return conn->state != CONN_FLUSH || conn->close_after || buffered(conn) < HTTP_HEAD_MAX;
}

static void dispatch(struct http_conn *conn)
{
    struct http_exchange *ex = conn->ex;

    ex->req.body = cm_buf_str(&ex->body);
    ex->req.body_len = ex->body.len;
    conn->state = CONN_BUSY;
    cm_timer_stop(conn->deadline);
    conn->listener->opts.handler(conn->listener->opts.arg, ex);
}

static void refuse_body(struct http_conn *conn)
{
    if (conn->listener->opts.too_large == NULL) {
        http_ex_refuse(conn, 413, "the body is larger than allowed here");
        return;
    }
    conn->close_after = true; /* the body may be on its way */
    conn->ex->req.body = "";
    conn->state = CONN_BUSY;
    cm_timer_stop(conn->deadline);
    conn->listener->opts.too_large(conn->listener->opts.arg, conn->ex);
}

/* The head is complete: is this request, with a body of this size, wanted at all? */
static void admit(struct http_conn *conn)
{
    const struct http_listen_opts *opts = &conn->listener->opts;
    const struct http_head *head = &conn->ex->req.head;
    int64_t allowed = opts->limit == NULL ? 0 : opts->limit(opts->arg, &conn->ex->req);

    if (conn->state == CONN_CLOSED)
        return;
    if (allowed < 0) {
        http_ex_refuse(conn, allowed >= -599 && allowed <= -400 ? (int)-allowed : 500, NULL);
        return;
    }
    if (head->content_length > allowed || head->content_length > HTTP_BODY_MAX) {
        refuse_body(conn);
        return;
    }
    if (head->content_length == 0) {
        dispatch(conn);
        return;
    }
    conn->state = CONN_BODY;
    cm_timer_start(conn->deadline, opts->body_ms + head->content_length / HTTP_BODY_RATE * 1000);
    cm_buf_init(&conn->ex->body, (size_t)head->content_length);
    /* RFC 9110 10.1.1: pointless when the body is already on its way. */
    if (head->expect_continue && buffered(conn) == 0) {
        cm_buf_puts(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
        http_io_flush(conn);
    }
}

/* The steps return false when they need more input. */
static bool step_head(struct http_conn *conn)
{
    struct cm_err err = CM_ERR_INIT;
    const char *data = conn->in.data + conn->in_off;
    int status = 0;

    if (buffered(conn) == 0) {
        if (conn->eof)
            http_conn_close(conn);
        return false;
    }
    if (!conn->head_begun) {
        conn->head_begun = true;
        cm_timer_start(conn->deadline, conn->listener->opts.header_ms);
    }
    int r = http_head_scan(data, buffered(conn), &conn->scanned, &status, &err);
    if (r == 0) {
        if (conn->eof)
            http_conn_close(conn);
        return false;
    }
    if (r > 0) {
        conn->ex = http_ex_new(conn);
        conn->in_off += (size_t)r;
        r = http_head_parse(data, (size_t)r, &conn->ex->req.head, &status, &err);
    }
    if (r < 0)
        http_ex_refuse(conn, status, err.what);
    else
        admit(conn);
    cm_err_fini(&err);
    return true;
}

static bool step_body(struct http_conn *conn)
{
    struct http_exchange *ex = conn->ex;
    size_t n = (size_t)ex->req.head.content_length - ex->body.len;

    if (n > buffered(conn))
        n = buffered(conn);
    if (n > HTTP_BODIES_MAX - conn->listener->body_bytes) {
        http_ex_refuse(conn, 503, "too many bodies are being received");
        return true;
    }
    if (ex->body.len >= (size_t)ex->req.head.content_length / BODY_SHOWN)
        cm_buf_reserve(&ex->body, (size_t)ex->req.head.content_length - ex->body.len);
    cm_buf_add(&ex->body, conn->in.data + conn->in_off, n);
    cm_wipe(conn->in.data + conn->in_off, n); /* no second copy of what may be secret */
    conn->in_off += n;
    conn->listener->body_bytes += n;
    if (ex->body.len < (size_t)ex->req.head.content_length) {
        if (conn->eof)
            http_conn_close(conn);
        return false;
    }
    dispatch(conn);
    return true;
}

static bool step_busy(struct http_conn *conn)
{
    if (conn->eof || buffered(conn) > HTTP_HEAD_MAX)
        http_conn_close(conn);
    return false;
}

static bool step_flush(struct http_conn *conn)
{
    http_io_flush(conn);
    if (conn->broken)
        return false;
    if (http_io_pending(conn) > 0) {
        http_conn_watch_output(conn);
        return false;
    }
    if (conn->close_after) {
        http_conn_linger(conn);
        return false;
    }
    begin_head(conn, false);
    return true;
}

void http_conn_run(struct http_conn *conn)
{
    bool more = true;

    if (conn->running || conn->broken)
        return;
    conn->running = true;
    while (more && !conn->broken) {
        switch (conn->state) {
        case CONN_HEAD:
            more = step_head(conn);
            break;
        case CONN_BODY:
            more = step_body(conn);
            break;
        case CONN_BUSY:
            more = step_busy(conn);
            break;
        case CONN_FLUSH:
            more = step_flush(conn);
            break;
        default:
            more = false;
            break;
        }
    }
    conn->running = false;
}

/* ---- replies ------------------------------------------------------------------------------- */

void http_conn_watch_output(struct http_conn *conn)
{
    if (conn->state != CONN_BUSY && conn->state != CONN_FLUSH)
        return;
    if (http_io_pending(conn) == 0)
        cm_timer_stop(conn->deadline);
    else if (!cm_timer_active(conn->deadline))
        cm_timer_start(conn->deadline, conn->listener->opts.write_ms);
}

void http_conn_replied(struct http_conn *conn)
{
    conn->ex = NULL;
    if (conn->state != CONN_BUSY)
        cm_timer_stop(conn->deadline); /* the deadline of head or body */
    conn->state = CONN_FLUSH;
    if (conn->close_after)
        drop_input(conn);
    if (conn->running)
        return;
    /* The next request must not reach its handler from inside this one's reply. */
    http_io_flush(conn);
    http_conn_watch_output(conn);
    if (http_io_pending(conn) == 0)
        cm_timer_start(conn->kick, 0);
}

void http_conn_progress(struct http_conn *conn)
{
    struct http_exchange *ex = conn->ex;

    if (conn->state == CONN_BUSY || conn->state == CONN_FLUSH) {
        cm_timer_stop(conn->deadline);
        http_conn_watch_output(conn);
    }
    if (conn->state == CONN_BUSY && ex->busy && http_io_pending(conn) <= HTTP_OUT_HIGH / 2) {
        ex->busy = false;
        if (ex->drain_fn != NULL)
            ex->drain_fn(ex->drain_arg);
    }
    if (conn->state == CONN_FLUSH)
        http_conn_run(conn);
    http_io_resume(conn);
}
