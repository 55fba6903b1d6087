/* What can be done with an ACME account that exists: the cards around its form. */
#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/account_draw.h"
#include "web-ui/shell.h"

/* A form that does one thing with the account at hand. */
static void act_form(struct account_draw *draw)
{
    struct cm_buf action;

    cm_buf_init(&action, 2048);
    cm_buf_puts(&action, "/accounts/");
    url_encode(&action, cm_json_str_or(draw->form->account, "name", ""));
    cm_buf_puts(&action, "/act");
    html_open(draw->page, "form", "method", "post", "action", cm_buf_str(&action), NULL);
    web_page_token(draw->ctx, draw->page);
    cm_buf_fini(&action);
}

static void link_to(struct account_draw *draw, enum web_msg label, const char *url)
{
    if (!url)
        return;
    html_raw(draw->page, "<p>");
    html_text(draw->page, web_msg(draw->ctx, label));
    html_raw(draw->page, ": ");
    html_leaf(draw->page, "a", url, "href", url, "rel", "noreferrer", NULL);
    html_raw(draw->page, "</p>");
}

void account_new_terms(struct account_draw *draw)
{
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;
    const json_t *terms = cm_json_obj(draw->form->account, "new_terms");

    if (!terms)
        return;
    html_raw(page, "<section class=\"card tone-bad\" aria-labelledby=\"terms-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_A_NEW_TERMS), "id", "terms-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_A_NEW_TERMS_LEAD), NULL);
    link_to(draw, MSG_A_NEW_TERMS_PAGE, cm_json_str(terms, "page"));
    link_to(draw, MSG_A_NEW_TERMS_URL, cm_json_str(terms, "url"));
    act_form(draw);
    html_leaf(page, "button", web_msg(ctx, MSG_A_NEW_TERMS_AGREE), "type", "submit", "name", "act",
              "value", "agree", NULL);
    html_raw(page, "</form></section>");
}

static void rebind_card(struct account_draw *draw)
{
    static const struct account_row kid = {"eab_kid",          NULL, MSG_A_EAB_KID,
                                           MSG_A_EAB_KID_HINT, 0,    true};
    static const struct account_row hmac = {"eab_hmac",          "password", MSG_A_EAB_HMAC,
                                            MSG_A_EAB_HMAC_HINT, 0,          true};
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;

    if (!cm_json_str(draw->form->account, "kid"))
        return;
    html_raw(page, "<section class=\"card\" aria-labelledby=\"rebind-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_A_REBIND), "id", "rebind-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_A_REBIND_LEAD), "class", "hint", NULL);
    act_form(draw);
    account_field(draw, &kid);
    account_field(draw, &hmac);
    account_alg_field(draw);
    web_field_errors(draw->ctx, page, "confirm", draw->form->errors);
    web_field_check(ctx, page, "confirm", "1", MSG_A_REBIND_SURE, false);
    html_leaf(page, "button", web_msg(ctx, MSG_A_REBIND), "class", "danger", "type", "submit",
              "name", "act", "value", "rebind", NULL);
    html_raw(page, "</form></section>");
}

static void export_card(struct account_draw *draw)
{
    static const struct account_row pass = {"passphrase",           "password", MSG_A_EXPORT_PASS,
                                            MSG_A_EXPORT_PASS_HINT, 0,          false};
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;
    CM_AUTO_STR action =
        cm_asprintf("/accounts/%s/export", cm_json_str_or(draw->form->account, "name", ""));

    html_raw(page, "<section class=\"card\" aria-labelledby=\"export-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_A_EXPORT), "id", "export-title", NULL);
    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
    account_field(draw, &pass);
    html_leaf(page, "button", web_msg(ctx, MSG_A_EXPORT), "type", "submit", NULL);
    html_raw(page, "</form></section>");
}

/* What can be done with it at its CA, and its removal. */
static void acts_card(struct account_draw *draw)
{
    static const struct {
        const char *act;
        enum web_msg label;
    } acts[] = {
        {"update", MSG_A_ACT_UPDATE}, {"find", MSG_A_ACT_FIND}, {"roll-over", MSG_A_ACT_ROLL_OVER}};
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;

    html_raw(page, "<section class=\"card\" aria-labelledby=\"acts-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_A_ACTS), "id", "acts-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_A_ACTS_LEAD), "class", "hint", NULL);
    act_form(draw);
    html_raw(page, "<div class=\"actions\">");
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        html_leaf(page, "button", web_msg(ctx, acts[i].label), "type", "submit", "name", "act",
                  "value", acts[i].act, NULL);
    html_raw(page, "</div></form></section>");
}

/* What cannot be taken back wants a word more than a click: page_account_act_post() looks at it. */
static void end_card(struct account_draw *draw)
{
    static const struct {
        const char *act;
        enum web_msg label;
    } acts[] = {{"deactivate", MSG_A_ACT_DEACTIVATE}, {"delete", MSG_A_ACT_DELETE}};
    struct web_ctx *ctx = draw->ctx;
    struct cm_buf *page = draw->page;

    html_raw(page, "<section class=\"card\" aria-labelledby=\"end-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_A_END), "id", "end-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_A_END_LEAD), "class", "hint", NULL);
    act_form(draw);
    web_field_errors(ctx, page, "sure", draw->form->errors);
    web_field_check(ctx, page, "sure", "1", MSG_A_END_SURE, false);
    html_raw(page, "<div class=\"actions\">");
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        html_leaf(page, "button", web_msg(ctx, acts[i].label), "class", "danger", "type", "submit",
                  "name", "act", "value", acts[i].act, NULL);
    html_raw(page, "</div></form></section>");
}

void account_acts(struct account_draw *draw)
{
    rebind_card(draw);
    acts_card(draw);
    export_card(draw);
    end_card(draw);
}
