/* One ACME account: the form for a new or an existing one, and what saving it does. */
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/engine/engine.h"
#include "web-ui/field.h"
#include "web-ui/pages/account_form.h"
#include "web-ui/pages/pages.h"
#include "web-ui/precondition.h"
#include "web-ui/reply.h"
#include "web-ui/view.h"

#define URN_ACME "urn:ietf:params:acme:error:" /* RFC 8555 6.7 */

void page_account_new(struct web_ctx *ctx)
{
    const char *preset = web_form_get(&ctx->query, "preset");
    struct account_form form = {.preset = preset ? preset : "letsencrypt"};

    account_form(ctx, 200, &form);
}

/* What the CA refused is marked at its field, in the CA's words. */
static json_t *refused_fields(const json_t *account)
{
    static const struct {
        const char *type, *field;
    } rows[] = {{URN_ACME "invalidContact", "contacts"},
                {URN_ACME "unsupportedContact", "contacts"},
                {URN_ACME "externalAccountRequired", "eab_kid"}};
    const json_t *problem = cm_json_obj(cm_json_obj(account, "error"), "problem");
    const char *type = cm_json_str_or(problem, "type", "");
    json_t *errors = json_array();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(type, rows[i].type) == 0)
            web_field_fail(errors, rows[i].field, cm_json_str_or(problem, "detail", ""));
    return errors;
}

void page_account(struct web_ctx *ctx)
{
    CM_AUTO_JSON account = web_account(ctx->web->env.store, ctx->param);
    CM_AUTO_JSON errors = refused_fields(account);
    struct account_form form = {.account = account,
                                .errors = json_array_size(errors) > 0 ? errors : NULL};

    if (account)
        account_form(ctx, 200, &form);
    else
        web_reply_status(ctx, 404);
}

static json_t *fields_of(const struct web_ctx *ctx, json_t *errors)
{
    const struct web_form *form = &ctx->form;
    const char *port = web_form_text(form, "http_port");
    const char *tls_port = web_form_text(form, "tls_port");
    const char *wait = web_form_text(form, "activation_s");
    int64_t number = 80, tls_number = 443, wait_s = 0;
    json_t *fields = json_object();

    if (!*web_form_text(form, "name"))
        web_field_fail(errors, "name", web_msg(ctx, MSG_A_NAME_NEEDED));
    if (!*web_form_text(form, "directory"))
        web_field_fail(errors, "directory", web_msg(ctx, MSG_A_DIRECTORY_NEEDED));
    if (*port && cm_num_i64(port, 1, 65535, &number) < 0)
        web_field_fail(errors, "http_port", web_msg(ctx, MSG_A_PORT_BAD));
    if (*tls_port && cm_num_i64(tls_port, 1, 65535, &tls_number) < 0)
        web_field_fail(errors, "tls_port", web_msg(ctx, MSG_A_TLS_PORT_BAD));
    if (*wait && cm_num_i64(wait, 0, ENG_ACTIVATION_MAX_S, &wait_s) < 0)
        web_field_fail(errors, "activation_s", web_msg(ctx, MSG_A_ACTIVATION_BAD));
    if (!wait_s && strcmp(web_form_text(form, "activation"), "delay") == 0)
        web_field_fail(errors, "activation_s", web_msg(ctx, MSG_A_ACTIVATION_NEEDED));
    if (!web_form_get(form, "terms_agreed"))
        web_field_fail(errors, "terms_agreed", web_msg(ctx, MSG_A_TERMS_NEEDED));
    cm_json_set_str(fields, "name", web_form_text(form, "name"));
    cm_json_set_str(fields, "directory", web_form_text(form, "directory"));
    cm_json_set(fields, "contacts", web_form_words(form, "contacts"));
    if (*web_form_text(form, "ca_pem"))
        cm_json_set_str(fields, "ca_pem", web_form_text(form, "ca_pem"));
    if (*web_form_text(form, "eab_kid"))
        cm_json_set_str(fields, "eab_kid", web_form_text(form, "eab_kid"));
    if (*web_form_text(form, "eab_hmac"))
        cm_json_set_str(fields, "eab_hmac", web_form_text(form, "eab_hmac"));
    if (*web_form_text(form, "eab_alg"))
        cm_json_set_str(fields, "eab_alg", web_form_text(form, "eab_alg"));
    cm_json_set_bool(fields, "terms_agreed", web_form_get(form, "terms_agreed") != NULL);
    cm_json_set_bool(fields, "self_check", web_form_get(form, "self_check") != NULL);
    cm_json_set_int(fields, "http_port", number);
    cm_json_set_int(fields, "tls_port", tls_number);
    if (*web_form_text(form, "challenge"))
        cm_json_set_str(fields, "challenge", web_form_text(form, "challenge"));
    if (*web_form_text(form, "activation"))
        cm_json_set_str(fields, "activation", web_form_text(form, "activation"));
    if (wait_s > 0)
        cm_json_set_int(fields, "activation_s", wait_s);
    if (*web_form_text(form, "staging"))
        cm_json_set_str(fields, "staging", web_form_text(form, "staging"));
    return fields;
}

/* The form again with what was typed; a new one whose name is taken stays a form for a new one. */
static void show_again(struct web_ctx *ctx, int status, const json_t *errors,
                       const struct cm_err *err)
{
    bool edits = *web_form_text(&ctx->form, "version") != '\0';
    CM_AUTO_JSON account =
        edits ? web_account(ctx->web->env.store, web_form_text(&ctx->form, "name")) : NULL;
    struct account_form form = {
        .account = account, .posted = &ctx->form, .errors = errors, .err = err};

    account_form(ctx, status, &form);
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
        web_reply_redirect(ctx, "/accounts");
}

void page_accounts_post(struct web_ctx *ctx)
{
    const char *name = web_form_text(&ctx->form, "name");
    CM_AUTO_JSON errors = json_array();
    CM_AUTO_JSON fields = fields_of(ctx, errors);
    CM_AUTO_JSON current = web_account(ctx->web->env.store, name);
    CM_AUTO_STR id = cm_asprintf("account:%s", name);
    struct eng_actor actor = web_actor(ctx);
    struct cm_err err = CM_ERR_INIT;

    if (json_array_size(errors) > 0)
        show_again(ctx, 422, errors, NULL);
    else if (web_form_may_edit(ctx, id, current, &err) < 0)
        show_again(ctx, 409, NULL, &err);
    else if (*web_form_text(&ctx->form, "key") && !current)
        eng_account_import(ctx->web->env.engine, fields, web_form_text(&ctx->form, "key"),
                           web_form_text(&ctx->form, "key_passphrase"), &actor, put_done, ctx);
    else
        eng_account_put(ctx->web->env.engine, fields, &actor, put_done, ctx);
    cm_err_fini(&err);
}

/* ---- at its CA ---- */

static void acted(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    CM_AUTO_JSON account = web_account(ctx->web->env.store, ctx->param);
    struct account_form form = {.account = account, .err = err};

    if (err && err->code && account)
        account_form(ctx, web_status_of(err->code), &form);
    else if (err && err->code)
        web_reply_error(ctx, err);
    else
        web_reply_redirect(ctx, "/accounts");
}

static void rebind(struct web_ctx *ctx, const struct eng_actor *actor)
{
    CM_AUTO_JSON errors = json_array();
    CM_AUTO_JSON account = web_account(ctx->web->env.store, ctx->param);
    struct account_form form = {.account = account, .errors = errors};

    if (web_form_get(&ctx->form, "confirm") || !account) {
        struct eng_binding binding = {.kid = web_form_text(&ctx->form, "eab_kid"),
                                      .hmac = web_form_text(&ctx->form, "eab_hmac"),
                                      .alg = web_form_text(&ctx->form, "eab_alg")};

        eng_account_rebind(ctx->web->env.engine, ctx->param, &binding, actor, acted, ctx);
        return;
    }
    web_field_fail(errors, "confirm", web_msg(ctx, MSG_A_REBIND_NEEDED));
    account_form(ctx, 422, &form);
}

/* For good: is the box above the button checked? */
static bool sure(struct web_ctx *ctx, int act)
{
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON account = NULL;

    if ((act != ACCOUNT_DEACTIVATE && act != ACCOUNT_DELETE) || web_form_get(&ctx->form, "sure"))
        return true;
    account = web_account(ctx->web->env.store, ctx->param);
    if (!account) {
        web_reply_status(ctx, 404);
        return false;
    }
    errors = json_array();
    web_field_fail(errors, "sure", web_msg(ctx, MSG_A_END_NEEDED));
    account_form(ctx, 422, &(struct account_form){.account = account, .errors = errors});
    return false;
}

void page_account_act_post(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    int act = eng_account_act_parse(web_form_get(&ctx->form, "act"));

    if (strcmp(web_form_text(&ctx->form, "act"), "rebind") == 0)
        rebind(ctx, &actor);
    else if (act < 0)
        web_reply_status(ctx, 404);
    else if (sure(ctx, act))
        eng_account_act(ctx->web->env.engine, ctx->param, (enum eng_account_act)act, &actor, acted,
                        ctx);
}
