/* Roles, promotion, root signers and proposals.  See web-ui/power.h. */
#include "web-ui/api/power.h"

#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"

void api_power_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    const struct web_power *power = &ctx->web->env.power;

    if (web_ctx_gone(ctx))
        return;
    if (!err || err->code != CM_EBUSY || err->retry != CM_RETRY_CONFIGURATION || !power->show) {
        api_done(ctx, err);
        return;
    }
    json_t *reply = json_object();
    CM_AUTO_JSON view = power->show(power->arg);

    cm_json_set_str(reply, "waiting", err->what);
    cm_json_set_str(reply, "hint", err->hint);
    cm_json_set(reply, "proposal", json_deep_copy(cm_json_obj(view, "proposal")));
    web_reply_json(ctx, 202, reply);
}

void api_server_patch(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"role", API_TEXT, true}, {"url", API_TEXT, false}, {"ui_url", API_TEXT, false}};
    const struct web_power *power = &ctx->web->env.power;

    if (!api_body_ok(ctx, members, 3))
        return;
    const char *role = cm_json_str(ctx->json, "role");

    if (strcmp(role, "standby") != 0 && strcmp(role, "server") != 0)
        web_reply_problem(ctx, 422, NULL, "role is \"standby\" or \"server\"", NULL, NULL);
    else if (!power->role)
        web_reply_status(ctx, 404);
    else
        power->role(power->arg,
                    &(struct fleet_role){.name = ctx->param,
                                         .standby = strcmp(role, "standby") == 0,
                                         .url = cm_json_str(ctx->json, "url"),
                                         .ui_url = cm_json_str(ctx->json, "ui_url")},
                    api_power_done, ctx);
}

void api_manager_promote(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"lost", API_BOOL, false}, {"url", API_TEXT, false}, {"ui_url", API_TEXT, false}};
    const struct web_power *power = &ctx->web->env.power;

    if (!api_body_ok(ctx, members, 3))
        return;
    if (power->promote)
        power->promote(power->arg, cm_json_bool(ctx->json, "lost", false),
                       cm_json_str(ctx->json, "url"), cm_json_str(ctx->json, "ui_url"),
                       api_power_done, ctx);
    else
        web_reply_status(ctx, 404);
}

void api_trust(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;

    if (power->show)
        web_reply_json(ctx, 200, power->show(power->arg));
    else
        web_reply_status(ctx, 404);
}

void api_trust_threshold(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"threshold", API_INT, true},
                                                {"signers", API_TEXTS, false}};
    const struct web_power *power = &ctx->web->env.power;

    if (!api_body_ok(ctx, members, 2))
        return;
    if (power->threshold)
        power->threshold(power->arg, cm_json_int(ctx->json, "threshold", 0),
                         cm_json_arr(ctx->json, "signers"), api_power_done, ctx);
    else
        web_reply_status(ctx, 404);
}

/* Signed by enough: the document goes back, for a server that cannot hear of it by itself (a
 * standby that it makes the manager listens only once it is one). */
static void signed_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err) {
        api_power_done(ctx, err);
        return;
    }
    const struct kf_trust *trust = fleet_trust(ctx->web->env.fleet);
    const struct kf_server *manager = kf_trust_manager(trust);
    json_t *reply = json_object();

    cm_json_set_int(reply, "version", kf_trust_version(trust));
    cm_json_set_str(reply, "manager", manager ? manager->name : NULL);
    cm_json_set(reply, "document", json_deep_copy(kf_trust_document(trust)));
    web_reply_json(ctx, 200, reply);
}

void api_trust_sign(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"document", API_OBJECT, true}};
    const struct web_power *power = &ctx->web->env.power;

    if (!api_body_ok(ctx, members, 1))
        return;
    if (power->sign)
        power->sign(power->arg, cm_json_obj(ctx->json, "document"), signed_done, ctx);
    else
        web_reply_status(ctx, 404);
}
