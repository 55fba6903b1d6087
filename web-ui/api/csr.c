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
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (credential) {
        json_t *answer = json_object();

        cm_json_set_str(answer, "credential", credential);
        cm_json_set(answer, "notes", notes ? json_deep_copy(notes) : json_array());
        api_submitted(ctx, answer);
    } else if (json_array_size(field_errors) > 0) {
        web_reply_problem(ctx, 422, "The certificate cannot be used", err ? err->what : NULL,
                          api_field_errors(field_errors, ctx->json), err);
    } else {
        web_reply_error(ctx, err);
    }
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
