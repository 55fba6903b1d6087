/* Adding and changing ACME accounts.  See account_form.h. */
#include "web-ui/pages/account_draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

#define VALUE_MAX 4096

/* What stands in a field: as posted, of the account, of the preset, or a default. */
static const char *value_of(struct account_draw *draw, const char *name)
{
    const json_t *account = draw->form->account;
    const json_t *value = json_object_get(account, name);
    size_t i;
    json_t *item;

    if (strcmp(name, "eab_hmac") == 0 || strcmp(name, "key") == 0 || strstr(name, "passphrase"))
        return ""; /* a secret is never sent back */
    if (draw->form->posted)
        return web_form_text(draw->form->posted, name);
    cm_buf_reset(&draw->value);
    if (json_is_integer(value)) {
        cm_buf_printf(&draw->value, "%" PRId64, (int64_t)json_integer_value(value));
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item)
        {
            const char *text = json_string_value(item);

            cm_buf_printf(&draw->value, "%s%s", i ? "\n" : "",
                          strncmp(text, "mailto:", 7) == 0 ? text + 7 : text);
        }
    } else if (strcmp(name, "tls_port") == 0) {
        cm_buf_puts(&draw->value, "443"); /* also of accounts made before there was a choice */
    } else if (account) {
        cm_buf_puts(&draw->value, cm_json_str_or(account, name, ""));
    } else if (strcmp(name, "http_port") == 0) {
        cm_buf_puts(&draw->value, "80");
    } else if (draw->preset && strcmp(name, "name") == 0) {
        cm_buf_puts(&draw->value, draw->preset->name);
    } else if (draw->preset && strcmp(name, "directory") == 0) {
        cm_buf_puts(&draw->value, draw->preset->directory);
    }
    return cm_buf_str(&draw->value);
}

static bool is_checked(const struct account_draw *draw, const char *name)
{
    if (draw->form->posted)
        return web_form_get(draw->form->posted, name) != NULL;
    if (strcmp(name, "terms_agreed") == 0)
        return cm_json_obj(draw->form->account, name) != NULL;
    return cm_json_bool(draw->form->account, name, true);
}

/* ---- presets ---- */

static void presets(struct account_draw *draw)
{
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;

    html_open(page, "nav", "class", "presets", "aria-label", web_msg(ctx, MSG_A_PRESETS), NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_A_PRESETS_LEAD), "class", "hint", NULL);
    html_raw(page, "<ul>");
    for (size_t i = 0; i < acme_preset_count; i++) {
        const struct acme_preset *preset = &acme_presets[i];
        CM_AUTO_STR href = cm_asprintf("/accounts/new?preset=%s", preset->name);

        html_raw(page, "<li>");
        html_open(page, "a", "class", "preset", "href", href, "aria-current",
                  preset == draw->preset ? "true" : (const char *)NULL, NULL);
        html_leaf(page, "strong", preset->title, NULL);
        html_leaf(page, "span", web_msg(ctx, preset->test ? MSG_A_FOR_TESTS : MSG_A_FOR_REAL),
                  NULL);
        html_raw(page, "</a></li>");
    }
    html_raw(page, "<li>");
    html_open(page, "a", "class", "preset", "href", "/accounts/new?preset=other", "aria-current",
              draw->preset ? (const char *)NULL : "true", NULL);
    html_leaf(page, "strong", web_msg(ctx, MSG_A_OTHER), NULL);
    html_leaf(page, "span", web_msg(ctx, MSG_A_OTHER_LEAD), NULL);
    html_raw(page, "</a></li></ul></nav>");
}

/* ---- fields ---- */

void account_field(struct account_draw *draw, const struct account_row *row)
{
    struct web_field field = {.name = row->name,
                              .label = row->label,
                              .hint = row->hint,
                              .type = row->type,
                              .rows = row->rows,
                              .value = value_of(draw, row->name),
                              .required = row->required,
                              .names = true,
                              .autocomplete = "off",
                              .errors = draw->form->errors};

    web_field(draw->ctx, draw->page, &field);
}

static void main_card(struct account_draw *draw)
{
    static const struct account_row name = {"name", NULL, MSG_A_NAME, MSG_A_NAME_HINT, 0, true};
    static const struct account_row rows[] = {
        {"directory", "url", MSG_A_DIRECTORY, MSG_A_DIRECTORY_HINT, 0, true},
        {"contacts", NULL, MSG_A_CONTACTS, MSG_A_CONTACTS_HINT, 2, false},
    };

    html_raw(draw->page, "<div class=\"card\">");
    if (!draw->form->account)
        account_field(draw, &name);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        account_field(draw, &rows[i]);
    html_raw(draw->page, "</div>");
}

/* Where the terms can be read: the URL that was agreed to, or the preset's page. */
static const char *terms_of(const struct account_draw *draw)
{
    const char *url = cm_json_str(cm_json_obj(draw->form->account, "terms_agreed"), "url");
    const char *directory = cm_json_str(draw->form->account, "directory");
    const struct acme_preset *preset = draw->preset ? draw->preset : acme_preset_of(directory);

    if (preset)
        return preset->terms;
    /* A CA that names no terms is agreed to as such. */
    return url && directory && strcmp(url, directory) == 0 ? NULL : url;
}

static void terms_card(struct account_draw *draw)
{
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;
    const char *terms = terms_of(draw);
    const json_t *agreed = cm_json_obj(draw->form->account, "terms_agreed");

    html_raw(page, "<fieldset class=\"card\">");
    html_leaf(page, "legend", web_msg(ctx, MSG_A_TERMS_TITLE), NULL);
    html_raw(page, "<p class=\"hint\">");
    if (terms)
        html_leaf(page, "a", terms, "href", terms, "rel", "noreferrer", NULL);
    else
        html_text(page, web_msg(ctx, MSG_A_TERMS_UNKNOWN));
    html_raw(page, "</p>");
    web_field_errors(draw->ctx, page, "terms_agreed", draw->form->errors);
    web_field_check(ctx, page, "terms_agreed", "1", MSG_A_TERMS, is_checked(draw, "terms_agreed"));
    if (agreed) {
        html_raw(page, "<p class=\"hint\">");
        html_text(page, web_msg(ctx, MSG_A_AGREED_BY));
        html_raw(page, " ");
        html_leaf(page, "strong", cm_json_str(agreed, "by"), NULL);
        html_raw(page, " · ");
        web_time(ctx, page, cm_json_str(agreed, "at"));
        html_raw(page, "</p>");
    }
    html_raw(page, "</fieldset>");
}

static void challenge_field(struct account_draw *draw)
{
    static const struct web_option options[] = {{"http-01", "HTTP-01"},
                                                {"tls-alpn-01", "TLS-ALPN-01"}};
    struct web_field field = {.name = "challenge",
                              .label = MSG_A_CHALLENGE,
                              .hint = MSG_A_CHALLENGE_HINT,
                              .value = value_of(draw, "challenge"),
                              .errors = draw->form->errors};

    web_field_select(draw->ctx, draw->page, &field, options, sizeof(options) / sizeof(options[0]));
}

/* From when on servers serve what this CA issues; of the CA's preset where nothing is chosen. */
static void activation_card(struct account_draw *draw)
{
    static const struct account_row wait = {"activation_s",          "number", MSG_A_ACTIVATION_S,
                                            MSG_A_ACTIVATION_S_HINT, 0,        false};
    const struct web_option options[] = {{"", web_msg(draw->ctx, MSG_A_ACTIVATION_CA)},
                                         {"at_once", web_msg(draw->ctx, MSG_A_ACTIVATION_AT_ONCE)},
                                         {"ocsp", web_msg(draw->ctx, MSG_A_ACTIVATION_OCSP)},
                                         {"delay", web_msg(draw->ctx, MSG_A_ACTIVATION_DELAY)}};
    struct web_field field = {.name = "activation",
                              .label = MSG_A_ACTIVATION,
                              .hint = MSG_A_ACTIVATION_HINT,
                              .value = value_of(draw, "activation"),
                              .errors = draw->form->errors};

    html_raw(draw->page, "<fieldset class=\"card\">");
    html_leaf(draw->page, "legend", web_msg(draw->ctx, MSG_A_ACTIVATION_TITLE), NULL);
    web_field_select(draw->ctx, draw->page, &field, options, sizeof(options) / sizeof(options[0]));
    account_field(draw, &wait);
    html_raw(draw->page, "</fieldset>");
}

static void validation_card(struct account_draw *draw)
{
    static const struct account_row tls = {"tls_port",          "number", MSG_A_TLS_PORT,
                                           MSG_A_TLS_PORT_HINT, 0,        false};
    static const struct account_row port = {"http_port",     "number", MSG_A_PORT,
                                            MSG_A_PORT_HINT, 0,        false};
    static const struct account_row staging = {"staging",          NULL, MSG_A_STAGING,
                                               MSG_A_STAGING_HINT, 0,    false};
    static const struct account_row pem = {"ca_pem",          NULL, MSG_A_CA_PEM,
                                           MSG_A_CA_PEM_HINT, 4,    false};

    html_raw(draw->page, "<fieldset class=\"card\">");
    html_leaf(draw->page, "legend", web_msg(draw->ctx, MSG_A_VALIDATION), NULL);
    web_field_check(draw->ctx, draw->page, "self_check", "1", MSG_A_SELF_CHECK,
                    is_checked(draw, "self_check"));
    challenge_field(draw);
    account_field(draw, &port);
    account_field(draw, &tls);
    account_field(draw, &pem);
    account_field(draw, &staging);
    html_raw(draw->page, "</fieldset>");
}

/* With what the HMAC key signs (RFC 7518 3.2): HS256 everywhere but where the CA says so. */
void account_alg_field(struct account_draw *draw)
{
    static const struct web_option options[] = {
        {"HS256", "HS256"}, {"HS384", "HS384"}, {"HS512", "HS512"}};
    struct web_field field = {.name = "eab_alg",
                              .label = MSG_A_EAB_ALG,
                              .hint = MSG_A_EAB_ALG_HINT,
                              .value = value_of(draw, "eab_alg"),
                              .errors = draw->form->errors};

    web_field_select(draw->ctx, draw->page, &field, options, sizeof(options) / sizeof(options[0]));
}

/* The key as it was read: whether all of it came along can be counted. */
static void bound_key(struct account_draw *draw, const json_t *eab)
{
    struct web_ctx *ctx = draw->ctx;
    CM_AUTO_STR bytes = cm_asprintf("%" PRId64, cm_json_int(eab, "key_bytes", 0));

    if (!json_object_get(eab, "key_bytes"))
        return;
    html_raw(draw->page, "<p class=\"hint\">");
    web_sentence(draw->page, ctx->lang, MSG_A_BOUND_KEY, bytes,
                 cm_json_str_or(eab, "alg", "HS256"));
    if (cm_json_bool(eab, "two_readings", false)) {
        html_raw(draw->page, " ");
        html_text(draw->page, web_msg(ctx, MSG_A_BOUND_TWICE));
    }
    html_raw(draw->page, "</p>");
}

static void binding_card(struct account_draw *draw)
{
    static const struct account_row kid = {"eab_kid",          NULL, MSG_A_EAB_KID,
                                           MSG_A_EAB_KID_HINT, 0,    false};
    static const struct account_row hmac = {"eab_hmac",          "password", MSG_A_EAB_HMAC,
                                            MSG_A_EAB_HMAC_HINT, 0,          false};
    struct web_ctx *ctx = draw->ctx;
    const json_t *eab = cm_json_obj(draw->form->account, "eab");
    const char *bound = cm_json_str(eab, "kid");
    const char *end = cm_json_str(eab, "ends_at");
    bool registered = cm_json_str(draw->form->account, "kid") != NULL;

    html_raw(draw->page, "<fieldset class=\"card\">");
    html_leaf(draw->page, "legend", web_msg(ctx, MSG_A_BINDING), NULL);
    html_leaf(draw->page, "p", web_msg(ctx, MSG_A_BINDING_LEAD), "class", "hint", NULL);
    if (bound) {
        html_raw(draw->page, "<p class=\"hint\">");
        html_text(draw->page, web_msg(ctx, MSG_A_BOUND_BY));
        html_raw(draw->page, " ");
        html_leaf(draw->page, "strong", bound, NULL);
        html_raw(draw->page, " · ");
        html_text(draw->page, web_msg(ctx, MSG_A_BOUND_AT));
        html_raw(draw->page, " ");
        web_time(ctx, draw->page, cm_json_str(eab, "at"));
        html_raw(draw->page, "</p>");
        bound_key(draw, eab);
    }
    if (end) {
        bool late = cm_json_time(eab, "ends_at", 0) <= cm_now_ms();

        html_open(draw->page, "p", "class", late ? "field-error" : "hint", NULL);
        html_text(draw->page, web_msg(ctx, late ? MSG_A_BOUND_LATE : MSG_A_BOUND_ENDS));
        html_raw(draw->page, " ");
        web_time(ctx, draw->page, end);
        html_raw(draw->page, "</p>");
    }
    if (registered) {
        html_leaf(draw->page, "p", web_msg(ctx, MSG_A_EAB_IN_USE), "class", "hint", NULL);
    } else {
        account_field(draw, &kid);
        account_field(draw, &hmac);
        account_alg_field(draw);
    }
    html_raw(draw->page, "</fieldset>");
}

/* ---- the page ---- */

static void state_of(struct account_draw *draw)
{
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;
    const json_t *account = draw->form->account;
    const json_t *error = cm_json_obj(account, "error");
    CM_AUTO_JSON refused = draw->form->errors ? NULL : cm_err_to_json(draw->form->err);

    if (account) {
        html_raw(page, "<p class=\"badges\">");
        account_status(ctx, page, account);
        html_raw(page, "</p>");
    }
    if (!refused && !error)
        return;
    html_raw(page, "<section class=\"card tone-bad\" role=\"alert\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_E_TITLE), NULL);
    web_error_object(ctx, page, refused ? refused : error);
    html_raw(page, "</section>");
}

static void hidden(struct account_draw *draw)
{
    const struct account_form *form = draw->form;
    char version[VERSION_TEXT];

    web_page_token(draw->ctx, draw->page);
    web_version(form->account, version);
    html_open(draw->page, "input", "type", "hidden", "name", "version", "value",
              form->posted ? web_form_text(form->posted, "version") : version, NULL);
    if (form->account)
        html_open(draw->page, "input", "type", "hidden", "name", "name", "value",
                  cm_json_str(form->account, "name"), NULL);
}

/* A key that another program has registered. */
static void import_card(struct account_draw *draw)
{
    static const struct account_row key = {"key", NULL, MSG_A_KEY, MSG_A_KEY_HINT, 4, false};
    static const struct account_row pass = {"key_passphrase",    "password", MSG_A_KEY_PASS,
                                            MSG_A_KEY_PASS_HINT, 0,          false};

    if (draw->form->account)
        return;
    html_raw(draw->page, "<fieldset class=\"card\">");
    html_leaf(draw->page, "legend", web_msg(draw->ctx, MSG_A_IMPORT), NULL);
    account_field(draw, &key);
    account_field(draw, &pass);
    html_raw(draw->page, "</fieldset>");
}

void account_form(struct web_ctx *ctx, int status, const struct account_form *form)
{
    struct cm_buf page;
    struct account_draw draw = {
        .ctx = ctx, .page = &page, .form = form, .preset = acme_preset(form->preset)};
    const char *title =
        form->account ? cm_json_str(form->account, "name") : web_msg(ctx, MSG_A_ADD);

    cm_buf_init(&draw.value, WEB_FORM_MAX);
    if (form->posted)
        draw.preset = acme_preset_of(web_form_text(form->posted, "directory"));
    web_page_begin(ctx, &page, title, NAV_ACCOUNTS);
    html_raw(&page, "<div class=\"form-page\">");
    web_error_summary(ctx, &page, form->errors);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_ACCOUNTS), "href", "/accounts", NULL);
    html_raw(&page, "</p>");
    html_leaf(&page, "h1", title, NULL);
    state_of(&draw);
    account_new_terms(&draw);
    html_leaf(&page, "p", web_msg(ctx, form->account ? MSG_A_EDIT_LEAD : MSG_A_ADD_LEAD), "class",
              "lead", NULL);
    if (!form->account)
        presets(&draw);
    html_raw(&page, "<form method=\"post\" action=\"/accounts\">");
    hidden(&draw);
    main_card(&draw);
    terms_card(&draw);
    binding_card(&draw);
    import_card(&draw);
    validation_card(&draw);
    activation_card(&draw);
    html_raw(&page, "<div class=\"actions\">");
    html_leaf(&page, "button", web_msg(ctx, MSG_A_SUBMIT), "class", "primary", "type", "submit",
              NULL);
    html_leaf(&page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", "/accounts", NULL);
    html_raw(&page, "</div></form>");
    if (form->account) {
        account_acts(&draw);
        account_budget(ctx, &page, cm_json_str_or(form->account, "name", ""));
    }
    html_raw(&page, "</div>");
    web_page_end(ctx, &page);
    cm_buf_fini(&draw.value);
    web_reply_html(ctx, status, &page);
}
