/* /api/v1/notify/test: a test notice over every configured channel, answered when each has ended.
 */
#include "web-ui/api/notify.h"

#include "web-ui/api/api.h"
#include "web-ui/reply.h"

static void tested(void *arg, const json_t *result, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code) {
        web_reply_error(ctx, err);
        return;
    }
    bool ok = json_array_size(result) > 0;
    for (size_t i = 0; i < json_array_size(result); i++)
        ok = ok && cm_json_bool(json_array_get(result, i), "ok", false);
    json_t *reply = api_list("channels", json_deep_copy(result));
    cm_json_set_bool(reply, "ok", ok);
    web_reply_json(ctx, 200, reply);
}

void api_notify_test(struct web_ctx *ctx)
{
    const struct web_env *env = &ctx->web->env;

    if (ctx->json && !api_body_ok(ctx, NULL, 0)) /* a body is not needed */
        return;
    if (env->notify_test)
        env->notify_test(env->notify_arg, web_actor(ctx).who, tested, ctx);
    else
        web_reply_status(ctx, 404);
}
