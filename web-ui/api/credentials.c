/* /api/v1/credentials: lists, one with its parts, its live events. */
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "web-ui/api/api.h"
#include "web-ui/credential.h"
#include "web-ui/reply.h"
#include "web-ui/stream.h"
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
    json_t *view = web_credential(ctx->web, ctx->param);

    if (view)
        web_reply_json(ctx, 200, view);
    else
        web_reply_status(ctx, 404);
}

void api_credential_receipts(struct web_ctx *ctx)
{
    CM_AUTO_JSON view = web_credential(ctx->web, ctx->param);

    if (view)
        web_reply_json(ctx, 200,
                       api_list("receipts", json_incref(json_object_get(view, "receipts"))));
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

/* ---- steps ---- */

/* A step's number as sent: up to 16 digits; "" and absent = from the beginning. */
static bool step_number(const char *text, int64_t *ret)
{
    const char *digits = text ? text + strspn(text, "0") : "";

    *ret = 0;
    if (text && strlen(text) > STEP_ID_WIDTH)
        return false;
    return !*digits || cm_num_i64(digits, 1, INT64_MAX, ret) == 0;
}

/* The credential exists, also as a mere request. */
static bool is_known(struct web_ctx *ctx)
{
    CM_AUTO_JSON view = cm_ulid_ok(ctx->param) ? eng_view(ctx->web->env.engine, ctx->param) : NULL;

    if (!view)
        web_reply_status(ctx, 404);
    return view != NULL;
}

struct collect {
    json_t *steps;
    size_t max;
    bool more;
};

static int collect_step(void *arg, int64_t number, const json_t *step)
{
    struct collect *collect = arg;

    (void)number;
    collect->more = json_array_size(collect->steps) == collect->max;
    if (!collect->more)
        json_array_append_new(collect->steps, json_deep_copy(step));
    return collect->more ? 1 : 0;
}

void api_credential_steps(struct web_ctx *ctx)
{
    struct collect collect = {0};
    int64_t after;
    const char *next = NULL;

    if (!api_limit(ctx, ENG_STEPS_SHOWN, &collect.max))
        return;
    if (!step_number(web_form_get(&ctx->query, "after"), &after)) {
        api_bad_cursor(ctx);
    } else if (is_known(ctx)) {
        collect.steps = json_array();
        web_steps_each(ctx->web->env.store, ctx->param, after, collect_step, &collect);
        if (collect.more)
            next = cm_json_str(json_array_get(collect.steps, collect.max - 1), "id");
        api_reply_page(ctx, "steps", collect.steps, next);
    }
}

/* A browser that comes again names what it has in Last-Event-ID, not in the address it kept. */
void api_credential_events(struct web_ctx *ctx)
{
    const char *last = http_head_field(&ctx->req->head, "last-event-id");
    int64_t after;

    if (!step_number(last ? last : web_form_get(&ctx->query, "after"), &after)) {
        api_bad_cursor(ctx);
    } else if (is_known(ctx)) {
        if (ctx->head)
            web_reply(ctx, 200, "text/event-stream", "", 0);
        else
            web_stream_open(ctx, after);
    }
}
