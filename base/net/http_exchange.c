/*
 * One request and its reply: heads, framing, streams, and the server's own refusals.
 *
 * Framing headers are written here and nowhere else, so Content-Length is always right and a reply
 * is delimited in exactly one way (RFC 9112 6).
 */
#include "base/net/http_conn.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define COMPONENT "http"

struct http_exchange *http_ex_new(struct http_conn *conn)
{
    struct http_exchange *ex = cm_calloc(1, sizeof(*ex));

    ex->conn = conn;
    cm_buf_init(&ex->body, 0);
    cm_buf_init(&ex->headers, HTTP_REPLY_HEAD_MAX);
    ex->req = (struct http_request){
        .body = "",
        .remote = conn->remote,
        .peer_spki = conn->peer_spki[0] != '\0' ? conn->peer_spki : NULL,
        .tls = conn->tls != NULL,
        .unix_socket = conn->listener->unix_socket,
        .peer_uid = conn->peer_uid,
    };
    return ex;
}

static void free_exchange(struct http_exchange *ex)
{
    ex->conn->listener->body_bytes -= ex->body.len + ex->taken;
    http_head_fini(&ex->req.head);
    cm_wipe(ex->body.data, ex->body.len); /* passwords, keys */
    cm_buf_fini(&ex->body);
    cm_buf_fini(&ex->headers);
    cm_free(ex);
}

void http_ex_vanish(struct http_exchange *ex)
{
    ex->gone = true;
    if (ex->close_fn != NULL)
        ex->close_fn(ex->close_arg);
    free_exchange(ex);
}

const struct http_request *http_ex_request(const struct http_exchange *ex)
{
    return &ex->req;
}

char *http_ex_take_body(struct http_exchange *ex, size_t *ret_len)
{
    ex->taken += ex->body.len; /* the memory is still in use */
    ex->req.body = "";
    ex->req.body_len = 0;
    return cm_buf_take(&ex->body, ret_len);
}

void http_ex_on_drain(struct http_exchange *ex, cm_fn fn, void *arg)
{
    ex->drain_fn = fn;
    ex->drain_arg = arg;
}

void http_ex_on_close(struct http_exchange *ex, cm_fn fn, void *arg)
{
    ex->close_fn = fn;
    ex->close_arg = arg;
}

/* ---- reply head ---------------------------------------------------------------------------- */

static bool header_ok(const char *name, const char *value)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    if (n == 0 || name[n] != '\0')
        return false;
    for (const char *c = value; *c != '\0'; c++) {
        unsigned char u = (unsigned char)*c;
        if ((u < 0x20 && u != '\t') || u == 0x7f)
            return false;
    }
    return true;
}

void http_ex_header(struct http_exchange *ex, const char *name, const char *value)
{
    if (strcasecmp(name, "Connection") == 0 && strcasecmp(value, "close") == 0) {
        ex->conn->close_after = true;
        return;
    }
    if (!header_ok(name, value) || strcasecmp(name, "Connection") == 0 ||
        strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0 ||
        strcasecmp(name, "Date") == 0) {
        cm_log(CM_LOG_ERROR, COMPONENT, NULL, "reply header %s left out: not allowed", name);
        return;
    }
    if (cm_buf_printf(&ex->headers, "%s: %s\r\n", name, value) < 0)
        cm_log(CM_LOG_ERROR, COMPONENT, NULL, "reply header %s left out: too many", name);
}

/* IMF-fixdate (RFC 9110 5.6.7), made once a second; strftime would follow the locale. */
static const char *date_text(struct http_listener *listener)
{
    static const char day[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(cm_now_ms() / 1000);
    struct tm tm;

    if (listener->date[0] != '\0' && listener->date_second == now)
        return listener->date;
    if (gmtime_r(&now, &tm) == NULL)
        return "Thu, 01 Jan 1970 00:00:00 GMT";
    struct cm_buf text;
    cm_buf_init(&text, HTTP_DATE_TEXT - 1);
    cm_buf_printf(&text, "%s, %02d %s %04d %02d:%02d:%02d GMT", day[tm.tm_wday], tm.tm_mday,
                  month[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    cm_strcpy(listener->date, sizeof(listener->date), cm_buf_str(&text));
    cm_buf_fini(&text);
    listener->date_second = now;
    return listener->date;
}

/* Writes the head; length < 0 means that it is not known: chunked, or the end of the connection for
 * an HTTP/1.0 client. */
static void put_head(struct http_exchange *ex, int status, const char *content_type, int64_t length)
{
    struct http_conn *conn = ex->conn;
    struct cm_buf *out = &conn->out;
    const struct http_head *head = &ex->req.head;
    bool bare = status == 204 || status == 304; /* never any content, nor its length */

    CM_BUG_ON(status < 200 || status > 599);
    ex->no_body = bare || head->method == HTTP_HEAD;
    if (content_type != NULL)
        http_ex_header(ex, "Content-Type", content_type);
    if (length < 0 && !bare) {
        ex->chunked = head->minor == 1;
        conn->close_after |= !ex->chunked && !ex->no_body;
    }
    conn->close_after |= !head->keep_alive;
    cm_buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_status_text(status),
                  date_text(conn->listener));
    cm_buf_add(out, cm_buf_str(&ex->headers), ex->headers.len);
    if (ex->chunked)
        cm_buf_puts(out, "Transfer-Encoding: chunked\r\n");
    else if (length >= 0 && !bare)
        cm_buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
    cm_buf_puts(out, conn->close_after ? "Connection: close\r\n\r\n" : "\r\n");
}

/* Output beyond HTTP_OUT_MAX: what was dropped can only be told by cutting the connection. */
static void check_overflow(struct http_conn *conn)
{
    if (!conn->out.failed || conn->broken)
        return;
    cm_log(CM_LOG_ERROR, COMPONENT, NULL, "reply to %s is cut: more than %u bytes are pending",
           conn->remote, HTTP_OUT_MAX);
    http_conn_break(conn);
}

/* ---- replies ------------------------------------------------------------------------------- */

static void finish(struct http_exchange *ex)
{
    struct http_conn *conn = ex->conn;

    free_exchange(ex);
    check_overflow(conn);
    http_conn_replied(conn);
}

void http_ex_reply(struct http_exchange *ex, int status, const char *content_type, const void *body,
                   size_t len)
{
    if (ex->gone)
        return;
    CM_BUG_ON(ex->streaming);
    put_head(ex, status, content_type, (int64_t)len);
    if (!ex->no_body)
        cm_buf_add(&ex->conn->out, body, len);
    finish(ex);
}

void http_ex_stream(struct http_exchange *ex, int status, const char *content_type)
{
    if (ex->gone)
        return;
    CM_BUG_ON(ex->streaming);
    ex->streaming = true;
    put_head(ex, status, content_type, -1);
    check_overflow(ex->conn);
    http_io_flush(ex->conn);
    http_conn_watch_output(ex->conn);
}

int http_ex_write(struct http_exchange *ex, const void *data, size_t len)
{
    if (ex->gone)
        return CM_EBUSY;
    struct http_conn *conn = ex->conn;

    CM_BUG_ON(!ex->streaming);
    if (len > 0 && !ex->no_body) { /* an empty chunk would be the end */
        if (ex->chunked)
            cm_buf_printf(&conn->out, "%zx\r\n", len);
        cm_buf_add(&conn->out, data, len);
        if (ex->chunked)
            cm_buf_puts(&conn->out, "\r\n");
        check_overflow(conn);
        http_io_flush(conn);
        http_conn_watch_output(conn);
    }
    if (http_io_pending(conn) <= HTTP_OUT_HIGH && !conn->broken)
        return 0;
    ex->busy = true;
    return CM_EBUSY;
}

void http_ex_end(struct http_exchange *ex)
{
    if (ex->gone)
        return;
    CM_BUG_ON(!ex->streaming);
    if (ex->chunked && !ex->no_body)
        cm_buf_puts(&ex->conn->out, "0\r\n\r\n");
    finish(ex);
}

void http_ex_refuse(struct http_conn *conn, int status, const char *why)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->ex == NULL)
        conn->ex = http_ex_new(conn);

    struct http_exchange *ex = conn->ex;
    const char *text = http_status_text(status);
    CM_AUTO_STR body = why == NULL ? cm_asprintf("%d %s\n", status, text)
                                   : cm_asprintf("%d %s: %s\n", status, text, why);
    /* Without a parsed head, or with a body on its way, the next request cannot be found. */
    if ((size_t)ex->req.head.content_length > ex->body.len + ex->taken)
        conn->close_after = true;
    if (status == 401)
        http_ex_header(ex, "WWW-Authenticate", "Bearer realm=\"certmgr\"");
    else if (status == 405)
        http_ex_header(ex, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    else if (status == 503)
        http_ex_header(ex, "Retry-After", "10");
    http_ex_header(ex, "X-Content-Type-Options", "nosniff");
    http_ex_reply(ex, status, "text/plain; charset=utf-8", body, strlen(body));
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {425, "Too Early"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].status == status)
            return table[i].text;
    }
    return "Unknown";
}
