/* POST /api/v1/imports, POST /api/v1/credentials/{ulid}/export: keys that come and leave, sealed by
 * the command for the key agent.  Over the Unix socket only: the command has to read the public
 * half of the agent's key from its directory. */
#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"

static void taken(void *arg, const char *credential, const json_t *field_errors,
                  const json_t *notes, const struct cm_err *err)
{
    api_taken(arg, "The key cannot be imported", credential, field_errors, notes, err);
}

void api_imports_post(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"sealed", API_TEXT, true},    {"credential", API_TEXT, false},
        {"servers", API_TEXTS, false}, {"keyring_file", API_TEXT, false},
        {"target", API_TEXT, false},   {"renew_days", API_INT, false},
    };
    struct eng_actor actor = web_actor(ctx);

    if (!api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        return;
    CM_AUTO_JSON fields = json_copy(ctx->json);

    json_object_del(fields, "sealed");
    json_object_del(fields, "credential");
    eng_import(ctx->web->env.engine, cm_json_str(ctx->json, "credential"), fields,
               cm_json_str(ctx->json, "sealed"), &actor, taken, ctx);
}

void api_credential_export(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"sealed", API_TEXT, true}};
    struct eng_actor actor = web_actor(ctx);

    if (!cm_ulid_ok(ctx->param))
        web_reply_status(ctx, 404);
    else if (api_body_ok(ctx, members, 1))
        eng_export(ctx->web->env.engine, ctx->param, cm_json_str(ctx->json, "sealed"), &actor,
                   api_exported, ctx);
}
