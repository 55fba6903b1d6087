/* Shared parts of pages.  See widget.h. */
#include "web-ui/widget.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/sentence.h"

struct word {
    const char *value;
    enum web_msg label;
    const char *tone; /* class and icon */
};

static const struct word statuses[] = {
    {"draft", MSG_S_DRAFT, "dot"},
    {"pending", MSG_S_PENDING, "info"},
    {"waiting", MSG_S_WAITING, "warn"},
    {"issued", MSG_S_ISSUED, "ok"},
    {"renew", MSG_S_RENEW, "info"},
    {"revoke_pending", MSG_S_REVOKE_PENDING, "warn"},
    {"revoked", MSG_S_REVOKED, "dot"},
    {"error", MSG_S_ERROR, "bad"},
    {"expired", MSG_S_EXPIRED, "bad"},
    {"archived", MSG_S_ARCHIVED, "dot"},
    {"update_servers", MSG_S_UPDATE_SERVERS, "info"},
    {NULL, MSG_NONE, NULL},
};
static const struct word healths[] = {
    {"green", MSG_H_GREEN, "ok"},
    {"yellow", MSG_H_YELLOW, "warn"},
    {"red", MSG_H_RED, "bad"},
    {NULL, MSG_NONE, NULL},
};
static const struct word receipts[] = {
    {"none", MSG_R_NONE, "dot"},        {"replicated", MSG_R_REPLICATED, "info"},
    {"opened", MSG_R_OPENED, "info"},   {"deployed", MSG_R_DEPLOYED, "ok"},
    {"reloaded", MSG_R_RELOADED, "ok"}, {"served", MSG_R_SERVED, "ok"},
    {"failed", MSG_R_FAILED, "bad"},    {NULL, MSG_NONE, NULL},
};

/* Line icons on a 16 x 16 grid, drawn in the current text colour. */
static const char *const icons[][2] = {
    {"ok", "<circle cx=\"8\" cy=\"8\" r=\"6.25\"/><path d=\"m5.2 8.2 1.9 1.9 3.8-4\"/>"},
    {"info", "<circle cx=\"8\" cy=\"8\" r=\"6.25\"/><path d=\"M8 4.6V8l2.3 1.6\"/>"},
    {"warn", "<path d=\"M8 2.2 14.2 13H1.8zM8 6.4v3.2M8 11.3v.1\"/>"},
    {"bad",
     "<path d=\"M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4zM8 4.9v3.7M8 10.9v.1\"/>"},
    {"dot", "<circle cx=\"8\" cy=\"8\" r=\"6.25\"/><path d=\"M5.2 8h5.6\"/>"},
};

void web_icon(struct cm_buf *page, const char *name)
{
    html_raw(page, "<svg class=\"icon\" viewBox=\"0 0 16 16\" width=\"16\" height=\"16\" "
                   "fill=\"none\" stroke=\"currentColor\" aria-hidden=\"true\" "
                   "focusable=\"false\">");
    for (size_t i = 0; i < sizeof(icons) / sizeof(icons[0]); i++) {
        if (strcmp(icons[i][0], name) == 0)
            html_raw(page, icons[i][1]);
    }
    html_raw(page, "</svg>");
}

static void badge(const struct web_ctx *ctx, struct cm_buf *page, const struct word *words,
                  const char *value)
{
    const struct word *word = words;
    CM_AUTO_STR class = NULL;

    while (word->value && strcmp(word->value, value ? value : "") != 0)
        word++;
    class = cm_asprintf("badge tone-%s", word->tone ? word->tone : "dot");
    html_open(page, "span", "class", class, NULL);
    web_icon(page, word->tone ? word->tone : "dot");
    html_text(page, word->value ? web_msg(ctx, word->label) : value ? value : "–");
    html_close(page, "span");
}

void web_status_badge(const struct web_ctx *ctx, struct cm_buf *page, const char *status)
{
    badge(ctx, page, statuses, status);
}

void web_health_badge(const struct web_ctx *ctx, struct cm_buf *page, const char *color)
{
    badge(ctx, page, healths, color);
}

void web_receipt_badge(const struct web_ctx *ctx, struct cm_buf *page, const char *state)
{
    badge(ctx, page, receipts, state);
}

/* "in 62 d", "3 min ago". */
static void distance(const struct web_ctx *ctx, struct cm_buf *page, int64_t ms)
{
    static const struct {
        int64_t unit_ms;
        enum web_msg future, past;
    } units[] = {
        {86400000, MSG_IN_DAYS, MSG_DAYS_AGO},
        {3600000, MSG_IN_HOURS, MSG_HOURS_AGO},
        {60000, MSG_IN_MINUTES, MSG_MINUTES_AGO},
        {1000, MSG_IN_SECONDS, MSG_SECONDS_AGO},
    };
    int64_t away = ms - cm_now_ms();
    int64_t size = away < 0 ? -away : away;
    size_t i = 0;
    char count[24];

    while (i < 3 && size < 2 * units[i].unit_ms)
        i++;
    snprintf(count, sizeof(count), "%" PRId64, size / units[i].unit_ms);
    web_sentence(page, ctx->lang, away < 0 ? units[i].past : units[i].future, count, NULL);
}

/* Opens <time> with date and time of day, cut to minutes or seconds; false = a dash instead. */
static bool time_begin(struct cm_buf *page, const char *rfc3339, size_t cut, int64_t *ms)
{
    char text[CM_TIME_TEXT];

    if (!rfc3339 || cm_time_parse(rfc3339, ms) < 0) {
        html_raw(page, "–");
        return false;
    }
    cm_time_format(*ms, text);
    text[10] = '\0'; /* date; the time of day begins behind the T */
    text[cut] = '\0';
    html_open(page, "time", "datetime", rfc3339, NULL);
    html_open(page, "span", "class", "when", NULL);
    html_text(page, text);
    html_raw(page, " ");
    html_text(page, text + 11);
    html_raw(page, " UTC</span>");
    return true;
}

void web_time(const struct web_ctx *ctx, struct cm_buf *page, const char *rfc3339)
{
    int64_t ms;

    if (!time_begin(page, rfc3339, strlen("2026-11-22T04:02"), &ms))
        return;
    html_raw(page, " <span class=\"ago\">");
    distance(ctx, page, ms);
    html_raw(page, "</span></time>");
}

void web_time_exact(struct cm_buf *page, const char *rfc3339)
{
    int64_t ms;

    if (time_begin(page, rfc3339, strlen("2026-11-22T04:02:26"), &ms))
        html_raw(page, "</time>");
}

void web_table_frame(struct cm_buf *page, const char *label)
{
    html_open(page, "div", "class", "frame", "role", "group", "tabindex", "0", "aria-label", label,
              NULL);
}

void web_notice(struct cm_buf *page, const char *tone, const char *text)
{
    CM_AUTO_STR class = cm_asprintf("notice tone-%s", tone);

    html_open(page, "div", "class", class, "role", "status", NULL);
    web_icon(page, tone);
    html_leaf(page, "p", text, NULL);
    html_close(page, "div");
}

static void error_causes(const struct web_ctx *ctx, struct cm_buf *page, const json_t *causes)
{
    size_t i;
    json_t *cause;

    if (json_array_size(causes) == 0)
        return;
    html_leaf(page, "h3", web_msg(ctx, MSG_E_WHY), NULL);
    html_raw(page, "<ol class=\"causes\">");
    json_array_foreach(causes, i, cause)
    {
        web_said(page, ctx->lang, "li", NULL, json_string_value(cause));
    }
    html_raw(page, "</ol>");
}

static void error_problem(const struct web_ctx *ctx, struct cm_buf *page, const json_t *problem)
{
    char *text = problem ? json_dumps(problem, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;

    if (!text)
        return;
    html_leaf(page, "h3", web_msg(ctx, MSG_E_PROBLEM), NULL);
    html_leaf(page, "pre", text, "tabindex", "0", "lang", "en", NULL);
    cm_free(text);
}

static void error_facts(const struct web_ctx *ctx, struct cm_buf *page, const json_t *error)
{
    int64_t attempts = cm_json_int(error, "attempts", 0);
    const char *next = cm_json_str(error, "next_attempt_at");
    const char *object = cm_json_str(error, "object");

    html_raw(page, "<dl class=\"facts\">");
    if (object) {
        html_leaf(page, "dt", web_msg(ctx, MSG_E_OBJECT), NULL);
        html_leaf(page, "dd", object, NULL);
    }
    if (attempts > 0) {
        html_leaf(page, "dt", web_msg(ctx, MSG_E_ATTEMPTS), NULL);
        html_raw(page, "<dd>");
        html_int(page, attempts);
        html_raw(page, "</dd>");
    }
    if (next && cm_json_time(error, "next_attempt_at", 0) > cm_now_ms()) { /* else: it is made */
        html_leaf(page, "dt", web_msg(ctx, MSG_E_NEXT), NULL);
        html_raw(page, "<dd>");
        web_time(ctx, page, next);
        html_raw(page, "</dd>");
    }
    html_raw(page, "</dl>");
}

void web_error_object(const struct web_ctx *ctx, struct cm_buf *page, const json_t *error)
{
    const char *hint = cm_json_str(error, "hint");

    html_raw(page, "<div class=\"error-object\">");
    web_said(page, ctx->lang, "p", "what", cm_json_str_or(error, "what", ""));
    error_causes(ctx, page, cm_json_arr(error, "causes"));
    if (hint && *hint) {
        html_leaf(page, "h3", web_msg(ctx, MSG_E_HINT), NULL);
        web_said(page, ctx->lang, "p", NULL, hint);
    }
    error_problem(ctx, page, json_object_get(error, "problem"));
    error_facts(ctx, page, error);
    html_raw(page, "</div>");
}
