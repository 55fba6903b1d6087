/* Replies.  See reply.h. */
#include "web-ui/reply.h"

#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"
#include "base/net/etag.h"
#include "web-ui/csrf.h"
#include "web-ui/precondition.h"
#include "web-ui/shell.h"

/* Own files only, nothing inline, nobody frames us, nothing leaks by Referer. */
static const char *const security[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
     "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

static void add_security(struct web_ctx *ctx)
{
    for (size_t i = 0; i < sizeof(security) / sizeof(security[0]); i++)
        http_ex_header(ctx->ex, security[i][0], security[i][1]);
    if (ctx->tls)
        http_ex_header(ctx->ex, "Strict-Transport-Security", "max-age=31536000");
}

static void send_reply(struct web_ctx *ctx, int status, const char *type, const char *cache,
                       const void *body, size_t len)
{
    if (ctx->ex) {
        add_security(ctx);
        http_ex_header(ctx->ex, "Cache-Control", cache);
        http_ex_reply(ctx->ex, status, type, body, len);
    }
    web_ctx_free(ctx);
}

/* The representation of a document: GET, or what a PUT left there (then Content-Location says so,
 * RFC 9110 8.7). */
static bool is_document(const struct web_ctx *ctx, int status)
{
    enum http_method method;

    if (!ctx->api || !ctx->ex)
        return false;
    method = ctx->req->head.method;
    return method == HTTP_PUT ? status == 200 || status == 201
                              : status == 200 && web_method_is_safe(method);
}

static void send_document(struct web_ctx *ctx, int status, const char *type, const void *body,
                          size_t len)
{
    const struct http_head *head = &ctx->req->head;
    const char *known = http_head_field(head, "if-none-match");
    char etag[ETAG_TEXT];

    web_etag(body, len, etag);
    http_ex_header(ctx->ex, "ETag", etag);
    if (head->method == HTTP_PUT)
        http_ex_header(ctx->ex, "Content-Location", head->target);
    else if (known && http_etag_listed(known, etag, true)) {
        send_reply(ctx, 304, NULL, "private, no-cache", "", 0);
        return;
    }
    send_reply(ctx, status, type, "private, no-cache", body, len);
}

void web_reply(struct web_ctx *ctx, int status, const char *type, const void *body, size_t len)
{
    if (is_document(ctx, status))
        send_document(ctx, status, type, body, len);
    else
        send_reply(ctx, status, type, "no-store", body, len);
}

struct http_exchange *web_reply_stream(struct web_ctx *ctx, const char *type)
{
    struct http_exchange *ex = ctx->ex;

    add_security(ctx);
    http_ex_header(ex, "Cache-Control", "no-store");
    http_ex_header(ex, "X-Accel-Buffering", "no"); /* nginx in front must not hold events back */
    http_ex_stream(ex, 200, type);
    web_ctx_free(ctx);
    return ex;
}

void web_reply_asset(struct web_ctx *ctx, const char *type, const void *body, size_t len)
{
    send_reply(ctx, 200, type, "public, max-age=31536000, immutable", body, len);
}

void web_reply_html(struct web_ctx *ctx, int status, struct cm_buf *page)
{
    bool failed = page->failed;

    if (ctx->ex && !failed)
        http_ex_header(ctx->ex, "Vary", "Accept-Language, Cookie");
    if (failed) { /* HTML_PAGE_MAX: half a page would look like the truth */
        cm_log(CM_LOG_ERROR, "web", NULL, "a page is larger than its limit");
        cm_buf_fini(page);
        web_reply_status(ctx, 500);
        return;
    }
    web_reply(ctx, status, "text/html; charset=utf-8", page->data, page->len);
    cm_buf_fini(page);
}

static void reply_json_as(struct web_ctx *ctx, int status, const char *type, json_t *take)
{
    size_t len = 0;
    CM_AUTO_STR text = cm_json_dump(take, &len);

    json_decref(take);
    web_reply(ctx, status, type, text, len);
}

void web_reply_json(struct web_ctx *ctx, int status, json_t *take)
{
    reply_json_as(ctx, status, "application/json", take);
}

void web_reply_redirect(struct web_ctx *ctx, const char *location)
{
    if (ctx->ex)
        http_ex_header(ctx->ex, "Location", location);
    web_reply(ctx, 303, NULL, "", 0);
}

int web_status_of(int code)
{
    switch (code) {
    case CM_EINVAL:
    case CM_ELIMIT:
        return 422;
    case CM_ENOENT:
        return 404;
    case CM_ECONFLICT:
    case CM_EHUMAN:
        return 409;
    case CM_EMALF:
        return 400;
    case CM_EDENIED:
        return 403;
    case CM_EFULL:
        return 507;
    case CM_EPEER:
    case CM_ENET:
        return 502;
    case CM_ETIMEOUT:
        return 504;
    case CM_EBUSY:
    case CM_ECLOSED:
        return 503;
    default:
        return 500;
    }
}

/* The last part of a problem's type, for statuses without an error object. */
static const char *problem_name(int status)
{
    static const struct {
        int status;
        const char *name;
    } names[] = {
        {400, "malformed"},
        {401, "not_signed_in"},
        {403, "denied"},
        {404, "not_found"},
        {405, "method_not_allowed"},
        {409, "conflict"},
        {412, "precondition_failed"},
        {413, "too_large"},
        {415, "media_type"},
        {421, "not_the_manager"},
        {422, "invalid"},
        {428, "precondition_needed"},
        {503, "busy"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].status == status)
            return names[i].name;
    }
    return "internal";
}

static void reply_problem(struct web_ctx *ctx, int status, const char *name, json_t *take_problem)
{
    CM_AUTO_STR type = cm_asprintf("urn:certmgr:problem:%s", name);
    json_t *problem = json_object();

    cm_json_set_str(problem, "type", type);
    json_object_update(problem, take_problem);
    json_decref(take_problem);
    reply_json_as(ctx, status, "application/problem+json", problem);
}

void web_reply_problem(struct web_ctx *ctx, int status, const char *title, const char *detail,
                       json_t *take_errors, const struct cm_err *err)
{
    json_t *problem = json_object();

    cm_json_set_str(problem, "title", title ? title : http_status_text(status));
    cm_json_set_int(problem, "status", status);
    cm_json_set_str(problem, "detail", detail);
    cm_json_set(problem, "errors", take_errors);
    cm_json_set(problem, "error", cm_err_to_json(err));
    reply_problem(ctx, status,
                  take_errors        ? "fields"
                  : err && err->code ? cm_code_name(err->code)
                                     : problem_name(status),
                  problem);
}

void web_reply_problem_as(struct web_ctx *ctx, int status, const char *type, const char *detail)
{
    json_t *problem = json_object();

    cm_json_set_str(problem, "title", http_status_text(status));
    cm_json_set_int(problem, "status", status);
    cm_json_set_str(problem, "detail", detail);
    reply_problem(ctx, status, type, problem);
}

/* Names what was asked for, by the route's parameter (owned), or NULL. */
static char *nothing_there(const struct web_ctx *ctx)
{
    static const struct {
        const char *place, *kind;
    } kinds[] = {
        {"/credentials/{", "credential"},   {"/requests/{", "request"},
        {"/dns-accounts/{", "DNS account"}, {"/accounts/{", "ACME account"},
        {"/servers/{", "server"},
    };

    for (size_t i = 0; ctx->route && ctx->param[0] && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strstr(ctx->route->pattern, kinds[i].place))
            return cm_asprintf("there is no %s %s", kinds[i].kind, ctx->param);
    return NULL;
}

void web_reply_status(struct web_ctx *ctx, int status)
{
    CM_AUTO_STR detail = ctx->api && status == 404 ? nothing_there(ctx) : NULL;

    if (ctx->ex && status == 401) /* RFC 9110 15.5.2 wants a challenge */
        http_ex_header(ctx->ex, "WWW-Authenticate", "Session realm=\"certmgr\"");
    if (ctx->api)
        web_reply_problem(ctx, status, NULL, detail, NULL, NULL);
    else if (ctx->ex)
        web_page_status(ctx, status, NULL);
    else
        web_ctx_free(ctx);
}

void web_reply_error(struct web_ctx *ctx, const struct cm_err *err)
{
    int status = web_status_of(err ? err->code : CM_OK);

    if (ctx->ex && status == 503)
        http_ex_header(ctx->ex, "Retry-After", "5");
    if (ctx->api)
        web_reply_problem(ctx, status, NULL, err ? err->what : NULL, NULL, err);
    else if (ctx->ex)
        web_page_status(ctx, status, err);
    else
        web_ctx_free(ctx);
}
