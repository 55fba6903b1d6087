/* /api/v1/checks: what can be known of a request before a CA is asked. */
#include <string.h>

#include "certmgr/engine/preflight.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"

#define MEMBERS_MAX 40

static void checked(void *arg, const json_t *report, const json_t *field_errors,
                    const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (json_array_size(field_errors) > 0)
        web_reply_problem(ctx, 422, "The request has errors", err ? err->what : NULL,
                          api_field_errors(field_errors, ctx->json), err);
    else if (!report)
        web_reply_error(ctx, err);
    else
        web_reply_json(ctx, 200, json_deep_copy(report));
}

static bool is_gone(void *arg)
{
    return ((const struct web_ctx *)arg)->ex == NULL;
}

void api_checks_post(struct web_ctx *ctx)
{
    struct api_member members[MEMBERS_MAX] = {{"credential", API_TEXT, false},
                                              {"probe_dns", API_BOOL, false}};
    size_t count = 2;

    for (size_t i = 0; i < api_request_member_count && count < MEMBERS_MAX; i++)
        members[count++] = api_request_members[i];
    if (!api_body_ok(ctx, members, count))
        return;
    struct eng_preflight_opts opts = {.credential = cm_json_str(ctx->json, "credential"),
                                      .probe_dns = cm_json_bool(ctx->json, "probe_dns", false),
                                      .actor = web_actor(ctx),
                                      .gone = is_gone};

    eng_preflight(ctx->web->env.engine, ctx->json, &opts, checked, ctx);
}
