/*
 * The way of a request: route, right server, who asks, cross-site rules, body, handler.
 * See web.h.
 */
#include "web-ui/web.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/csrf.h"
#include "web-ui/reply.h"
#include "web-ui/stream.h"
#include "web-ui/view.h"

struct web *web_new(const struct web_env *env)
{
    struct web *web = cm_calloc(1, sizeof(*web));

    web->env = *env;
    web->env.self = cm_strdup(env->self);
    web->env.ui_url = cm_strdup(env->ui_url ? env->ui_url : "");
    web->throttle = web_throttle_new();
    web->passwords = web_passwords_new(env->loop);
    web->streams = web_streams_new(web);
    web->edits = json_object();
    web->notes = json_object();
    web->refs = 1;
    return web;
}

void web_unref(struct web *web)
{
    if (--web->refs > 0)
        return;
    cm_free((char *)(uintptr_t)web->env.self);
    cm_free((char *)(uintptr_t)web->env.ui_url);
    web_throttle_free(web->throttle);
    json_decref(web->edits);
    json_decref(web->notes);
    cm_free(web);
}

void web_free(struct web *web)
{
    if (!web)
        return;
    web->closing = true;
    web_streams_free(web->streams);
    web->streams = NULL;
    web_passwords_free(web->passwords);
    web->passwords = NULL;
    web_unref(web);
}

static const struct web_route *route_of(const struct http_head *head, char param[ROUTE_PARAM_MAX],
                                        unsigned *ret_methods)
{
    const struct web_route *route = web_route_find(web_page_routes, web_page_route_count,
                                                   head->method, head->path, param, ret_methods);

    if (route || *ret_methods)
        return route;
    return web_route_find(web_api_routes, web_api_route_count, head->method, head->path, param,
                          ret_methods);
}

int64_t web_limit(void *arg, const struct http_request *req)
{
    char param[ROUTE_PARAM_MAX];
    unsigned methods;
    const struct web_route *route = route_of(&req->head, param, &methods);

    (void)arg;
    /* Without a route the reply is our own 404 or 405 page, so the body may come. */
    return route && route->body != BODY_NONE ? (int64_t)route->body_max : WEB_FORM_MAX;
}

/* Who it was stands in requests and the log, so that a group's members are told apart. */
static void name_member(struct web_ctx *ctx, uint32_t uid)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char names[4096];

    if (getpwuid_r(uid, &entry, names, sizeof(names), &found) != 0 || !found ||
        cm_strcpy(ctx->session.user, sizeof(ctx->session.user), found->pw_name) < 0)
        snprintf(ctx->session.user, sizeof(ctx->session.user), "uid %u", (unsigned)uid);
}

/* A Unix socket client that is root or ourselves is the administrator "root"; with socket_group,
 * the socket's mode has let nobody but its members connect. */
static void identify(struct web_ctx *ctx)
{
    const struct http_request *req = ctx->req;

    if (!req->unix_socket) {
        web_session_find(ctx->web->env.store, &req->head, &ctx->session);
        return;
    }
    if (req->peer_uid == 0 || req->peer_uid == (uint32_t)getuid()) {
        ctx->session.valid = true;
        ctx->session.root = true;
        (void)cm_strcpy(ctx->session.user, sizeof(ctx->session.user), "root");
    } else if (ctx->web->env.socket_group && req->peer_uid != (uint32_t)-1) {
        ctx->session.valid = true;
        ctx->session.root = true;
        name_member(ctx, req->peer_uid);
    }
}

/* What a standby shows by itself: with the manager lost, nobody else can. */
static bool standby_shows(const struct web_ctx *ctx)
{
    static const char *const paths[] = {"/manager", "/login", "/logout", "/setup"};
    const char *path = ctx->req->head.path;
    bool shows = (strcmp(path, "/") == 0 && ctx->session.valid) || strcmp(path, "/status") == 0 ||
                 strncmp(path, "/status/", 8) == 0;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        shows = shows || strcmp(path, paths[i]) == 0;
    return shows && web_is_standby(ctx->web);
}

/* Pages live on the manager; the API elsewhere only over the Unix socket. */
static bool send_to_manager(struct web_ctx *ctx)
{
    const struct kf_server *manager;
    CM_AUTO_STR url = NULL;

    if (ctx->route->everywhere || fleet_is_manager(ctx->web->env.fleet) ||
        (ctx->api && ctx->req->unix_socket) || standby_shows(ctx))
        return false;
    manager = kf_trust_manager(fleet_trust(ctx->web->env.fleet));
    if (!manager || !manager->ui_url) {
        web_reply_status(ctx, 503);
        return true;
    }
    url = cm_asprintf("%s%s", manager->ui_url, ctx->req->head.target);
    if (ctx->api) {
        CM_AUTO_STR detail = cm_asprintf("this server is not the manager; ask %s", manager->ui_url);

        web_reply_problem(ctx, 421, NULL, detail, NULL, NULL);
    } else {
        web_reply_redirect(ctx, url);
    }
    return true;
}

static void ask_to_sign_in(struct web_ctx *ctx)
{
    struct cm_buf href;

    if (ctx->api || ctx->req->unix_socket) {
        web_reply_status(ctx, ctx->req->unix_socket ? 403 : 401);
        return;
    }
    cm_buf_init(&href, 8192);
    cm_buf_puts(&href, "/login");
    if (web_method_is_safe(ctx->req->head.method) && web_local_path(ctx->req->head.target) &&
        strcmp(ctx->req->head.path, "/") != 0) {
        cm_buf_puts(&href, "?next=");
        url_encode(&href, ctx->req->head.target);
    } else if (!web_method_is_safe(ctx->req->head.method)) {
        cm_buf_puts(&href, "?ended=1"); /* a form was sent: say that nothing came of it */
    }
    web_reply_redirect(ctx, cm_buf_str(&href));
    cm_buf_fini(&href);
}

static bool allowed(struct web_ctx *ctx)
{
    switch (ctx->route->auth) {
    case AUTH_NONE:
        return true;
    case AUTH_USER:
        if (ctx->session.valid)
            return true;
        ask_to_sign_in(ctx);
        return false;
    case AUTH_SOCKET:
        if (ctx->session.root)
            return true;
        web_reply_status(ctx, 403);
        return false;
    }
    return false;
}

static bool media_is(const struct web_ctx *ctx, const char *type)
{
    const char *sent = http_head_field(&ctx->req->head, "content-type");
    size_t len = strlen(type);

    return sent && strncasecmp(sent, type, len) == 0 &&
           (sent[len] == '\0' || sent[len] == ';' || sent[len] == ' ');
}

static int read_form(struct web_ctx *ctx, struct cm_err *err)
{
    const struct http_request *req = ctx->req;
    int rc;

    if (media_is(ctx, "application/x-www-form-urlencoded"))
        rc = web_form_parse(&ctx->form, req->body, req->body_len, err);
    else if (ctx->route->body == BODY_UPLOAD && media_is(ctx, "multipart/form-data"))
        rc = web_form_parse_parts(&ctx->form, http_head_field(&req->head, "content-type"),
                                  req->body, req->body_len, err);
    else
        return 415;
    if (rc < 0)
        return 400;
    if (ctx->route->body != BODY_OPEN_FORM && !ctx->session.root &&
        !web_token_ok(&ctx->session, web_form_get(&ctx->form, "csrf")))
        return 403;
    return 0;
}

static int read_json(struct web_ctx *ctx, struct cm_err *err)
{
    if (ctx->req->body_len == 0) /* DELETE, or POST without members */
        return 0;
    if (ctx->route->body == BODY_PEM && (media_is(ctx, "application/pem-certificate-chain") ||
                                         media_is(ctx, "application/x-pem-file")))
        return 0;
    if (!media_is(ctx, "application/json"))
        return 415;
    return cm_json_parse(ctx->req->body, ctx->req->body_len, &ctx->json, err) < 0 ? 400 : 0;
}

/* 0, or the status to refuse with. */
static int read_body(struct web_ctx *ctx, struct cm_err *err)
{
    if (ctx->route->body == BODY_NONE)
        return 0;
    if (!ctx->session.root && !web_origin_ok(ctx->req))
        return 403;
    if (ctx->route->body == BODY_FORM || ctx->route->body == BODY_OPEN_FORM ||
        ctx->route->body == BODY_UPLOAD)
        return read_form(ctx, err);
    return read_json(ctx, err);
}

/* ---- refusals: the detail tells programs what would do (pages have words of their own) ---- */

static void refuse_media(struct web_ctx *ctx)
{
    const char *taken = ctx->route->body == BODY_PEM
                            ? "application/json, application/pem-certificate-chain or "
                              "application/x-pem-file"
                            : "application/json";
    CM_AUTO_STR detail =
        cm_asprintf("the Content-Type of the body is not taken here; send %s", taken);

    if (ctx->api)
        web_reply_problem(ctx, 415, NULL, detail, NULL, NULL);
    else
        web_reply_status(ctx, 415);
}

static void refuse_method(struct web_ctx *ctx, unsigned methods)
{
    char allow[128];
    CM_AUTO_STR detail = NULL;

    web_route_allow(methods, allow, sizeof(allow));
    http_ex_header(ctx->ex, "Allow", allow);
    detail = cm_asprintf("%s is not done here; allowed: %s",
                         http_method_name(ctx->req->head.method), allow);
    if (ctx->api)
        web_reply_problem(ctx, 405, NULL, detail, NULL, NULL);
    else
        web_reply_status(ctx, 405);
}

static void dispatch(struct web_ctx *ctx)
{
    const struct http_head *head = &ctx->req->head;
    struct cm_err err = CM_ERR_INIT;
    int status;

    if (send_to_manager(ctx) || !allowed(ctx))
        return;
    if (web_form_parse(&ctx->query, head->query, strlen(head->query), &err) < 0) {
        web_reply_error(ctx, &err);
    } else if ((status = read_body(ctx, &err)) != 0) {
        if (err.code)
            web_reply_error(ctx, &err);
        else if (status == 415)
            refuse_media(ctx);
        else
            web_reply_status(ctx, status);
    } else if (head->method == HTTP_GET || head->method == HTTP_HEAD) {
        /* What is told must be durable: nobody may be shown a state that a crash takes back. */
        web_after_commit(ctx, ctx->route->handler);
    } else {
        ctx->route->handler(ctx);
    }
    cm_err_fini(&err);
}

void web_handle(void *arg, struct http_exchange *ex)
{
    struct web *web = arg;
    struct web_ctx *ctx = web_ctx_new(web, ex);
    unsigned methods = 0;

    identify(ctx);
    ctx->route = route_of(&ctx->req->head, ctx->param, &methods);
    if (ctx->route) {
        dispatch(ctx);
    } else if (methods) {
        refuse_method(ctx, methods);
    } else {
        web_reply_status(ctx, 404);
    }
}

void web_too_large(void *arg, struct http_exchange *ex)
{
    struct web *web = arg;
    struct web_ctx *ctx = web_ctx_new(web, ex);

    CM_AUTO_STR detail =
        cm_asprintf("a body of at most %" PRId64 " bytes is taken here", web_limit(arg, ctx->req));

    identify(ctx);
    if (ctx->api)
        web_reply_problem(ctx, 413, NULL, detail, NULL, NULL);
    else
        web_reply_status(ctx, 413);
}
