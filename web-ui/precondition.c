/* Conditional requests.  See precondition.h. */
#include "web-ui/precondition.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/net/etag.h"
#include "web-ui/reply.h"

void web_etag(const void *body, size_t len, char out[ETAG_TEXT])
{
    char hash[CM_SHA256_HEX];

    cm_sha256_hex(body, len, hash);
    out[0] = out[ETAG_TEXT - 2] = '"';
    memcpy(out + 1, hash, ETAG_TEXT - 3);
    out[ETAG_TEXT - 1] = '\0';
}

static void tag_of(const json_t *document, char out[ETAG_TEXT])
{
    size_t len;
    CM_AUTO_STR text = cm_json_dump(document, &len);

    web_etag(text, len, out);
}

void web_version(const json_t *document, char out[VERSION_TEXT])
{
    char etag[ETAG_TEXT];

    out[0] = '\0';
    if (!document)
        return;
    tag_of(document, etag);
    memcpy(out, etag + 1, VERSION_TEXT - 1);
    out[VERSION_TEXT - 1] = '\0';
}

bool web_hold(struct web_ctx *ctx, const char *id)
{
    if (json_object_get(ctx->web->edits, id))
        return false;
    CM_BUG_ON(ctx->edit);
    json_object_set_new(ctx->web->edits, id, json_true());
    ctx->edit = cm_strdup(id);
    return true;
}

/* The status to refuse with, 0 = go on. */
static int refusal(const struct web_ctx *ctx, const json_t *current)
{
    const char *match = http_head_field(&ctx->req->head, "if-match");
    const char *none = http_head_field(&ctx->req->head, "if-none-match");
    char etag[ETAG_TEXT];

    if (!current)
        return match ? 412 : 0;
    tag_of(current, etag);
    if (none)
        return http_etag_listed(none, etag, true) ? 412 : 0;
    if (!match)
        return ctx->session.root ? 0 : 428;
    return http_etag_listed(match, etag, false) ? 0 : 412;
}

bool web_may_edit(struct web_ctx *ctx, const char *id, json_t *take_current)
{
    int status = refusal(ctx, take_current);

    json_decref(take_current);
    if (status == 412) {
        web_reply_problem(ctx, 412, NULL,
                          "it is not as you saw it (any more): get it again, then decide", NULL,
                          NULL);
    } else if (status == 428) {
        web_reply_problem(ctx, 428, NULL,
                          "it exists: send its ETag as If-Match, so that nobody's change is lost",
                          NULL, NULL);
    } else if (!web_hold(ctx, id)) {
        http_ex_header(ctx->ex, "Retry-After", "1");
        web_reply_problem(ctx, 409, NULL, "another request is changing it right now", NULL, NULL);
    } else {
        return true;
    }
    return false;
}

int web_form_may_edit(struct web_ctx *ctx, const char *id, const json_t *current,
                      struct cm_err *err)
{
    char version[VERSION_TEXT];

    web_version(current, version);
    if (strcmp(web_form_text(&ctx->form, "version"), version) == 0 && web_hold(ctx, id))
        return 0;
    cm_fail(err, CM_ECONFLICT, "%s",
            !current ? "It was removed meanwhile"
            : *web_form_text(&ctx->form, "version")
                ? "Somebody else has changed it since you opened this form"
                : "There is one of this name already");
    cm_err_hint(err, "Nothing was saved. Open the page again to see how it is now.");
    return CM_ECONFLICT;
}
