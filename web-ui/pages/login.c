/* Signing in and out: throttled, hashed on a worker, one generic error, a new session id each time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/stream.h"
#include "web-ui/user.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

/* Where to go on after the login: local pages only, never back to the login itself. */
static const char *next_of(const struct web_ctx *ctx, const struct web_form *form)
{
    const char *next = web_form_get(form, "next");

    if (web_is_standby(ctx->web))
        return "/manager"; /* other pages lead elsewhere, where a form's reply may not (CSP) */
    if (!web_local_path(next) || strncmp(next, "/login", 6) == 0 ||
        strncmp(next, "/logout", 7) == 0)
        return "/credentials";
    return next;
}

static void render(struct web_ctx *ctx, int status, const char *name, const char *next,
                   const char *error)
{
    struct cm_buf page;
    struct web_field user = {.name = "name",
                             .label = MSG_USER_NAME,
                             .value = name,
                             .autocomplete = "username",
                             .required = true,
                             .names = true};
    struct web_field password = {.name = "password",
                                 .label = MSG_PASSWORD,
                                 .type = "password",
                                 .autocomplete = "current-password",
                                 .required = true};

    web_page_begin(ctx, &page, web_msg(ctx, MSG_SIGN_IN), NAV_NONE);
    html_raw(&page, "<section class=\"card narrow\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_SIGN_IN), NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_SIGN_IN_LEAD), "class", "lead", NULL);
    if (error)
        web_notice(&page, "bad", error);
    else if (web_form_get(&ctx->query, "ended"))
        web_notice(&page, "warn", web_msg(ctx, MSG_SIGN_IN_ENDED));
    html_raw(&page, "<form method=\"post\" action=\"/login\">");
    html_open(&page, "input", "type", "hidden", "name", "next", "value", next, NULL);
    web_field(ctx, &page, &user);
    web_field(ctx, &page, &password);
    html_leaf(&page, "button", web_msg(ctx, MSG_SIGN_IN), "class", "primary wide", "type", "submit",
              NULL);
    html_raw(&page, "</form></section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_login(struct web_ctx *ctx)
{
    if (ctx->session.valid)
        web_reply_redirect(ctx, next_of(ctx, &ctx->query));
    else
        render(ctx, 200, "", next_of(ctx, &ctx->query), NULL);
}

static void go_on(struct web_ctx *ctx)
{
    web_reply_redirect(ctx, next_of(ctx, &ctx->form));
}

static void accepted(struct web_ctx *ctx, const char *name, const char *rehashed)
{
    struct cs_store *store = ctx->web->env.store;
    struct cm_err err = CM_ERR_INIT;
    char cookie[SESSION_COOKIE_MAX];
    int rc = 0;

    web_throttle_passed(ctx->web->throttle, name, ctx->req->remote);
    if (rehashed)
        rc = web_user_put(store, name, rehashed, &err);
    if (rc == 0) /* the id from before the login must not live on */
        rc = web_session_end(store, &ctx->session, &err);
    if (rc == 0)
        rc = web_session_start(store, name, cookie, &err);
    if (rc == 0) {
        http_ex_header(ctx->ex, "Set-Cookie", cookie);
        web_after_commit(ctx, go_on);
    } else {
        web_reply_error(ctx, &err);
    }
    cm_wipe(cookie, sizeof(cookie));
    cm_err_fini(&err);
}

static void checked(void *arg, bool matches, const char *encoded, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    const char *name = web_form_text(&ctx->form, "name");

    if (web_ctx_gone(ctx))
        return;
    if (err) {
        web_reply_error(ctx, err);
    } else if (matches) {
        accepted(ctx, name, encoded);
    } else {
        web_throttle_failed(ctx->web->throttle, name, ctx->req->remote);
        http_ex_header(ctx->ex, "WWW-Authenticate", "Session realm=\"certmgr\"");
        render(ctx, 401, name, next_of(ctx, &ctx->form), web_msg(ctx, MSG_SIGN_IN_WRONG));
    }
}

static void refuse_for_now(struct web_ctx *ctx, const char *name, int64_t wait_ms)
{
    char seconds[24];
    struct cm_buf text;

    snprintf(seconds, sizeof(seconds), "%" PRId64, (wait_ms + 999) / 1000);
    http_ex_header(ctx->ex, "Retry-After", seconds);
    cm_buf_init(&text, 1024);
    web_sentence(&text, ctx->lang, MSG_SIGN_IN_WAIT, seconds, NULL); /* digits: nothing escaped */
    render(ctx, 429, name, next_of(ctx, &ctx->form), cm_buf_str(&text));
    cm_buf_fini(&text);
}

void page_login_post(struct web_ctx *ctx)
{
    struct web *web = ctx->web;
    const char *name = web_form_text(&ctx->form, "name");
    const char *password = web_form_text(&ctx->form, "password");
    int64_t wait = web_throttle_wait(web->throttle, name, ctx->req->remote);
    CM_AUTO_STR hash = NULL;
    struct cm_err err = CM_ERR_INIT;

    if (wait > 0) {
        refuse_for_now(ctx, name, wait);
        return;
    }
    if (strlen(password) > PASSWORD_BYTES_MAX)
        password = "";
    hash = web_user_hash(web->env.store, name);
    if (web_password_check(web->passwords, password, hash, checked, ctx, &err) < 0)
        web_reply_error(ctx, &err);
    cm_err_fini(&err);
}

static void signed_out(struct web_ctx *ctx)
{
    web_streams_beat(ctx->web->streams);
    web_reply_redirect(ctx, "/login");
}

void page_logout_post(struct web_ctx *ctx)
{
    struct cm_err err = CM_ERR_INIT;

    if (web_session_end(ctx->web->env.store, &ctx->session, &err) < 0) {
        web_reply_error(ctx, &err);
    } else {
        http_ex_header(ctx->ex, "Set-Cookie", web_session_gone());
        http_ex_header(ctx->ex, "Clear-Site-Data", "\"cache\", \"storage\"");
        web_after_commit(ctx, signed_out);
    }
    cm_err_fini(&err);
}
