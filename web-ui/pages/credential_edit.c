/* Edit TLS Credentials: the form with the present values, and what saving it asks for. */
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "web-ui/credential.h"
#include "web-ui/pages/credential_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"

/* A request that is no credential yet cannot be edited: it is about to become one. */
static json_t *read_credential(const struct web_ctx *ctx)
{
    CM_AUTO_JSON view = cm_ulid_ok(ctx->param) ? web_credential(ctx->web, ctx->param) : NULL;

    return json_incref(cm_json_obj(view, "credential"));
}

void page_credential_edit(struct web_ctx *ctx)
{
    CM_AUTO_JSON credential = read_credential(ctx);
    struct credential_form form = {.credential = credential};

    if (strcmp(web_form_text(&ctx->query, "without"), "refused") == 0)
        form.without = credential_refused_names(credential);
    if (credential)
        credential_form(ctx, 200, &form);
    else
        web_reply_status(ctx, 404);
}

static void show_again(struct web_ctx *ctx, int status, const json_t *errors,
                       const struct cm_err *err)
{
    CM_AUTO_JSON credential = read_credential(ctx);
    struct credential_form form = {
        .posted = &ctx->form, .errors = errors, .err = err, .credential = credential};

    if (credential)
        credential_form(ctx, status, &form);
    else
        web_reply_status(ctx, 404);
}

static void changed(void *arg, const char *credential, const json_t *field_errors,
                    const json_t *notes, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (json_array_size(field_errors) > 0) {
        show_again(ctx, 422, field_errors, NULL);
    } else if (err && err->code == CM_ECONFLICT) {
        show_again(ctx, 409, NULL, err);
    } else if (err && err->code) {
        web_reply_error(ctx, err);
    } else {
        CM_AUTO_STR href = cm_asprintf("/credentials/%s", credential);

        credential_notes(ctx->web, credential, notes);
        web_reply_redirect(ctx, href);
    }
}

static bool advised(struct web_ctx *ctx, const json_t *fields)
{
    CM_AUTO_JSON credential = read_credential(ctx);

    return credential && credential_advice(ctx, fields, credential);
}

void page_credential_edit_post(struct web_ctx *ctx)
{
    CM_AUTO_JSON errors = json_array();
    CM_AUTO_JSON fields = credential_form_fields(ctx, true, errors);
    struct eng_actor actor = web_actor(ctx);
    int64_t base = 0;

    cm_json_set_bool(fields, "paused", web_form_get(&ctx->form, "paused") != NULL);
    /* Without it, two people who edit at the same time would overwrite each other. */
    if (cm_num_i64(web_form_text(&ctx->form, "base_serial"), 1, INT64_MAX, &base) < 0)
        web_reply_status(ctx, 400);
    else if (json_array_size(errors) > 0)
        show_again(ctx, 422, errors, NULL);
    else if (web_form_get(&ctx->form, "check"))
        credential_check(ctx, fields, read_credential);
    else if (!advised(ctx, fields))
        eng_change(ctx->web->env.engine, ctx->param, fields, base, &actor, changed, ctx);
}
