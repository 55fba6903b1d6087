/* Storing a recipe of a DNS provider.  See recipe_form.h. */
#include "web-ui/pages/recipe_form.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

#define TEXT_ROWS 18

void recipe_account_link(struct cm_buf *page, const char *account)
{
    struct cm_buf href;

    cm_buf_init(&href, 1024);
    cm_buf_puts(&href, "/dns-accounts/");
    url_encode(&href, account);
    html_leaf(page, "a", account, "href", cm_buf_str(&href), NULL);
    cm_buf_fini(&href);
}

void recipe_state_badge(struct web_ctx *ctx, struct cm_buf *page, const json_t *recipe)
{
    bool unverified = cm_json_bool(recipe, "unverified", false);
    enum web_msg text = unverified                              ? MSG_N_UNVERIFIED
                        : cm_json_bool(recipe, "stored", false) ? MSG_DR_SAID
                                                                : MSG_DR_VERIFIED;

    html_open(page, "span", "class", unverified ? "badge tone-warn" : "badge tone-ok", NULL);
    web_icon(page, unverified ? "warn" : "ok");
    html_text(page, web_msg(ctx, text));
    html_raw(page, "</span>");
}

void recipe_lint_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *lint)
{
    bool ok = cm_json_bool(lint, "ok", false);
    long long tests = (long long)cm_json_int(lint, "tests", 0);
    const json_t *lines = cm_json_arr(lint, "lines");
    CM_AUTO_STR count = cm_asprintf("%lld", tests);
    size_t i;
    json_t *line;

    html_raw(page, "<p role=\"status\">");
    web_icon(page, !ok ? "bad" : tests > 0 ? "ok" : "warn");
    html_raw(page, " ");
    web_sentence(page, ctx->lang,
                 !ok         ? MSG_DR_LINT_BAD
                 : tests > 0 ? MSG_DR_LINT_OK
                             : MSG_DR_LINT_NONE,
                 count, NULL);
    html_raw(page, "</p>");
    if (!ok)
        web_error_object(ctx, page, cm_json_obj(lint, "error"));
    if (json_array_size(lines) == 0)
        return;
    html_raw(page, "<details>");
    html_leaf(page, "summary", web_msg(ctx, MSG_DR_LINT_LINES), NULL);
    html_raw(page, "<ol lang=\"en\">");
    json_array_foreach(lines, i, line)
    {
        html_raw(page, "<li>");
        html_leaf(page, "code", json_string_value(line), NULL);
        html_raw(page, "</li>");
    }
    html_raw(page, "</ol></details>");
}

/* The accounts with the hosts that are new to them, and the box that lets them in. */
static void widens_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *widens)
{
    CM_AUTO_JSON seen = json_array();
    struct cm_buf hosts;
    size_t i, k;
    json_t *one, *host;

    cm_buf_init(&hosts, 256u << 10);
    html_raw(page, "<section class=\"card tone-bad\" role=\"alert\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_DR_WIDENS), NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_DR_WIDENS_LEAD), NULL);
    html_raw(page, "<ul>");
    json_array_foreach(widens, i, one)
    {
        html_raw(page, "<li>");
        recipe_account_link(page, cm_json_str_or(one, "account", ""));
        html_raw(page, ": ");
        json_array_foreach(cm_json_arr(one, "hosts"), k, host)
        {
            const char *name = json_string_value(host);

            html_raw(page, k ? ", " : "");
            html_leaf(page, "code", name, NULL);
            if (cm_json_has_str(seen, name))
                continue;
            json_array_append(seen, host);
            cm_buf_printf(&hosts, "%s%s", hosts.len ? "," : "", name);
        }
        html_raw(page, "</li>");
    }
    html_raw(page, "</ul>");
    web_field_check(ctx, page, "confirm_hosts", cm_buf_str(&hosts), MSG_DR_CONFIRM, false);
    html_raw(page, "</section>");
    cm_buf_fini(&hosts);
}

static void file_field(struct web_ctx *ctx, struct cm_buf *page)
{
    html_raw(page, "<div class=\"field\">");
    html_leaf(page, "label", web_msg(ctx, MSG_DR_FILE), "for", "file", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_DR_FILE_HINT), "class", "hint", "id", "file-hint", NULL);
    html_open(page, "input", "type", "file", "id", "file", "name", "file", "accept",
              ".json,application/json", "aria-describedby", "file-hint", NULL);
    html_raw(page, "</div>");
}

static void fields(struct web_ctx *ctx, struct cm_buf *page, const struct recipe_form *form)
{
    struct web_field name = {.name = "name",
                             .label = MSG_DR_ID,
                             .hint = MSG_DR_ID_HINT,
                             .value = form->name,
                             .names = true,
                             .autocomplete = "off",
                             .errors = form->errors};
    struct web_field text = {.name = "recipe",
                             .label = MSG_DR_TEXT,
                             .hint = MSG_DR_TEXT_HINT,
                             .value = form->text,
                             .rows = TEXT_ROWS,
                             .names = true,
                             .autocomplete = "off",
                             .errors = form->errors};

    html_raw(page, "<div class=\"card\">");
    if (*form->version)
        html_open(page, "input", "type", "hidden", "name", "name", "value", form->name, NULL);
    else
        web_field(ctx, page, &name);
    file_field(ctx, page);
    web_field(ctx, page, &text);
    html_raw(page, "</div>");
}

static void form_html(struct web_ctx *ctx, struct cm_buf *page, const struct recipe_form *form)
{
    html_raw(page, "<form method=\"post\" action=\"/dns-recipes\" "
                   "enctype=\"multipart/form-data\">");
    web_page_token(ctx, page);
    html_open(page, "input", "type", "hidden", "name", "version", "value", form->version, NULL);
    if (json_array_size(form->widens) > 0)
        widens_html(ctx, page, form->widens);
    fields(ctx, page, form);
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_DR_STORE), "class", "primary", "type", "submit",
              NULL);
    html_leaf(page, "button", web_msg(ctx, MSG_DR_CHECK), "type", "submit", "name", "check",
              "value", "1", NULL);
    html_leaf(page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", "/dns-recipes", NULL);
    html_raw(page, "</div></form>");
}

void recipe_form(struct web_ctx *ctx, int status, const struct recipe_form *form)
{
    CM_AUTO_JSON refused = form->errors || form->widens ? NULL : cm_err_to_json(form->err);
    const char *title = web_msg(ctx, *form->version ? MSG_DR_REPLACE : MSG_DR_ADD);
    struct cm_buf page;

    web_page_begin(ctx, &page, title, NAV_DNS);
    html_raw(&page, "<div class=\"form-page\">");
    web_error_summary(ctx, &page, form->errors);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_DR_TITLE), "href", "/dns-recipes", NULL);
    html_raw(&page, "</p><h1>");
    if (*form->version)
        web_sentence(&page, ctx->lang, MSG_DR_REPLACE_TITLE, form->name, NULL);
    else
        html_text(&page, title);
    html_raw(&page, "</h1>");
    if (refused) {
        html_raw(&page, "<section class=\"card tone-bad\" role=\"alert\">");
        html_leaf(&page, "h2", web_msg(ctx, MSG_E_TITLE), NULL);
        web_error_object(ctx, &page, refused);
        html_raw(&page, "</section>");
    }
    html_leaf(&page, "p", web_msg(ctx, MSG_DR_LEAD), "class", "lead", NULL);
    web_notice(&page, "warn", web_msg(ctx, MSG_DR_TRUST));
    if (form->lint) {
        html_raw(&page, "<section class=\"card\" id=\"lint\">");
        html_leaf(&page, "h2", web_msg(ctx, MSG_DR_LINT), NULL);
        recipe_lint_html(ctx, &page, form->lint);
        html_raw(&page, "</section>");
    }
    form_html(ctx, &page, form);
    html_raw(&page, "</div>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}
