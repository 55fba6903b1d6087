/*
 * Between the button Submit and the request: what a person should know before it costs something is
 * shown once, and the next submit says that it was read.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "web-ui/pages/credential_form.h"

/* Which warnings these are; others have to be read anew.  False: there is none. */
static bool advice_digest(const json_t *rows, char out[CM_SHA256_HEX])
{
    struct cm_buf all;
    size_t i;
    json_t *row;
    bool any = false;

    cm_buf_init(&all, 1 << 20);
    json_array_foreach(rows, i, row)
    {
        if (strcmp(cm_json_str_or(row, "result", ""), "ok") == 0)
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
    char digest[CM_SHA256_HEX];
    struct credential_form form = {.posted = &ctx->form, .credential = credential};

    form.add = web_form_get(&ctx->form, "add");
    if (!form.add) {
        rows = eng_advise(ctx->web->env.engine, credential ? ctx->param : NULL, fields);
        if (!rows || !advice_digest(rows, digest) ||
            strcmp(web_form_text(&ctx->form, "read"), digest) == 0)
            return false;
        form.advice = rows;
        form.read = digest;
    }
    credential_form(ctx, 200, &form);
    return true;
}
