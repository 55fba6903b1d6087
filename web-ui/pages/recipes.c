/* Recipes of DNS providers: the list, and what storing one does. */
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/pages/recipe_form.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

/* ---- list ---- */

static void row(struct web_ctx *ctx, struct cm_buf *page, const json_t *recipe)
{
    const char *name = cm_json_str_or(recipe, "name", "");
    bool stored = cm_json_bool(recipe, "stored", false);
    struct cm_buf href;
    size_t i;
    json_t *account;

    cm_buf_init(&href, 1024);
    cm_buf_puts(&href, "/dns-recipes/");
    url_encode(&href, name);
    html_raw(page, "<tr><th scope=\"row\">");
    html_leaf(page, "a", name, "href", cm_buf_str(&href), NULL);
    cm_buf_fini(&href);
    html_raw(page, "</th><td>");
    html_text(page, cm_json_str_or(recipe, "title", ""));
    html_raw(page, "</td><td>");
    html_text(page, web_msg(ctx, !stored                                  ? MSG_DR_SHIPPED
                                 : cm_json_bool(recipe, "shipped", false) ? MSG_DR_INSTEAD
                                                                          : MSG_DR_STORED));
    html_raw(page, "</td><td>");
    recipe_state_badge(ctx, page, recipe);
    html_raw(page, "</td><td>");
    json_array_foreach(cm_json_arr(recipe, "used_by"), i, account)
    {
        html_raw(page, i ? ", " : "");
        recipe_account_link(page, cm_json_str_or(account, "name", ""));
    }
    html_raw(page, json_array_size(cm_json_arr(recipe, "used_by")) ? "" : "–");
    html_raw(page, "</td></tr>");
}

void page_recipes(struct web_ctx *ctx)
{
    static const enum web_msg columns[] = {MSG_DR_NAME, MSG_DR_PROVIDER, MSG_DR_ORIGIN,
                                           MSG_DR_STATE, MSG_DR_USED};
    CM_AUTO_JSON recipes = eng_dns_recipes(ctx->web->env.engine);
    struct cm_buf page;
    size_t i;
    json_t *recipe;

    web_page_begin(ctx, &page, web_msg(ctx, MSG_DR_TITLE), NAV_DNS);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_DNS), "href", "/dns-accounts", NULL);
    html_raw(&page, "</p><div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_DR_TITLE), NULL);
    html_leaf(&page, "a", web_msg(ctx, MSG_DR_ADD), "class", "button primary", "href",
              "/dns-recipes/new", NULL);
    html_raw(&page, "</div>");
    html_leaf(&page, "p", web_msg(ctx, MSG_DR_LEAD), "class", "lead", NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_N_UNVERIFIED_NOTE), "class", "hint", NULL);
    web_table_frame(&page, web_msg(ctx, MSG_DR_TITLE));
    html_raw(&page, "<table class=\"list\"><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(&page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(&page, "</tr></thead><tbody>");
    json_array_foreach(recipes, i, recipe)
    {
        row(ctx, &page, recipe);
    }
    html_raw(&page, "</tbody></table></div>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
}

/* ---- form ---- */

void page_recipe_new(struct web_ctx *ctx)
{
    struct recipe_form form = {.version = ""};

    recipe_form(ctx, 200, &form);
}

void page_recipe_edit(struct web_ctx *ctx)
{
    CM_AUTO_JSON view = eng_dns_recipe_view(ctx->web->env.engine, ctx->param);
    char version[VERSION_TEXT];
    char *text;

    if (!view) {
        web_reply_status(ctx, 404);
        return;
    }
    text = json_dumps(json_object_get(view, "recipe"), JSON_INDENT(2));
    web_version(view, version);
    struct recipe_form form = {.name = ctx->param, .text = text, .version = version};

    recipe_form(ctx, 200, &form);
    cm_free(text);
}

/* ---- storing ---- */

/* What was sent, read. */
struct sent {
    struct web_ctx *ctx;
    const char *text, *name;
    json_t *recipe, *errors;
    json_t *lint; /* once the text is JSON */
};

static void sent_fini(struct sent *sent)
{
    json_decref(sent->recipe);
    json_decref(sent->errors);
    json_decref(sent->lint);
}

static void fail(struct sent *sent, const char *message)
{
    web_field_fail(sent->errors, "recipe", message);
}

/* Text, then JSON, then a recipe that passes: each with an error at the field. */
static void sent_read(struct sent *sent, struct web_ctx *ctx)
{
    const char *file = web_form_text(&ctx->form, "file");
    const char *text = *file ? file : web_form_text(&ctx->form, "recipe");
    struct cm_err err = CM_ERR_INIT;

    *sent = (struct sent){.ctx = ctx,
                          .text = text,
                          .name = web_form_text(&ctx->form, "name"),
                          .errors = json_array()};
    if (text[strspn(text, " \t\r\n")] == '\0') {
        fail(sent, web_msg(ctx, MSG_DR_EMPTY));
    } else if (strlen(text) > ENG_RECIPE_BYTES_MAX) {
        fail(sent, web_msg(ctx, MSG_DR_TOO_LONG));
    } else if (cm_json_parse(text, strlen(text), &sent->recipe, &err) < 0) {
        fail(sent, err.what);
    } else {
        sent->lint = eng_dns_recipe_lint(sent->recipe);
        if (!cm_json_bool(sent->lint, "ok", false))
            fail(sent, cm_json_str_or(cm_json_obj(sent->lint, "error"), "what", ""));
        if (!*sent->name)
            sent->name = cm_json_str_or(sent->recipe, "id", "");
    }
    cm_err_fini(&err);
}

static void show_again(const struct sent *sent, int status, const json_t *widens,
                       const struct cm_err *err)
{
    bool check = web_form_get(&sent->ctx->form, "check") != NULL;
    struct recipe_form form = {.name = sent->name,
                               .text = sent->text,
                               .version = web_form_text(&sent->ctx->form, "version"),
                               .errors = json_array_size(sent->errors) > 0 ? sent->errors : NULL,
                               .lint = check ? sent->lint : NULL,
                               .widens = json_array_size(widens) > 0 ? widens : NULL,
                               .err = err};

    recipe_form(sent->ctx, status, &form);
}

static void stored(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    CM_AUTO_JSON widens = NULL;
    struct sent sent;
    struct cm_buf where;

    if (web_ctx_gone(ctx))
        return;
    sent_read(&sent, ctx);
    if (err && err->code) {
        json_t *more = web_errors_of(err);

        json_array_extend(sent.errors, more);
        json_decref(more);
        if (err->code == CM_ECONFLICT)
            widens = eng_dns_recipe_widens(ctx->web->env.engine, sent.name, sent.recipe);
        show_again(&sent, web_status_of(err->code), widens, err);
    } else {
        cm_buf_init(&where, 2048);
        cm_buf_puts(&where, "/dns-recipes/");
        url_encode(&where, sent.name);
        web_reply_redirect(ctx, cm_buf_str(&where));
        cm_buf_fini(&where);
    }
    sent_fini(&sent);
}

static void store(struct sent *sent)
{
    struct web_ctx *ctx = sent->ctx;
    CM_AUTO_JSON current = eng_dns_recipe_view(ctx->web->env.engine, sent->name);
    CM_AUTO_JSON confirmed = web_form_words(&ctx->form, "confirm_hosts");
    CM_AUTO_STR id = cm_asprintf("dns-provider:%s", sent->name);
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;

    if (web_form_may_edit(ctx, id, current, &err) < 0)
        show_again(sent, 409, NULL, &err);
    else
        eng_dns_recipe_put(ctx->web->env.engine, sent->name, sent->recipe, confirmed, &actor,
                           stored, ctx);
    cm_err_fini(&err);
}

void page_recipes_post(struct web_ctx *ctx)
{
    struct sent sent;

    sent_read(&sent, ctx);
    if (json_array_size(sent.errors) > 0) {
        show_again(&sent, 422, NULL, NULL);
    } else if (web_form_get(&ctx->form, "check")) {
        CM_AUTO_JSON widens = eng_dns_recipe_widens(ctx->web->env.engine, sent.name, sent.recipe);

        show_again(&sent, 200, widens, NULL);
    } else {
        store(&sent);
    }
    sent_fini(&sent);
}
