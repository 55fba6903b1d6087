/* /api/v1/credentials and /api/v1/requests. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

void api_credentials(struct web_ctx *ctx)
{
    struct cm_err err = CM_ERR_INIT;
    enum web_view view;
    json_t *list = NULL;

    if (web_view_parse(web_form_get(&ctx->query, "view"), &view, &err) < 0 ||
        web_list(ctx->web->env.store, view, web_form_get(&ctx->query, "after"),
                 web_form_get(&ctx->query, "domain"), &list, &err) < 0)
        web_reply_error(ctx, &err);
    else
        web_reply_json(ctx, 200, list);
    cm_err_fini(&err);
}

void api_credential(struct web_ctx *ctx)
{
    json_t *view = cm_ulid_ok(ctx->param) ? eng_view(ctx->web->env.engine, ctx->param) : NULL;

    if (view)
        web_reply_json(ctx, 200, view);
    else
        web_reply_status(ctx, 404);
}

void api_credential_retry(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);

    if (cm_ulid_ok(ctx->param))
        eng_retry(ctx->web->env.engine, ctx->param, &actor, api_done, ctx);
    else
        web_reply_status(ctx, 404);
}

static void submitted(void *arg, const char *credential, const json_t *field_errors,
                      const json_t *notes, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (json_array_size(field_errors) > 0) {
        web_reply_problem(ctx, 422, "The request has errors", err ? err->what : NULL,
                          api_field_errors(field_errors, ctx->json), err);
    } else if (err && err->code) {
        web_reply_error(ctx, err);
    } else {
        json_t *reply = json_object();
        CM_AUTO_STR location = cm_asprintf("/api/v1/credentials/%s", credential);

        cm_json_set_str(reply, "credential", credential);
        cm_json_set(reply, "notes", notes ? json_deep_copy(notes) : json_array());
        http_ex_header(ctx->ex, "Location", location);
        web_reply_json(ctx, 202, reply);
    }
}

void api_requests_post(struct web_ctx *ctx)
{
    static const struct api_member members[] = {
        {"host_names", API_TEXT_OR_TEXTS, true},
        {"provider", API_TEXT, false},
        {"account", API_TEXT, false},
        {"key_type", API_TEXT, false},
        {"servers", API_TEXTS, false},
        {"keyring_file", API_TEXT, false},
        {"target", API_TEXT, false},
        {"renew_days", API_INT, false},
        {"key_rollover", API_TEXT, false},
    };
    struct eng_actor actor = web_actor(ctx);

    if (api_body_ok(ctx, members, sizeof(members) / sizeof(members[0])))
        eng_submit(ctx->web->env.engine, ctx->json, &actor, submitted, ctx);
}
