/*
 * Between the button Submit and the request: what a person should know before it costs something is
 * shown once, and the next submit says that it was read.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "web-ui/pages/credential_form.h"

static bool same(const json_t *a, const json_t *b, const char *member)
{
    return strcmp(cm_json_str_or(a, member, ""), cm_json_str_or(b, member, "")) == 0;
}

/* Was it so before the change, too?  Then the change has nothing to do with it. */
static bool is_old(const json_t *before, const json_t *row)
{
    size_t i;
    json_t *old;

    json_array_foreach(before, i, old)
    {
        if (same(old, row, "id") && same(old, row, "name") && same(old, row, "text"))
            return true;
    }
    return false;
}

/* Which warnings these are that were not before; others have to be read anew.  False: none. */
static bool advice_digest(const json_t *rows, const json_t *before, char out[CM_SHA256_HEX])
{
    struct cm_buf all;
    size_t i;
    json_t *row;
    bool any = false;

    cm_buf_init(&all, 1 << 20);
    json_array_foreach(rows, i, row)
    {
        if (strcmp(cm_json_str_or(row, "result", ""), "ok") == 0 || is_old(before, row))
            continue;
        any = true;
        cm_buf_printf(&all, "%s\n%s\n", cm_json_str_or(row, "id", ""),
                      cm_json_str_or(row, "text", ""));
    }
    cm_sha256_hex(cm_buf_str(&all), strlen(cm_buf_str(&all)), out);
    cm_buf_fini(&all);
    return any;
}

bool credential_advice(struct web_ctx *ctx, const json_t *fields, const json_t *credential)
{
    CM_AUTO_JSON rows = NULL;
    CM_AUTO_JSON before = NULL;
    char digest[CM_SHA256_HEX];
    struct credential_form form = {.posted = &ctx->form, .credential = credential};

    form.add = web_form_get(&ctx->form, "add");
    if (!form.add) {
        if (credential) {
            CM_AUTO_JSON unchanged = json_object();

            before = eng_advise(ctx->web->env.engine, ctx->param, unchanged);
        }
        rows = eng_advise(ctx->web->env.engine, credential ? ctx->param : NULL, fields);
        if (!rows || !advice_digest(rows, before, digest) ||
            strcmp(web_form_text(&ctx->form, "read"), digest) == 0)
            return false;
        form.advice = rows;
        form.read = digest;
    }
    credential_form(ctx, 200, &form);
    return true;
}
