/* ACME accounts: the list, and the form that adds or changes one. */
#include <inttypes.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

static void account_status(struct web_ctx *ctx, struct cm_buf *page, const json_t *account)
{
    const char *status = cm_json_str_or(account, "status", "new");
    bool valid = strcmp(status, "valid") == 0;
    bool bad = strcmp(status, "error") == 0;

    html_open(page, "span", "class",
              valid ? "badge tone-ok"
              : bad ? "badge tone-bad"
                    : "badge tone-info",
              NULL);
    web_icon(page, valid ? "ok" : bad ? "bad" : "info");
    html_text(page, web_msg(ctx, valid ? MSG_A_VALID : bad ? MSG_A_ERROR : MSG_A_NEW));
    html_close(page, "span");
}

static void account_row(struct web_ctx *ctx, struct cm_buf *page, const json_t *account)
{
    const json_t *error = cm_json_obj(account, "error");
    size_t i;
    json_t *contact;

    html_raw(page, "<tr>");
    html_leaf(page, "th", cm_json_str(account, "name"), "scope", "row", NULL);
    html_raw(page, "<td>");
    html_leaf(page, "code", cm_json_str(account, "directory"), NULL);
    html_raw(page, "</td><td>");
    json_array_foreach(cm_json_arr(account, "contacts"), i, contact)
    {
        const char *text = json_string_value(contact);

        if (i)
            html_raw(page, ", ");
        html_text(page, text && strncmp(text, "mailto:", 7) == 0 ? text + 7 : text);
    }
    html_raw(page, "</td><td>");
    account_status(ctx, page, account);
    html_raw(page, "</td></tr>");
    if (error) {
        html_raw(page, "<tr class=\"detail\"><td colspan=\"4\">");
        web_error_object(ctx, page, error);
        html_raw(page, "</td></tr>");
    }
}

static void list_html(struct web_ctx *ctx, struct cm_buf *page)
{
    static const enum web_msg columns[] = {MSG_C_ACCOUNT, MSG_A_DIRECTORY, MSG_A_CONTACTS,
                                           MSG_C_STATUS};
    CM_AUTO_JSON accounts = web_accounts(ctx->web->env.store);
    size_t i;
    json_t *account;

    if (json_array_size(accounts) == 0) {
        html_leaf(page, "p", web_msg(ctx, MSG_A_NONE), "class", "lead", NULL);
        return;
    }
    web_table_frame(page, web_msg(ctx, MSG_NAV_ACCOUNTS));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(accounts, i, account) account_row(ctx, page, account);
    html_raw(page, "</tbody></table></div>");
}

static void form_fields(struct web_ctx *ctx, struct cm_buf *page, const struct web_form *posted,
                        const json_t *errors)
{
    static const struct {
        const char *name, *type, *fresh;
        enum web_msg label, hint;
        unsigned rows;
        bool required;
    } rows[] = {
        {"name", NULL, "", MSG_A_NAME, MSG_A_NAME_HINT, 0, true},
        {"directory", "url", "", MSG_A_DIRECTORY, MSG_A_DIRECTORY_HINT, 0, true},
        {"contacts", NULL, "", MSG_A_CONTACTS, MSG_A_CONTACTS_HINT, 2, false},
        {"ca_pem", NULL, "", MSG_A_CA_PEM, MSG_A_CA_PEM_HINT, 4, false},
        {"http_port", "number", "80", MSG_A_PORT, MSG_A_PORT_HINT, 0, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web_field field = {.name = rows[i].name,
                                  .label = rows[i].label,
                                  .hint = rows[i].hint,
                                  .type = rows[i].type,
                                  .rows = rows[i].rows,
                                  .value =
                                      posted ? web_form_text(posted, rows[i].name) : rows[i].fresh,
                                  .required = rows[i].required,
                                  .names = true,
                                  .errors = errors};

        web_field(ctx, page, &field);
    }
    web_field_check(ctx, page, "self_check", "1", MSG_A_SELF_CHECK,
                    !posted || web_form_get(posted, "self_check"));
    web_field_errors(page, "terms_agreed", errors);
    web_field_check(ctx, page, "terms_agreed", "1", MSG_A_TERMS,
                    posted && web_form_get(posted, "terms_agreed"));
}

static void render(struct web_ctx *ctx, int status, const struct web_form *posted,
                   const json_t *errors, const struct cm_err *err)
{
    struct cm_buf page;
    CM_AUTO_JSON error = cm_err_to_json(err);

    web_page_begin(ctx, &page, web_msg(ctx, MSG_NAV_ACCOUNTS), NAV_ACCOUNTS);
    web_error_summary(ctx, &page, errors);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_NAV_ACCOUNTS), NULL);
    html_raw(&page, "</div>");
    if (error) {
        html_raw(&page, "<section class=\"card tone-bad\" role=\"alert\">");
        html_leaf(&page, "h2", web_msg(ctx, MSG_E_TITLE), NULL);
        web_error_object(ctx, &page, error);
        html_raw(&page, "</section>");
    }
    list_html(ctx, &page);
    html_raw(&page, "<section class=\"card\" aria-labelledby=\"account-title\">");
    html_leaf(&page, "h2", web_msg(ctx, MSG_A_ADD), "id", "account-title", NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_A_ADD_LEAD), NULL);
    html_raw(&page, "<form method=\"post\" action=\"/accounts\">");
    web_page_token(ctx, &page);
    form_fields(ctx, &page, posted, errors);
    html_leaf(&page, "button", web_msg(ctx, MSG_A_SUBMIT), "class", "primary", "type", "submit",
              NULL);
    html_raw(&page, "</form></section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_accounts(struct web_ctx *ctx)
{
    render(ctx, 200, NULL, NULL, NULL);
}

static json_t *fields_of(const struct web_ctx *ctx, json_t *errors)
{
    const struct web_form *form = &ctx->form;
    const char *port = web_form_text(form, "http_port");
    int64_t number = 80;
    json_t *fields = json_object();

    if (!*web_form_text(form, "name"))
        web_field_fail(errors, "name", web_msg(ctx, MSG_A_NAME_NEEDED));
    if (!*web_form_text(form, "directory"))
        web_field_fail(errors, "directory", web_msg(ctx, MSG_A_DIRECTORY_NEEDED));
    if (*port && cm_num_i64(port, 1, 65535, &number) < 0)
        web_field_fail(errors, "http_port", web_msg(ctx, MSG_A_PORT_BAD));
    if (!web_form_get(form, "terms_agreed"))
        web_field_fail(errors, "terms_agreed", web_msg(ctx, MSG_A_TERMS_NEEDED));
    cm_json_set_str(fields, "name", web_form_text(form, "name"));
    cm_json_set_str(fields, "directory", web_form_text(form, "directory"));
    cm_json_set(fields, "contacts", web_form_words(form, "contacts"));
    if (*web_form_text(form, "ca_pem"))
        cm_json_set_str(fields, "ca_pem", web_form_text(form, "ca_pem"));
    cm_json_set_bool(fields, "terms_agreed", web_form_get(form, "terms_agreed") != NULL);
    cm_json_set_bool(fields, "self_check", web_form_get(form, "self_check") != NULL);
    cm_json_set_int(fields, "http_port", number);
    return fields;
}

static void put_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        render(ctx, web_status_of(err->code), &ctx->form, NULL, err);
    else
        web_reply_redirect(ctx, "/accounts");
}

void page_accounts_post(struct web_ctx *ctx)
{
    CM_AUTO_JSON errors = json_array();
    CM_AUTO_JSON fields = fields_of(ctx, errors);
    struct eng_actor actor = web_actor(ctx);

    if (json_array_size(errors) > 0)
        render(ctx, 422, &ctx->form, errors, NULL);
    else
        eng_account_put(ctx->web->env.engine, fields, &actor, put_done, ctx);
}
