/* Domino's TLS Credentials form.  See credential_form.h. */
#include "web-ui/pages/credential_form.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

struct form {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const struct web_form *posted;
    const json_t *errors;
    json_t *defaults;
    json_t *servers; /* active ones */
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

static void account_select(struct form *form)
{
    struct web_ctx *ctx = form->ctx;
    CM_AUTO_JSON accounts = web_accounts(ctx->web->env.store);
    struct web_field field = {.name = "account",
                              .label = MSG_F_ACCOUNT,
                              .hint = MSG_F_ACCOUNT_HINT,
                              .value = value_of(form, "account"),
                              .required = true,
                              .errors = form->errors};
    size_t count = json_array_size(accounts);
    struct web_option *options = cm_calloc(count + 1, sizeof(*options));

    for (size_t i = 0; i < count; i++) {
        const char *name = cm_json_str_or(json_array_get(accounts, i), "name", "");

        options[i] = (struct web_option){name, name};
    }
    if (count == 0)
        web_notice(form->page, "warn", web_msg(ctx, MSG_F_NO_ACCOUNT));
    web_field_select(ctx, form->page, &field, options, count);
    cm_free(options);
}

static void provider_part(struct form *form)
{
    static const struct web_option providers[] = {{"acme", "ACME"}};
    static const struct web_option keys[] = {{"P-256", "ECDSA P-256"}, {"RSA-2048", "RSA 2048"}};
    struct web_ctx *ctx = form->ctx;
    struct web_field provider = {.name = "provider",
                                 .label = MSG_F_PROVIDER,
                                 .value = value_of(form, "provider"),
                                 .required = true,
                                 .errors = form->errors};
    struct web_field key = {.name = "key_type",
                            .label = MSG_F_KEY_TYPE,
                            .hint = MSG_F_KEY_TYPE_HINT,
                            .value = value_of(form, "key_type"),
                            .required = true,
                            .errors = form->errors};

    html_raw(form->page, "<fieldset class=\"card\">");
    html_leaf(form->page, "legend", web_msg(ctx, MSG_F_CA), NULL);
    html_raw(form->page, "<div class=\"columns\">");
    web_field_select(ctx, form->page, &provider, providers, 1);
    account_select(form);
    web_field_select(ctx, form->page, &key, keys, 2);
    html_raw(form->page, "</div></fieldset>");
}

static void server_box(struct form *form, const json_t *server)
{
    const char *name = cm_json_str_or(server, "name", "");
    const json_t *roles = cm_json_arr(server, "roles");
    bool chosen = cm_json_has_str(form->chosen, name);

    html_raw(form->page, "<label class=\"check server\">");
    html_open(form->page, "input", "type", "checkbox", "name", "servers", "value", name, "checked",
              chosen ? "" : (const char *)NULL, NULL);
    html_raw(form->page, "<span>");
    html_leaf(form->page, "span", name, "class", "server-name", NULL);
    if (cm_json_has_str(roles, "manager"))
        html_leaf(form->page, "span", web_msg(form->ctx, MSG_ROLE_MANAGER), "class", "role", NULL);
    if (cm_json_has_str(roles, "standby"))
        html_leaf(form->page, "span", web_msg(form->ctx, MSG_ROLE_STANDBY), "class", "role", NULL);
    html_raw(form->page, "</span></label>");
}

static void servers_area(struct form *form)
{
    struct cm_buf text;
    struct web_field field = {.name = "servers",
                              .label = MSG_F_SERVERS,
                              .hint = MSG_F_SERVERS_LINES,
                              .rows = 6,
                              .required = true,
                              .names = true,
                              .errors = form->errors};
    size_t i;
    json_t *name;

    cm_buf_init(&text, WEB_FORM_MAX);
    json_array_foreach(form->chosen, i, name) cm_buf_printf(&text, "%s\n", json_string_value(name));
    field.value = cm_buf_str(&text);
    web_field(form->ctx, form->page, &field);
    cm_buf_fini(&text);
}

static void servers_part(struct form *form)
{
    struct web_ctx *ctx = form->ctx;
    bool bad = web_field_has_error("servers", form->errors);
    size_t i;
    json_t *server;

    if (json_array_size(form->servers) > FORM_SERVER_BOXES) {
        html_raw(form->page, "<fieldset class=\"card\">");
        html_leaf(form->page, "legend", web_msg(ctx, MSG_F_SERVERS), NULL);
        servers_area(form);
        html_raw(form->page, "</fieldset>");
        return;
    }
    html_open(form->page, "fieldset", "class", bad ? "card bad" : "card", "id", "servers",
              "tabindex", "-1", "aria-describedby",
              bad ? "servers-hint servers-error" : "servers-hint", NULL);
    html_leaf(form->page, "legend", web_msg(ctx, MSG_F_SERVERS), NULL);
    html_leaf(form->page, "p", web_msg(ctx, MSG_F_SERVERS_HINT), "class", "hint", "id",
              "servers-hint", NULL);
    web_field_errors(form->page, "servers", form->errors);
    html_raw(form->page, "<div class=\"boxes\">");
    json_array_foreach(form->servers, i, server) server_box(form, server);
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

static json_t *active_servers(const struct web *web)
{
    CM_AUTO_JSON all = web_servers(web);
    json_t *active = json_array();
    size_t i;
    json_t *server;

    json_array_foreach(all, i, server)
    {
        if (strcmp(cm_json_str_or(server, "state", ""), "active") == 0)
            json_array_append(active, server);
    }
    return active;
}

void credential_form(struct web_ctx *ctx, int status, const struct web_form *posted,
                     const json_t *errors)
{
    struct cm_buf page;
    struct form form = {.ctx = ctx, .page = &page, .posted = posted, .errors = errors};

    form.defaults = eng_defaults(ctx->web->env.engine);
    form.servers = active_servers(ctx->web);
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
    servers_part(&form);
    deploy_part(&form);
    html_raw(&page, "<div class=\"actions\">");
    html_leaf(&page, "button", web_msg(ctx, MSG_SUBMIT_REQUEST), "class", "primary", "type",
              "submit", NULL);
    html_leaf(&page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", "/credentials",
              NULL);
    html_raw(&page, "</div></form></div>");
    web_page_end(ctx, &page);
    json_decref(form.defaults);
    json_decref(form.servers);
    json_decref(form.chosen);
    web_reply_html(ctx, status, &page);
}

json_t *credential_form_fields(const struct web_ctx *ctx, json_t *errors)
{
    static const char *const texts[] = {"host_names", "provider",     "account",
                                        "key_type",   "keyring_file", "target"};
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
