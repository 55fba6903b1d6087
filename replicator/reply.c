/* Answers of the replication server: JSON with CouchDB's headers, error bodies, durable replies. */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "base/net/url.h"
#include "replicator/serve.h"
#include "replicator/values.h"

#define REASON_MAX 400
#define URL_MAX    8192

void rp_common_headers(struct http_exchange *ex)
{
    http_ex_header(ex, "Cache-Control", "must-revalidate");
}

static void reply_json(struct http_exchange *ex, int status, const json_t *body)
{
    size_t len = 0;
    CM_AUTO_STR text = cm_json_dump(body, &len);
    text = cm_realloc(text, len + 2);
    memcpy(text + len, "\n", 2);
    rp_common_headers(ex);
    http_ex_reply(ex, status, RP_JSON, text, len + 1);
}

void rp_reply(struct rp_req *req, int status, json_t *take)
{
    CM_AUTO_JSON body = take;
    reply_json(req->ex, status, body);
}

static json_t *error_body(const char *error, const char *reason)
{
    json_t *body = json_object();
    cm_json_set_str(body, "error", error);
    cm_json_set_str(body, "reason", reason);
    return body;
}

void rp_error(struct rp_req *req, int status, const char *error, const char *reason)
{
    rp_reply(req, status, error_body(error, reason));
}

void rp_bad_request(struct rp_req *req, const char *reason)
{
    rp_error(req, 400, "bad_request", reason);
}

void rp_not_found(struct rp_req *req, const char *reason)
{
    rp_error(req, 404, "not_found", reason);
}

void rp_method_not_allowed(struct rp_req *req, const char *allowed)
{
    char reason[80];
    snprintf(reason, sizeof(reason), "Only %s allowed", allowed);
    http_ex_header(req->ex, "Allow", allowed);
    rp_error(req, 405, "method_not_allowed", reason);
}

static json_t *store_error_body(const struct cm_err *err)
{
    char line[REASON_MAX];
    cm_err_line(err, line, sizeof(line));
    cm_utf8_trim(line);
    return error_body("internal_server_error", line);
}

void rp_store_failed(struct rp_req *req, const struct cm_err *err)
{
    rp_reply(req, 500, store_error_body(err));
}

void rp_location(struct rp_req *req, const char *id)
{
    const char *host = http_head_field(&req->http->head, "host");
    struct cm_buf url;
    if (!host)
        return;
    cm_buf_init(&url, URL_MAX);
    cm_buf_printf(&url, "http://%s/", host);
    url_encode(&url, req->route.db);
    cm_buf_putc(&url, '/');
    url_encode(&url, id);
    if (!url.failed)
        http_ex_header(req->ex, "Location", cm_buf_str(&url));
    cm_buf_fini(&url);
}

void rp_bad_json(struct rp_req *req, const struct cm_err *err)
{
    char reason[REASON_MAX] = RP_NO_JSON;
    if (!req->server->lab && req->http->body_len > 0) { /* for people who look for the mistake */
        cm_err_line(err, reason, sizeof(reason));
        cm_utf8_trim(reason);
    }
    rp_bad_request(req, reason);
}

static json_t *take_body(struct rp_req *req, const char *not_object, rp_salvage_fn salvage,
                         json_t **ret_rest)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *body = NULL;
    if (!req->server->lab && !rp_values_ok(req->http->body, req->http->body_len)) {
        rp_error(req, 413, "too_large", "too many values in one request");
        return NULL;
    }
    if (cm_json_parse_lax(req->http->body, req->http->body_len, &body, &err) < 0 && salvage)
        body = salvage(req->http->body, req->http->body_len, ret_rest);
    if (!body) {
        rp_bad_json(req, &err);
    } else if (!json_is_object(body)) {
        json_decref(body);
        body = NULL;
        rp_bad_request(req, not_object);
    }
    cm_err_fini(&err);
    return body;
}

#define NO_OBJECT "Request body must be a JSON object"

json_t *rp_body(struct rp_req *req)
{
    return take_body(req, NO_OBJECT, NULL, NULL);
}

json_t *rp_body_or(struct rp_req *req, rp_salvage_fn salvage, json_t **ret_rest)
{
    *ret_rest = NULL;
    return take_body(req, NO_OBJECT, salvage, ret_rest);
}

json_t *rp_doc_body(struct rp_req *req)
{
    return take_body(req, "Document must be a JSON object", NULL, NULL);
}

void rp_json_str(struct cm_buf *out, const char *text)
{
    bool plain = true;
    for (const unsigned char *p = (const unsigned char *)text; *p && plain; p++)
        plain = *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\';
    if (plain) {
        cm_buf_putc(out, '"');
        cm_buf_puts(out, text);
        cm_buf_putc(out, '"');
        return;
    }
    CM_AUTO_JSON value = json_string(text);
    CM_AUTO_STR quoted = value ? cm_json_dump(value, NULL) : cm_strdup("\"\"");
    cm_buf_puts(out, quoted);
}

/* ---- replies to writes ------------------------------------------------------------------ */

struct waiting {
    struct http_exchange *ex; /* NULL: the client went away */
    int status;
    json_t *body;
};

static void on_gone(void *arg)
{
    struct waiting *w = arg;
    w->ex = NULL;
}

static void on_durable(void *arg, int code, const struct cm_err *err)
{
    struct waiting *w = arg;
    if (w->ex && code == 0) {
        reply_json(w->ex, w->status, w->body);
    } else if (w->ex) {
        CM_AUTO_JSON body = store_error_body(err);
        reply_json(w->ex, 500, body);
    }
    json_decref(w->body);
    cm_free(w);
}

void rp_reply_durable(struct rp_req *req, int status, json_t *take)
{
    struct waiting *w = cm_malloc(sizeof(*w));
    *w = (struct waiting){.ex = req->ex, .status = status, .body = take};
    http_ex_on_close(req->ex, on_gone, w);
    cs_after_commit(req->server->store, on_durable, w);
}
