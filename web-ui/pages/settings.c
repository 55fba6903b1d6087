/* Global Settings: what the TLS Credentials form proposes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/choices.h"
#include "web-ui/pages/credential_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

struct draw {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const json_t *settings;
    const struct web_form *posted; /* values to keep, or NULL */
    const json_t *errors;
};

static const char *value_of(const struct draw *draw, const char *name)
{
    return draw->posted ? web_form_text(draw->posted, name)
                        : cm_json_str_or(draw->settings, name, "");
}

static void deploy_card(const struct draw *draw)
{
    char days[24];
    struct web_field keyring = {.name = "keyring_file",
                                .label = MSG_F_KEYRING,
                                .hint = MSG_F_KEYRING_HINT,
                                .value = value_of(draw, "keyring_file"),
                                .names = true,
                                .required = true,
                                .errors = draw->errors};
    struct web_field renew = {.name = "renew_days",
                              .label = MSG_F_RENEW,
                              .hint = MSG_F_RENEW_HINT,
                              .type = "number",
                              .value = days,
                              .required = true,
                              .errors = draw->errors};

    snprintf(days, sizeof(days), "%" PRId64, cm_json_int(draw->settings, "renew_days", 0));
    if (draw->posted)
        renew.value = value_of(draw, "renew_days");
    html_raw(draw->page, "<fieldset class=\"card\">");
    html_leaf(draw->page, "legend", web_msg(draw->ctx, MSG_F_DEPLOY), NULL);
    html_raw(draw->page, "<div class=\"columns\">");
    web_field(draw->ctx, draw->page, &keyring);
    web_field(draw->ctx, draw->page, &renew);
    html_raw(draw->page, "</div></fieldset>");
}

static void form_html(const struct draw *draw)
{
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;
    CM_AUTO_JSON chosen = draw->posted ? web_form_words(draw->posted, "servers")
                                       : json_incref(cm_json_arr(draw->settings, "servers"));
    char version[VERSION_TEXT];

    web_version(draw->settings, version);
    html_raw(page, "<form method=\"post\" action=\"/settings\">");
    web_page_token(ctx, page);
    html_open(page, "input", "type", "hidden", "name", "version", "value",
              draw->posted ? web_form_text(draw->posted, "version") : version, NULL);
    html_raw(page, "<fieldset class=\"card\">");
    html_leaf(page, "legend", web_msg(ctx, MSG_F_CA), NULL);
    html_raw(page, "<div class=\"columns\">");
    choice_provider(ctx, page, value_of(draw, "provider"), draw->errors);
    choice_account(ctx, page, value_of(draw, "account"), true, draw->errors);
    choice_key_type(ctx, page, value_of(draw, "key_type"), draw->errors);
    html_raw(page, "</div></fieldset>");
    choice_servers(ctx, page, chosen, draw->errors);
    deploy_card(draw);
    html_raw(page, "<fieldset class=\"card\">");
    html_leaf(page, "legend", web_msg(ctx, MSG_G_FAILURES), NULL);
    web_field_check(ctx, page, "staging_first", "1", MSG_G_STAGING_FIRST,
                    draw->posted ? web_form_get(draw->posted, "staging_first") != NULL
                                 : cm_json_bool(draw->settings, "staging_first", true));
    html_raw(page, "</fieldset>");
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_G_SAVE), "class", "primary", "type", "submit", NULL);
    html_raw(page, "</div></form>");
}

static void render(struct web_ctx *ctx, int status, const struct web_form *posted,
                   const json_t *errors, const struct cm_err *err)
{
    CM_AUTO_JSON settings = eng_defaults(ctx->web->env.engine);
    CM_AUTO_JSON refused = errors ? NULL : cm_err_to_json(err);
    struct cm_buf page;
    struct draw draw = {
        .ctx = ctx, .page = &page, .settings = settings, .posted = posted, .errors = errors};

    web_page_begin(ctx, &page, web_msg(ctx, MSG_G_TITLE), NAV_SETTINGS);
    html_raw(&page, "<div class=\"form-page\">");
    web_error_summary(ctx, &page, errors);
    html_leaf(&page, "h1", web_msg(ctx, MSG_G_TITLE), NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_G_LEAD), "class", "lead", NULL);
    if (web_form_get(&ctx->query, "saved"))
        web_notice(&page, "ok", web_msg(ctx, MSG_G_SAVED));
    if (refused) {
        html_raw(&page, "<section class=\"card tone-bad\" role=\"alert\">");
        html_leaf(&page, "h2", web_msg(ctx, MSG_E_TITLE), NULL);
        web_error_object(ctx, &page, refused);
        html_raw(&page, "</section>");
    }
    form_html(&draw);
    html_raw(&page, "</div>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_settings(struct web_ctx *ctx)
{
    render(ctx, 200, NULL, NULL, NULL);
}

static void put_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    CM_AUTO_JSON errors = web_errors_of(err);

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        render(ctx, web_status_of(err->code), &ctx->form, errors, err);
    else
        web_reply_redirect(ctx, "/settings?saved=1");
}

void page_settings_post(struct web_ctx *ctx)
{
    CM_AUTO_JSON errors = json_array();
    CM_AUTO_JSON fields = credential_form_fields(ctx, false, errors);
    CM_AUTO_JSON current = eng_defaults(ctx->web->env.engine);
    struct cm_err err = CM_ERR_INIT;

    /* The credential form has two fields more. */
    json_object_del(fields, "host_names");
    json_object_del(fields, "target");
    cm_json_set_bool(fields, "staging_first", web_form_get(&ctx->form, "staging_first") != NULL);
    if (json_array_size(errors) > 0)
        render(ctx, 422, &ctx->form, errors, NULL);
    else if (web_form_may_edit(ctx, "settings:global", current, &err) < 0)
        render(ctx, 409, &ctx->form, NULL, &err);
    else
        eng_settings_put(ctx->web->env.engine, fields, put_done, ctx);
    cm_err_fini(&err);
}
