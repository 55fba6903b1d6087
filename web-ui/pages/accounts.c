/* The list of ACME accounts. */
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/html.h"
#include "web-ui/pages/account_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/presets.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

void account_status(const struct web_ctx *ctx, struct cm_buf *page, const json_t *account)
{
    const char *status = cm_json_str_or(account, "status", "new");
    bool valid = strcmp(status, "valid") == 0;
    bool over = strcmp(status, "deactivated") == 0;
    bool terms = cm_json_obj(account, "new_terms") != NULL;
    bool bad = over || strcmp(status, "error") == 0;

    html_open(page, "span", "class",
              valid ? "badge tone-ok"
              : bad ? "badge tone-bad"
                    : "badge tone-info",
              NULL);
    web_icon(page, valid ? "ok" : bad ? "bad" : "info");
    html_text(page, web_msg(ctx, valid  ? MSG_A_VALID
                                 : over ? MSG_A_OVER
                                 : bad  ? MSG_A_ERROR
                                        : MSG_A_NEW));
    html_close(page, "span");
    if (!terms)
        return;
    html_raw(page, " ");
    html_open(page, "span", "class", "badge tone-bad", NULL);
    web_icon(page, "bad");
    html_text(page, web_msg(ctx, MSG_A_TERMS_CHANGED));
    html_close(page, "span");
}

static void name_cell(struct cm_buf *page, const char *name)
{
    struct cm_buf href;

    cm_buf_init(&href, 1024);
    cm_buf_puts(&href, "/accounts/");
    url_encode(&href, name);
    html_open(page, "th", "scope", "row", NULL);
    html_leaf(page, "a", name, "href", cm_buf_str(&href), NULL);
    html_close(page, "th");
    cm_buf_fini(&href);
}

static void directory_cell(struct cm_buf *page, const char *directory)
{
    const struct acme_preset *preset = acme_preset_of(directory);

    html_raw(page, "<td>");
    if (preset) {
        html_text(page, preset->title);
        html_raw(page, "<br>");
    }
    html_leaf(page, "code", directory, NULL);
    html_raw(page, "</td>");
}

static void account_row(struct web_ctx *ctx, struct cm_buf *page, const json_t *account)
{
    const json_t *error = cm_json_obj(account, "error");
    size_t i;
    json_t *contact;

    html_raw(page, "<tr>");
    name_cell(page, cm_json_str_or(account, "name", ""));
    directory_cell(page, cm_json_str(account, "directory"));
    html_raw(page, "<td>");
    json_array_foreach(cm_json_arr(account, "contacts"), i, contact)
    {
        const char *text = json_string_value(contact);

        if (i)
            html_raw(page, ", ");
        html_text(page, text && strncmp(text, "mailto:", 7) == 0 ? text + 7 : text);
    }
    if (i == 0)
        html_raw(page, "–");
    html_raw(page, "</td><td>");
    account_status(ctx, page, account);
    html_raw(page, "</td></tr>");
    if (error) {
        html_raw(page, "<tr class=\"detail\"><td colspan=\"4\">");
        web_error_object(ctx, page, error);
        html_raw(page, "</td></tr>");
    }
}

static void list_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *accounts)
{
    static const enum web_msg columns[] = {MSG_C_ACCOUNT, MSG_A_DIRECTORY, MSG_A_CONTACTS,
                                           MSG_C_STATUS};
    size_t i;
    json_t *account;

    web_table_frame(page, web_msg(ctx, MSG_NAV_ACCOUNTS));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(accounts, i, account) account_row(ctx, page, account);
    html_raw(page, "</tbody></table></div>");
}

void page_accounts(struct web_ctx *ctx)
{
    CM_AUTO_JSON accounts = web_accounts(ctx->web->env.store);
    struct cm_buf page;

    web_page_begin(ctx, &page, web_msg(ctx, MSG_NAV_ACCOUNTS), NAV_ACCOUNTS);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_NAV_ACCOUNTS), NULL);
    if (json_array_size(accounts) > 0)
        html_leaf(&page, "a", web_msg(ctx, MSG_A_ADD), "class", "button primary", "href",
                  "/accounts/new", NULL);
    html_raw(&page, "</div>");
    if (json_array_size(accounts) > 0) {
        list_html(ctx, &page, accounts);
    } else {
        html_raw(&page, "<div class=\"card empty\">");
        html_leaf(&page, "h2", web_msg(ctx, MSG_A_NONE), NULL);
        html_leaf(&page, "p", web_msg(ctx, MSG_A_NONE_LEAD), NULL);
        html_leaf(&page, "a", web_msg(ctx, MSG_A_ADD), "class", "button primary", "href",
                  "/accounts/new", NULL);
        html_raw(&page, "</div>");
    }
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
}
