/*
 * The end of a credential: revocation with its reason and what becomes of the credential, archive,
 * removal.  A page of its own says what each means; everything works without scripts.
 */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/presets.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

#define REASON_LAST 10

#define SURE "revoke_sure" /* of the removal afterwards; "sure" is that of the card below */

/* ---- parts ---- */

/* What was chosen before the page came back with a question. */
static const char *chosen(const struct web_ctx *ctx, const char *name, const char *otherwise)
{
    const char *value = web_form_get(&ctx->form, name);

    return value ? value : otherwise;
}

static void reason_field(struct web_ctx *ctx, struct cm_buf *page, const json_t *credential)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", cm_json_str_or(credential, "account", ""));
    CM_AUTO_JSON account = cs_get_body(ctx->web->env.store, id);
    unsigned accepted = acme_reasons(cm_json_str(account, "directory"));
    struct web_option options[REASON_LAST + 1];
    char *label[REASON_LAST + 1], value[REASON_LAST + 1][4];
    struct web_field field = {.name = "reason", .label = MSG_RV_REASON, .hint = MSG_RV_REASON_HINT};
    size_t count = 0;

    field.value = chosen(ctx, "reason", "0");
    for (int reason = 0; reason <= REASON_LAST; reason++) {
        if (!(accepted & 1u << reason) || !acme_reason_name(reason))
            continue;
        label[count] = cm_asprintf("%d: %s", reason, acme_reason_name(reason));
        snprintf(value[count], sizeof(value[count]), "%d", reason);
        options[count] = (struct web_option){.value = value[count], .label = label[count]};
        count++;
    }
    web_field_select(ctx, page, &field, options, count);
    while (count > 0)
        cm_free(label[--count]);
}

static void after_field(struct web_ctx *ctx, struct cm_buf *page)
{
    const struct web_option options[] = {{"keep", web_msg(ctx, MSG_RV_KEEP)},
                                         {"archive", web_msg(ctx, MSG_RV_ARCHIVE)},
                                         {"delete", web_msg(ctx, MSG_RV_DELETE)}};
    struct web_field field = {.name = "after", .label = MSG_RV_AFTER, .hint = MSG_RV_AFTER_HINT};

    field.value = chosen(ctx, "after", "keep");
    web_field_select(ctx, page, &field, options, 3);
}

static void form_begin(struct web_ctx *ctx, struct cm_buf *page, const char *what)
{
    CM_AUTO_STR action = cm_asprintf("/credentials/%s/%s", ctx->param, what);

    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
}

static void revoke_card(struct web_ctx *ctx, struct cm_buf *page, const json_t *credential,
                        const json_t *errors)
{
    html_raw(page, "<section class=\"card\" aria-labelledby=\"revoke-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_RV_REVOKE), "id", "revoke-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_RV_LEAD), NULL);
    form_begin(ctx, page, "revoke");
    reason_field(ctx, page, credential);
    after_field(ctx, page);
    web_field_errors(ctx, page, SURE, errors);
    web_field_check(ctx, page, SURE, "1", MSG_RV_AFTER_SURE, false);
    web_field_check(ctx, page, "key", "1", MSG_RV_KEY, web_form_get(&ctx->form, "key") != NULL);
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_RV_REVOKE), "class", "danger", "type", "submit",
              NULL);
    html_raw(page, "</div></form></section>");
}

/* Another key first: the certificate serves until the new one does. */
static void rollover_card(struct web_ctx *ctx, struct cm_buf *page)
{
    const struct web_option options[] = {{"superseded", web_msg(ctx, MSG_RV_SUPERSEDED)},
                                         {"keyCompromise", web_msg(ctx, MSG_RV_COMPROMISED)}};
    struct web_field field = {
        .name = "revoke", .label = MSG_RV_REASON, .hint = MSG_RV_ROLL_HINT, .value = "superseded"};

    html_raw(page, "<section class=\"card\" aria-labelledby=\"rollover-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_RV_ROLL), "id", "rollover-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_RV_ROLL_LEAD), NULL);
    form_begin(ctx, page, "renew");
    web_field_select(ctx, page, &field, options, 2);
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_RV_ROLL), "class", "danger", "type", "submit", NULL);
    html_raw(page, "</div></form></section>");
}

static void away_button(struct web_ctx *ctx, struct cm_buf *page, const char *how)
{
    bool removes = strcmp(how, "delete") == 0;

    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, removes ? MSG_RV_DELETE_NOW : MSG_RV_ARCHIVE_NOW),
              "class", removes ? "danger" : NULL, "type", "submit", "name", "how", "value", how,
              NULL);
    html_raw(page, "</div></form>");
}

/* The removal with a word more than a click: page_credential_remove_post() looks at it. */
static void away_card(struct web_ctx *ctx, struct cm_buf *page, const json_t *credential,
                      const json_t *errors)
{
    bool archived = strcmp(cm_json_str_or(credential, "status", ""), "archived") == 0;

    html_raw(page, "<section class=\"card\" aria-labelledby=\"away-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_RV_AWAY), "id", "away-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_RV_AWAY_LEAD), NULL);
    if (!archived) {
        form_begin(ctx, page, "remove");
        away_button(ctx, page, "archive");
    }
    form_begin(ctx, page, "remove");
    web_field_errors(ctx, page, "sure", errors);
    web_field_check(ctx, page, "sure", "1", MSG_RV_DELETE_SURE, false);
    away_button(ctx, page, "delete");
    html_raw(page, "</section>");
}

/* ---- pages ---- */

static json_t *credential_of(const struct web_ctx *ctx)
{
    CM_AUTO_STR id = cm_asprintf("credential:%s", ctx->param);

    return cm_ulid_ok(ctx->param) ? cs_get_body(ctx->web->env.store, id) : NULL;
}

static bool may_revoke(const json_t *credential)
{
    const char *status = cm_json_str_or(credential, "status", "");

    return cm_json_str(credential, "chain") && strcmp(status, "revoked") != 0 &&
           strcmp(status, "archived") != 0;
}

static bool may_roll_over(const json_t *credential)
{
    return may_revoke(credential) && !cm_json_bool(credential, "paused", false) &&
           strcmp(cm_json_str_or(credential, "provider", ""), "acme") == 0 &&
           strcmp(cm_json_str_or(credential, "status", ""), "revoke_pending") != 0;
}

static void render(struct web_ctx *ctx, int status, const json_t *errors, const struct cm_err *err)
{
    CM_AUTO_JSON credential = credential_of(ctx);
    CM_AUTO_JSON refused = cm_err_to_json(err);
    CM_AUTO_STR href = cm_asprintf("/credentials/%s", ctx->param);
    const char *name = json_string_value(json_array_get(cm_json_arr(credential, "host_names"), 0));
    struct cm_buf page;

    if (!credential) {
        web_reply_status(ctx, 404);
        return;
    }
    web_page_begin(ctx, &page, web_msg(ctx, MSG_RV_TITLE), NAV_CREDENTIALS);
    html_raw(&page, "<div class=\"form-page\">");
    web_error_summary(ctx, &page, errors);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", name ? name : ctx->param, "href", href, NULL);
    html_raw(&page, "</p>");
    html_leaf(&page, "h1", web_msg(ctx, MSG_RV_TITLE), NULL);
    if (refused)
        web_error_object(ctx, &page, refused);
    if (may_roll_over(credential))
        rollover_card(ctx, &page);
    if (may_revoke(credential))
        revoke_card(ctx, &page, credential, errors);
    away_card(ctx, &page, credential, errors);
    html_raw(&page, "<p>");
    html_leaf(&page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", href, NULL);
    html_raw(&page, "</p></div>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_credential_end(struct web_ctx *ctx)
{
    render(ctx, 200, NULL, NULL);
}

static void ended(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    CM_AUTO_STR href = cm_asprintf("/credentials/%s", ctx->param);
    bool gone = strcmp(web_form_text(&ctx->form, "how"), "delete") == 0;

    if (err && err->code)
        render(ctx, web_status_of(err->code), NULL, err);
    else
        web_reply_redirect(ctx, gone ? "/credentials" : href);
}

/* Removing cannot be taken back: a word more than a click. */
static void ask_to_be_sure(struct web_ctx *ctx, const char *field)
{
    CM_AUTO_JSON errors = json_array();

    web_field_fail(errors, field, web_msg(ctx, MSG_RV_DELETE_NEEDED));
    render(ctx, 422, errors, NULL);
}

void page_credential_revoke_post(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    const char *after = web_form_text(&ctx->form, "after");
    struct eng_revocation wish = {.reason = acme_reason_parse(web_form_text(&ctx->form, "reason")),
                                  .key = web_form_get(&ctx->form, "key") != NULL,
                                  .after = strcmp(after, "archive") == 0  ? "archive"
                                           : strcmp(after, "delete") == 0 ? "delete"
                                                                          : "keep"};

    if (strcmp(wish.after, "delete") == 0 && !web_form_get(&ctx->form, SURE))
        ask_to_be_sure(ctx, SURE);
    else if (cm_ulid_ok(ctx->param))
        eng_revoke(ctx->web->env.engine, ctx->param, &wish, &actor, ended, ctx);
    else
        web_reply_status(ctx, 404);
}

void page_credential_remove_post(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    bool remove = strcmp(web_form_text(&ctx->form, "how"), "delete") == 0;

    if (remove && !web_form_get(&ctx->form, "sure"))
        ask_to_be_sure(ctx, "sure");
    else if (cm_ulid_ok(ctx->param))
        eng_put_away(ctx->web->env.engine, ctx->param, remove, &actor, ended, ctx);
    else
        web_reply_status(ctx, 404);
}
