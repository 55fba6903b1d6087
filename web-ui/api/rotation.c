/* /api/v1/servers/{name}/rotation: a server's three keys are replaced. */
#include <string.h>

#include "web-ui/api/api.h"
#include "web-ui/api/power.h"
#include "web-ui/reply.h"

void api_rotation(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;
    json_t *view = power->rotation ? power->rotation(power->arg, ctx->param) : NULL;

    if (view) {
        web_reply_json(ctx, 200, view);
        return;
    }
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_ENOENT, "the keys of server \"%.63s\" are not being replaced", ctx->param);
    cm_err_hint(&err, "What has ended is told by that server itself; certmgr server list names the "
                      "servers");
    web_reply_error(ctx, &err);
    cm_err_fini(&err);
}

/* Accepted: it takes as long as it takes; what becomes of it is told by GET. */
static void begun(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code) {
        web_reply_error(ctx, err);
        return;
    }
    json_t *reply = json_object();
    cm_json_set_str(reply, "server", ctx->param);
    cm_json_set_str(reply, "state", "accepted");
    web_reply_json(ctx, 202, reply);
}

void api_rotation_post(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;
    struct cm_err err = CM_ERR_INIT;

    if (!api_body_ok(ctx, NULL, 0))
        return;
    if (!power->rotate || !power->rotate_order) {
        web_reply_status(ctx, 404);
    } else if (strcmp(ctx->param, ctx->web->env.self) == 0) {
        (void)power->rotate(power->arg, web_actor(ctx).who, &err); /* told by err */
        begun(ctx, &err);
    } else {
        power->rotate_order(power->arg, ctx->param, web_actor(ctx).who, begun, ctx);
    }
    cm_err_fini(&err);
}

void api_rotation_delete(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;
    struct cm_err err = CM_ERR_INIT;

    if (!power->rotate_cancel) {
        web_reply_status(ctx, 404);
        return;
    }
    if (strcmp(ctx->param, ctx->web->env.self) != 0)
        cm_fail(&err, CM_EDENIED, "a rotation is given up on its own server (%.63s)", ctx->param);
    else
        (void)power->rotate_cancel(power->arg, &err); /* told by err */
    api_done(ctx, err.code ? &err : NULL);
    cm_err_fini(&err);
}
