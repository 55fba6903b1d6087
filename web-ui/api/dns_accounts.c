/* /api/v1/dns-accounts, the list of /dns-providers, and "go on" of TXT records written by hand. */
#include <string.h>

#include "base/core/mem.h"
#include "certmgr/dns/provider.h"
#include "web-ui/api/api.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"

void api_dns_accounts(struct web_ctx *ctx)
{
    api_reply_named(ctx, "dns_accounts", eng_dns_accounts(ctx->web->env.engine));
}

static void reply_account(struct web_ctx *ctx, int status)
{
    json_t *account = eng_dns_account_view(ctx->web->env.engine, ctx->param);

    if (account)
        web_reply_json(ctx, status, account);
    else
        web_reply_status(ctx, 404);
}

void api_dns_account(struct web_ctx *ctx)
{
    reply_account(ctx, 200);
}

struct put {
    struct web_ctx *ctx;
    bool creates;
};

static void put_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = ((struct put *)arg)->ctx;
    int status = ((struct put *)arg)->creates ? 201 : 200;

    cm_free(arg);
    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        api_refused(ctx, err);
    else
        reply_account(ctx, status);
}

/* The account's own members; the name in the body, if any, must be the path's. */
static bool body_ok(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"name", API_TEXT, false},      {"kind", API_TEXT, false},
        {"provider", API_TEXT, false},  {"options", API_OBJECT, false},
        {"secrets", API_OBJECT, false}, {"domains", API_TEXT_OR_TEXTS, false},
        {"enabled", API_BOOL, false},   {"propagation", API_OBJECT, false},
        {"resolvers", API_TEXT, false},
    };
    const char *name;

    if (!api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        return false;
    name = cm_json_str(ctx->json, "name");
    if (!name || strcmp(name, ctx->param) == 0)
        return true;
    web_reply_problem(ctx, 409, NULL, "the name in the body differs from the one in the path", NULL,
                      NULL);
    return false;
}

void api_dns_account_put(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    CM_AUTO_STR id = cm_asprintf("dns-account:%s", ctx->param);
    json_t *current;
    struct put *put;
    bool creates;

    if (!body_ok(ctx))
        return;
    current = eng_dns_account_view(ctx->web->env.engine, ctx->param);
    creates = current == NULL;
    if (!web_may_edit(ctx, id, current))
        return;
    cm_json_set_str(ctx->json, "name", ctx->param);
    put = cm_calloc(1, sizeof(*put));
    *put = (struct put){.ctx = ctx, .creates = creates};
    eng_dns_account_put(ctx->web->env.engine, ctx->json, &actor, put_done, put);
}

void api_dns_account_delete(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"force", API_BOOL, false}};
    struct eng_actor actor = web_actor(ctx);
    CM_AUTO_STR id = cm_asprintf("dns-account:%s", ctx->param);
    json_t *current;

    if (ctx->json && !api_body_ok(ctx, members, 1))
        return;
    current = eng_dns_account_view(ctx->web->env.engine, ctx->param);
    if (!current)
        web_reply_status(ctx, 404);
    else if (web_may_edit(ctx, id, current))
        eng_dns_account_delete(ctx->web->env.engine, ctx->param,
                               cm_json_bool(ctx->json, "force", false), &actor, api_done, ctx);
}

void api_dns_test(struct web_ctx *ctx)
{
    json_t *report = eng_dns_test_view(ctx->web->env.engine, ctx->param);

    if (report)
        web_reply_json(ctx, 200, report);
    else
        web_reply_status(ctx, 404);
}

void api_dns_test_post(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"name", API_TEXT, false}};
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;

    if (ctx->json && !api_body_ok(ctx, members, 1))
        return;
    if (eng_dns_test(ctx->web->env.engine, ctx->param, cm_json_str(ctx->json, "name"), &actor,
                     &err) != 0)
        api_refused(ctx, &err);
    else
        web_reply_json(ctx, 202, eng_dns_test_view(ctx->web->env.engine, ctx->param));
    cm_err_fini(&err);
}

/* Kinds of this program, and the recipes of the store. */
void api_dns_providers(struct web_ctx *ctx)
{
    json_t *reply = json_object(), *kinds = json_array();

    for (size_t i = 0; dnsp_kind_at(i); i++) {
        const struct dnsp_kind *kind = dnsp_kind_at(i);
        json_t *one = json_object();

        cm_json_set_str(one, "kind", kind->name);
        cm_json_set_str(one, "title", kind->title);
        cm_json_set_bool(one, "one_value", kind->one_value);
        cm_json_set_bool(one, "unverified", kind->unverified);
        json_array_append_new(kinds, one);
    }
    cm_json_set(reply, "kinds", kinds);
    cm_json_set(reply, "recipes", eng_dns_recipes(ctx->web->env.engine));
    web_reply_json(ctx, 200, reply);
}

void api_credential_go_on(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;

    if (!cm_ulid_ok(ctx->param))
        web_reply_status(ctx, 404);
    else if (eng_dns_go_on(ctx->web->env.engine, ctx->param, &actor, &err) != 0)
        web_reply_error(ctx, &err);
    else
        web_reply(ctx, 204, NULL, "", 0);
    cm_err_fini(&err);
}
