/* Page frame and status pages.  See shell.h. */
#include "web-ui/shell.h"

#include <stdio.h>
#include <string.h>

#include "web-ui/asset.h"
#include "web-ui/html.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

static void nav_link(struct web_ctx *ctx, struct cm_buf *page, const char *href, enum web_msg label,
                     bool current)
{
    html_raw(page, "<li>");
    html_leaf(page, "a", web_msg(ctx, label), "href", href, "aria-current",
              current ? "page" : (const char *)NULL, NULL);
    html_raw(page, "</li>");
}

static void user_menu(struct web_ctx *ctx, struct cm_buf *page)
{
    html_raw(page, "<div class=\"who\">");
    if (ctx->session.root) {
        html_leaf(page, "span", ctx->session.user, NULL);
    } else {
        html_leaf(page, "a", ctx->session.user, "class", "who-name", "href", "/sessions", NULL);
        html_open(page, "form", "method", "post", "action", "/logout", NULL);
        web_page_token(ctx, page);
        html_leaf(page, "button", web_msg(ctx, MSG_SIGN_OUT), "class", "link", "type", "submit",
                  NULL);
        html_raw(page, "</form>");
    }
    html_raw(page, "</div>");
}

static void header_bar(struct web_ctx *ctx, struct cm_buf *page, enum web_nav nav)
{
    html_leaf(page, "a", web_msg(ctx, MSG_SKIP), "class", "skip", "href", "#main", NULL);
    html_raw(page, "<header class=\"bar\"><div class=\"bar-in\">");
    html_open(page, "a", "class", "brand", "href", "/", NULL);
    html_open(page, "img", "src", web_asset_url("logo.svg"), "alt", "", "width", "28", "height",
              "28", NULL);
    html_raw(page, "<span>CertMgr</span></a>");
    if (ctx->session.valid) {
        html_open(page, "nav", "aria-label", web_msg(ctx, MSG_NAV), NULL);
        html_raw(page, "<ul>");
        nav_link(ctx, page, "/credentials", MSG_NAV_CREDENTIALS, nav == NAV_CREDENTIALS);
        nav_link(ctx, page, "/servers", MSG_NAV_SERVERS, nav == NAV_SERVERS);
        nav_link(ctx, page, "/accounts", MSG_NAV_ACCOUNTS, nav == NAV_ACCOUNTS);
        nav_link(ctx, page, "/dns-accounts", MSG_NAV_DNS, nav == NAV_DNS);
        nav_link(ctx, page, "/settings", MSG_NAV_SETTINGS, nav == NAV_SETTINGS);
        nav_link(ctx, page, "/status", MSG_NAV_STATUS, nav == NAV_STATUS);
        html_raw(page, "</ul></nav>");
        user_menu(ctx, page);
    }
    html_raw(page, "</div></header>");
}

/* After a restore, on every page: nothing happens until the servers answered. */
static void hold_banner(struct web_ctx *ctx, struct cm_buf *page)
{
    CM_AUTO_JSON hold = ctx->session.valid ? web_restore_hold(ctx->web) : NULL;

    if (!cm_json_bool(hold, "active", false))
        return;
    html_raw(page, "<div class=\"notice tone-warn\" role=\"status\">");
    web_icon(page, "warn");
    html_raw(page, "<p>");
    html_text(page, web_msg(ctx, MSG_HOLD_NOTE));
    html_raw(page, " ");
    html_leaf(page, "a", web_msg(ctx, MSG_HOLD_SHOW), "href", "/status", NULL);
    html_raw(page, "</p></div>");
}

static void head_extras(struct cm_buf *page, const struct web_page *opts)
{
    if (opts->module)
        html_leaf(page, "script", NULL, "type", "module", "src", web_asset_url(opts->module), NULL);
    if (opts->refresh) {
        html_raw(page, "<noscript>");
        html_open(page, "meta", "http-equiv", "refresh", "content", opts->refresh, NULL);
        html_raw(page, "</noscript>");
    }
}

void web_page_begin(struct web_ctx *ctx, struct cm_buf *page, const char *title, enum web_nav nav)
{
    struct web_page opts = {.title = title, .nav = nav};

    web_page_begin_with(ctx, page, &opts);
}

void web_page_begin_with(struct web_ctx *ctx, struct cm_buf *page, const struct web_page *opts)
{
    cm_buf_init(page, HTML_PAGE_MAX);
    html_raw(page, "<!doctype html>");
    html_open(page, "html", "lang", web_lang_tag(ctx->lang), NULL);
    html_raw(page, "<head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                   "<meta name=\"color-scheme\" content=\"light dark\"><title>");
    html_text(page, opts->title);
    html_raw(page, " – CertMgr</title>");
    html_open(page, "link", "rel", "stylesheet", "href", web_asset_url("app.css"), NULL);
    html_open(page, "link", "rel", "icon", "type", "image/svg+xml", "href",
              web_asset_url("logo.svg"), NULL);
    head_extras(page, opts);
    html_raw(page, "</head><body>");
    header_bar(ctx, page, opts->nav);
    html_raw(page, "<main id=\"main\" tabindex=\"-1\">");
    hold_banner(ctx, page);
}

void web_page_end(struct web_ctx *ctx, struct cm_buf *page)
{
    html_raw(page, "</main><footer class=\"foot\"><p>");
    web_sentence(page, ctx->lang, MSG_FOOTER, ctx->web->env.self, CM_VERSION);
    html_raw(page, "</p></footer></body></html>");
}

void web_page_token(const struct web_ctx *ctx, struct cm_buf *page)
{
    html_open(page, "input", "type", "hidden", "name", "csrf", "value", ctx->session.csrf, NULL);
}

static enum web_msg status_words(int status)
{
    switch (status) {
    case 400:
        return MSG_HTTP_400;
    case 401:
        return MSG_HTTP_401;
    case 403:
        return MSG_HTTP_403;
    case 404:
        return MSG_HTTP_404;
    case 405:
        return MSG_HTTP_405;
    case 409:
        return MSG_HTTP_409;
    case 413:
        return MSG_HTTP_413;
    case 415:
        return MSG_HTTP_415;
    case 422:
        return MSG_HTTP_422;
    case 503:
        return MSG_HTTP_503;
    default:
        return MSG_HTTP_500;
    }
}

void web_page_status(struct web_ctx *ctx, int status, const struct cm_err *err)
{
    struct cm_buf page;
    json_t *error = cm_err_to_json(err);

    web_page_begin(ctx, &page, http_status_text(status), NAV_NONE);
    html_raw(&page, "<section class=\"card narrow\"><p class=\"code\">");
    html_int(&page, status);
    html_raw(&page, "</p>");
    html_leaf(&page, "h1", web_msg(ctx, status_words(status)), NULL);
    html_leaf(&page, "p", web_msg(ctx, (enum web_msg)(status_words(status) + 1)), NULL);
    if (error)
        web_error_object(ctx, &page, error);
    json_decref(error);
    html_raw(&page, "<p>");
    html_leaf(&page, "a", web_msg(ctx, MSG_TO_START), "class", "button", "href", "/", NULL);
    html_raw(&page, "</p></section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}
