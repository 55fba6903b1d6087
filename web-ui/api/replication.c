/* /api/v1/replication, /upstream, /quarantine.  The upstream of a server is a matter of its own
 * machine: it is set by root on the Unix socket. */
#include "web-ui/api/replication.h"

#include "web-ui/api/api.h"
#include "web-ui/reply.h"

void api_replication(struct web_ctx *ctx)
{
    const struct web_upstream *up = &ctx->web->env.upstream;

    if (up->replication)
        web_reply_json(ctx, 200, up->replication(up->arg));
    else
        web_reply_status(ctx, 404);
}

/* ---- upstream ---- */

void api_upstream(struct web_ctx *ctx)
{
    const struct web_upstream *up = &ctx->web->env.upstream;

    if (up->show)
        web_reply_json(ctx, 200, up->show(up->arg));
    else
        web_reply_status(ctx, 404);
}

static void answered(void *arg, const json_t *result, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code == CM_EINVAL)
        api_refused(ctx, err);
    else if (err)
        web_reply_error(ctx, err);
    else
        web_reply_json(ctx, 200, json_deep_copy(result));
}

void api_upstream_put(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"url", API_TEXT, true},       {"user", API_TEXT, false},    {"password", API_TEXT, false},
        {"cert_pem", API_TEXT, false}, {"key_pem", API_TEXT, false}, {"ca_pem", API_TEXT, false}};
    const struct web_upstream *up = &ctx->web->env.upstream;

    if (!api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        return;
    if (up->set)
        up->set(up->arg, ctx->json, answered, ctx);
    else
        web_reply_status(ctx, 404);
}

static void no_content(struct web_ctx *ctx)
{
    web_reply(ctx, 204, NULL, "", 0);
}

void api_upstream_delete(struct web_ctx *ctx)
{
    const struct web_upstream *up = &ctx->web->env.upstream;
    struct cm_err err = CM_ERR_INIT;

    if (ctx->json && !api_body_ok(ctx, NULL, 0))
        return;
    if (!up->remove)
        web_reply_status(ctx, 404);
    else if (up->remove(up->arg, &err) < 0)
        web_reply_error(ctx, &err);
    else
        web_after_commit(ctx, no_content);
    cm_err_fini(&err);
}

void api_upstream_test(struct web_ctx *ctx)
{
    const struct web_upstream *up = &ctx->web->env.upstream;

    if (ctx->json && !api_body_ok(ctx, NULL, 0))
        return;
    if (up->test)
        up->test(up->arg, answered, ctx);
    else
        web_reply_status(ctx, 404);
}

/* ---- quarantine ---- */

void api_quarantine(struct web_ctx *ctx)
{
    web_reply_json(ctx, 200, api_list("quarantine", cs_quarantine(ctx->web->env.store)));
}

void api_quarantine_clear(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"id", API_TEXT, false}, {"rev", API_TEXT, false}, {"all", API_BOOL, false}};
    struct cm_err err = CM_ERR_INIT;
    size_t count = 0;

    if (!api_body_ok(ctx, members, 3))
        return;
    const char *id = cm_json_str(ctx->json, "id");
    bool all = cm_json_bool(ctx->json, "all", false);
    if (!id == !all)
        web_reply_problem(ctx, 422, NULL, "Name an entry by id and rev, or all.", NULL, NULL);
    else if (cs_quarantine_forget(ctx->web->env.store, id, cm_json_str_or(ctx->json, "rev", ""),
                                  &count, &err) < 0)
        web_reply_error(ctx, &err);
    else if (count == 0 && !all)
        web_reply_status(ctx, 404);
    else
        web_after_commit(ctx, no_content);
    cm_err_fini(&err);
}
