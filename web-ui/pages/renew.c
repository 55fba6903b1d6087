/*
 * Renewal by hand.  The present certificate serves until the new one is proven, so nothing is asked
 * back; a new key is a choice beside the button.  Everything works without scripts.
 */
#include "web-ui/pages/renew.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/acme/presets.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/text.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

/* ---- parts of pages ---- */

static void controls(const struct web_ctx *ctx, struct cm_buf *page, enum web_msg label)
{
    html_raw(page, "<div class=\"renew\">");
    html_leaf(page, "button", web_msg(ctx, label), "type", "submit", NULL);
    web_field_check(ctx, page, "new_key", "1", MSG_RN_NEW_KEY, false);
    html_raw(page, "</div>");
}

void renew_form(const struct web_ctx *ctx, struct cm_buf *page)
{
    CM_AUTO_STR action = cm_asprintf("/credentials/%s/renew", ctx->param);

    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
    controls(ctx, page, MSG_RN_NOW);
    html_raw(page, "</form>");
}

void dry_run_form(const struct web_ctx *ctx, struct cm_buf *page)
{
    CM_AUTO_STR action = cm_asprintf("/credentials/%s/dry-run", ctx->param);

    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
    html_leaf(page, "button", web_msg(ctx, MSG_DRY_RUN), "type", "submit", "title",
              web_msg(ctx, MSG_DRY_RUN_HINT), NULL);
    html_raw(page, "</form>");
}

void renew_list_begin(const struct web_ctx *ctx, struct cm_buf *page, const char *view)
{
    html_raw(page, "<form method=\"post\" action=\"/credentials/renew\">");
    web_page_token(ctx, page);
    html_open(page, "input", "type", "hidden", "name", "view", "value", view, NULL);
}

void renew_list_box(struct cm_buf *page, const char *ulid, const char *name)
{
    html_raw(page, "<td class=\"select\">");
    html_open(page, "input", "type", "checkbox", "name", "id", "value", ulid, "aria-label", name,
              NULL);
    html_raw(page, "</td>");
}

void renew_list_end(const struct web_ctx *ctx, struct cm_buf *page)
{
    controls(ctx, page, MSG_RN_SELECTED);
    html_raw(page, "</form>");
}

void renew_list_notice(const struct web_ctx *ctx, struct cm_buf *page)
{
    const char *count = web_form_get(&ctx->query, "renewed");
    int64_t number;
    struct cm_buf text;

    if (!count || cm_num_i64(count, 0, RENEW_BULK_MAX, &number) < 0)
        return;
    cm_buf_init(&text, 4096);
    web_sentence(&text, ctx->lang, number > 0 ? MSG_RN_ASKED : MSG_RN_NONE, count, NULL);
    web_notice(page, number > 0 ? "ok" : "warn", cm_buf_str(&text)); /* digits: nothing to escape */
    cm_buf_fini(&text);
}

/* ---- one ---- */

static void renewed(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    CM_AUTO_STR href = cm_asprintf("/credentials/%s", ctx->param);

    if (err && err->code)
        web_reply_error(ctx, err);
    else
        web_reply_redirect(ctx, href);
}

void page_credential_renew(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);
    bool new_key = web_form_get(&ctx->form, "new_key") != NULL;
    const char *revoke = web_form_get(&ctx->form, "revoke");

    if (cm_ulid_ok(ctx->param) && revoke)
        eng_roll_over(ctx->web->env.engine, ctx->param, acme_reason_parse(revoke), &actor, renewed,
                      ctx);
    else if (cm_ulid_ok(ctx->param))
        eng_renew(ctx->web->env.engine, ctx->param, new_key, &actor, renewed, ctx);
    else
        web_reply_status(ctx, 404);
}

void page_credential_dry_run(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);

    if (cm_ulid_ok(ctx->param))
        eng_dry_run(ctx->web->env.engine, ctx->param, &actor, renewed, ctx);
    else
        web_reply_status(ctx, 404);
}

/* ---- several ---- */

struct bulk {
    struct web_ctx *ctx;
    size_t waiting, asked;
    struct cm_err err; /* the first one */
};

static void bulk_end(struct bulk *bulk)
{
    struct web_ctx *ctx = bulk->ctx;
    enum web_view view = VIEW_HOST;

    if (web_ctx_gone(ctx)) {
        /* the renewals are asked for all the same */
    } else if (bulk->err.code && (bulk->asked == 0 || bulk->err.code != CM_ECONFLICT)) {
        /* of several, one that is paused or imported is left out: the count says so */
        web_reply_error(ctx, &bulk->err);
    } else {
        (void)web_view_parse(web_form_get(&ctx->form, "view"), &view, NULL);
        CM_AUTO_STR href =
            cm_asprintf("/credentials?view=%s&renewed=%zu", web_view_name(view), bulk->asked);

        web_reply_redirect(ctx, href);
    }
    cm_err_fini(&bulk->err);
    cm_free(bulk);
}

static void bulk_renewed(void *arg, const struct cm_err *err)
{
    struct bulk *bulk = arg;

    if (!err || !err->code)
        bulk->asked++;
    else if (!bulk->err.code)
        cm_err_copy(&bulk->err, err);
    if (--bulk->waiting == 0)
        bulk_end(bulk);
}

/* A credential of several names stands in the list several times: once is enough. */
static json_t *chosen(const struct web_ctx *ctx)
{
    CM_AUTO_JSON words = web_form_words(&ctx->form, "id");
    json_t *out = json_array();
    size_t i;
    json_t *word;

    json_array_foreach(words, i, word)
    {
        const char *ulid = json_string_value(word);

        if (cm_ulid_ok(ulid) && !cm_json_has_str(out, ulid) &&
            json_array_size(out) < RENEW_BULK_MAX)
            json_array_append(out, word);
    }
    return out;
}

void page_credentials_renew(struct web_ctx *ctx)
{
    CM_AUTO_JSON ids = chosen(ctx);
    struct eng_actor actor = web_actor(ctx);
    bool new_key = web_form_get(&ctx->form, "new_key") != NULL;
    struct bulk *bulk = cm_calloc(1, sizeof(*bulk));
    size_t i;
    json_t *id;

    *bulk = (struct bulk){.ctx = ctx, .waiting = json_array_size(ids)};
    if (bulk->waiting == 0)
        bulk_end(bulk);
    else
        json_array_foreach(ids, i, id) eng_renew(ctx->web->env.engine, json_string_value(id),
                                                 new_key, &actor, bulk_renewed, bulk);
}
