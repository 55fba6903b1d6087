/* Domino's TLS Credentials form.  See credential_form.h. */
#include "web-ui/pages/credential_form.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/check_result.h"
#include "web-ui/pages/choices.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

struct form {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const struct web_form *posted;
    const json_t *errors;
    const json_t *credential; /* being edited, or NULL */
    const json_t *without;    /* names to leave out, or NULL */
    const char *add;          /* a name to add, or NULL */
    json_t *values;           /* of that, or the defaults */
    json_t *chosen;           /* names */
    char number[24];          /* renew_days as text */
    char accounts[256];
};

static const char *value_of(struct form *form, const char *name)
{
    const json_t *value;

    if (form->posted)
        return web_form_text(form->posted, name);
    value = json_object_get(form->values, name);
    if (json_is_integer(value)) {
        snprintf(form->number, sizeof(form->number), "%" PRId64,
                 (int64_t)json_integer_value(value));
        return form->number;
    }
    if (strcmp(name, "fallback_accounts") == 0 && json_is_array(value)) {
        size_t i, at = 0;
        json_t *item;

        form->accounts[0] = '\0';
        json_array_foreach(value, i, item)
        {
            if (at < sizeof(form->accounts))
                at += (size_t)snprintf(form->accounts + at, sizeof(form->accounts) - at, "%s%s",
                                       i ? " " : "", json_string_value(item));
        }
        return form->accounts;
    }
    return json_is_string(value) ? json_string_value(value) : "";
}

/* host_names and host_names_ascii stand side by side (certmgr/engine/check_names.c). */
static const char *ascii_at(const json_t *credential, size_t i)
{
    const char *name =
        json_string_value(json_array_get(cm_json_arr(credential, "host_names_ascii"), i));

    return name ? name : "";
}

const json_t *credential_refused_names(const json_t *credential)
{
    const json_t *refused = cm_json_arr(cm_json_obj(credential, "error"), "names");
    const json_t *names = cm_json_arr(credential, "host_names_ascii");
    size_t left = json_array_size(names);

    for (size_t i = 0; i < json_array_size(names); i++)
        left -= cm_json_has_str(refused, ascii_at(credential, i)) ? 1 : 0;
    return left > 0 && left < json_array_size(names) ? refused : NULL;
}

static char *names_of(struct form *form)
{
    struct cm_buf lines;
    size_t i;
    json_t *name;
    char *text;

    if (form->add)
        return cm_asprintf("%s\n%s", value_of(form, "host_names"), form->add);
    if (form->posted || !form->credential)
        return cm_strdup(value_of(form, "host_names"));
    cm_buf_init(&lines, WEB_FORM_MAX);
    json_array_foreach(cm_json_arr(form->credential, "host_names"), i, name)
    {
        if (cm_json_has_str(form->without, ascii_at(form->credential, i)))
            continue;
        cm_buf_printf(&lines, "%s\n", json_string_value(name));
    }
    text = cm_strdup(cm_buf_str(&lines));
    cm_buf_fini(&lines);
    return text;
}

static void names_part(struct form *form)
{
    CM_AUTO_STR text = names_of(form);
    struct web_field names = {.name = "host_names",
                              .label = MSG_F_HOST_NAMES,
                              .hint = MSG_F_HOST_NAMES_HINT,
                              .value = text,
                              .rows = 6,
                              .required = true,
                              .names = true,
                              .autocomplete = "off",
                              .errors = form->errors};

    html_raw(form->page, "<div class=\"card\">");
    web_field(form->ctx, form->page, &names);
    web_field_check(form->ctx, form->page, "add_base", "1", MSG_F_ADD_BASE,
                    form->posted && web_form_get(form->posted, "add_base"));
    html_raw(form->page, "</div>");
}

static void rollover_part(struct form *form)
{
    const struct web_option options[] = {
        {"keep", web_msg(form->ctx, MSG_F_ROLLOVER_KEEP)},
        {"every_renewal", web_msg(form->ctx, MSG_F_ROLLOVER_EVERY)}};
    struct web_field field = {.name = "key_rollover",
                              .label = MSG_F_ROLLOVER,
                              .hint = MSG_F_ROLLOVER_HINT,
                              .value = value_of(form, "key_rollover"),
                              .errors = form->errors};

    web_field_select(form->ctx, form->page, &field, options, 2);
}

static void challenge_part(struct form *form)
{
    const struct web_option options[] = {{"", web_msg(form->ctx, MSG_F_CHALLENGE_ACCOUNT)},
                                         {"http-01", "HTTP-01"},
                                         {"tls-alpn-01", "TLS-ALPN-01"}};
    struct web_field field = {.name = "challenge",
                              .label = MSG_F_CHALLENGE,
                              .value = value_of(form, "challenge"),
                              .errors = form->errors};

    web_field_select(form->ctx, form->page, &field, options, 3);
}

static bool is_on(const struct form *form, const char *member)
{
    return form->posted ? web_form_get(form->posted, member) != NULL
                        : cm_json_bool(form->credential, member, false);
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

    struct web_field fallback = {.name = "fallback_accounts",
                                 .label = MSG_F_FALLBACK,
                                 .hint = MSG_F_FALLBACK_HINT,
                                 .value = value_of(form, "fallback_accounts"),
                                 .names = true,
                                 .autocomplete = "off",
                                 .errors = form->errors};

    struct web_field profile = {.name = "profile",
                                .label = MSG_F_PROFILE,
                                .hint = MSG_F_PROFILE_HINT,
                                .value = value_of(form, "profile"),
                                .names = true,
                                .autocomplete = "off",
                                .errors = form->errors};

    html_raw(form->page, "<fieldset class=\"card\">");
    html_leaf(form->page, "legend", web_msg(form->ctx, MSG_F_CA), NULL);
    html_raw(form->page, "<div class=\"columns\">");
    choice_provider(form->ctx, form->page, value_of(form, "provider"), form->errors);
    choice_account(form->ctx, form->page, value_of(form, "account"), false, form->errors);
    web_field(form->ctx, form->page, &fallback);
    choice_key_type(form->ctx, form->page, value_of(form, "key_type"), form->errors);
    rollover_part(form);
    challenge_part(form);
    web_field(form->ctx, form->page, &profile);
    web_field(form->ctx, form->page, &chain);
    html_raw(form->page, "</div>");
    web_field_check(form->ctx, form->page, "profile_required", "1", MSG_F_PROFILE_REQUIRED,
                    is_on(form, "profile_required"));
    /* Of an imported key it stands in its own sealed text: nothing changes it afterwards. */
    if (strcmp(value_of(form, "provider"), "import") != 0)
        web_field_check(form->ctx, form->page, "exportable", "1", MSG_F_MAY_LEAVE,
                        is_on(form, "exportable"));
    html_raw(form->page, "</fieldset>");
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
    html_raw(form->page, "</div>");
    if (form->credential)
        web_field_check(ctx, form->page, "paused", "1", MSG_F_PAUSED, is_on(form, "paused"));
    html_raw(form->page, "</fieldset>");
}

static void buttons(struct web_ctx *ctx, struct cm_buf *page, bool edit, const char *back)
{
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, edit ? MSG_F_SAVE : MSG_SUBMIT_REQUEST), "class",
              "primary", "type", "submit", NULL);
    html_leaf(page, "button", web_msg(ctx, MSG_CHECK), "type", "submit", "name", "check", "value",
              "1", NULL);
    if (!edit)
        html_leaf(page, "button", web_msg(ctx, MSG_DRY_RUN), "type", "submit", "name", "dry_run",
                  "value", "1", "title", web_msg(ctx, MSG_DRY_RUN_HINT), NULL);
    html_leaf(page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", back, NULL);
    html_raw(page, "</div></form></div>");
}

/* What a change will cost is said before it is made.  After a conflict the serial is the present
 * one: who saves again has been told. */
static void edit_lead(struct form *form, bool conflict)
{
    char serial[24];

    snprintf(serial, sizeof(serial), "%" PRId64, cm_json_int(form->credential, "serial", 0));
    html_leaf(form->page, "p", web_msg(form->ctx, MSG_F_EDIT_LEAD), "class", "lead", NULL);
    html_open(form->page, "input", "type", "hidden", "name", "base_serial", "value",
              form->posted && !conflict ? web_form_text(form->posted, "base_serial") : serial,
              NULL);
}

void credential_form(struct web_ctx *ctx, int status, const struct credential_form *wanted)
{
    const json_t *errors = wanted->errors;
    bool edit = wanted->credential != NULL;
    enum web_msg title = edit ? MSG_F_EDIT : MSG_ADD_CREDENTIALS;
    CM_AUTO_STR back = edit ? cm_asprintf("/credentials/%s", ctx->param) : NULL;
    CM_AUTO_STR action = edit ? cm_asprintf("/credentials/%s/edit", ctx->param) : NULL;
    struct cm_buf page;
    struct form form = {.ctx = ctx,
                        .page = &page,
                        .posted = wanted->posted,
                        .errors = errors,
                        .credential = wanted->credential,
                        .without = wanted->without,
                        .add = wanted->add};

    form.values = edit ? json_incref((json_t *)(uintptr_t)wanted->credential)
                       : eng_defaults(ctx->web->env.engine);
    form.chosen = form.posted ? web_form_words(form.posted, "servers")
                              : json_incref(cm_json_arr(form.values, "servers"));
    web_page_begin(ctx, &page, web_msg(ctx, title), NAV_CREDENTIALS);
    html_raw(&page, "<div class=\"form-page\">");
    web_error_summary(ctx, &page, errors);
    html_leaf(&page, "h1", web_msg(ctx, title), NULL);
    if (wanted->err)
        web_notice(&page, "bad", wanted->err->what);
    check_result(ctx, &page, wanted->report);
    check_advice(ctx, &page, wanted->advice);
    if (!edit)
        html_leaf(&page, "p", web_msg(ctx, MSG_ADD_LEAD), "class", "lead", NULL);
    html_open(&page, "form", "id", CREDENTIAL_FORM_ID, "method", "post", "action",
              edit ? action : "/credentials", NULL);
    if (wanted->read)
        html_open(&page, "input", "type", "hidden", "name", "read", "value", wanted->read, NULL);
    if (edit)
        edit_lead(&form, wanted->err != NULL);
    if (wanted->without)
        web_notice(&page, "warn", web_msg(ctx, MSG_F_WITHOUT));
    web_page_token(ctx, &page);
    names_part(&form);
    provider_part(&form);
    choice_servers(ctx, &page, form.chosen, errors);
    deploy_part(&form);
    buttons(ctx, &page, edit, edit ? back : "/credentials");
    web_page_end(ctx, &page);
    json_decref(form.values);
    json_decref(form.chosen);
    web_reply_html(ctx, status, &page);
}

/* The file name that the form came with is no choice of a person: the engine takes another one when
 * it is in use already, and says so. */
static void leave_usual_file(const struct web_ctx *ctx, json_t *fields)
{
    CM_AUTO_JSON usual = eng_defaults(ctx->web->env.engine);

    if (strcmp(cm_json_str_or(fields, "keyring_file", ""),
               cm_json_str_or(usual, "keyring_file", "?")) == 0)
        json_object_del(fields, "keyring_file");
}

json_t *credential_form_fields(const struct web_ctx *ctx, bool edit, json_t *errors)
{
    static const char *const texts[] = {
        "host_names",      "provider",     "account",      "key_type",  "target",
        "alternate_chain", "keyring_file", "key_rollover", "challenge", "profile"};
    json_t *fields = json_object();
    const char *days = web_form_text(&ctx->form, "renew_days");
    int64_t number;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *value = web_form_get(&ctx->form, texts[i]);

        if (value && (*value || i == 0 || edit)) /* "" takes an optional one away */
            cm_json_set_str(fields, texts[i], value);
    }
    if (!edit)
        leave_usual_file(ctx, fields);
    if (edit || web_form_get(&ctx->form, "profile_required"))
        cm_json_set_bool(fields, "profile_required",
                         web_form_get(&ctx->form, "profile_required") != NULL);
    if (edit || web_form_get(&ctx->form, "exportable"))
        cm_json_set_bool(fields, "exportable", web_form_get(&ctx->form, "exportable") != NULL);
    if (web_form_get(&ctx->form, "add_base"))
        cm_json_set_bool(fields, "add_base", true);
    cm_json_set(fields, "servers", web_form_words(&ctx->form, "servers"));
    if (*web_form_text(&ctx->form, "fallback_accounts") || edit)
        cm_json_set(fields, "fallback_accounts", web_form_words(&ctx->form, "fallback_accounts"));
    if (*days && cm_num_i64(days, 1, ENG_RENEW_DAYS_MAX, &number) == 0)
        cm_json_set_int(fields, "renew_days", number);
    else if (*days)
        web_field_fail(errors, "renew_days", web_msg(ctx, MSG_F_RENEW_BAD));
    return fields;
}
