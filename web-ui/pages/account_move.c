/* The file that takes an ACME account elsewhere, and the account that comes from another program.
 */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/pages/account_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

static void exported(void *arg, const json_t *value, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    CM_AUTO_JSON account = web_account(ctx->web->env.store, ctx->param);
    struct account_form form = {.account = account, .err = err};

    if (err && err->code && account) {
        account_form(ctx, web_status_of(err->code), &form);
    } else if (err && err->code) {
        web_reply_error(ctx, err);
    } else {
        CM_AUTO_STR text = cm_json_dump(value, NULL);

        http_ex_header(ctx->ex, "Content-Disposition",
                       "attachment; filename=\"acme-account.json\"");
        web_reply(ctx, 200, "application/json", text, strlen(text));
    }
}

/* An empty passphrase: for the recovery key. */
void page_account_export(struct web_ctx *ctx)
{
    const char *passphrase = web_form_text(&ctx->form, "passphrase");
    struct eng_actor actor = web_actor(ctx);

    eng_account_export(ctx->web->env.engine, ctx->param, *passphrase ? passphrase : NULL, &actor,
                       exported, ctx);
}
