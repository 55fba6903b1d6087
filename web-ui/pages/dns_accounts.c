/* DNS accounts: the list, and what saving, testing and removing one does. */
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/net/url.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/dns_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

#define NUMBER_MAX 999999999 /* longer ones are names that look like numbers */

/* ---- list ---- */

static void row(struct web_ctx *ctx, struct cm_buf *page, const json_t *account)
{
    const char *name = cm_json_str_or(account, "name", "");
    struct cm_buf href;
    size_t i;
    json_t *domain;

    cm_buf_init(&href, 1024);
    cm_buf_puts(&href, "/dns-accounts/");
    url_encode(&href, name);
    html_raw(page, "<tr><th scope=\"row\">");
    html_leaf(page, "a", name, "href", cm_buf_str(&href), NULL);
    cm_buf_fini(&href);
    html_raw(page, "</th><td>");
    html_text(page, cm_json_str_or(account, "provider", cm_json_str_or(account, "kind", "")));
    html_raw(page, "</td><td>");
    json_array_foreach(cm_json_arr(account, "domains"), i, domain)
    {
        if (i)
            html_raw(page, ", ");
        html_leaf(page, "bdi", json_string_value(domain), NULL);
    }
    html_raw(page, "</td><td>");
    html_text(page, web_msg(ctx, cm_json_bool(account, "enabled", true) ? MSG_YES : MSG_NO));
    html_raw(page, "</td></tr>");
}

static void table(struct web_ctx *ctx, struct cm_buf *page, const json_t *accounts)
{
    static const enum web_msg columns[] = {MSG_C_ACCOUNT, MSG_N_KIND, MSG_N_DOMAINS, MSG_N_ENABLED};
    size_t i;
    json_t *account;

    web_table_frame(page, web_msg(ctx, MSG_NAV_DNS));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(accounts, i, account)
    {
        row(ctx, page, account);
    }
    html_raw(page, "</tbody></table></div>");
}

void page_dns_accounts(struct web_ctx *ctx)
{
    CM_AUTO_JSON accounts = eng_dns_accounts(ctx->web->env.engine);
    bool any = json_array_size(accounts) > 0;
    struct cm_buf page;

    web_page_begin(ctx, &page, web_msg(ctx, MSG_NAV_DNS), NAV_DNS);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_NAV_DNS), NULL);
    html_raw(&page, "<div class=\"actions\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_DR_TITLE), "class", "button", "href", "/dns-recipes",
              NULL);
    if (any)
        html_leaf(&page, "a", web_msg(ctx, MSG_N_ADD), "class", "button primary", "href",
                  "/dns-accounts/new", NULL);
    html_raw(&page, "</div></div>");
    if (any) {
        table(ctx, &page, accounts);
    } else {
        html_raw(&page, "<div class=\"card empty\">");
        html_leaf(&page, "h2", web_msg(ctx, MSG_N_NONE), NULL);
        html_leaf(&page, "p", web_msg(ctx, MSG_N_LEAD), NULL);
        html_leaf(&page, "a", web_msg(ctx, MSG_N_ADD), "class", "button primary", "href",
                  "/dns-accounts/new", NULL);
        html_raw(&page, "</div>");
    }
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
}

/* ---- one of them ---- */

void page_dns_account_new(struct web_ctx *ctx)
{
    const char *kind = web_form_get(&ctx->query, "kind");
    struct dns_form form = {.kind = kind ? kind : "rfc2136",
                            .provider = web_form_get(&ctx->query, "provider")};

    dns_form(ctx, 200, &form);
}

static void show(struct web_ctx *ctx, int status, const struct cm_err *err)
{
    CM_AUTO_JSON account = eng_dns_account_view(ctx->web->env.engine, ctx->param);
    CM_AUTO_JSON errors = web_errors_of(err);
    struct dns_form form = {.account = account, .errors = errors, .err = err};

    if (account)
        dns_form(ctx, status, &form);
    else
        web_reply_status(ctx, 404);
}

void page_dns_account(struct web_ctx *ctx)
{
    show(ctx, 200, NULL);
}

/* ---- saving ---- */

/* "option.NAME" and "secret.NAME" of the form; numbers become numbers. */
static void collect(const struct web_form *form, const char *prefix, json_t *out)
{
    size_t len = strlen(prefix);

    for (size_t i = 0; i < form->count; i++) {
        const char *name = form->pair[i].name, *value = form->pair[i].value;
        int64_t number;

        if (strncmp(name, prefix, len) != 0 || !*value)
            continue;
        if (prefix[0] == 'o' && cm_num_i64(value, 0, NUMBER_MAX, &number) == 0)
            cm_json_set_int(out, name + len, number);
        else
            cm_json_set_str(out, name + len, value);
    }
}

static json_t *fields_of(const struct web_form *form)
{
    json_t *fields = json_object(), *options = json_object(), *secrets = json_object();
    json_t *seeing = json_object();

    collect(form, "option.", options);
    collect(form, "secret.", secrets);
    cm_json_set_str(fields, "name", web_form_text(form, "name"));
    cm_json_set_str(fields, "kind", web_form_text(form, "kind"));
    cm_json_set_str(fields, "provider", web_form_text(form, "provider"));
    cm_json_set(fields, "options", options);
    cm_json_set(fields, "secrets", secrets);
    cm_json_set(fields, "domains", web_form_words(form, "domains"));
    cm_json_set_bool(fields, "enabled", web_form_get(form, "enabled") != NULL);
    cm_json_set_str(fields, "resolvers", web_form_text(form, "resolvers"));
    cm_json_set_bool(seeing, "authoritative", web_form_get(form, "authoritative") != NULL);
    cm_json_set_str(seeing, "resolvers", web_form_text(form, "propagation_resolvers"));
    cm_json_set_str(seeing, "fixed_s", web_form_text(form, "fixed_s"));
    cm_json_set_str(seeing, "limit_s", web_form_text(form, "limit_s"));
    cm_json_set(fields, "propagation", seeing);
    return fields;
}

static void show_again(struct web_ctx *ctx, int status, const json_t *errors,
                       const struct cm_err *err)
{
    const struct web_form *posted = &ctx->form;
    bool edits = *web_form_text(posted, "version") != '\0';
    CM_AUTO_JSON account =
        edits ? eng_dns_account_view(ctx->web->env.engine, web_form_text(posted, "name")) : NULL;
    struct dns_form form = {.account = account,
                            .posted = posted,
                            .kind = web_form_text(posted, "kind"),
                            .provider = web_form_text(posted, "provider"),
                            .errors = errors,
                            .err = err};

    dns_form(ctx, status, &form);
}

static void put_done(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    CM_AUTO_JSON errors = web_errors_of(err);

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        show_again(ctx, web_status_of(err->code), errors, err);
    else
        web_reply_redirect(ctx, "/dns-accounts");
}

void page_dns_accounts_post(struct web_ctx *ctx)
{
    const char *name = web_form_text(&ctx->form, "name");
    CM_AUTO_JSON fields = fields_of(&ctx->form);
    CM_AUTO_JSON current = eng_dns_account_view(ctx->web->env.engine, name);
    CM_AUTO_STR id = cm_asprintf("dns-account:%s", name);
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;

    if (web_form_may_edit(ctx, id, current, &err) < 0)
        show_again(ctx, 409, NULL, &err);
    else
        eng_dns_account_put(ctx->web->env.engine, fields, &actor, put_done, ctx);
    cm_err_fini(&err);
}

/* ---- test, removal, records by hand ---- */

void page_dns_test_post(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;
    struct cm_buf where;

    if (eng_dns_test(ctx->web->env.engine, ctx->param, NULL, &actor, &err) != 0) {
        show(ctx, web_status_of(err.code), &err);
    } else {
        cm_buf_init(&where, 2048);
        cm_buf_puts(&where, "/dns-accounts/");
        url_encode(&where, ctx->param);
        web_reply_redirect(ctx, cm_buf_str(&where));
        cm_buf_fini(&where);
    }
    cm_err_fini(&err);
}

static void removed(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        show(ctx, web_status_of(err->code), err);
    else
        web_reply_redirect(ctx, "/dns-accounts");
}

static void ask_to_be_sure(struct web_ctx *ctx)
{
    CM_AUTO_JSON account = eng_dns_account_view(ctx->web->env.engine, ctx->param);
    CM_AUTO_JSON errors = json_array();

    if (!account) {
        web_reply_status(ctx, 404);
        return;
    }
    web_field_fail(errors, "sure", web_msg(ctx, MSG_N_REMOVE_NEEDED));
    dns_form(ctx, 422, &(struct dns_form){.account = account, .errors = errors});
}

void page_dns_remove_post(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);

    if (!web_form_get(&ctx->form, "sure"))
        ask_to_be_sure(ctx);
    else
        eng_dns_account_delete(ctx->web->env.engine, ctx->param, false, &actor, removed, ctx);
}

void page_credential_go_on(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR where = cm_asprintf("/credentials/%s", ctx->param);

    if (!cm_ulid_ok(ctx->param))
        web_reply_status(ctx, 404);
    else if (eng_dns_go_on(ctx->web->env.engine, ctx->param, &actor, &err) != 0)
        web_page_status(ctx, web_status_of(err.code), &err);
    else
        web_reply_redirect(ctx, where);
    cm_err_fini(&err);
}
