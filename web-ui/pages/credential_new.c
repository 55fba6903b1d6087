/* Add TLS Credentials: the empty form and Submit Request. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/pages/credential_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"

void page_credential_new(struct web_ctx *ctx)
{
    struct credential_form form = {0};

    credential_form(ctx, 200, &form);
}

void credential_notes(struct web *web, const char *credential, const json_t *notes)
{
    if (json_array_size(notes) == 0)
        return;
    while (json_object_size(web->notes) >= WEB_NOTES_MAX) {
        const char *oldest = json_object_iter_key(json_object_iter(web->notes));

        json_object_del(web->notes, oldest);
    }
    json_object_set_new(web->notes, credential, json_deep_copy(notes));
}

static void submitted(void *arg, const char *credential, const json_t *field_errors,
                      const json_t *notes, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (json_array_size(field_errors) > 0) {
        struct credential_form form = {.posted = &ctx->form, .errors = field_errors};

        credential_form(ctx, 422, &form);
    } else if (err && err->code) {
        web_reply_error(ctx, err);
    } else {
        CM_AUTO_STR href = cm_asprintf("/credentials/%s", credential);

        credential_notes(ctx->web, credential, notes);
        web_reply_redirect(ctx, href);
    }
}

/* Shows the engine's errors together with those of values that no field can hold. */
static void refuse(struct web_ctx *ctx, const json_t *fields, json_t *errors)
{
    CM_AUTO_JSON normal = NULL;
    CM_AUTO_JSON more = NULL;
    CM_AUTO_JSON notes = NULL;
    struct credential_form form = {.posted = &ctx->form, .errors = errors};

    eng_check(ctx->web->env.engine, fields, &normal, &more, &notes);
    if (more)
        json_array_extend(errors, more);
    credential_form(ctx, 422, &form);
}

/* The fields become a draft, which is submitted from its own page. */
static void dry_run(struct web_ctx *ctx, json_t *fields, const struct eng_actor *actor)
{
    cm_json_set_bool(fields, "dry_run", true);
    eng_submit(ctx->web->env.engine, fields, actor, submitted, ctx);
}

void page_credential_post(struct web_ctx *ctx)
{
    CM_AUTO_JSON errors = json_array();
    CM_AUTO_JSON fields = credential_form_fields(ctx, false, errors);
    struct eng_actor actor = web_actor(ctx);

    if (json_array_size(errors) > 0)
        refuse(ctx, fields, errors);
    else if (web_form_get(&ctx->form, "check"))
        credential_check(ctx, fields, NULL);
    else if (web_form_get(&ctx->form, "dry_run"))
        dry_run(ctx, fields, &actor);
    else if (!credential_advice(ctx, fields, NULL))
        eng_submit(ctx->web->env.engine, fields, &actor, submitted, ctx);
}
