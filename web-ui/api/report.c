/* /api/v1/report: what became of the certificates lately. */
#include "certmgr/engine/report.h"

#include "web-ui/api/api.h"
#include "web-ui/reply.h"
#include "web-ui/report.h"

static void reported(void *arg, const json_t *report)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (report)
        web_reply_json(ctx, 200, json_deep_copy(report));
    else
        web_reply_status(ctx, 503);
}

void api_report(struct web_ctx *ctx)
{
    int64_t since;

    if (web_report_since(ctx, &since))
        eng_report(ctx->web->env.engine, since, reported, ctx);
    else
        web_reply_problem(ctx, 422, NULL, "hours is a whole number from 1 to 8784", NULL, NULL);
}
