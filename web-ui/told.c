/*
 * Codes of the engine as sentences; a code that has none is looked for as a sentence (sentence.h).
 * Times follow the sentence, as they are shown everywhere.
 */
#include "web-ui/told.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/sentence.h"
#include "web-ui/widget.h"

struct said {
    const char *code;
    enum web_msg msg;
};

static const struct said nexts[] = {
    {"manager", MSG_NX_MANAGER},   {"working", MSG_NX_WORKING},
    {"limit", MSG_NX_LIMIT},       {"held", MSG_NX_HELD},
    {"refused", MSG_NX_REFUSED},   {"order", MSG_NX_ORDER},
    {"attempt", MSG_NX_ATTEMPT},   {"renewal", MSG_NX_RENEWAL},
    {"revoking", MSG_NX_REVOKING}, {"revocation", MSG_NX_REVOCATION},
    {"dry_run", MSG_NX_DRY_RUN},   {"end", MSG_NX_END},
    {"nothing", MSG_NX_NOTHING},
};

/* {1} and {2}: server and what, or the count. */
static const struct said reasons[] = {
    {"draft", MSG_TW_DRAFT},
    {"refused", MSG_TW_REFUSED},
    {"servers_change", MSG_TW_SERVERS},
    {"revoked", MSG_TW_REVOKED},
    {"expired", MSG_TW_EXPIRED},
    {"archived", MSG_TW_ARCHIVED},
    {"no_dates", MSG_TW_NO_DATES},
    {"to_revoke", MSG_TW_TO_REVOKE},
    {"person", MSG_TW_PERSON},
    {"paused", MSG_TW_PAUSED},
    {"after_failure", MSG_TW_AGAIN},
    {"open_order", MSG_TW_OPEN},
    {"turn", MSG_TW_TURN},
    {"dry_run", MSG_TW_DRY_RUN},
    {"staging_first", MSG_TW_STAGING_FIRST},
    {"before_attempt", MSG_TW_BEFORE_NEXT},
    {"ca_proposes", MSG_TW_CA_PROPOSES},
    {"clock", MSG_TW_CLOCK},
    {"ca_fails", MSG_TW_CA_FAILS},
    {"never_issued", MSG_TW_NEVER},
    {"serves_until", MSG_TW_SERVES},
    {"ended_at", MSG_TW_ENDED},
    {"no_root", MSG_TW_NO_ROOT},
    {"deployment_failed", MSG_TW_DEPLOY},
    {"deployment_failed_somehow", MSG_TW_DEPLOY_HOW},
};

static enum web_msg msg_of(const struct said *list, size_t count, const char *code)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].code, code) == 0)
            return list[i].msg;
    return MSG_NONE;
}

static enum web_msg span_of(const char *unit)
{
    static const struct said units[] = {{"days", MSG_TW_DAYS},
                                        {"hours", MSG_TW_HOURS},
                                        {"minutes", MSG_TW_MINUTES},
                                        {"seconds", MSG_TW_SECONDS}};
    return msg_of(units, 4, unit);
}

/* The engine's own words, as far as possible in the reader's language. */
static void words(const struct web_ctx *ctx, struct cm_buf *page, const char *text)
{
    web_said(page, ctx->lang, "span", NULL, text);
}

static void reason(const struct web_ctx *ctx, struct cm_buf *page, const json_t *told)
{
    const char *code = cm_json_str_or(told, "code", "");
    const char *what = cm_json_str(told, "what"), *text = cm_json_str_or(told, "text", "");
    bool span = strcmp(code, "before_expiry") == 0;
    enum web_msg msg = span ? span_of(cm_json_str_or(told, "unit", ""))
                            : msg_of(reasons, sizeof(reasons) / sizeof(reasons[0]), code);
    char count[24];

    if (what && web_say(page, ctx->lang, text))
        return; /* with the words inside it */
    snprintf(count, sizeof(count), "%" PRId64, cm_json_int(told, "count", 0));
    if (msg == MSG_NONE)
        words(ctx, page, text);
    else
        web_sentence(page, ctx->lang, msg, span ? count : cm_json_str(told, "server"), what);
    if (msg != MSG_NONE && cm_json_str(told, "at")) {
        html_raw(page, " ");
        web_time(ctx, page, cm_json_str(told, "at"));
    }
}

static void box_begin(struct cm_buf *page, const char *tone)
{
    CM_AUTO_STR class = cm_asprintf("notice tone-%s", tone);

    html_open(page, "div", "class", class, "role", "status", NULL);
    web_icon(page, tone);
    html_raw(page, "<p>");
}

static void box_end(struct cm_buf *page)
{
    html_raw(page, "</p></div>");
}

void web_next(const struct web_ctx *ctx, struct cm_buf *page, const json_t *view)
{
    const char *text = cm_json_str_or(view, "next", "");
    const json_t *told = cm_json_obj(view, "next_told");
    const json_t *why = cm_json_obj(told, "why");
    enum web_msg msg =
        msg_of(nexts, sizeof(nexts) / sizeof(nexts[0]), cm_json_str_or(told, "code", ""));

    if (!*text)
        return;
    box_begin(page, "info");
    if (msg == MSG_NONE) {
        words(ctx, page, text);
        box_end(page);
        return;
    }
    html_text(page, web_msg(ctx, msg));
    if (cm_json_str(told, "at")) {
        html_raw(page, " ");
        web_time(ctx, page, cm_json_str(told, "at"));
    }
    if (why) {
        html_raw(page, " (");
        reason(ctx, page, why);
        html_raw(page, ")");
    }
    box_end(page);
}

void web_health_causes(const struct web_ctx *ctx, struct cm_buf *page, const json_t *health)
{
    const json_t *causes = cm_json_arr(health, "causes");
    const json_t *told = cm_json_arr(health, "told");
    bool red = strcmp(cm_json_str_or(health, "color", ""), "red") == 0;
    size_t i;
    json_t *cause;

    json_array_foreach(causes, i, cause)
    {
        box_begin(page, red ? "bad" : "warn");
        if (i < json_array_size(told))
            reason(ctx, page, json_array_get(told, i));
        else
            words(ctx, page, json_is_string(cause) ? json_string_value(cause) : "");
        box_end(page);
    }
}
