/* /api/v1/accounts/{name}: import of an account that another program has registered, export. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

static void imported(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    json_t *account;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code) {
        api_refused(ctx, err);
        return;
    }
    account = web_account(ctx->web->env.store, ctx->param);
    if (account)
        web_reply_json(ctx, 201, account);
    else
        web_reply_status(ctx, 404); /* removed in the same moment */
}

void api_account_import(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"directory", API_TEXT, true},     {"key", API_TEXT, true},
        {"passphrase", API_TEXT, false},   {"contacts", API_TEXTS, false},
        {"terms_agreed", API_BOOL, false}, {"ca_pem", API_TEXT, false},
        {"self_check", API_BOOL, false},   {"http_port", API_INT, false},
        {"tls_port", API_INT, false},      {"challenge", API_TEXT, false},
        {"staging", API_TEXT, false},
    };
    struct eng_actor actor = web_actor(ctx);

    if (!api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        return;
    CM_AUTO_JSON fields = json_copy(ctx->json);

    json_object_del(fields, "key");
    json_object_del(fields, "passphrase");
    cm_json_set_str(fields, "name", ctx->param);
    eng_account_import(ctx->web->env.engine, fields, cm_json_str(ctx->json, "key"),
                       cm_json_str(ctx->json, "passphrase"), &actor, imported, ctx);
}

void api_account_export(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"passphrase", API_TEXT, false}};
    struct eng_actor actor = web_actor(ctx);

    if (api_body_ok(ctx, members, 1))
        eng_account_export(ctx->web->env.engine, ctx->param, cm_json_str(ctx->json, "passphrase"),
                           &actor, api_exported, ctx);
}
