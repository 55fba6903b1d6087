/*
 * What of this server's state needs a look, at the top of the status page: in plain words and with
 * the way on, so that nobody has to read numbers to know whether all is well.  And the hold after a
 * restore.
 */
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certstore/store.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/sentence.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

#include <string.h>

#define LOST_S    60 /* who is started anew is back sooner */
#define NAMES_MAX 8  /* more are counted */

struct look {
    struct web_ctx *ctx;
    struct cm_buf *page;
    size_t count;
};

static void begin(struct look *look, const char *tone)
{
    look->count++;
    html_open(look->page, "div", "class",
              strcmp(tone, "bad") == 0 ? "notice tone-bad" : "notice tone-warn", "role", "alert",
              NULL);
    web_icon(look->page, tone);
    html_raw(look->page, "<div>");
}

static void end(struct look *look)
{
    html_raw(look->page, "</div></div>");
}

static void line(struct look *look, enum web_msg msg, const char *arg1, const char *arg2)
{
    html_raw(look->page, "<p>");
    web_sentence(look->page, look->ctx->lang, msg, arg1, arg2);
    html_raw(look->page, "</p>");
}

static void say(struct look *look, const char *tone, enum web_msg msg, const char *arg1,
                const char *arg2)
{
    begin(look, tone);
    line(look, msg, arg1, arg2);
    end(look);
}

/* "a, b, c … (+4)" (owned) */
static char *names(const json_t *list)
{
    struct cm_buf text;
    size_t i, count = json_array_size(list);

    cm_buf_init(&text, 4096);
    for (i = 0; i < count && i < NAMES_MAX; i++)
        cm_buf_printf(&text, "%s%.63s", i > 0 ? ", " : "",
                      json_string_value(json_array_get(list, i)));
    if (i < count)
        cm_buf_printf(&text, " … (+%zu)", count - i);
    char *all = cm_strdup(cm_buf_str(&text));

    cm_buf_fini(&text);
    return all;
}

/* The manager has been silent for a while.  Such a page is shown by standbys alone. */
static void lost(struct look *look, const json_t *trust, const json_t *upstream)
{
    const json_t *pull = cm_json_obj(upstream, "pull");

    if (strcmp(cm_json_str_or(upstream, "kind", ""), "manager") != 0 ||
        !cm_json_obj(pull, "error") || cm_json_int(pull, "lag_seconds", LOST_S) < LOST_S)
        return;
    begin(look, "bad");
    line(look, MSG_LOOK_LOST, cm_json_str_or(trust, "manager", "?"), NULL);
    html_raw(look->page, "<p>");
    html_text(look->page, web_msg(look->ctx, MSG_LOOK_HERE));
    html_raw(look->page, " ");
    html_leaf(look->page, "a", web_msg(look->ctx, MSG_P_TITLE), "href", "/manager", NULL);
    html_raw(look->page, "</p>");
    end(look);
}

static void away(struct look *look, const json_t *peers)
{
    CM_AUTO_JSON list = json_array();
    size_t i;
    json_t *peer;

    json_array_foreach(peers, i, peer)
    {
        if (!cm_json_bool(peer, "feed", false) && !cm_json_str(peer, "through") &&
            cm_json_int(peer, "lag_seconds", LOST_S) >= LOST_S)
            json_array_append(list, json_object_get(peer, "peer"));
    }
    if (json_array_size(list) == 0)
        return;
    CM_AUTO_STR text = names(list);

    say(look, "warn", MSG_LOOK_AWAY, text, NULL);
}

/* Of the task, or of the notices, which have a title. */
static void alarms(struct look *look, const json_t *task)
{
    size_t i;
    json_t *alarm;

    json_array_foreach(cm_json_arr(task, "alarms"), i, alarm)
    {
        bool critical = strcmp(cm_json_str_or(alarm, "severity", "critical"), "critical") == 0;

        begin(look, critical ? "bad" : "warn");
        if (cm_json_str(alarm, "title"))
            web_said(look->page, look->ctx->lang, "p", NULL, cm_json_str(alarm, "title"));
        web_said(look->page, look->ctx->lang, "p", NULL, cm_json_str_or(alarm, "what", ""));
        if (cm_json_str(alarm, "hint"))
            web_said(look->page, look->ctx->lang, "p", NULL, cm_json_str(alarm, "hint"));
        end(look);
    }
}

static void services(struct look *look, const json_t *status)
{
    size_t i;
    json_t *listener;

    if (json_object_get(status, "agent_connected") &&
        !cm_json_bool(status, "agent_connected", false))
        say(look, "bad", MSG_LOOK_AGENT, NULL, NULL);
    json_array_foreach(cm_json_arr(status, "listeners"), i, listener)
    {
        if (cm_json_str(listener, "error"))
            say(look, "bad", MSG_LOOK_LISTENER, cm_json_str_or(listener, "address", ""),
                cm_json_str(listener, "error"));
    }
    if (cm_json_int(cm_json_obj(status, "store"), "disk_free", INT64_MAX) < CS_DISK_WARN)
        say(look, "bad", MSG_LOOK_DISK, NULL, NULL);
    if (json_array_size(
            cm_json_arr(cm_json_obj(cm_json_obj(status, "store"), "scrub"), "problems")) > 0)
        say(look, "bad", MSG_LOOK_STORE, NULL, NULL);
}

void part_look(struct web_ctx *ctx, struct cm_buf *page, const json_t *status)
{
    struct look look = {.ctx = ctx, .page = page};
    const json_t *trust = cm_json_obj(status, "trust");

    lost(&look, trust, cm_json_obj(status, "upstream"));
    if (cm_json_time(trust, "expires_at", INT64_MAX) <= cm_now_ms())
        say(&look, "bad", MSG_LOOK_TRUST, NULL, NULL);
    services(&look, status);
    alarms(&look, cm_json_obj(status, "task"));
    alarms(&look, cm_json_obj(status, "notices"));
    away(&look, cm_json_arr(status, "peers"));
    if (cm_json_int(status, "quarantined", 0) > 0)
        say(&look, "warn", MSG_QUARANTINE_NOTE, NULL, NULL);
    if (look.count == 0 && !cm_json_bool(cm_json_obj(status, "hold"), "active", false))
        web_notice(page, "ok", web_msg(ctx, MSG_LOOK_WELL));
}

/* ---- the hold ---- */

static void fact(struct web_ctx *ctx, struct cm_buf *page, enum web_msg name, const char *text,
                 bool is_time)
{
    if (!text || !*text)
        return;
    html_leaf(page, "dt", web_msg(ctx, name), NULL);
    html_raw(page, "<dd>");
    if (is_time)
        web_time(ctx, page, text);
    else
        html_text(page, text);
    html_raw(page, "</dd>");
}

static enum web_msg hold_text(const json_t *hold)
{
    if (cm_json_bool(hold, "keys_replaced", false))
        return MSG_HOLD_REPLACED;
    if (cm_json_bool(hold, "active", false))
        return MSG_HOLD_ACTIVE;
    return cm_json_bool(hold, "older_copy", false) ? MSG_HOLD_COPY : MSG_HOLD_OVER;
}

/* What a restored server waits for, and the button of who knows better. */
void part_hold(struct web_ctx *ctx, struct cm_buf *page, const json_t *hold)
{
    bool active = cm_json_bool(hold, "active", false);
    bool may = active && !cm_json_bool(hold, "keys_replaced", false);

    if (!hold)
        return;
    CM_AUTO_STR waiting = names(cm_json_arr(hold, "waiting"));
    CM_AUTO_STR answered = names(cm_json_arr(hold, "answered"));

    html_raw(page, active ? "<section class=\"card tone-warn\">" : "<section class=\"card\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_STATUS_HOLD), NULL);
    html_leaf(page, "p", web_msg(ctx, hold_text(hold)), NULL);
    html_raw(page, "<dl class=\"facts\">");
    fact(ctx, page, MSG_HOLD_WAITING, waiting, false);
    fact(ctx, page, MSG_HOLD_ANSWERED, answered, false);
    fact(ctx, page, MSG_HOLD_BACKUP, cm_json_str(hold, "backup_at"), true);
    fact(ctx, page, MSG_HOLD_SINCE, cm_json_str(hold, "since"), true);
    fact(ctx, page, MSG_HOLD_BY, cm_json_str(hold, "released_by"), false);
    html_raw(page, "</dl>");
    if (may) {
        html_leaf(page, "p", web_msg(ctx, MSG_HOLD_WARN), NULL);
        html_open(page, "form", "method", "post", "action", "/status/hold-release", NULL);
        web_page_token(ctx, page);
        html_leaf(page, "button", web_msg(ctx, MSG_HOLD_RELEASE), "type", "submit", NULL);
        html_raw(page, "</form>");
    }
    html_raw(page, "</section>");
}
