/* The report of the last day: issued, failed, misconfigured, and how many were left alone. */
#include "certmgr/engine/report.h"

#include <stdio.h>

#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/pages/check_result.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/report.h"
#include "web-ui/sentence.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

static int64_t count_of(const json_t *report, const char *name)
{
    return cm_json_int(cm_json_obj(report, name), "count", 0);
}

static void names_cell(struct cm_buf *page, const json_t *row)
{
    CM_AUTO_STR href = cm_asprintf("/credentials/%s", cm_json_str_or(row, "credential", ""));
    const json_t *names = cm_json_arr(row, "names");
    const char *first = json_string_value(json_array_get(names, 0));

    html_raw(page, "<th scope=\"row\">");
    html_open(page, "a", "href", href, NULL);
    html_leaf(page, "bdi", first ? first : "–", NULL);
    html_close(page, "a");
    if (json_array_size(names) > 1) {
        CM_AUTO_STR more = cm_asprintf("+%zu", json_array_size(names) - 1);

        html_raw(page, " ");
        html_leaf(page, "span", more, "class", "more", NULL);
    }
    html_raw(page, "</th>");
}

/* "web1, web2: default/www.kyr" */
static void file_cell(struct cm_buf *page, const json_t *row)
{
    size_t i;
    json_t *server;

    html_raw(page, "<td>");
    json_array_foreach(cm_json_arr(row, "servers"), i, server)
    {
        html_text(page, i ? ", " : "");
        html_text(page, json_string_value(server));
    }
    html_text(page, ": ");
    html_text(page, cm_json_str_or(row, "target", ""));
    html_text(page, "/");
    html_text(page, cm_json_str_or(row, "keyring_file", ""));
    html_raw(page, "</td>");
}

static void text_cell(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    html_raw(page, "<td>");
    web_said(page, ctx->lang, "p", NULL, cm_json_str_or(row, "text", ""));
    check_fix(ctx, page, row);
    html_raw(page, "</td>");
}

struct part {
    const char *name;
    enum web_msg title, what, when;
    const char *time; /* member */
};

static void part(struct web_ctx *ctx, struct cm_buf *page, const json_t *report,
                 const struct part *part)
{
    const json_t *rows = cm_json_arr(cm_json_obj(report, part->name), "rows");
    size_t i;
    json_t *row;

    if (json_array_size(rows) == 0)
        return;
    html_raw(page, "<section class=\"card\">");
    html_leaf(page, "h2", web_msg(ctx, part->title), NULL);
    web_table_frame(page, web_msg(ctx, part->title));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    html_leaf(page, "th", web_msg(ctx, MSG_F_HOST_NAMES), "scope", "col", NULL);
    html_leaf(page, "th", web_msg(ctx, part->what), "scope", "col", NULL);
    if (part->time)
        html_leaf(page, "th", web_msg(ctx, part->when), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(rows, i, row)
    {
        html_raw(page, "<tr>");
        names_cell(page, row);
        if (cm_json_str(row, "text"))
            text_cell(ctx, page, row);
        else
            file_cell(page, row);
        if (part->time) {
            html_raw(page, "<td>");
            web_time(ctx, page, cm_json_str(row, part->time));
            html_raw(page, "</td>");
        }
        html_raw(page, "</tr>");
    }
    html_raw(page, "</tbody></table></div></section>");
}

static void counts(struct web_ctx *ctx, struct cm_buf *page, const json_t *report)
{
    static const struct {
        const char *name;
        enum web_msg label;
    } rows[] = {{"issued", MSG_RP_ISSUED},
                {"failed", MSG_RP_FAILED},
                {"misconfigured", MSG_RP_MISCONFIGURED},
                {"skipped", MSG_RP_SKIPPED},
                {"under_way", MSG_RP_UNDER_WAY},
                {"ended", MSG_RP_ENDED}};

    html_raw(page, "<section class=\"card\"><dl class=\"facts counts\">");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char number[24];

        snprintf(number, sizeof(number), "%lld", (long long)count_of(report, rows[i].name));
        html_raw(page, "<div>");
        html_leaf(page, "dt", web_msg(ctx, rows[i].label), NULL);
        html_leaf(page, "dd", number, NULL);
        html_raw(page, "</div>");
    }
    html_raw(page, "</dl></section>");
}

static void reported(void *arg, const json_t *report)
{
    static const struct part parts[] = {
        {"failed", MSG_RP_FAILED, MSG_CHECK_FOUND, MSG_D_NEXT_ACTION, "next_at"},
        {"misconfigured", MSG_RP_MISCONFIGURED, MSG_CHECK_FOUND, MSG_NONE, NULL},
        {"issued", MSG_RP_ISSUED, MSG_F_KEYRING, MSG_X_NOT_AFTER, "not_after"}};
    struct web_ctx *ctx = arg;
    struct cm_buf page;

    if (web_ctx_gone(ctx))
        return;
    if (!report) {
        web_reply_status(ctx, 503);
        return;
    }
    web_page_begin(ctx, &page, web_msg(ctx, MSG_RP_TITLE), NAV_STATUS);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_STATUS), "href", "/status", NULL);
    html_raw(&page, "</p><div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_RP_TITLE), NULL);
    html_raw(&page, "</div><p class=\"lead\">");
    html_text(&page, web_msg(ctx, MSG_RP_SINCE));
    html_raw(&page, " ");
    web_time(ctx, &page, cm_json_str(report, "since"));
    html_raw(&page, "</p>");
    counts(ctx, &page, report);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        part(ctx, &page, report, &parts[i]);
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
}

void page_report(struct web_ctx *ctx)
{
    int64_t since;

    if (web_report_since(ctx, &since))
        eng_report(ctx->web->env.engine, since, reported, ctx);
    else
        web_reply_status(ctx, 400);
}
