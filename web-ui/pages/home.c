/* The start page and the compiled-in files. */
#include "web-ui/asset.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

void page_home(struct web_ctx *ctx)
{
    web_reply_redirect(ctx, web_is_standby(ctx->web) ? "/manager" : "/credentials");
}

void page_asset(struct web_ctx *ctx)
{
    const struct web_asset *asset = web_asset_at(ctx->req->head.path);

    if (asset)
        web_reply_asset(ctx, asset->type, asset->data, asset->size);
    else
        web_reply_status(ctx, 404);
}
