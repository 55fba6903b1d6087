/* The form of a DNS account, drawn from what its kind or recipe wants.  See dns_form.h. */
#include "web-ui/pages/dns_form.h"

#include <inttypes.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "certmgr/dns/provider.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/dns_fields.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"
#include "web-ui/sentence.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

struct draw {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const struct dns_form *form;
    const char *kind, *provider;
    json_t *recipes;
    struct cm_buf value;
};

static const json_t *recipe_of(const struct draw *draw)
{
    size_t i;
    json_t *recipe;

    json_array_foreach(draw->recipes, i, recipe)
    {
        if (draw->provider && strcmp(cm_json_str_or(recipe, "name", ""), draw->provider) == 0)
            return recipe;
    }
    return NULL;
}

/* ---- kinds ---- */

static void kind_link(struct draw *draw, const char *kind, const char *provider, const char *title,
                      bool unverified)
{
    bool current = strcmp(draw->kind, kind) == 0 &&
                   strcmp(provider ? provider : "", draw->provider ? draw->provider : "") == 0;
    CM_AUTO_STR href = cm_asprintf("/dns-accounts/new?kind=%s%s%s", kind,
                                   provider ? "&provider=" : "", provider ? provider : "");

    html_raw(draw->page, "<li>");
    html_open(draw->page, "a", "class", "preset", "href", href, "aria-current",
              current ? "true" : (const char *)NULL, NULL);
    web_said(draw->page, draw->ctx->lang, "strong", NULL, title);
    html_leaf(draw->page, "span",
              unverified ? web_msg(draw->ctx, MSG_N_UNVERIFIED)
              : provider ? provider
                         : kind,
              NULL);
    html_raw(draw->page, "</a></li>");
}

static void kinds(struct draw *draw)
{
    struct web_ctx *ctx = draw->ctx;
    size_t i;
    json_t *recipe;

    html_open(draw->page, "nav", "class", "presets", "aria-label", web_msg(ctx, MSG_N_KIND), NULL);
    html_open(draw->page, "p", "class", "hint", NULL);
    html_text(draw->page, web_msg(ctx, MSG_N_KIND_LEAD));
    html_raw(draw->page, " ");
    html_text(draw->page, web_msg(ctx, MSG_N_UNVERIFIED_NOTE));
    html_close(draw->page, "p");
    html_raw(draw->page, "<ul>");
    for (size_t k = 0; dnsp_kind_at(k); k++) {
        const struct dnsp_kind *kind = dnsp_kind_at(k);

        if (strcmp(kind->name, "recipe") != 0)
            kind_link(draw, kind->name, NULL, kind->title, kind->unverified);
    }
    json_array_foreach(draw->recipes, i, recipe)
    {
        const char *name = cm_json_str_or(recipe, "name", "");

        kind_link(draw, "recipe", name, cm_json_str_or(recipe, "title", name),
                  cm_json_bool(recipe, "unverified", false));
    }
    html_raw(draw->page, "</ul></nav>");
}

/* ---- fields ---- */

/* Text of a member of the account: typed, or present. */
static const char *value_of(struct draw *draw, const json_t *object, const char *name,
                            const char *posted_as)
{
    const json_t *value = json_object_get(object, name);
    size_t i;
    json_t *item;

    if (draw->form->posted)
        return web_form_text(draw->form->posted, posted_as);
    cm_buf_reset(&draw->value);
    if (json_is_integer(value))
        cm_buf_printf(&draw->value, "%" PRId64, (int64_t)json_integer_value(value));
    json_array_foreach(value, i, item)
    {
        cm_buf_printf(&draw->value, "%s%s", i ? "\n" : "", json_string_value(item));
    }
    if (json_is_string(value))
        cm_buf_puts(&draw->value, json_string_value(value));
    return cm_buf_str(&draw->value);
}

/* What it is for people, and as the kind or the recipe (and the command line) call it. */
static void kind_label(struct draw *draw, const struct dns_field *field)
{
    const char *title = field->label != MSG_NONE ? web_msg(draw->ctx, field->label) : field->title;

    html_open(draw->page, "label", "for", field->name, NULL);
    if (title) {
        html_text(draw->page, title);
        html_raw(draw->page, " ");
    }
    html_leaf(draw->page, "code", field->name, NULL);
    if (!field->required) {
        html_raw(draw->page, " ");
        html_leaf(draw->page, "span", web_msg(draw->ctx, MSG_OPTIONAL), "class", "optional", NULL);
    }
    html_close(draw->page, "label");
}

static void kind_hint(struct draw *draw, const struct dns_field *field, bool kept, const char *id)
{
    CM_AUTO_STR usual = json_is_string(field->usual) ? cm_strdup(json_string_value(field->usual))
                                                     : json_dumps(field->usual, JSON_ENCODE_ANY);

    html_open(draw->page, "p", "class", "hint", "id", id, NULL);
    if (kept)
        html_text(draw->page, web_msg(draw->ctx, MSG_N_KEPT));
    else if (field->advice != MSG_NONE)
        html_text(draw->page, web_msg(draw->ctx, field->advice));
    else if (field->help)
        web_said(draw->page, draw->ctx->lang, "span", NULL, field->help);
    if (!kept && field->usual) {
        html_raw(draw->page, field->help ? " · " : "");
        web_sentence(draw->page, draw->ctx->lang, MSG_NF_USUAL, usual, NULL);
    }
    html_close(draw->page, "p");
}

static void kind_field(struct draw *draw, const struct dns_field *field)
{
    const struct dns_form *form = draw->form;
    CM_AUTO_STR posted = cm_asprintf("%s.%s", field->secret ? "secret" : "option", field->name);
    bool kept =
        field->secret && cm_json_has_str(cm_json_arr(form->account, "secret_names"), field->name);
    const char *value =
        field->secret ? "" /* never sent back */
                      : value_of(draw, cm_json_obj(form->account, "options"), field->name, posted);
    CM_AUTO_STR hint = cm_asprintf("%s-hint", field->name);

    html_raw(draw->page, "<div class=\"field\">");
    kind_label(draw, field);
    kind_hint(draw, field, kept, hint);
    web_field_errors(draw->ctx, draw->page, field->name, form->errors);
    html_open(draw->page, "input", "type", field->secret ? "password" : "text", "id", field->name,
              "name", posted, "value", value, "autocomplete", "off", "spellcheck", "false",
              "aria-describedby", hint, NULL);
    html_raw(draw->page, "</div>");
}

/* The recipe that steers it: name and link. */
static void recipe_link(struct draw *draw)
{
    CM_AUTO_STR href = cm_asprintf("/dns-recipes/%s", draw->provider);

    html_raw(draw->page, "<p class=\"hint\">");
    html_text(draw->page, web_msg(draw->ctx, MSG_DR_NAME));
    html_raw(draw->page, ": ");
    html_leaf(draw->page, "a", draw->provider, "href", href, NULL);
    html_raw(draw->page, "</p>");
}

static void kind_card(struct draw *draw)
{
    struct dns_field fields[DNS_FIELDS_MAX];
    size_t count = dns_fields(draw->kind, recipe_of(draw), fields);

    html_raw(draw->page, "<fieldset class=\"card\">");
    html_leaf(draw->page, "legend", web_msg(draw->ctx, MSG_N_ACCESS), NULL);
    web_field_errors(draw->ctx, draw->page, "kind", draw->form->errors);
    web_field_errors(draw->ctx, draw->page, "provider", draw->form->errors);
    if (recipe_of(draw))
        recipe_link(draw);
    for (size_t i = 0; i < count; i++)
        kind_field(draw, &fields[i]);
    if (count == 0)
        html_leaf(draw->page, "p", web_msg(draw->ctx, MSG_N_BY_HAND), "class", "hint", NULL);
    html_raw(draw->page, "</fieldset>");
}

static void plain_field(struct draw *draw, const char *name, enum web_msg label, enum web_msg hint,
                        unsigned lines, const char *value)
{
    struct web_field field = {.name = name,
                              .label = label,
                              .hint = hint,
                              .rows = lines,
                              .value = value,
                              .required = strcmp(name, "name") == 0 || strcmp(name, "domains") == 0,
                              .names = true,
                              .autocomplete = "off",
                              .errors = draw->form->errors};

    web_field(draw->ctx, draw->page, &field);
}

static bool checked(const struct draw *draw, const json_t *object, const char *name)
{
    return draw->form->posted ? web_form_get(draw->form->posted, name) != NULL
                              : cm_json_bool(object, name, true);
}

static void main_card(struct draw *draw)
{
    const json_t *account = draw->form->account;

    html_raw(draw->page, "<div class=\"card\">");
    if (!account)
        plain_field(draw, "name", MSG_N_NAME, MSG_N_NAME_HINT, 0,
                    value_of(draw, account, "name", "name"));
    plain_field(draw, "domains", MSG_N_DOMAINS, MSG_N_DOMAINS_HINT, 3,
                value_of(draw, account, "domains", "domains"));
    web_field_check(draw->ctx, draw->page, "enabled", "1", MSG_N_ENABLED,
                    checked(draw, account, "enabled"));
    html_raw(draw->page, "</div>");
}

/* How long the values of the last test or order took to be seen everywhere. */
static void measured(struct draw *draw)
{
    long long ms = (long long)cm_json_int(draw->form->account, "measured_ms", 0);

    if (ms <= 0)
        return;
    CM_AUTO_STR text = cm_asprintf("%lld.%lld", ms / 1000, ms / 100 % 10);

    html_raw(draw->page, "<p class=\"hint\" id=\"measured\">");
    web_sentence(draw->page, draw->ctx->lang, MSG_N_MEASURED, text, NULL);
    html_raw(draw->page, "</p>");
}

static void propagation_card(struct draw *draw)
{
    const json_t *given = cm_json_obj(draw->form->account, "propagation");

    html_raw(draw->page, "<fieldset class=\"card\">");
    html_leaf(draw->page, "legend", web_msg(draw->ctx, MSG_N_SEEING), NULL);
    measured(draw);
    web_field_check(draw->ctx, draw->page, "authoritative", "1", MSG_N_AUTHORITATIVE,
                    checked(draw, given, "authoritative"));
    plain_field(draw, "propagation_resolvers", MSG_N_ASK, MSG_N_ASK_HINT, 0,
                value_of(draw, given, "resolvers", "propagation_resolvers"));
    plain_field(draw, "fixed_s", MSG_N_FIXED, MSG_N_FIXED_HINT, 0,
                value_of(draw, given, "fixed_s", "fixed_s"));
    plain_field(draw, "limit_s", MSG_N_LIMIT, MSG_N_LIMIT_HINT, 0,
                value_of(draw, given, "limit_s", "limit_s"));
    plain_field(draw, "resolvers", MSG_N_RESOLVERS, MSG_N_RESOLVERS_HINT, 0,
                value_of(draw, draw->form->account, "resolvers", "resolvers"));
    html_raw(draw->page, "</fieldset>");
}

static void hidden(struct draw *draw, const char *name, const char *value)
{
    html_open(draw->page, "input", "type", "hidden", "name", name, "value", value, NULL);
}

static void form_html(struct draw *draw)
{
    const struct dns_form *form = draw->form;
    char version[VERSION_TEXT];

    web_version(form->account, version);
    html_raw(draw->page, "<form method=\"post\" action=\"/dns-accounts\">");
    web_page_token(draw->ctx, draw->page);
    hidden(draw, "version", form->posted ? web_form_text(form->posted, "version") : version);
    hidden(draw, "kind", draw->kind);
    hidden(draw, "provider", draw->provider ? draw->provider : "");
    if (form->account)
        hidden(draw, "name", cm_json_str(form->account, "name"));
    main_card(draw);
    kind_card(draw);
    propagation_card(draw);
    html_raw(draw->page, "<div class=\"actions\">");
    html_leaf(draw->page, "button", web_msg(draw->ctx, MSG_A_SUBMIT), "class", "primary", "type",
              "submit", NULL);
    html_leaf(draw->page, "a", web_msg(draw->ctx, MSG_CANCEL), "class", "button", "href",
              "/dns-accounts", NULL);
    html_raw(draw->page, "</div></form>");
}

/* ---- test and removal of a present one ---- */

static void button_form_begin(struct draw *draw, const char *what)
{
    struct cm_buf action;

    cm_buf_init(&action, 2048);
    cm_buf_puts(&action, "/dns-accounts/");
    url_encode(&action, cm_json_str_or(draw->form->account, "name", ""));
    cm_buf_puts(&action, what);
    html_open(draw->page, "form", "method", "post", "action", cm_buf_str(&action), NULL);
    web_page_token(draw->ctx, draw->page);
    cm_buf_fini(&action);
}

static void button_form_end(struct draw *draw, enum web_msg label, const char *tone)
{
    html_leaf(draw->page, "button", web_msg(draw->ctx, label), "class", tone, "type", "submit",
              NULL);
    html_raw(draw->page, "</form>");
}

static void test_card(struct draw *draw, const json_t *report)
{
    bool ok = cm_json_bool(report, "ok", false), running = cm_json_bool(report, "running", false);
    size_t i;
    json_t *step;

    html_raw(draw->page, "<section class=\"card\" id=\"test\">");
    html_leaf(draw->page, "h2", web_msg(draw->ctx, MSG_N_TEST), NULL);
    html_leaf(draw->page, "p", web_msg(draw->ctx, MSG_N_TEST_LEAD), "class", "hint", NULL);
    if (report) {
        html_open(draw->page, "p", "role", "status", NULL);
        web_icon(draw->page, running ? "info" : ok ? "ok" : "bad");
        html_raw(draw->page, " ");
        html_text(draw->page, web_msg(draw->ctx, running ? MSG_N_TESTING
                                                 : ok    ? MSG_N_TEST_OK
                                                         : MSG_N_TEST_BAD));
        html_raw(draw->page, " ");
        web_time(draw->ctx, draw->page, cm_json_str(report, "at"));
        html_raw(draw->page, "</p><ol>");
        json_array_foreach(cm_json_arr(report, "steps"), i, step)
        {
            html_raw(draw->page, "<li>");
            html_int(draw->page, cm_json_int(step, "ms", 0));
            html_raw(draw->page, " ms: ");
            web_said(draw->page, draw->ctx->lang, "span", NULL, cm_json_str_or(step, "text", ""));
            html_raw(draw->page, "</li>");
        }
        html_raw(draw->page, "</ol>");
    }
    if (!running) {
        button_form_begin(draw, "/test");
        button_form_end(draw, MSG_N_TEST, "button");
    }
    html_raw(draw->page, "</section>");
}

/* With a word more than a click: page_dns_remove_post() looks at it. */
static void remove_card(struct draw *draw)
{
    html_raw(draw->page, "<section class=\"card\">");
    html_leaf(draw->page, "h2", web_msg(draw->ctx, MSG_N_REMOVE), NULL);
    html_leaf(draw->page, "p", web_msg(draw->ctx, MSG_N_REMOVE_LEAD), "class", "hint", NULL);
    button_form_begin(draw, "/remove");
    web_field_errors(draw->ctx, draw->page, "sure", draw->form->errors);
    web_field_check(draw->ctx, draw->page, "sure", "1", MSG_N_REMOVE_SURE, false);
    button_form_end(draw, MSG_N_REMOVE, "danger");
    html_raw(draw->page, "</section>");
}

/* ---- the page ---- */

static void notes(struct draw *draw)
{
    CM_AUTO_JSON refused = draw->form->errors ? NULL : cm_err_to_json(draw->form->err);

    const struct dnsp_account chosen = {.kind = draw->kind, .recipe = recipe_of(draw)};

    if (dnsp_unverified(&chosen))
        web_notice(draw->page, "warn", web_msg(draw->ctx, MSG_N_UNVERIFIED_NOTE));
    if (!refused)
        return;
    html_raw(draw->page, "<section class=\"card tone-bad\" role=\"alert\">");
    html_leaf(draw->page, "h2", web_msg(draw->ctx, MSG_E_TITLE), NULL);
    web_error_object(draw->ctx, draw->page, refused);
    html_raw(draw->page, "</section>");
}

void dns_form(struct web_ctx *ctx, int status, const struct dns_form *form)
{
    struct cm_buf page;
    const char *name = cm_json_str(form->account, "name");
    CM_AUTO_JSON report = name ? eng_dns_test_view(ctx->web->env.engine, name) : NULL;
    struct draw draw = {
        .ctx = ctx,
        .page = &page,
        .form = form,
        .kind = form->account ? cm_json_str_or(form->account, "kind", "") : form->kind,
        .provider = form->account ? cm_json_str(form->account, "provider") : form->provider,
        .recipes = eng_dns_recipes(ctx->web->env.engine)};
    const char *title = name ? name : web_msg(ctx, MSG_N_ADD);
    struct web_page opts = {.title = title,
                            .nav = NAV_DNS,
                            .refresh = cm_json_bool(report, "running", false) ? "2" : NULL};

    cm_buf_init(&draw.value, WEB_FORM_MAX);
    web_page_begin_with(ctx, &page, &opts);
    html_raw(&page, "<div class=\"form-page\">");
    web_error_summary(ctx, &page, form->errors);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_DNS), "href", "/dns-accounts", NULL);
    html_raw(&page, "</p>");
    html_leaf(&page, "h1", title, NULL);
    notes(&draw);
    html_leaf(&page, "p", web_msg(ctx, MSG_N_LEAD), "class", "lead", NULL);
    if (!form->account)
        kinds(&draw);
    form_html(&draw);
    if (form->account) {
        test_card(&draw, report);
        remove_card(&draw);
    }
    html_raw(&page, "</div>");
    web_page_end(ctx, &page);
    cm_buf_fini(&draw.value);
    json_decref(draw.recipes);
    web_reply_html(ctx, status, &page);
}
