/* /api/v1/settings (defaults of the form) and /api/v1/roots (trusted roots). */
#include <string.h>

#include "web-ui/api/api.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"

void api_settings(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200, eng_defaults(ctx->web->env.engine));
}

static void put_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        api_refused(ctx, err);
    else
        api_settings(ctx);
}

void api_settings_put(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"provider", API_TEXT, false},      {"account", API_TEXT, false},
        {"key_type", API_TEXT, false},      {"renew_days", API_INT, false},
        {"servers", API_TEXTS, false},      {"keyring_file", API_TEXT, false},
        {"staging_first", API_BOOL, false},
    };

    if (api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])) &&
        web_may_edit(ctx, "settings:global", eng_defaults(ctx->web->env.engine)))
        eng_settings_put(ctx->web->env.engine, ctx->json, put_done, ctx);
}

/* The certificate as PEM itself, or as {"pem": …}. */
void api_roots_post(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"pem", API_TEXT, true}};

    if (!ctx->json)
        eng_root_put(ctx->web->env.engine, ctx->req->body, api_done, ctx);
    else if (api_body_ok(ctx, members, 1))
        eng_root_put(ctx->web->env.engine, cm_json_str(ctx->json, "pem"), api_done, ctx);
}
