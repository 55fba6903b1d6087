/* The button Check of the form: the pre-flight check, and the form again with what was typed. */
#include <string.h>

#include "base/core/mem.h"
#include "certmgr/engine/preflight.h"
#include "web-ui/pages/credential_form.h"
#include "web-ui/reply.h"

struct check {
    struct web_ctx *ctx;
    json_t *(*read)(const struct web_ctx *ctx);
};

static void checked(void *arg, const json_t *report, const json_t *field_errors,
                    const struct cm_err *err)
{
    struct check *check = arg;
    struct web_ctx *ctx = check->ctx;
    json_t *(*read)(const struct web_ctx *) = check->read;

    cm_free(check);
    if (web_ctx_gone(ctx))
        return;
    CM_AUTO_JSON credential = read ? read(ctx) : NULL;
    struct credential_form form = {
        .posted = &ctx->form, .errors = field_errors, .credential = credential, .report = report};
    bool bad_fields = json_array_size(field_errors) > 0;

    if (read && !credential)
        web_reply_status(ctx, 404);
    else if (report || bad_fields)
        credential_form(ctx, bad_fields ? 422 : 200, &form);
    else
        web_reply_error(ctx, err);
}

static bool is_gone(void *arg)
{
    return ((const struct check *)arg)->ctx->ex == NULL;
}

void credential_check(struct web_ctx *ctx, const json_t *fields,
                      json_t *(*read)(const struct web_ctx *ctx))
{
    struct check *check = cm_calloc(1, sizeof(*check));
    struct eng_preflight_opts opts = {
        .credential = read ? ctx->param : NULL, .actor = web_actor(ctx), .gone = is_gone};

    *check = (struct check){.ctx = ctx, .read = read};
    eng_preflight(ctx->web->env.engine, fields, &opts, checked, check);
}
