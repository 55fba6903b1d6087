/* Removing a server from the fleet: what it means, and doing it. */
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

#define AFFECTED_SHOWN 20 /* credentials named on the page */

struct affected {
    const char *server;
    json_t *ids;
    size_t count;
};

static int note_credential(void *arg, const char *key, const char *id)
{
    struct affected *affected = arg;

    if (strcmp(key, affected->server) != 0)
        return 0;
    if (affected->count++ < AFFECTED_SHOWN)
        json_array_append_new(affected->ids, json_string(id));
    return 0;
}

static void affected_html(struct web_ctx *ctx, struct cm_buf *page, const struct affected *affected)
{
    CM_AUTO_STR count = cm_asprintf("%zu", affected->count);
    size_t i;
    json_t *id;

    html_raw(page, "<p>");
    web_sentence(page, ctx->lang, MSG_V_AFFECTED, count, NULL);
    html_raw(page, "</p><ul>");
    json_array_foreach(affected->ids, i, id)
    {
        const char *ulid = json_string_value(id) + strcspn(json_string_value(id), ":") + 1;
        CM_AUTO_STR href = cm_asprintf("/credentials/%s", ulid);
        CM_AUTO_JSON body = cs_get_body(ctx->web->env.store, json_string_value(id));
        const char *name = json_string_value(json_array_get(cm_json_arr(body, "host_names"), 0));

        html_raw(page, "<li>");
        html_leaf(page, "a", name ? name : ulid, "href", href, NULL);
        html_raw(page, "</li>");
    }
    html_raw(page, "</ul>");
}

static void render(struct web_ctx *ctx, int status, const struct cm_err *err)
{
    struct affected affected = {.server = ctx->param, .ids = json_array()};
    CM_AUTO_JSON refused = cm_err_to_json(err);
    struct cm_buf page, action;

    cs_each(ctx->web->env.store, CS_BY_SERVER, ctx->param, NULL, NULL, note_credential, &affected);
    cm_buf_init(&action, 2048);
    cm_buf_puts(&action, "/servers/");
    url_encode(&action, ctx->param);
    cm_buf_puts(&action, "/remove");
    web_page_begin(ctx, &page, web_msg(ctx, MSG_V_REMOVE), NAV_SERVERS);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_SERVERS), "href", "/servers", NULL);
    html_raw(&page, "</p><section class=\"card\"><h1>");
    web_sentence(&page, ctx->lang, MSG_V_REMOVE_TITLE, ctx->param, NULL);
    html_raw(&page, "</h1>");
    if (refused)
        web_error_object(ctx, &page, refused);
    html_leaf(&page, "p", web_msg(ctx, MSG_V_REMOVE_LEAD), NULL);
    if (affected.count > 0)
        affected_html(ctx, &page, &affected);
    html_open(&page, "form", "method", "post", "action", cm_buf_str(&action), NULL);
    web_page_token(ctx, &page);
    html_raw(&page, "<div class=\"actions\">");
    html_leaf(&page, "button", web_msg(ctx, MSG_V_REMOVE), "class", "danger", "type", "submit",
              NULL);
    html_leaf(&page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", "/servers", NULL);
    html_raw(&page, "</div></form></section>");
    web_page_end(ctx, &page);
    json_decref(affected.ids);
    cm_buf_fini(&action);
    web_reply_html(ctx, status, &page);
}

static bool exists(struct web_ctx *ctx)
{
    CM_AUTO_JSON server = web_server(ctx->web, ctx->param);

    if (!server)
        web_reply_status(ctx, 404);
    return server != NULL;
}

void page_server_remove(struct web_ctx *ctx)
{
    if (exists(ctx))
        render(ctx, 200, NULL);
}

static void removed(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        render(ctx, web_status_of(err->code), err);
    else
        web_reply_redirect(ctx, "/servers");
}

void page_server_remove_post(struct web_ctx *ctx)
{
    if (exists(ctx))
        fleet_remove(ctx->web->env.fleet, ctx->param, removed, ctx);
}
