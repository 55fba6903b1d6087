/* /api/v1/credentials/{ulid}: revocation, archive, removal. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/presets.h"
#include "web-ui/reply.h"

static bool one_of(const char *text)
{
    return strcmp(text, "keep") == 0 || strcmp(text, "archive") == 0 || strcmp(text, "delete") == 0;
}

static void done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        api_refused(ctx, err);
    else
        web_reply(ctx, 204, NULL, "", 0);
}

void api_credential_revoke(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"reason", API_INT, false}, {"key", API_BOOL, false}, {"after", API_TEXT, false}};
    struct eng_actor actor = web_actor(ctx);
    struct eng_revocation wish = {0};
    int64_t reason;

    if (!cm_ulid_ok(ctx->param)) {
        web_reply_status(ctx, 404);
        return;
    }
    if (ctx->json && !api_body_ok(ctx, members, 3))
        return;
    reason = cm_json_int(ctx->json, "reason", 0);
    wish.reason = reason >= 0 && reason <= 10 ? (int)reason : -1;
    wish.key = cm_json_bool(ctx->json, "key", false);
    wish.after = cm_json_str_or(ctx->json, "after", "keep");
    if (!one_of(wish.after)) {
        struct cm_err err = CM_ERR_INIT;

        cm_fail(&err, CM_EINVAL, "after: choose keep, archive or delete");
        api_refused(ctx, &err);
        cm_err_fini(&err);
        return;
    }
    eng_revoke(ctx->web->env.engine, ctx->param, &wish, &actor, done, ctx);
}

static void put_away(struct web_ctx *ctx, bool remove)
{
    struct eng_actor actor = web_actor(ctx);

    if (cm_ulid_ok(ctx->param))
        eng_put_away(ctx->web->env.engine, ctx->param, remove, &actor, done, ctx);
    else
        web_reply_status(ctx, 404);
}

void api_credential_archive(struct web_ctx *ctx)
{
    put_away(ctx, false);
}

void api_credential_delete(struct web_ctx *ctx)
{
    put_away(ctx, true);
}
