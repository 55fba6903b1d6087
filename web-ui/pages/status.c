/* What this server is doing: what needs a look, task, notices, replication, listeners, store. */
#include "web-ui/html.h"
#include "web-ui/json_view.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

static void section(struct web_ctx *ctx, struct cm_buf *page, enum web_msg title,
                    const json_t *value)
{
    if (!value)
        return;
    html_raw(page, "<section class=\"card\">");
    html_leaf(page, "h2", web_msg(ctx, title), NULL);
    web_json_view(ctx, page, value);
    html_raw(page, "</section>");
}

/* Counts, and the button that tries the settings; only where notices are sent. */
static void notices(struct web_ctx *ctx, struct cm_buf *page, const json_t *value)
{
    if (!ctx->web->env.notify_test)
        return;
    html_raw(page, "<section class=\"card\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_STATUS_NOTICES), NULL);
    json_object_del((json_t *)(uintptr_t)value, "alarms"); /* told by part_look() */
    if (cm_json_bool(value, "off", false)) {
        html_leaf(page, "p", web_msg(ctx, MSG_NOTICE_OFF), NULL);
        html_raw(page, "</section>");
        return;
    }
    if (value)
        web_json_view(ctx, page, value);
    html_open(page, "form", "method", "post", "action", "/status/notify-test", NULL);
    web_page_token(ctx, page);
    html_leaf(page, "button", web_msg(ctx, MSG_NOTICE_TEST), "type", "submit", NULL);
    html_raw(page, "</form></section>");
}

static void released(struct web_ctx *ctx)
{
    web_reply_redirect(ctx, "/status");
}

void page_hold_release_post(struct web_ctx *ctx)
{
    const struct web_care *care = &ctx->web->env.care;
    struct cm_err err = CM_ERR_INIT;

    if (!care->release)
        web_reply_status(ctx, 404);
    else if (care->release(care->arg, web_actor(ctx).who, &err) < 0)
        web_reply_error(ctx, &err);
    else
        web_after_commit(ctx, released);
    cm_err_fini(&err);
}

/* One channel of a test notice: {channel, to, ok, error?}. */
static void outcome(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    bool ok = cm_json_bool(row, "ok", false);

    html_raw(page, ok ? "<div class=\"notice tone-ok\" role=\"status\">"
                      : "<div class=\"notice tone-bad\" role=\"status\">");
    web_icon(page, ok ? "ok" : "bad");
    html_raw(page, "<div><p>");
    web_sentence(page, ctx->lang, ok ? MSG_NOTICE_SENT : MSG_NOTICE_FAILED,
                 cm_json_str(row, "channel"), cm_json_str(row, "to"));
    html_raw(page, "</p>");
    if (!ok)
        web_error_object(ctx, page, cm_json_obj(row, "error"));
    html_raw(page, "</div></div>");
}

/* outcomes: of a test notice, or NULL; err: why there are none, or NULL. */
static void show(struct web_ctx *ctx, const json_t *outcomes, const struct cm_err *err)
{
    struct cm_buf page;
    CM_AUTO_JSON status = web_status(ctx->web);
    CM_AUTO_JSON services = web_services(ctx->web);
    CM_AUTO_JSON quarantine = cs_quarantine(ctx->web->env.store);

    web_page_begin(ctx, &page, web_msg(ctx, MSG_NAV_STATUS), NAV_STATUS);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_NAV_STATUS), NULL);
    html_leaf(&page, "a", web_msg(ctx, MSG_RP_TITLE), "class", "button", "href", "/report", NULL);
    html_raw(&page, "</div>");
    for (size_t i = 0; i < json_array_size(outcomes); i++)
        outcome(ctx, &page, json_array_get(outcomes, i));
    if (err) {
        CM_AUTO_JSON error = cm_err_to_json(err);

        html_raw(&page, "<section class=\"card tone-bad\" role=\"alert\">");
        html_leaf(&page, "h2", web_msg(ctx, MSG_E_TITLE), NULL);
        web_error_object(ctx, &page, error);
        html_raw(&page, "</section>");
    }
    part_look(ctx, &page, status);
    part_hold(ctx, &page, json_object_get(status, "hold"));
    json_object_del(json_object_get(status, "trust"), "state"); /* told by part_look() */
    html_raw(&page, "<div class=\"columns cards\">");
    section(ctx, &page, MSG_STATUS_TASK, json_object_get(status, "task"));
    section(ctx, &page, MSG_NAV_CREDENTIALS, json_object_get(status, "credentials"));
    section(ctx, &page, MSG_STATUS_TRUST, json_object_get(status, "trust"));
    notices(ctx, &page, json_object_get(services, "notices"));
    html_raw(&page, "</div>");
    part_replication(ctx, &page);
    part_refused(ctx, &page, quarantine);
    json_object_del(services, "notices");
    json_object_del(services, "upstream"); /* part_replication() */
    json_object_del(services, "peers");
    section(ctx, &page, MSG_STATUS_SERVICES, services);
    html_raw(&page, "<div class=\"wide\">");
    section(ctx, &page, MSG_STATUS_STORE, json_object_get(status, "store"));
    html_raw(&page, "</div>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, err ? web_status_of(err->code) : 200, &page);
}

void page_status(struct web_ctx *ctx)
{
    show(ctx, NULL, NULL);
}

static void tested(void *arg, const json_t *result, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    show(ctx, result, err && err->code ? err : NULL);
}

void page_notify_test_post(struct web_ctx *ctx)
{
    const struct web_env *env = &ctx->web->env;

    if (env->notify_test)
        env->notify_test(env->notify_arg, web_actor(ctx).who, tested, ctx);
    else
        web_reply_status(ctx, 404);
}
