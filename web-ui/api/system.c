/* /api/v1/status, set-up links, and the API's own description. */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/asset.h"
#include "web-ui/reply.h"
#include "web-ui/user.h"
#include "web-ui/view.h"

void api_status(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200, web_status(ctx->web));
}

void api_openapi(struct web_ctx *ctx)
{
    const struct web_asset *asset = web_asset("openapi.json");

    web_reply(ctx, 200, asset->type, asset->data, asset->size);
}

/* ctx->json holds the prepared reply while the commit runs. */
static void link_ready(struct web_ctx *ctx)
{
    web_reply_json(ctx, 201, json_incref(ctx->json));
}

void api_setup_links_post(struct web_ctx *ctx)
{
    struct cm_err err = CM_ERR_INIT;
    char *token = NULL;

    if (web_setup_token(ctx->web->env.store, &token, &err) < 0) {
        web_reply_error(ctx, &err);
    } else {
        CM_AUTO_STR url = cm_asprintf("%s/setup?token=%s", ctx->web->env.ui_url, token);

        json_decref(ctx->json);
        ctx->json = json_object();
        cm_json_set_str(ctx->json, "token", token);
        cm_json_set_str(ctx->json, "url", url);
        cm_json_set_time(ctx->json, "expires_at", cm_now_ms() + SETUP_TOKEN_S * INT64_C(1000));
        cm_wipe(url, strlen(url));
        cm_free_secret(token, strlen(token));
        web_after_commit(ctx, link_ready);
    }
    cm_err_fini(&err);
}
