/*
 * The findings of a check: the engine's sentence (sentence.h), the fix, and what the engine adds to
 * it (a host, a record) below.
 */
#include "web-ui/pages/check_result.h"

#include <string.h>

#include "web-ui/html.h"
#include "web-ui/pages/credential_form.h"
#include "web-ui/sentence.h"
#include "web-ui/text.h"
#include "web-ui/widget.h"

static const struct {
    const char *id;
    enum web_msg fix;
} fixes[] = {
    {"name_differs", MSG_FIX_NAME_DIFFERS},
    {"name_registry", MSG_FIX_NAME_REGISTRY},
    {"name_scripts", MSG_FIX_NAME_SCRIPTS},
    {"wildcard_base", MSG_FIX_WILDCARD_BASE},
    {"set_exact", MSG_FIX_SET_EXACT},
    {"set_recent", MSG_FIX_SET_RECENT},
    {"billing_changed", MSG_FIX_BILLING_CHANGED},
    {"key_type_wrong", MSG_FIX_KEY_TYPE_WRONG},
    {"one_fate", MSG_FIX_ONE_FATE},
    {"fate_dropped", MSG_FIX_FATE_DROPPED},
    {"by_hand", MSG_FIX_BY_HAND},
    {"profile_unknown", MSG_FIX_PROFILE_UNKNOWN},
    {"profile_limit", MSG_FIX_PROFILE_LIMIT},
    {"budget_wait", MSG_FIX_BUDGET_WAIT},
    {"directory_unread", MSG_FIX_DIRECTORY_UNREAD},
    {"challenge_none", MSG_FIX_CHALLENGE_NONE},
    {"cname_broken", MSG_FIX_CNAME_BROKEN},
    {"caa_denied", MSG_FIX_CAA_DENIED},
    {"caa_failed", MSG_FIX_CAA_FAILED},
    {"caa_unknown", MSG_FIX_CAA_UNKNOWN},
    {"address_none", MSG_FIX_ADDRESS_NONE},
    {"address_bad", MSG_FIX_ADDRESS_BAD},
    {"address_no_route", MSG_FIX_ADDRESS_NO_ROUTE},
    {"dns_probe_bad", MSG_FIX_DNS_PROBE_BAD},
    {"time", MSG_FIX_TIME},
};

static const struct {
    const char *what;
    enum web_msg label;
} subjects[] = {
    {"name", MSG_CHECK_NAME},
    {"set", MSG_CHECK_SET},
    {"billing", MSG_CHECK_BILLING},
    {"key_type", MSG_F_KEY_TYPE},
    {"lifetime", MSG_CHECK_LIFETIME},
    {"budget", MSG_CHECK_BUDGET},
    {"renewal", MSG_CHECK_RENEWAL},
    {"directory", MSG_CHECK_DIRECTORY},
    {"challenge", MSG_CHECK_CHALLENGE},
    {"cname", MSG_CHECK_CNAME},
    {"caa", MSG_CHECK_CAA},
    {"address", MSG_CHECK_ADDRESS},
    {"dns_probe", MSG_CHECK_DNS_PROBE},
    {"time", MSG_CHECK_TIME},
};

static enum web_msg fix_of(const char *id)
{
    for (size_t i = 0; i < sizeof(fixes) / sizeof(fixes[0]); i++)
        if (strcmp(fixes[i].id, id) == 0)
            return fixes[i].fix;
    return MSG_NONE;
}

static const char *label_of(const struct web_ctx *ctx, const char *what)
{
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        if (strcmp(subjects[i].what, what) == 0)
            return web_msg(ctx, subjects[i].label);
    return what;
}

static void badge(const struct web_ctx *ctx, struct cm_buf *page, const char *result)
{
    bool ok = strcmp(result, "ok") == 0, bad = strcmp(result, "fail") == 0;

    html_open(page, "span", "class",
              ok    ? "badge tone-ok"
              : bad ? "badge tone-bad"
                    : "badge tone-warn",
              NULL);
    web_icon(page, ok ? "ok" : bad ? "bad" : "warn");
    html_text(page, web_msg(ctx, ok ? MSG_CHECK_OK : bad ? MSG_CHECK_FAIL : MSG_CHECK_WARN));
    html_close(page, "span");
}

/* The engine's own words, when they say more than the sentence of the page. */
void check_fix(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    const char *own = cm_json_str(row, "fix");
    enum web_msg fix = fix_of(cm_json_str_or(row, "id", ""));

    if (!own)
        return;
    html_raw(page, "<p><strong>");
    html_text(page, web_msg(ctx, MSG_CHECK_FIX));
    html_raw(page, "</strong> ");
    if (fix != MSG_NONE)
        html_text(page, web_msg(ctx, fix));
    html_raw(page, "</p>");
    if (fix == MSG_NONE || strcmp(own, web_text(WEB_EN, fix)) != 0)
        web_said(page, ctx->lang, "p", NULL, own);
}

/* Names on offer: the form comes back with them. */
static void add_buttons(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    size_t i;
    json_t *name;

    json_array_foreach(cm_json_arr(row, "add"), i, name)
    {
        html_open(page, "button", "type", "submit", "form", CREDENTIAL_FORM_ID, "name", "add",
                  "value", json_string_value(name), NULL);
        web_sentence(page, ctx->lang, MSG_ADVICE_ADD, json_string_value(name), NULL);
        html_close(page, "button");
    }
}

static void result_row(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    html_raw(page, "<tr><td>");
    badge(ctx, page, cm_json_str_or(row, "result", ""));
    html_raw(page, "</td><td>");
    html_text(page, label_of(ctx, cm_json_str_or(row, "what", "")));
    html_raw(page, "</td><td>");
    web_said(page, ctx->lang, "p", NULL, cm_json_str_or(row, "text", ""));
    check_fix(ctx, page, row);
    add_buttons(ctx, page, row);
    html_raw(page, "</td></tr>");
}

/* Failures first, then warnings, then what is fine. */
static void result_table(struct web_ctx *ctx, struct cm_buf *page, enum web_msg title,
                         const json_t *rows)
{
    static const char *const order[] = {"fail", "warn", "ok"};
    static const enum web_msg columns[] = {MSG_CHECK_RESULT, MSG_CHECK_WHAT, MSG_CHECK_FOUND};
    size_t i;
    json_t *row;

    web_table_frame(page, web_msg(ctx, title));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
        json_array_foreach(rows, i, row)
        {
            if (strcmp(cm_json_str_or(row, "result", ""), order[k]) == 0)
                result_row(ctx, page, row);
        }
    }
    html_raw(page, "</tbody></table></div></section>");
}

void check_result(struct web_ctx *ctx, struct cm_buf *page, const json_t *report)
{
    const char *result = cm_json_str_or(report, "result", "");
    bool ok = strcmp(result, "ok") == 0, bad = strcmp(result, "fail") == 0;

    if (!report)
        return;
    html_raw(page, "<section class=\"card\" id=\"check-result\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_CHECK_TITLE), NULL);
    web_notice(page,
               ok    ? "ok"
               : bad ? "bad"
                     : "warn",
               web_msg(ctx, ok    ? MSG_CHECK_ALL_OK
                            : bad ? MSG_CHECK_SOME_FAIL
                                  : MSG_CHECK_SOME_WARN));
    result_table(ctx, page, MSG_CHECK_TITLE, cm_json_arr(report, "checks"));
}

void check_advice(struct web_ctx *ctx, struct cm_buf *page, const json_t *rows)
{
    if (!rows)
        return;
    html_raw(page, "<section class=\"card\" id=\"advice\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_ADVICE_TITLE), NULL);
    web_notice(page, "warn", web_msg(ctx, MSG_ADVICE_LEAD));
    result_table(ctx, page, MSG_ADVICE_TITLE, rows);
}

void check_contradictions(struct web_ctx *ctx, struct cm_buf *page, const json_t *rows)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        html_raw(page, "<div class=\"notice tone-warn\">");
        web_icon(page, "warn");
        html_raw(page, "<div>");
        web_said(page, ctx->lang, "p", NULL, cm_json_str_or(row, "text", ""));
        check_fix(ctx, page, row);
        html_raw(page, "</div></div>");
    }
}
