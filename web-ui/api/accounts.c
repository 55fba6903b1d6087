/* /api/v1/accounts and the presets for them. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/precondition.h"
#include "web-ui/presets.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

void api_accounts(struct web_ctx *ctx)
{
    api_reply_named(ctx, "accounts", web_accounts(ctx->web->env.store));
}

void api_presets(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200, api_list("presets", web_presets_json()));
}

void api_account(struct web_ctx *ctx)
{
    json_t *account = web_account(ctx->web->env.store, ctx->param);

    if (account)
        web_reply_json(ctx, 200, account);
    else
        web_reply_status(ctx, 404);
}

void api_account_budget(struct web_ctx *ctx)
{
    json_t *budget = eng_budget_view(ctx->web->env.engine, ctx->param);

    if (budget)
        web_reply_json(ctx, 200, budget);
    else
        web_reply_status(ctx, 404);
}

struct put {
    struct web_ctx *ctx;
    bool creates;
};

static void put_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = ((struct put *)arg)->ctx;
    int status = ((struct put *)arg)->creates ? 201 : 200;
    json_t *account;

    cm_free(arg);
    if (web_ctx_gone(ctx))
        return;
    if (err && err->code) {
        api_refused(ctx, err);
        return;
    }
    account = web_account(ctx->web->env.store, ctx->param);
    if (account)
        web_reply_json(ctx, status, account);
    else
        web_reply_status(ctx, 404); /* removed in the same moment */
}

void api_account_put(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"name", API_TEXT, false},        {"directory", API_TEXT, true},
        {"contacts", API_TEXTS, false},   {"terms_agreed", API_BOOL, false},
        {"ca_pem", API_TEXT, false},      {"self_check", API_BOOL, false},
        {"http_port", API_INT, false},    {"eab_kid", API_TEXT, false},
        {"eab_hmac", API_TEXT, false},    {"tls_port", API_INT, false},
        {"challenge", API_TEXT, false},   {"activation", API_TEXT, false},
        {"activation_s", API_INT, false}, {"staging", API_TEXT, false},
        {"eab_alg", API_TEXT, false},
    };
    struct eng_actor actor = web_actor(ctx);
    CM_AUTO_STR id = cm_asprintf("account:%s", ctx->param);
    json_t *current;
    struct put *put;
    const char *name;
    bool creates;

    if (!api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        return;
    name = cm_json_str(ctx->json, "name");
    if (name && strcmp(name, ctx->param) != 0) {
        web_reply_problem(ctx, 409, NULL, "the name in the body differs from the one in the path",
                          NULL, NULL);
        return;
    }
    current = web_account(ctx->web->env.store, ctx->param);
    creates = current == NULL;
    if (!web_may_edit(ctx, id, current))
        return;
    cm_json_set_str(ctx->json, "name", ctx->param);
    put = cm_calloc(1, sizeof(*put));
    *put = (struct put){.ctx = ctx, .creates = creates};
    eng_account_put(ctx->web->env.engine, ctx->json, &actor, put_done, put);
}

void api_account_act(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"act", API_TEXT, true},
                                                {"eab_kid", API_TEXT, false},
                                                {"eab_hmac", API_TEXT, false},
                                                {"eab_alg", API_TEXT, false}};
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;
    int act;

    if (!api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        return;
    if (strcmp(cm_json_str(ctx->json, "act"), "rebind") == 0) {
        struct eng_binding binding = {.kid = cm_json_str(ctx->json, "eab_kid"),
                                      .hmac = cm_json_str(ctx->json, "eab_hmac"),
                                      .alg = cm_json_str(ctx->json, "eab_alg")};

        eng_account_rebind(ctx->web->env.engine, ctx->param, &binding, &actor, api_done, ctx);
        return;
    }
    act = eng_account_act_parse(cm_json_str(ctx->json, "act"));
    if (act >= 0 && act != ACCOUNT_DELETE) {
        eng_account_act(ctx->web->env.engine, ctx->param, (enum eng_account_act)act, &actor,
                        api_done, ctx);
        return;
    }
    cm_fail(&err, CM_EINVAL,
            "act: choose update, find, roll-over, deactivate, agree or "
            "rebind");
    api_refused(ctx, &err);
    cm_err_fini(&err);
}

void api_account_delete(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);

    eng_account_act(ctx->web->env.engine, ctx->param, ACCOUNT_DELETE, &actor, api_done, ctx);
}
