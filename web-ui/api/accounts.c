/* /api/v1/accounts. */
#include <string.h>

#include "web-ui/api/api.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

void api_accounts(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200, api_list("accounts", web_accounts(ctx->web->env.store)));
}

void api_account(struct web_ctx *ctx)
{
    json_t *account = web_account(ctx->web->env.store, ctx->param);

    if (account)
        web_reply_json(ctx, 200, account);
    else
        web_reply_status(ctx, 404);
}

static void put_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        web_reply_error(ctx, err);
    else
        api_account(ctx);
}

void api_account_put(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"name", API_TEXT, false},      {"directory", API_TEXT, true},
        {"contacts", API_TEXTS, false}, {"terms_agreed", API_BOOL, false},
        {"ca_pem", API_TEXT, false},    {"self_check", API_BOOL, false},
        {"http_port", API_INT, false},
    };
    struct eng_actor actor = web_actor(ctx);
    const char *name;

    if (!api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        return;
    name = cm_json_str(ctx->json, "name");
    if (name && strcmp(name, ctx->param) != 0) {
        web_reply_problem(ctx, 409, NULL, "the name in the body differs from the one in the path",
                          NULL, NULL);
        return;
    }
    cm_json_set_str(ctx->json, "name", ctx->param);
    eng_account_put(ctx->web->env.engine, ctx->json, &actor, put_done, ctx);
}
