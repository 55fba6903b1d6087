/* What is left of the CA's limits, on the page of an account. */
#include <stdio.h>
#include <string.h>

#include "web-ui/html.h"
#include "web-ui/pages/account_form.h"
#include "web-ui/widget.h"

static enum web_msg limit_label(const char *limit)
{
    static const struct {
        const char *limit;
        enum web_msg label;
    } rows[] = {{"orders", MSG_BUDGET_ORDERS},
                {"domain", MSG_BUDGET_DOMAIN},
                {"set", MSG_BUDGET_SET},
                {"failed", MSG_BUDGET_FAILED}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].limit, limit) == 0)
            return rows[i].label;
    return MSG_CHECK_BUDGET;
}

static void budget_row(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    char left[24], of[24];

    snprintf(left, sizeof(left), "%lld", (long long)cm_json_int(row, "left", 0));
    snprintf(of, sizeof(of), "%lld", (long long)cm_json_int(row, "of", 0));
    html_raw(page, "<tr><td>");
    html_text(page, web_msg(ctx, limit_label(cm_json_str_or(row, "limit", ""))));
    html_raw(page, "</td><td>");
    html_text(page, cm_json_str(row, "subject"));
    html_raw(page, "</td><td>");
    web_sentence(page, ctx->lang, MSG_BUDGET_LEFT, left, of);
    html_raw(page, "</td><td>");
    web_time(ctx, page, cm_json_str(row, "next_at"));
    html_raw(page, "</td></tr>");
}

void account_budget(struct web_ctx *ctx, struct cm_buf *page, const char *account)
{
    static const enum web_msg columns[] = {MSG_BUDGET_LIMIT, MSG_BUDGET_SUBJECT,
                                           MSG_BUDGET_LEFT_HEAD, MSG_BUDGET_NEXT};
    CM_AUTO_JSON view = eng_budget_view(ctx->web->env.engine, account);
    const json_t *limits = cm_json_arr(view, "limits");
    size_t i;
    json_t *row;

    if (json_array_size(limits) == 0)
        return;
    html_raw(page, "<section class=\"card\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_CHECK_BUDGET), NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_BUDGET_LEAD), NULL);
    web_table_frame(page, web_msg(ctx, MSG_CHECK_BUDGET));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(limits, i, row) budget_row(ctx, page, row);
    html_raw(page, "</tbody></table></div></section>");
}
