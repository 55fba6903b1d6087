/* A recipe of a DNS provider: where it comes from, what it wants, whether it passes, its text. */
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

struct show {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const json_t *view;
    const struct cm_err *err;
    const json_t *errors;
};

static void term(const struct show *show, enum web_msg label)
{
    html_leaf(show->page, "dt", web_msg(show->ctx, label), NULL);
    html_raw(show->page, "<dd>");
}

/* The option that can move the whole recipe to another address, or NULL. */
static const char *base_option(const json_t *view)
{
    size_t i;
    json_t *option;

    json_array_foreach(cm_json_arr(view, "options"), i, option)
    {
        if (cm_json_bool(option, "base", false))
            return cm_json_str(option, "name");
    }
    return NULL;
}

static void hosts(const struct show *show)
{
    const char *own = base_option(show->view);
    size_t i;
    json_t *host;

    term(show, MSG_DR_REACH);
    json_array_foreach(cm_json_arr(show->view, "reach"), i, host)
    {
        html_raw(show->page, i ? ", " : "");
        html_leaf(show->page, "code", json_string_value(host), NULL);
    }
    if (own) {
        html_raw(show->page, " ");
        web_sentence(show->page, show->ctx->lang, MSG_DR_OWN_BASE, own, NULL);
    }
    html_raw(show->page, "</dd>");
}

static void credentials(const struct show *show)
{
    const json_t *all = cm_json_arr(show->view, "credentials");
    size_t i;
    json_t *one;

    term(show, MSG_DR_NEEDS);
    json_array_foreach(all, i, one)
    {
        html_raw(show->page, "<div>");
        html_leaf(show->page, "code", cm_json_str_or(one, "name", ""), NULL);
        html_raw(show->page, " ");
        html_text(show->page, cm_json_str(one, "title"));
        if (cm_json_str(one, "help")) {
            html_raw(show->page, " ");
            html_leaf(show->page, "span", cm_json_str(one, "help"), "class", "hint", NULL);
        }
        if (!cm_json_bool(one, "required", true)) {
            html_raw(show->page, " ");
            html_leaf(show->page, "span", web_msg(show->ctx, MSG_OPTIONAL), "class", "optional",
                      NULL);
        }
        html_raw(show->page, "</div>");
    }
    if (json_array_size(all) == 0)
        html_text(show->page, web_msg(show->ctx, MSG_DR_NEEDS_NONE));
    html_raw(show->page, "</dd>");
}

static void users(const struct show *show)
{
    const json_t *all = cm_json_arr(show->view, "used_by");
    size_t i, k;
    json_t *one, *name;

    term(show, MSG_DR_USED);
    json_array_foreach(all, i, one)
    {
        html_raw(show->page, "<div>");
        recipe_account_link(show->page, cm_json_str_or(one, "name", ""));
        json_array_foreach(cm_json_arr(one, "lacks"), k, name)
        {
            html_raw(show->page, " <span class=\"badge tone-warn\">");
            web_icon(show->page, "warn");
            web_sentence(show->page, show->ctx->lang, MSG_DR_LACKS, json_string_value(name), NULL);
            html_raw(show->page, "</span>");
        }
        html_raw(show->page, "</div>");
    }
    if (json_array_size(all) == 0)
        html_text(show->page, web_msg(show->ctx, MSG_DR_NOBODY));
    html_raw(show->page, "</dd>");
}

static void facts(const struct show *show)
{
    const json_t *view = show->view;
    const char *docs = cm_json_str(view, "docs");
    bool stored = cm_json_bool(view, "stored", false),
         shipped = cm_json_bool(view, "shipped", false);

    html_raw(show->page, "<section class=\"card\"><dl class=\"facts pairs\">");
    term(show, MSG_DR_ORIGIN);
    html_text(show->page, web_msg(show->ctx, !stored   ? MSG_DR_SHIPPED
                                             : shipped ? MSG_DR_INSTEAD
                                                       : MSG_DR_STORED));
    html_raw(show->page, "</dd>");
    term(show, MSG_DR_STATE);
    recipe_state_badge(show->ctx, show->page, view);
    html_raw(show->page, "</dd>");
    term(show, MSG_DR_REVISION);
    html_int(show->page, cm_json_int(cm_json_obj(view, "recipe"), "revision", 0));
    html_raw(show->page, "</dd>");
    if (docs) {
        term(show, MSG_DR_DOCS);
        html_leaf(show->page, "a", docs, "href", docs, "rel", "noopener noreferrer", NULL);
        html_raw(show->page, "</dd>");
    }
    hosts(show);
    credentials(show);
    users(show);
    html_raw(show->page, "</dl></section>");
}

static void text_card(const struct show *show)
{
    char *text = json_dumps(json_object_get(show->view, "recipe"), JSON_INDENT(2));

    html_raw(show->page, "<section class=\"card\">");
    html_leaf(show->page, "h2", web_msg(show->ctx, MSG_DR_JSON), "id", "json-title", NULL);
    html_raw(show->page, "<pre class=\"scroll\" tabindex=\"0\" role=\"region\" "
                         "aria-labelledby=\"json-title\"><code>");
    html_text(show->page, text);
    html_raw(show->page, "</code></pre></section>");
    cm_free(text);
}

static void remove_card(const struct show *show)
{
    char version[VERSION_TEXT];
    CM_AUTO_STR action = cm_asprintf("/dns-recipes/%s/remove", show->ctx->param);

    web_version(show->view, version);
    html_raw(show->page, "<section class=\"card\">");
    html_leaf(show->page, "h2", web_msg(show->ctx, MSG_DR_REMOVE), NULL);
    html_leaf(show->page, "p", web_msg(show->ctx, MSG_DR_REMOVE_LEAD), "class", "hint", NULL);
    if (json_array_size(cm_json_arr(show->view, "used_by")) == 0) {
        html_open(show->page, "form", "method", "post", "action", action, NULL);
        web_page_token(show->ctx, show->page);
        html_open(show->page, "input", "type", "hidden", "name", "version", "value", version, NULL);
        web_field_errors(show->ctx, show->page, "sure", show->errors);
        web_field_check(show->ctx, show->page, "sure", "1", MSG_DR_REMOVE_SURE, false);
        html_leaf(show->page, "button", web_msg(show->ctx, MSG_DR_REMOVE), "class", "danger",
                  "type", "submit", NULL);
        html_raw(show->page, "</form>");
    }
    html_raw(show->page, "</section>");
}

static void head(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    const char *name = cm_json_str_or(show->view, "name", "");
    CM_AUTO_STR edit = cm_asprintf("/dns-recipes/%s/edit", ctx->param);
    CM_AUTO_JSON refused = cm_err_to_json(show->err);

    html_raw(show->page, "<p class=\"crumb\">");
    html_leaf(show->page, "a", web_msg(ctx, MSG_DR_TITLE), "href", "/dns-recipes", NULL);
    html_raw(show->page, "</p><div class=\"title\">");
    html_leaf(show->page, "h1", cm_json_str_or(show->view, "title", name), NULL);
    html_leaf(show->page, "a", web_msg(ctx, MSG_DR_REPLACE), "class", "button", "href", edit, NULL);
    html_raw(show->page, "</div><p class=\"lead\">");
    html_leaf(show->page, "code", name, NULL);
    html_raw(show->page, "</p>");
    if (refused) {
        html_raw(show->page, "<section class=\"card tone-bad\" role=\"alert\">");
        html_leaf(show->page, "h2", web_msg(ctx, MSG_E_TITLE), NULL);
        web_error_object(ctx, show->page, refused);
        html_raw(show->page, "</section>");
    }
    if (cm_json_bool(show->view, "unverified", false))
        web_notice(show->page, "warn", web_msg(ctx, MSG_N_UNVERIFIED_NOTE));
}

static void render(struct web_ctx *ctx, int status, const struct cm_err *err, const json_t *errors)
{
    CM_AUTO_JSON view = eng_dns_recipe_view(ctx->web->env.engine, ctx->param);
    struct cm_buf page;
    struct show show = {.ctx = ctx, .page = &page, .view = view, .err = err, .errors = errors};

    if (!view) {
        web_reply_status(ctx, 404);
        return;
    }
    web_page_begin(ctx, &page, cm_json_str_or(view, "name", ""), NAV_DNS);
    web_error_summary(ctx, &page, errors);
    head(&show);
    facts(&show);
    html_raw(&page, "<section class=\"card\" id=\"lint\">");
    html_leaf(&page, "h2", web_msg(ctx, MSG_DR_LINT), NULL);
    recipe_lint_html(ctx, &page, cm_json_obj(view, "lint"));
    html_raw(&page, "</section>");
    text_card(&show);
    if (cm_json_bool(view, "stored", false))
        remove_card(&show);
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_recipe(struct web_ctx *ctx)
{
    render(ctx, 200, NULL, NULL);
}

static void removed(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        render(ctx, web_status_of(err->code), err, NULL);
    else
        web_reply_redirect(ctx, "/dns-recipes");
}

static void ask_to_be_sure(struct web_ctx *ctx)
{
    CM_AUTO_JSON errors = json_array();

    web_field_fail(errors, "sure", web_msg(ctx, MSG_DR_REMOVE_NEEDED));
    render(ctx, 422, NULL, errors);
}

void page_recipe_remove_post(struct web_ctx *ctx)
{
    CM_AUTO_JSON current = eng_dns_recipe_view(ctx->web->env.engine, ctx->param);
    CM_AUTO_STR id = cm_asprintf("dns-provider:%s", ctx->param);
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;

    if (!current)
        web_reply_status(ctx, 404);
    else if (!web_form_get(&ctx->form, "sure"))
        ask_to_be_sure(ctx);
    else if (web_form_may_edit(ctx, id, current, &err) < 0)
        render(ctx, 409, &err, NULL);
    else
        eng_dns_recipe_delete(ctx->web->env.engine, ctx->param, &actor, removed, ctx);
    cm_err_fini(&err);
}
