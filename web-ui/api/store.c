/* /api/v1/store, /hold, /recovery-key.  Copies and the recovery key are for root on the Unix socket
 * alone: a copy is a file in the state directory. */
#include "web-ui/api/store.h"

#include <string.h>

#include "certstore/state.h"
#include "web-ui/api/api.h"
#include "web-ui/api/power.h"
#include "web-ui/reply.h"

/* ?state: digests of what is held, to be compared with another server's; every document is read. */
static bool add_state(struct web_ctx *ctx, json_t *view)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *rows = NULL;

    if (cs_state(ctx->web->env.store, &rows, &err) < 0)
        web_reply_error(ctx, &err);
    cm_json_set(view, "state", rows);
    cm_err_fini(&err);
    return rows != NULL;
}

void api_store(struct web_ctx *ctx)
{
    json_t *view = cs_stat_json(ctx->web->env.store);

    if (!view)
        view = json_object();
    cm_json_set_str(view, "uuid", cs_uuid(ctx->web->env.store));
    cm_json_set_str(view, "epoch", cs_epoch(ctx->web->env.store));
    cm_json_set_int(view, "sequence", cs_seq(ctx->web->env.store));
    cm_json_set(view, "scrub", cs_scrub_status(ctx->web->env.store));
    cm_json_set(view, "verdicts", cs_rejudge_status(ctx->web->env.store));
    if (web_form_get(&ctx->query, "state") && !add_state(ctx, view))
        json_decref(view);
    else
        web_reply_json(ctx, 200, view);
}

void api_store_scrub(struct web_ctx *ctx)
{
    const struct web_care *care = &ctx->web->env.care;

    if (ctx->json && !api_body_ok(ctx, NULL, 0))
        return;
    if (!care->scrub) {
        web_reply_status(ctx, 404);
        return;
    }
    care->scrub(care->arg);
    api_done(ctx, NULL);
}

static void answered(void *arg, const json_t *result, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err)
        web_reply_error(ctx, err);
    else
        web_reply_json(ctx, 200, json_deep_copy(result));
}

void api_store_copies(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"identity", API_BOOL, false}};
    const struct web_care *care = &ctx->web->env.care;

    if (!api_body_ok(ctx, members, 1))
        return;
    if (care->copy)
        care->copy(care->arg, cm_json_bool(ctx->json, "identity", false), answered, ctx);
    else
        web_reply_status(ctx, 404);
}

/* Where several root signers have to sign, it is a proposal as the other changes are (202). */
static void on_recovery(void *arg, const json_t *reply, const struct cm_err *err)
{
    if (err)
        api_power_done(arg, err);
    else
        answered(arg, reply, NULL);
}

void api_recovery_key(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"spki", API_TEXT, true}};
    const struct web_care *care = &ctx->web->env.care;

    if (!api_body_ok(ctx, members, 1))
        return;
    if (care->recovery)
        care->recovery(care->arg, cm_json_str_or(ctx->json, "spki", ""), on_recovery, ctx);
    else
        web_reply_status(ctx, 404);
}

static void released(struct web_ctx *ctx)
{
    api_done(ctx, NULL);
}

void api_hold_release(struct web_ctx *ctx)
{
    const struct web_care *care = &ctx->web->env.care;
    struct cm_err err = CM_ERR_INIT;

    if (ctx->json && !api_body_ok(ctx, NULL, 0))
        return;
    if (!care->release)
        web_reply_status(ctx, 404);
    else if (care->release(care->arg, web_actor(ctx).who, &err) < 0)
        web_reply_error(ctx, &err);
    else
        web_after_commit(ctx, released);
    cm_err_fini(&err);
}
