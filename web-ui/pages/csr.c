/*
 * CSR out, certificate in, by hand: the request as text and as a file, a place for what the CA
 * sends back.  Works without scripts; with them a file can be chosen and the CSR is copied by a
 * button (assets/csr.mjs).
 */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/credential.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/credential_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

struct show {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const json_t *credential, *out;
    const json_t *errors;     /* of what was handed in, or NULL */
    const struct cm_err *err; /* why it was not taken, when that is no field's fault, or NULL */
};

static void begin_form(const struct show *show, const char *tail)
{
    CM_AUTO_STR action = cm_asprintf("/credentials/%s/%s", show->ctx->param, tail);

    html_open(show->page, "form", "method", "post", "action", action, NULL);
    web_page_token(show->ctx, show->page);
}

static void request_card(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    const char *csr = cm_json_str_or(show->out, "csr", "");
    CM_AUTO_STR href = cm_asprintf("/credentials/%s/csr.pem", ctx->param);
    CM_AUTO_STR file = cm_asprintf("%s.csr", ctx->param);

    html_raw(page, "<section class=\"card\" aria-labelledby=\"csr-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_CS_OUT), "id", "csr-title", NULL);
    html_raw(page, "<p class=\"hint\">");
    html_text(page, web_msg(ctx, MSG_CS_MADE));
    html_raw(page, " ");
    web_time(ctx, page, cm_json_str(show->out, "at"));
    html_raw(page, "</p>");
    html_raw(page, "<div class=\"field\">");
    html_leaf(page, "label", web_msg(ctx, MSG_CS_TEXT), "for", "csr", NULL);
    html_leaf(page, "textarea", csr, "id", "csr", "class", "long", "rows", "8", "readonly", "",
              "spellcheck", "false", NULL);
    html_raw(page, "</div><div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_CS_COPY), "type", "button", "hidden", "", "id",
              "copy", "data-done", web_msg(ctx, MSG_CS_COPIED), NULL);
    html_leaf(page, "a", web_msg(ctx, MSG_CS_DOWNLOAD), "class", "button", "href", href, "download",
              file, NULL);
    html_raw(page, "</div></section>");
}

static void answer_card(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    struct web_field field = {.name = "certificate",
                              .label = MSG_CS_IN,
                              .hint = MSG_CS_IN_HINT,
                              .value = web_form_text(&ctx->form, "certificate"),
                              .rows = 12,
                              .required = true,
                              .names = true,
                              .autocomplete = "off",
                              .errors = show->errors};

    html_raw(page, "<section class=\"card\" aria-labelledby=\"in-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_CS_IN_TITLE), "id", "in-title", NULL);
    begin_form(show, "certificate");
    web_field(ctx, page, &field);
    html_raw(page, "<div id=\"file-part\" class=\"field\" hidden>");
    html_leaf(page, "label", web_msg(ctx, MSG_CS_FILE), "for", "file", NULL);
    html_open(page, "input", "type", "file", "id", "file", "accept",
              ".pem,.crt,.cer,.der,.p7b,.txt", NULL);
    html_raw(page, "</div><div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_CS_SUBMIT), "class", "primary", "type", "submit",
              NULL);
    html_raw(page, "</div></form></section>");
}

/* Another request at any time: what serves is not touched. */
static void again_card(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;

    html_raw(page, "<section class=\"card\" aria-labelledby=\"again-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_CS_AGAIN), "id", "again-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_CS_AGAIN_LEAD), "class", "hint", NULL);
    begin_form(show, "renew");
    web_field_check(ctx, page, "new_key", "1", MSG_RN_NEW_KEY, false);
    html_leaf(page, "button", web_msg(ctx, MSG_CS_AGAIN), "type", "submit", NULL);
    html_raw(page, "</form></section>");
}

static void body(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    CM_AUTO_STR back = cm_asprintf("/credentials/%s", ctx->param);
    const char *name =
        json_string_value(json_array_get(cm_json_arr(show->credential, "host_names"), 0));

    html_raw(page, "<div class=\"form-page\">");
    web_error_summary(ctx, page, show->errors);
    html_raw(page, "<p class=\"crumb\">");
    html_leaf(page, "a", name ? name : ctx->param, "href", back, NULL);
    html_raw(page, "</p>");
    html_leaf(page, "h1", web_msg(ctx, MSG_CS_TITLE), NULL);
    if (show->err)
        web_notice(page, "bad", show->err->what);
    html_leaf(page, "p", web_msg(ctx, show->out ? MSG_CS_LEAD : MSG_CS_NONE), "class", "lead",
              NULL);
    if (show->out)
        request_card(show);
    answer_card(show);
    again_card(show);
    html_raw(page, "</div>");
}

static void render(struct web_ctx *ctx, int status, const json_t *errors, const struct cm_err *err)
{
    CM_AUTO_JSON view = web_credential(ctx->web, ctx->param);
    const json_t *credential = cm_json_obj(view, "credential");
    struct web_page opts = {
        .title = web_msg(ctx, MSG_CS_TITLE), .nav = NAV_CREDENTIALS, .module = "csr.mjs"};
    struct cm_buf page;
    struct show show = {.ctx = ctx,
                        .page = &page,
                        .credential = credential,
                        .out = cm_json_obj(credential, "csr_out"),
                        .errors = errors,
                        .err = err};

    if (!credential || strcmp(cm_json_str_or(credential, "provider", ""), "manual") != 0) {
        web_reply_status(ctx, 404);
        return;
    }
    web_page_begin_with(ctx, &page, &opts);
    body(&show);
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_csr(struct web_ctx *ctx)
{
    render(ctx, 200, NULL, NULL);
}

void page_csr_file(struct web_ctx *ctx)
{
    CM_AUTO_JSON view = web_credential(ctx->web, ctx->param);
    const char *csr = cm_json_str(cm_json_obj(cm_json_obj(view, "credential"), "csr_out"), "csr");
    CM_AUTO_STR name = cm_asprintf("attachment; filename=\"%s.csr\"", ctx->param);

    if (!csr) {
        web_reply_status(ctx, 404);
        return;
    }
    http_ex_header(ctx->ex, "Content-Disposition", name); /* a ULID: nothing to quote */
    web_reply(ctx, 200, "application/x-pem-file", csr, strlen(csr));
}

static void taken(void *arg, const char *credential, const json_t *field_errors,
                  const json_t *notes, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (json_array_size(field_errors) > 0) {
        render(ctx, 422, field_errors, NULL);
    } else if (err && err->code == CM_ECONFLICT) {
        render(ctx, 409, NULL, err);
    } else if (err && err->code) {
        web_reply_error(ctx, err);
    } else {
        CM_AUTO_STR href = cm_asprintf("/credentials/%s", credential);

        credential_notes(ctx->web, credential, notes);
        web_reply_redirect(ctx, href);
    }
}

void page_csr_post(struct web_ctx *ctx)
{
    const char *text = web_form_text(&ctx->form, "certificate");
    struct eng_actor actor = web_actor(ctx);

    if (cm_ulid_ok(ctx->param))
        eng_certificate_put(ctx->web->env.engine, ctx->param, text, strlen(text), &actor, taken,
                            ctx);
    else
        web_reply_status(ctx, 404);
}
