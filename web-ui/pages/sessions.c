/* Where the signed-in person is signed in, ending one of these sessions or all of them; and who
 * else is, whose sessions an administrator can end. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/stream.h"
#include "web-ui/widget.h"

static void end_form(struct web_ctx *ctx, struct cm_buf *page, const json_t *session)
{
    CM_AUTO_STR action = cm_asprintf("/sessions/%s/end", cm_json_str_or(session, "id", ""));

    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
    html_leaf(page, "button", web_msg(ctx, MSG_L_END_ONE), "type", "submit", NULL);
    html_raw(page, "</form>");
}

static void row(struct web_ctx *ctx, struct cm_buf *page, const json_t *session)
{
    html_raw(page, "<tr><th scope=\"row\">");
    web_time(ctx, page, cm_json_str(session, "created_at"));
    html_raw(page, "</th><td>");
    web_time(ctx, page, cm_json_str(session, "seen_at"));
    html_raw(page, "</td><td>");
    if (cm_json_bool(session, "current", false))
        html_leaf(page, "span", web_msg(ctx, MSG_L_THIS), "class", "role", NULL);
    else
        end_form(ctx, page, session);
    html_raw(page, "</td></tr>");
}

/* ---- the others ---- */

static void person(struct web_ctx *ctx, struct cm_buf *page, const json_t *one)
{
    const char *name = cm_json_str_or(one, "name", "");
    int64_t count = cm_json_int(one, "sessions", 0);

    html_raw(page, "<tr>");
    html_leaf(page, "th", name, "scope", "row", NULL);
    html_raw(page, "<td>");
    html_int(page, count);
    html_raw(page, "</td><td>");
    web_time(ctx, page, cm_json_str(one, "seen_at"));
    html_raw(page, "</td><td>");
    if (count > 0) {
        CM_AUTO_STR label = cm_asprintf("%s: %s", web_msg(ctx, MSG_L_END_USER), name);

        html_raw(page, "<form method=\"post\" action=\"/sessions/end-user\">");
        web_page_token(ctx, page);
        html_open(page, "input", "type", "hidden", "name", "user", "value", name, NULL);
        html_leaf(page, "button", web_msg(ctx, MSG_L_END_USER), "type", "submit", "aria-label",
                  label, NULL);
        html_raw(page, "</form>");
    }
    html_raw(page, "</td></tr>");
}

static void others(struct web_ctx *ctx, struct cm_buf *page)
{
    CM_AUTO_JSON people = web_session_people(ctx->web->env.store);
    size_t i;
    json_t *one;

    if (json_array_size(people) < 2)
        return;
    html_leaf(page, "h2", web_msg(ctx, MSG_L_OTHERS), NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_L_OTHERS_LEAD), "class", "lead", NULL);
    web_table_frame(page, web_msg(ctx, MSG_L_OTHERS));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    html_leaf(page, "th", web_msg(ctx, MSG_L_NAME), "scope", "col", NULL);
    html_leaf(page, "th", web_msg(ctx, MSG_L_COUNT), "scope", "col", NULL);
    html_leaf(page, "th", web_msg(ctx, MSG_L_USED), "scope", "col", NULL);
    html_raw(page, "<td></td></tr></thead><tbody>");
    json_array_foreach(people, i, one)
    {
        if (strcmp(cm_json_str_or(one, "name", ""), ctx->session.user) != 0)
            person(ctx, page, one);
    }
    html_raw(page, "</tbody></table></div>");
}

void page_sessions(struct web_ctx *ctx)
{
    CM_AUTO_JSON sessions = web_session_list(ctx->web->env.store, &ctx->session);
    struct cm_buf page;
    size_t i;
    json_t *session;

    web_page_begin(ctx, &page, web_msg(ctx, MSG_L_TITLE), NAV_NONE);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_L_TITLE), NULL);
    html_raw(&page, "<form method=\"post\" action=\"/sessions/end\">");
    web_page_token(ctx, &page);
    html_leaf(&page, "button", web_msg(ctx, MSG_L_END), "class", "primary", "type", "submit", NULL);
    html_raw(&page, "</form></div>");
    html_leaf(&page, "p", web_msg(ctx, MSG_L_LEAD), "class", "lead", NULL);
    web_table_frame(&page, web_msg(ctx, MSG_L_TITLE));
    html_raw(&page, "<table class=\"list\"><thead><tr>");
    html_leaf(&page, "th", web_msg(ctx, MSG_L_SINCE), "scope", "col", NULL);
    html_leaf(&page, "th", web_msg(ctx, MSG_L_USED), "scope", "col", NULL);
    html_raw(&page, "<td></td></tr></thead><tbody>");
    json_array_foreach(sessions, i, session) row(ctx, &page, session);
    html_raw(&page, "</tbody></table></div>");
    others(ctx, &page);
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
}

static void ended(struct web_ctx *ctx)
{
    web_streams_beat(ctx->web->streams);
    web_reply_redirect(ctx, "/login");
}

void page_sessions_end_post(struct web_ctx *ctx)
{
    web_session_end_all(ctx->web->env.store, ctx->session.user);
    http_ex_header(ctx->ex, "Set-Cookie", web_session_gone());
    http_ex_header(ctx->ex, "Clear-Site-Data", "\"cache\", \"storage\"");
    web_after_commit(ctx, ended);
}

static void ended_one(struct web_ctx *ctx)
{
    web_streams_beat(ctx->web->streams);
    web_reply_redirect(ctx, "/sessions");
}

void page_session_end_post(struct web_ctx *ctx)
{
    if (web_session_end_one(ctx->web->env.store, &ctx->session, ctx->param))
        web_after_commit(ctx, ended_one);
    else
        web_reply_status(ctx, 404);
}

void page_user_end_post(struct web_ctx *ctx)
{
    const char *user = web_form_text(&ctx->form, "user");

    if (web_session_end_user(ctx->web->env.store, &ctx->session, user))
        web_after_commit(ctx, ended_one);
    else
        web_reply_status(ctx, 404);
}
