/* TLS Credentials by host name, expiry, status or server. */
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/pages/renew.h"
#include "web-ui/reply.h"
#include "web-ui/sentence.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

static const enum web_msg tab_label[VIEW_COUNT] = {
    [VIEW_HOST] = MSG_V_HOST,
    [VIEW_EXPIRY] = MSG_V_EXPIRY,
    [VIEW_STATUS] = MSG_V_STATUS,
    [VIEW_SERVER] = MSG_V_SERVER,
};
static const enum web_msg key_label[VIEW_COUNT] = {
    [VIEW_HOST] = MSG_C_HOST,
    [VIEW_EXPIRY] = MSG_C_EXPIRES,
    [VIEW_STATUS] = MSG_C_STATUS,
    [VIEW_SERVER] = MSG_C_SERVER,
};

static void tabs(struct web_ctx *ctx, struct cm_buf *page, enum web_view current)
{
    html_open(page, "nav", "class", "tabs", "aria-label", web_msg(ctx, MSG_VIEWS), NULL);
    html_raw(page, "<ul>");
    for (int v = 0; v < VIEW_COUNT; v++) {
        CM_AUTO_STR href = cm_asprintf("/credentials?view=%s", web_view_name((enum web_view)v));

        html_raw(page, "<li>");
        html_leaf(page, "a", web_msg(ctx, tab_label[v]), "href", href, "aria-current",
                  v == (int)current ? "page" : (const char *)NULL, NULL);
        html_raw(page, "</li>");
    }
    html_raw(page, "</ul></nav>");
}

static void search_box(struct web_ctx *ctx, struct cm_buf *page, const char *domain)
{
    html_raw(page, "<form class=\"search\" method=\"get\" action=\"/credentials\" role=\"search\">"
                   "<input type=\"hidden\" name=\"view\" value=\"host\">");
    html_leaf(page, "label", web_msg(ctx, MSG_FILTER_DOMAIN), "for", "domain", NULL);
    html_open(page, "input", "id", "domain", "name", "domain", "type", "search", "value",
              domain ? domain : "", "placeholder", "example.com", "spellcheck", "false",
              "autocapitalize", "none", NULL);
    html_leaf(page, "button", web_msg(ctx, MSG_FILTER), "type", "submit", NULL);
    html_raw(page, "</form>");
}

/* Names beside the one the row stands under: "+ 2". */
static void name_cell(struct cm_buf *page, const json_t *row, const char *shown)
{
    size_t names = json_array_size(cm_json_arr(row, "host_names_ascii"));
    CM_AUTO_STR href = cm_asprintf("/credentials/%s", cm_json_str_or(row, "id", ""));

    html_open(page, "th", "scope", "row", NULL);
    html_open(page, "a", "href", href, NULL);
    html_leaf(page, "bdi", shown, NULL);
    html_close(page, "a");
    if (names > 1) {
        CM_AUTO_STR more = cm_asprintf("+%zu", names - 1);

        html_raw(page, " ");
        html_leaf(page, "span", more, "class", "more", NULL);
    }
    html_close(page, "th");
}

static const char *first_name(const json_t *row)
{
    const char *name = json_string_value(json_array_get(cm_json_arr(row, "host_names"), 0));

    if (!name)
        name = json_string_value(json_array_get(cm_json_arr(row, "host_names_ascii"), 0));
    return name ? name : cm_json_str_or(row, "id", "");
}

static void server_list(struct cm_buf *page, const json_t *servers)
{
    size_t i;
    json_t *server;

    json_array_foreach(servers, i, server)
    {
        if (i)
            html_raw(page, ", ");
        html_text(page, json_string_value(server));
    }
}

static void row_html(struct web_ctx *ctx, struct cm_buf *page, enum web_view view,
                     const json_t *row)
{
    const char *error = cm_json_str(row, "error");

    html_raw(page, "<tr>");
    renew_list_box(page, cm_json_str_or(row, "id", ""), first_name(row));
    if (view == VIEW_SERVER)
        html_leaf(page, "td", cm_json_str(row, "key"), NULL);
    name_cell(page, row, view == VIEW_HOST ? cm_json_str_or(row, "key", "") : first_name(row));
    html_raw(page, "<td>");
    web_status_badge(ctx, page, cm_json_str(row, "status"));
    if (error)
        web_said(page, ctx->lang, "p", "row-error", error);
    html_raw(page, "</td><td>");
    web_time(ctx, page, cm_json_str(row, "not_after"));
    html_raw(page, "</td>");
    html_leaf(page, "td", cm_json_str(row, "key_type"), NULL);
    html_raw(page, "<td>");
    server_list(page, cm_json_arr(row, "servers"));
    html_raw(page, "</td></tr>");
}

static void table_html(struct web_ctx *ctx, struct cm_buf *page, enum web_view view,
                       const json_t *items)
{
    static const enum web_msg columns[] = {MSG_C_HOST, MSG_C_STATUS, MSG_C_EXPIRES, MSG_C_KEY,
                                           MSG_C_SERVERS};
    size_t i;
    json_t *row;

    web_table_frame(page, web_msg(ctx, MSG_NAV_CREDENTIALS));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    html_leaf(page, "th", web_msg(ctx, MSG_RN_SELECT), "scope", "col", "class", "select", NULL);
    if (view == VIEW_SERVER)
        html_leaf(page, "th", web_msg(ctx, key_label[view]), "scope", "col", NULL);
    for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
        bool sorted = columns[c] == key_label[view];

        html_leaf(page, "th", web_msg(ctx, columns[c]), "scope", "col", "aria-sort",
                  sorted ? "ascending" : (const char *)NULL, NULL);
    }
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(items, i, row) row_html(ctx, page, view, row);
    html_raw(page, "</tbody></table></div>");
}

static void empty_html(struct web_ctx *ctx, struct cm_buf *page, bool filtered, const char *domain)
{
    html_raw(page, "<div class=\"card empty\">");
    html_leaf(page, "h2", web_msg(ctx, filtered ? MSG_LIST_NONE : MSG_LIST_EMPTY), NULL);
    if (!filtered) {
        html_leaf(page, "p", web_msg(ctx, MSG_LIST_EMPTY_LEAD), NULL);
        html_leaf(page, "a", web_msg(ctx, MSG_ADD_CREDENTIALS), "class", "button primary", "href",
                  "/credentials/new", NULL);
    }
    if (domain) {
        html_leaf(page, "p", web_msg(ctx, MSG_LIST_NONE_LEAD), NULL);
        html_leaf(page, "a", web_msg(ctx, MSG_LIST_ALL), "class", "button", "href", "/credentials",
                  NULL);
    }
    html_raw(page, "</div>");
}

static void pager(struct web_ctx *ctx, struct cm_buf *page, enum web_view view, const char *after,
                  const char *domain, const char *next)
{
    struct cm_buf href;

    if (!after && !next)
        return;
    html_open(page, "nav", "class", "pager", "aria-label", web_msg(ctx, MSG_PAGES), NULL);
    cm_buf_init(&href, 4096);
    cm_buf_printf(&href, "/credentials?view=%s", web_view_name(view));
    if (domain) {
        cm_buf_puts(&href, "&domain=");
        url_encode(&href, domain);
    }
    if (after)
        html_leaf(page, "a", web_msg(ctx, MSG_FIRST_PAGE), "class", "button", "href",
                  cm_buf_str(&href), NULL);
    if (next) {
        cm_buf_printf(&href, "&after=%s", next);
        html_leaf(page, "a", web_msg(ctx, MSG_NEXT_PAGE), "class", "button", "href",
                  cm_buf_str(&href), "rel", "next", NULL);
    }
    cm_buf_fini(&href);
    html_raw(page, "</nav>");
}

static void render(struct web_ctx *ctx, enum web_view view, const char *domain, const json_t *list)
{
    struct cm_buf page;
    const char *after = web_form_get(&ctx->query, "after");
    const json_t *items = cm_json_arr(list, "credentials");

    web_page_begin(ctx, &page, web_msg(ctx, MSG_NAV_CREDENTIALS), NAV_CREDENTIALS);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_NAV_CREDENTIALS), NULL);
    html_leaf(&page, "a", web_msg(ctx, MSG_ADD_CREDENTIALS), "class", "button primary", "href",
              "/credentials/new", NULL);
    html_raw(&page, "</div><div class=\"tools\">");
    tabs(ctx, &page, view);
    search_box(ctx, &page, domain);
    html_raw(&page, "</div>");
    if (view == VIEW_EXPIRY)
        html_leaf(&page, "p", web_msg(ctx, MSG_EXPIRY_NOTE), "class", "hint", NULL);
    renew_list_notice(ctx, &page);
    if (json_array_size(items) > 0) {
        renew_list_begin(ctx, &page, web_view_name(view));
        table_html(ctx, &page, view, items);
        renew_list_end(ctx, &page);
    } else
        empty_html(ctx, &page, domain || after || view == VIEW_EXPIRY, domain);
    pager(ctx, &page, view, after, domain, cm_json_str(list, "next"));
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
}

void page_credentials(struct web_ctx *ctx)
{
    const char *domain = web_form_get(&ctx->query, "domain");
    struct cm_err err = CM_ERR_INIT;
    enum web_view view;
    CM_AUTO_JSON list = NULL;

    if (domain && !*domain)
        domain = NULL;
    if (web_view_parse(web_form_get(&ctx->query, "view"), &view, &err) < 0 ||
        web_list(ctx->web->env.store, view, web_form_get(&ctx->query, "after"), domain, &list,
                 &err) < 0)
        web_reply_error(ctx, &err);
    else
        render(ctx, view, view == VIEW_HOST ? domain : NULL, list);
    cm_err_fini(&err);
}
