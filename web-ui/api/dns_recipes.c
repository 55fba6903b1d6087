/* /api/v1/dns-providers/{name}: recipes of DNS providers, and their lint. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"

static void reply_recipe(struct web_ctx *ctx, int status)
{
    json_t *recipe = eng_dns_recipe_view(ctx->web->env.engine, ctx->param);

    if (recipe)
        web_reply_json(ctx, status, recipe);
    else
        web_reply_status(ctx, 404);
}

void api_dns_recipe(struct web_ctx *ctx)
{
    reply_recipe(ctx, 200);
}

static void add_error(json_t *errors, const char *pointer, const char *detail)
{
    json_t *error = json_object();
    CM_AUTO_STR at = cm_asprintf("#%s", strcmp(pointer, "/") == 0 ? "" : pointer);

    cm_json_set_str(error, "pointer", at);
    cm_json_set_str(error, "detail", detail);
    json_array_append_new(errors, error);
}

struct put {
    struct web_ctx *ctx;
    json_t *widens; /* who would be told to whom, as the recipe came */
    bool creates;
};

/* The place in the recipe, or one error for each account whose secrets would go elsewhere. */
static void refuse(struct web_ctx *ctx, const json_t *widens, const struct cm_err *err)
{
    json_t *errors = json_array();
    size_t i;
    json_t *one;

    if (err->code == CM_EINVAL && err->object[0] == '/') {
        add_error(errors, err->object, err->what);
        web_reply_problem(ctx, 422, "The recipe does not pass", err->what, errors, err);
        return;
    }
    if (err->code != CM_ECONFLICT || json_array_size(widens) == 0) {
        json_decref(errors);
        api_refused(ctx, err);
        return;
    }
    json_array_foreach(widens, i, one)
    {
        size_t k;
        json_t *host;

        json_array_foreach(cm_json_arr(one, "hosts"), k, host)
        {
            CM_AUTO_STR detail =
                cm_asprintf("secrets of DNS account %s would go to %s",
                            cm_json_str_or(one, "account", ""), json_string_value(host));

            add_error(errors, "/hosts", detail);
        }
    }
    web_reply_problem(ctx, 409, "Secrets would go to new hosts", err->what, errors, err);
}

static void put_done(void *arg, const struct cm_err *err)
{
    struct put *put = arg;
    struct web_ctx *ctx = put->ctx;
    CM_AUTO_JSON widens = put->widens;
    int status = put->creates ? 201 : 200;

    cm_free(put);
    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        refuse(ctx, widens, err);
    else
        reply_recipe(ctx, status);
}

void api_dns_recipe_put(struct web_ctx *ctx)
{
    struct engine *engine = ctx->web->env.engine;
    struct eng_actor actor = web_actor(ctx);
    CM_AUTO_STR id = cm_asprintf("dns-provider:%s", ctx->param);
    CM_AUTO_JSON confirmed = web_form_words(&ctx->query, "confirm_hosts");
    json_t *current = eng_dns_recipe_view(engine, ctx->param);
    bool creates = current == NULL;
    struct put *put;

    if (!web_may_edit(ctx, id, current))
        return;
    put = cm_calloc(1, sizeof(*put));
    *put = (struct put){.ctx = ctx,
                        .widens = eng_dns_recipe_widens(engine, ctx->param, ctx->json),
                        .creates = creates};
    eng_dns_recipe_put(engine, ctx->param, ctx->json, confirmed, &actor, put_done, put);
}

void api_dns_recipe_delete(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    CM_AUTO_STR id = cm_asprintf("dns-provider:%s", ctx->param);
    json_t *current = eng_dns_recipe_view(ctx->web->env.engine, ctx->param);

    if (!current)
        web_reply_status(ctx, 404);
    else if (web_may_edit(ctx, id, current))
        eng_dns_recipe_delete(ctx->web->env.engine, ctx->param, &actor, api_done, ctx);
}

/* Stores nothing; what is wrong is a result and no refusal. */
void api_dns_recipe_lint(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200, eng_dns_recipe_lint(ctx->json));
}
