/* POST /api/v1/credentials/{ulid}/renew and PATCH /api/v1/credentials/{ulid}. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"

void api_credential_renew(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"new_key", API_BOOL, false},
                                                {"revoke", API_INT, false}};
    struct eng_actor actor = web_actor(ctx);
    int64_t reason = cm_json_int(ctx->json, "revoke", 0);

    if (!cm_ulid_ok(ctx->param))
        web_reply_status(ctx, 404);
    else if (ctx->json && !api_body_ok(ctx, members, 2))
        ; /* answered */
    else if (json_object_get(ctx->json, "revoke"))
        eng_roll_over(ctx->web->env.engine, ctx->param,
                      reason > 0 && reason <= 10 ? (int)reason : 0, &actor, api_done, ctx);
    else /* without a body: the key is kept */
        eng_renew(ctx->web->env.engine, ctx->param, cm_json_bool(ctx->json, "new_key", false),
                  &actor, api_done, ctx);
}

void api_credential_dry_run(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);

    if (cm_ulid_ok(ctx->param))
        eng_dry_run(ctx->web->env.engine, ctx->param, &actor, api_done, ctx);
    else
        web_reply_status(ctx, 404);
}

static void changed(void *arg, const char *credential, const json_t *field_errors,
                    const json_t *notes, const struct cm_err *err)
{
    api_taken(arg, "The request has errors", credential, field_errors, notes, err);
}

/* Members that are not given stay as they are.  The answer comes with the credential: an edit
 * conflict, too, when another change was first. */
void api_credential_patch(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"base_serial", API_INT, false},      {"host_names", API_TEXT_OR_TEXTS, false},
        {"provider", API_TEXT, false},        {"account", API_TEXT, false},
        {"key_type", API_TEXT, false},        {"servers", API_TEXTS, false},
        {"keyring_file", API_TEXT, false},    {"target", API_TEXT, false},
        {"renew_days", API_INT, false},       {"key_rollover", API_TEXT, false},
        {"alternate_chain", API_TEXT, false}, {"challenge", API_TEXT, false},
        {"profile", API_TEXT, false},         {"profile_required", API_BOOL, false},
        {"paused", API_BOOL, false},          {"fallback_accounts", API_TEXTS, false},
        {"add_base", API_BOOL, false},        {"exportable", API_BOOL, false},
    };
    struct eng_actor actor = web_actor(ctx);

    if (!cm_ulid_ok(ctx->param)) {
        web_reply_status(ctx, 404);
    } else if (api_body_ok(ctx, members, sizeof(members) / sizeof(members[0]))) {
        int64_t base = cm_json_int(ctx->json, "base_serial", 0);

        json_object_del(ctx->json, "base_serial");
        eng_change(ctx->web->env.engine, ctx->param, ctx->json, base, &actor, changed, ctx);
    }
}
