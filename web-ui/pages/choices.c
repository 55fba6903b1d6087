/* Shared form fields.  See choices.h. */
#include "web-ui/pages/choices.h"

#include <string.h>

#include "base/core/mem.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

void choice_account(const struct web_ctx *ctx, struct cm_buf *page, const char *value, bool empty,
                    const json_t *errors)
{
    CM_AUTO_JSON accounts = web_accounts(ctx->web->env.store);
    struct web_field field = {.name = "account",
                              .label = MSG_F_ACCOUNT,
                              .hint = MSG_F_ACCOUNT_HINT,
                              .value = value,
                              .required = true,
                              .errors = errors};
    size_t count = json_array_size(accounts), used = 0;
    struct web_option *options = cm_calloc(count + 1, sizeof(*options));

    if (empty && !*value)
        options[used++] = (struct web_option){"", web_msg(ctx, MSG_G_NONE)};
    for (size_t i = 0; i < count; i++) {
        const char *name = cm_json_str_or(json_array_get(accounts, i), "name", "");

        options[used++] = (struct web_option){name, name};
    }
    field.required = count > 0; /* certificates by hand need none */
    if (count == 0)
        web_notice(page, "warn", web_msg(ctx, MSG_F_NO_ACCOUNT));
    web_field_select(ctx, page, &field, options, used);
    cm_free(options);
}

void choice_provider(const struct web_ctx *ctx, struct cm_buf *page, const char *value,
                     const json_t *errors)
{
    const struct web_option providers[] = {{"acme", "ACME"},
                                           {"manual", web_msg(ctx, MSG_F_MANUAL)},
                                           {"import", web_msg(ctx, MSG_F_IMPORT)}};
    /* Nobody can choose it; a credential that is it may stay so. */
    bool imported = value && strcmp(value, "import") == 0;
    struct web_field field = {.name = "provider",
                              .label = MSG_F_PROVIDER,
                              .hint = MSG_F_PROVIDER_HINT,
                              .value = value,
                              .required = true,
                              .errors = errors};

    web_field_select(ctx, page, &field, providers, imported ? 3 : 2);
}

void choice_key_type(const struct web_ctx *ctx, struct cm_buf *page, const char *value,
                     const json_t *errors)
{
    static const struct web_option keys[] = {{"P-256", "ECDSA P-256"},
                                             {"P-384", "ECDSA P-384"},
                                             {"RSA-2048", "RSA 2048"},
                                             {"RSA-3072", "RSA 3072"},
                                             {"RSA-4096", "RSA 4096"}};
    struct web_field field = {.name = "key_type",
                              .label = MSG_F_KEY_TYPE,
                              .hint = MSG_F_KEY_TYPE_HINT,
                              .value = value,
                              .required = true,
                              .errors = errors};

    web_field_select(ctx, page, &field, keys, sizeof(keys) / sizeof(keys[0]));
}

/* ---- servers ---- */

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

static void server_box(const struct web_ctx *ctx, struct cm_buf *page, const json_t *server,
                       const json_t *chosen)
{
    const char *name = cm_json_str_or(server, "name", "");
    const json_t *roles = cm_json_arr(server, "roles");

    html_raw(page, "<label class=\"check server\">");
    html_open(page, "input", "type", "checkbox", "name", "servers", "value", name, "checked",
              cm_json_has_str(chosen, name) ? "" : (const char *)NULL, NULL);
    html_raw(page, "<span>");
    html_leaf(page, "span", name, "class", "server-name", NULL);
    if (cm_json_has_str(roles, "manager"))
        html_leaf(page, "span", web_msg(ctx, MSG_ROLE_MANAGER), "class", "role", NULL);
    if (cm_json_has_str(roles, "standby"))
        html_leaf(page, "span", web_msg(ctx, MSG_ROLE_STANDBY), "class", "role", NULL);
    html_raw(page, "</span></label>");
}

static void server_lines(const struct web_ctx *ctx, struct cm_buf *page, const json_t *chosen,
                         const json_t *errors)
{
    struct cm_buf text;
    struct web_field field = {.name = "servers",
                              .label = MSG_F_SERVERS,
                              .hint = MSG_F_SERVERS_LINES,
                              .rows = 6,
                              .required = true,
                              .names = true,
                              .errors = errors};
    size_t i;
    json_t *name;

    cm_buf_init(&text, WEB_FORM_MAX);
    json_array_foreach(chosen, i, name) cm_buf_printf(&text, "%s\n", json_string_value(name));
    field.value = cm_buf_str(&text);
    html_raw(page, "<fieldset class=\"card\">");
    html_leaf(page, "legend", web_msg(ctx, MSG_F_SERVERS), NULL);
    web_field(ctx, page, &field);
    html_raw(page, "</fieldset>");
    cm_buf_fini(&text);
}

void choice_servers(const struct web_ctx *ctx, struct cm_buf *page, const json_t *chosen,
                    const json_t *errors)
{
    CM_AUTO_JSON servers = active_servers(ctx->web);
    bool bad = web_field_has_error("servers", errors);
    size_t i;
    json_t *server;

    if (json_array_size(servers) > FORM_SERVER_BOXES) {
        server_lines(ctx, page, chosen, errors);
        return;
    }
    html_open(page, "fieldset", "class", bad ? "card bad" : "card", "id", "servers", "tabindex",
              "-1", "aria-describedby", bad ? "servers-hint servers-error" : "servers-hint", NULL);
    html_leaf(page, "legend", web_msg(ctx, MSG_F_SERVERS), NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_F_SERVERS_HINT), "class", "hint", "id", "servers-hint",
              NULL);
    web_field_errors(ctx, page, "servers", errors);
    html_raw(page, "<div class=\"boxes\">");
    json_array_foreach(servers, i, server) server_box(ctx, page, server, chosen);
    html_raw(page, "</div></fieldset>");
}
