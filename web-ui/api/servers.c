/* /api/v1/servers: the fleet, invitations, removal. */
#include <string.h>

#include "web-ui/api/api.h"
#include "web-ui/api/power.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

void api_servers(struct web_ctx *ctx)
{
    api_reply_named(ctx, "servers", web_servers(ctx->web));
}

void api_server(struct web_ctx *ctx)
{
    json_t *server = web_server(ctx->web, ctx->param);

    if (server)
        web_reply_json(ctx, 200, server);
    else
        web_reply_status(ctx, 404);
}

static void invited(void *arg, const char *token, const char *expires_at, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    json_t *reply;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code) {
        web_reply_error(ctx, err);
        return;
    }
    reply = json_object();
    cm_json_set_str(reply, "token", token);
    cm_json_set_str(reply, "expires_at", expires_at);
    web_reply_json(ctx, 201, reply);
}

void api_servers_post(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"name", API_TEXT, true},
                                                {"role", API_TEXT, false},
                                                {"url", API_TEXT, false},
                                                {"ui_url", API_TEXT, false}};
    const struct web_power *power = &ctx->web->env.power;

    if (!api_body_ok(ctx, members, 4))
        return;
    const char *role = cm_json_str_or(ctx->json, "role", "server");

    if (strcmp(role, "server") == 0)
        fleet_invite(ctx->web->env.fleet, cm_json_str(ctx->json, "name"), invited, ctx);
    else if (strcmp(role, "standby") == 0 && power->invite)
        power->invite(power->arg,
                      &(struct fleet_role){.name = cm_json_str(ctx->json, "name"),
                                           .standby = true,
                                           .url = cm_json_str(ctx->json, "url"),
                                           .ui_url = cm_json_str(ctx->json, "ui_url")},
                      invited, ctx);
    else
        web_reply_problem(ctx, 422, NULL, "role is \"standby\" or \"server\"", NULL, NULL);
}

void api_server_delete(struct web_ctx *ctx)
{
    fleet_remove(ctx->web->env.fleet, ctx->param, api_power_done, ctx);
}
