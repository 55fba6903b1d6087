/* Domino's TLS Credentials form.  See credential_form.h. */
#include "web-ui/pages/credential_form.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/choices.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"

struct form {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const struct web_form *posted;
    const json_t *errors;
    json_t *defaults;
    json_t *chosen;  /* names */
    char number[24]; /* renew_days as text */
};

static const char *value_of(struct form *form, const char *name)
{
    const json_t *value;

    if (form->posted)
        return web_form_text(form->posted, name);
    value = json_object_get(form->defaults, name);
    if (json_is_integer(value)) {
        snprintf(form->number, sizeof(form->number), "%" PRId64,
                 (int64_t)json_integer_value(value));
        return form->number;
    }
    return json_is_string(value) ? json_string_value(value) : "";
}

static void names_part(struct form *form)
{
    struct web_field names = {.name = "host_names",
                              .label = MSG_F_HOST_NAMES,
                              .hint = MSG_F_HOST_NAMES_HINT,
                              .value = value_of(form, "host_names"),
                              .rows = 6,
                              .required = true,
                              .names = true,
                              .autocomplete = "off",
                              .errors = form->errors};

    html_raw(form->page, "<div class=\"card\">");
    web_field(form->ctx, form->page, &names);
    html_raw(form->page, "</div>");
}

static void provider_part(struct form *form)
{
    struct web_field chain = {.name = "alternate_chain",
                              .label = MSG_F_CHAIN,
                              .hint = MSG_F_CHAIN_HINT,
                              .value = value_of(form, "alternate_chain"),
                              .names = true,
                              .autocomplete = "off",
                              .errors = form->errors};

    html_raw(form->page, "<fieldset class=\"card\">");
    html_leaf(form->page, "legend", web_msg(form->ctx, MSG_F_CA), NULL);
    html_raw(form->page, "<div class=\"columns\">");
    choice_provider(form->ctx, form->page, value_of(form, "provider"), form->errors);
    choice_account(form->ctx, form->page, value_of(form, "account"), false, form->errors);
    choice_key_type(form->ctx, form->page, value_of(form, "key_type"), form->errors);
    web_field(form->ctx, form->page, &chain);
    html_raw(form->page, "</div></fieldset>");
}

static void deploy_part(struct form *form)
{
    struct web_ctx *ctx = form->ctx;
    struct web_field keyring = {.name = "keyring_file",
                                .label = MSG_F_KEYRING,
                                .hint = MSG_F_KEYRING_HINT,
                                .value = value_of(form, "keyring_file"),
                                .names = true,
                                .errors = form->errors};
    struct web_field target = {.name = "target",
                               .label = MSG_F_TARGET,
                               .hint = MSG_F_TARGET_HINT,
                               .value = value_of(form, "target"),
                               .names = true,
                               .errors = form->errors};
    struct web_field renew = {.name = "renew_days",
                              .label = MSG_F_RENEW,
                              .hint = MSG_F_RENEW_HINT,
                              .type = "number",
                              .errors = form->errors};

    html_raw(form->page, "<fieldset class=\"card\">");
    html_leaf(form->page, "legend", web_msg(ctx, MSG_F_DEPLOY), NULL);
    html_raw(form->page, "<div class=\"columns\">");
    web_field(ctx, form->page, &keyring);
    web_field(ctx, form->page, &target);
    renew.value = value_of(form, "renew_days");
    web_field(ctx, form->page, &renew);
    html_raw(form->page, "</div></fieldset>");
}

void credential_form(struct web_ctx *ctx, int status, const struct web_form *posted,
                     const json_t *errors)
{
    struct cm_buf page;
    struct form form = {.ctx = ctx, .page = &page, .posted = posted, .errors = errors};

    form.defaults = eng_defaults(ctx->web->env.engine);
    form.chosen = posted ? web_form_words(posted, "servers")
                         : json_incref(cm_json_arr(form.defaults, "servers"));
    web_page_begin(ctx, &page, web_msg(ctx, MSG_ADD_CREDENTIALS), NAV_CREDENTIALS);
    html_raw(&page, "<div class=\"form-page\">");
    web_error_summary(ctx, &page, errors);
    html_leaf(&page, "h1", web_msg(ctx, MSG_ADD_CREDENTIALS), NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_ADD_LEAD), "class", "lead", NULL);
    html_raw(&page, "<form method=\"post\" action=\"/credentials\">");
    web_page_token(ctx, &page);
    names_part(&form);
    provider_part(&form);
    choice_servers(ctx, &page, form.chosen, errors);
    deploy_part(&form);
    html_raw(&page, "<div class=\"actions\">");
    html_leaf(&page, "button", web_msg(ctx, MSG_SUBMIT_REQUEST), "class", "primary", "type",
              "submit", NULL);
    html_leaf(&page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", "/credentials",
              NULL);
    html_raw(&page, "</div></form></div>");
    web_page_end(ctx, &page);
    json_decref(form.defaults);
    json_decref(form.chosen);
    web_reply_html(ctx, status, &page);
}

json_t *credential_form_fields(const struct web_ctx *ctx, json_t *errors)
{
    static const char *const texts[] = {"host_names",   "provider", "account",        "key_type",
                                        "keyring_file", "target",   "alternate_chain"};
    json_t *fields = json_object();
    const char *days = web_form_text(&ctx->form, "renew_days");
    int64_t number;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *value = web_form_get(&ctx->form, texts[i]);

        if (value && (*value || i == 0))
            cm_json_set_str(fields, texts[i], value);
    }
    cm_json_set(fields, "servers", web_form_words(&ctx->form, "servers"));
    if (*days && cm_num_i64(days, 1, ENG_RENEW_DAYS_MAX, &number) == 0)
        cm_json_set_int(fields, "renew_days", number);
    else if (*days)
        web_field_fail(errors, "renew_days", web_msg(ctx, MSG_F_RENEW_BAD));
    return fields;
}
