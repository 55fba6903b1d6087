/* Who the manager is; on a standby: what a promotion means, and doing it. */
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/json_view.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

static void fact(struct web_ctx *ctx, struct cm_buf *page, enum web_msg name, const char *value)
{
    html_leaf(page, "dt", web_msg(ctx, name), NULL);
    html_leaf(page, "dd", value, NULL);
}

static void link_item(struct cm_buf *page, const char *name, const char *url)
{
    html_raw(page, "<li>");
    if (url) {
        CM_AUTO_STR href = cm_asprintf("%s/manager", url);

        html_leaf(page, "a", name, "href", href, "rel", "noreferrer", NULL);
    } else {
        html_text(page, name);
    }
    html_raw(page, "</li>");
}

/* ---- on the manager ---- */

static void nothing_html(struct web_ctx *ctx, struct cm_buf *page)
{
    const struct kf_trust *trust = fleet_trust(ctx->web->env.fleet);
    size_t standbys = 0;

    html_raw(page, "<p>");
    web_sentence(page, ctx->lang, MSG_P_NOTHING, ctx->web->env.self, NULL);
    html_raw(page, "</p>");
    for (size_t i = 0; i < kf_trust_count(trust); i++) {
        const struct kf_server *server = kf_trust_at(trust, i);

        if (!server->standby || server->state != KF_ACTIVE)
            continue;
        if (standbys++ == 0) {
            html_leaf(page, "p", web_msg(ctx, MSG_P_STANDBYS), NULL);
            html_raw(page, "<ul>");
        }
        link_item(page, server->name, server->ui_url);
    }
    if (standbys > 0)
        html_raw(page, "</ul>");
    html_leaf(page, "p", web_msg(ctx, standbys > 0 ? MSG_P_OWN_PEOPLE : MSG_P_NO_STANDBYS), "class",
              "hint", NULL);
}

/* ---- on a standby ---- */

static void state_html(struct web_ctx *ctx, struct cm_buf *page)
{
    const struct kf_trust *trust = fleet_trust(ctx->web->env.fleet);
    const struct kf_server *manager = kf_trust_manager(trust);
    CM_AUTO_JSON services = web_services(ctx->web);
    const json_t *pull = cm_json_obj(cm_json_obj(services, "upstream"), "pull");
    CM_AUTO_STR version = cm_asprintf("%lld", (long long)kf_trust_version(trust));

    html_raw(page, "<dl class=\"facts\">");
    html_leaf(page, "dt", web_msg(ctx, MSG_P_MANAGER), NULL);
    html_raw(page, "<dd>");
    if (manager && manager->ui_url)
        html_leaf(page, "a", manager->name, "href", manager->ui_url, "rel", "noreferrer", NULL);
    else
        html_text(page, manager ? manager->name : "–");
    html_raw(page, "</dd>");
    fact(ctx, page, MSG_P_PULL, web_json_word(ctx, cm_json_str_or(pull, "state", "–")));
    fact(ctx, page, MSG_P_VERSION, version);
    html_raw(page, "</dl>");
}

/* A promotion that other root signers have to sign, too. */
static void proposal_html(struct web_ctx *ctx, struct cm_buf *page)
{
    const struct web_power *power = &ctx->web->env.power;
    CM_AUTO_JSON view = power->show ? power->show(power->arg) : NULL;
    const json_t *proposal = cm_json_obj(view, "proposal");

    if (!proposal)
        return;
    CM_AUTO_STR waits = cm_asprintf(
        "%s: %s (%lld/%lld)", web_msg(ctx, MSG_TRUST_WAITS), cm_json_str_or(proposal, "what", ""),
        (long long)cm_json_int(proposal, "have", 0), (long long)cm_json_int(proposal, "need", 0));

    web_notice(page, "warn", waits);
    html_leaf(page, "p", web_msg(ctx, MSG_TRUST_HOW), "class", "hint", NULL);
}

static void promote_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *errors)
{
    state_html(ctx, page);
    html_leaf(page, "p", web_msg(ctx, MSG_P_LEAD), NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_P_BEFORE), NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_P_BEHIND), NULL);
    proposal_html(ctx, page);
    html_raw(page, "<form method=\"post\" action=\"/manager\">");
    web_page_token(ctx, page);
    web_field_check(ctx, page, "lost", "1", MSG_P_LOST, *web_form_text(&ctx->form, "lost") != '\0');
    web_field_errors(ctx, page, "confirm", errors);
    web_field_check(ctx, page, "confirm", "1", MSG_P_CONFIRM,
                    *web_form_text(&ctx->form, "confirm") != '\0');
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_P_PROMOTE), "class", "danger", "type", "submit",
              NULL);
    html_raw(page, "</div></form>");
}

static void render(struct web_ctx *ctx, int status, const json_t *errors, const struct cm_err *err)
{
    CM_AUTO_JSON refused = cm_err_to_json(err);
    struct cm_buf page;

    web_page_begin(ctx, &page, web_msg(ctx, MSG_P_TITLE), NAV_SERVERS);
    web_error_summary(ctx, &page, errors);
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_SERVERS), "href", "/servers", NULL);
    html_raw(&page, "</p>");
    html_leaf(&page, "h1", web_msg(ctx, MSG_P_TITLE), NULL);
    html_raw(&page, "<section class=\"card\">");
    if (refused)
        web_error_object(ctx, &page, refused);
    if (web_is_standby(ctx->web))
        promote_html(ctx, &page, errors);
    else
        nothing_html(ctx, &page);
    html_raw(&page, "</section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_manager(struct web_ctx *ctx)
{
    render(ctx, 200, NULL, NULL);
}

static void promoted(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code)
        render(ctx, web_status_of(err->code), NULL, err);
    else
        web_reply_redirect(ctx, "/manager");
}

void page_manager_post(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;

    if (!web_is_standby(ctx->web)) { /* promoted meanwhile */
        web_reply_redirect(ctx, "/manager");
    } else if (*web_form_text(&ctx->form, "confirm") == '\0') {
        CM_AUTO_JSON errors = json_array();

        web_field_fail(errors, "confirm", web_msg(ctx, MSG_P_CONFIRM_FIRST));
        render(ctx, 422, errors, NULL);
    } else if (!power->promote) {
        web_reply_status(ctx, 404);
    } else {
        power->promote(power->arg, *web_form_text(&ctx->form, "lost") != '\0', NULL, NULL, promoted,
                       ctx);
    }
}
