/* What this server is doing: task, replication, listeners, store, quarantine. */
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

void page_status(struct web_ctx *ctx)
{
    struct cm_buf page;
    CM_AUTO_JSON status = web_status(ctx->web);
    CM_AUTO_JSON services = web_services(ctx->web);
    CM_AUTO_JSON quarantine = cs_quarantine(ctx->web->env.store);

    web_page_begin(ctx, &page, web_msg(ctx, MSG_NAV_STATUS), NAV_STATUS);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_NAV_STATUS), NULL);
    html_raw(&page, "</div>");
    if (json_array_size(quarantine) > 0)
        web_notice(&page, "warn", web_msg(ctx, MSG_QUARANTINE_NOTE));
    html_raw(&page, "<div class=\"columns\">");
    section(ctx, &page, MSG_STATUS_TASK, json_object_get(status, "task"));
    section(ctx, &page, MSG_NAV_CREDENTIALS, json_object_get(status, "credentials"));
    section(ctx, &page, MSG_STATUS_TRUST, json_object_get(status, "trust"));
    section(ctx, &page, MSG_STATUS_STORE, json_object_get(status, "store"));
    html_raw(&page, "</div>");
    section(ctx, &page, MSG_STATUS_SERVICES, services);
    if (json_array_size(quarantine) > 0)
        section(ctx, &page, MSG_STATUS_QUARANTINE, quarantine);
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
}
