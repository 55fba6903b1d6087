/* GET /api/v1/credentials/{ulid}/csr and POST /api/v1/credentials/{ulid}/certificate. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/api/api.h"
#include "web-ui/credential.h"
#include "web-ui/reply.h"

void api_credential_csr(struct web_ctx *ctx)
{
    CM_AUTO_JSON view = web_credential(ctx->web, ctx->param);
    json_t *out = cm_json_obj(cm_json_obj(view, "credential"), "csr_out");

    if (out)
        web_reply_json(ctx, 200, json_incref(out));
    else if (view)
        web_reply_problem(ctx, 404, NULL,
                          "no CSR of this credential waits for a certificate; \"certmgr csr new\" "
                          "makes one where certificates are brought by hand",
                          NULL, NULL);
    else
        web_reply_status(ctx, 404);
}

static void taken(void *arg, const char *credential, const json_t *field_errors,
                  const json_t *notes, const struct cm_err *err)
{
    api_taken(arg, "The certificate cannot be used", credential, field_errors, notes, err);
}

void api_credential_certificate(struct web_ctx *ctx)
{
    static const struct api_member members[] = {{"certificate", API_TEXT, true}};
    struct eng_actor actor = web_actor(ctx);

    if (!cm_ulid_ok(ctx->param)) {
        web_reply_status(ctx, 404);
    } else if (api_body_ok(ctx, members, 1)) {
        const char *text = cm_json_str_or(ctx->json, "certificate", "");

        eng_certificate_put(ctx->web->env.engine, ctx->param, text, strlen(text), &actor, taken,
                            ctx);
    }
}
