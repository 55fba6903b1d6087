/*
 * One TLS Credentials document: status, names, servers and receipts, certificate, steps, history,
 * error.  assets/live.mjs swaps the parts (data-part) as they change; without scripts the browser
 * loads the page again while the task is at work.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "certmgr/acme/presets.h"
#include "certmgr/engine/plan.h"
#include "web-ui/credential.h"
#include "web-ui/html.h"
#include "web-ui/pages/check_result.h"
#include "web-ui/pages/credential_form.h"
#include "web-ui/pages/credential_parts.h"
#include "web-ui/pages/pages.h"
#include "web-ui/pages/renew.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/told.h"
#include "web-ui/widget.h"

#define REFRESH_S "3"

struct show {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const json_t *view, *credential, *request;
    const json_t *fields; /* of the credential, or of its request until it exists */
    const char *status;
};

/* A dry run that was asked for has not ended. */
static bool trial_wanted(const struct show *show)
{
    const json_t *trial = cm_json_obj(show->credential, "trial");

    return strcmp(cm_json_str_or(trial, "state", ""), "wanted") == 0 &&
           strcmp(cm_json_str_or(trial, "reason", ""), "asked") == 0;
}

/* Still at work: the task, or a server that has not deployed this certificate yet. */
static bool in_motion(const struct show *show)
{
    static const char *const moving[] = {"pending",        "waiting",        "renew",
                                         "revoke_pending", "update_servers", "update_servers"};
    const char *fingerprint = cm_json_str(show->fields, "fingerprint");
    size_t i;
    json_t *server;

    if (cm_json_obj(show->fields, "csr_out"))
        return false; /* it waits for people */
    for (i = 0; i < sizeof(moving) / sizeof(moving[0]); i++) {
        if (strcmp(show->status, moving[i]) == 0)
            return true;
    }
    if (trial_wanted(show))
        return true;
    if (strcmp(show->status, "issued") != 0)
        return false;
    json_array_foreach(cm_json_arr(show->fields, "servers"), i, server)
    {
        const json_t *receipt =
            part_receipt_of(cm_json_arr(show->view, "receipts"), json_string_value(server));

        if (!part_receipt_final(receipt, fingerprint))
            return true;
    }
    return false;
}

static const char *title_of(const struct show *show)
{
    const char *name =
        json_string_value(json_array_get(cm_json_arr(show->fields, "host_names"), 0));

    if (!name)
        name = json_string_value(json_array_get(cm_json_arr(show->fields, "host_names_ascii"), 0));
    return name ? name : show->ctx->param;
}

/* The module's line and switch (WCAG 2.2.2), and the same for browsers without scripts. */
static void live_note(const struct show *show, bool moving, bool refreshes)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;

    html_open(page, "p", "class", "live", "id", "live-note", "hidden", "", "data-on",
              web_msg(ctx, MSG_D_LIVE_ON), "data-off", web_msg(ctx, MSG_D_PAUSED), "data-lost",
              web_msg(ctx, MSG_D_LIVE_LOST), NULL);
    html_raw(page, "<span></span> ");
    html_leaf(page, "button", NULL, "type", "button", "class", "link", "data-pause",
              web_msg(ctx, MSG_D_PAUSE), "data-resume", web_msg(ctx, MSG_D_RESUME), NULL);
    html_raw(page, "</p>");
    if (!moving)
        return;
    html_raw(page, "<noscript><p class=\"live\">");
    html_text(page, web_msg(ctx, refreshes ? MSG_D_LIVE : MSG_D_PAUSED));
    html_raw(page, " ");
    html_leaf(page, "a", web_msg(ctx, refreshes ? MSG_D_PAUSE : MSG_D_RESUME), "href",
              refreshes ? "?live=0" : "?live=1", NULL);
    html_raw(page, "</p></noscript>");
}

static void retry_button(const struct show *show)
{
    struct cm_buf *page = show->page;
    CM_AUTO_STR action = cm_asprintf("/credentials/%s/retry", show->ctx->param);

    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(show->ctx, page);
    html_leaf(
        page, "button",
        web_msg(show->ctx, strcmp(show->status, "draft") == 0 ? MSG_SUBMIT_REQUEST : MSG_D_RETRY),
        "class", "primary", "type", "submit", NULL);
    html_raw(page, "</form>");
}

static void edit_link(const struct show *show)
{
    CM_AUTO_STR href = cm_asprintf("/credentials/%s/edit", show->ctx->param);

    html_leaf(show->page, "a", web_msg(show->ctx, MSG_D_EDIT), "class", "button", "href", href,
              NULL);
}

/* Another certificate may be asked for at any time. */
static bool renewable(const struct show *show)
{
    return strcmp(show->status, "issued") == 0 || strcmp(show->status, "revoked") == 0;
}

/* People bring the next certificate with its key. */
static bool is_import(const struct show *show)
{
    return strcmp(cm_json_str_or(show->credential, "provider", ""), "import") == 0;
}

static void end_link(const struct show *show)
{
    CM_AUTO_STR href = cm_asprintf("/credentials/%s/end", show->ctx->param);

    html_leaf(show->page, "a", web_msg(show->ctx, MSG_RV_OPEN), "class", "button", "href", href,
              NULL);
}

static bool may_try(const struct show *show)
{
    return show->credential && !trial_wanted(show) && !eng_is_refused(show->credential) &&
           strcmp(show->status, "archived") != 0 && strcmp(show->status, "revoke_pending") != 0 &&
           strcmp(cm_json_str_or(show->credential, "provider", ""), "acme") == 0;
}

static void heading(const struct show *show, bool moving)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    const char *health = cm_json_str(cm_json_obj(show->credential, "health"), "color");
    size_t names = json_array_size(cm_json_arr(show->fields, "host_names_ascii"));

    html_raw(page, "<p class=\"crumb\">");
    html_leaf(page, "a", web_msg(ctx, MSG_NAV_CREDENTIALS), "href", "/credentials", NULL);
    html_raw(page, "</p><div class=\"title\"><div><h1>");
    html_leaf(page, "bdi", title_of(show), NULL);
    if (names > 1) {
        CM_AUTO_STR more = cm_asprintf("+%zu", names - 1);

        html_raw(page, " ");
        html_leaf(page, "span", more, "class", "more", NULL);
    }
    html_raw(page, "</h1><p class=\"badges\" role=\"status\" data-part=\"badges\">");
    web_status_badge(ctx, page, show->status);
    if (health) {
        html_raw(page, " ");
        web_health_badge(ctx, page, health);
    }
    html_raw(page, "</p></div><div data-part=\"actions\">");
    if (show->credential && !eng_is_refused(show->credential))
        edit_link(show);
    if (show->credential)
        end_link(show);
    if (strcmp(show->status, "archived") == 0 || cm_json_obj(show->credential, "csr_out") ||
        is_import(show))
        ; /* for good, or people's turn */
    else if (cm_json_obj(show->credential, "error") || (!moving && !renewable(show)))
        retry_button(show);
    else if (!moving && show->credential && !cm_json_bool(show->credential, "paused", false))
        renew_form(ctx, page);
    if (may_try(show))
        dry_run_form(ctx, page);
    html_raw(page, "</div></div>");
}

static void text_list(const struct show *show, const json_t *texts, const char *tone)
{
    size_t i;
    json_t *text;

    json_array_foreach(texts, i, text) web_notice(show->page, tone, json_string_value(text));
}

/* Never done silently: a form that leaves the refused names out, to be read and saved. */
static void without_link(const struct show *show)
{
    const json_t *refused = credential_refused_names(show->credential);
    CM_AUTO_STR href = cm_asprintf("/credentials/%s/edit?without=refused", show->ctx->param);
    size_t i;
    json_t *name;

    if (!refused)
        return;
    html_raw(show->page, "<p>");
    html_text(show->page, web_msg(show->ctx, MSG_E_NAMES));
    json_array_foreach(refused, i, name)
    {
        html_raw(show->page, " ");
        html_leaf(show->page, "bdi", json_string_value(name), NULL);
    }
    html_raw(show->page, "</p>");
    html_leaf(show->page, "a", web_msg(show->ctx, MSG_E_WITHOUT), "class", "button", "href", href,
              NULL);
}

/* The CA has not answered yet, or has refused: what was asked for stands. */
static void revoking_note(const struct show *show)
{
    const json_t *revocation = cm_json_obj(show->credential, "revocation");
    const char *after = cm_json_str_or(revocation, "after", "keep");
    const char *reason = acme_reason_name((int)cm_json_int(revocation, "reason", 0));

    html_raw(show->page, "<div class=\"notice tone-warn\">");
    web_icon(show->page, "warn");
    html_raw(show->page, "<p>");
    web_sentence(show->page, show->ctx->lang, MSG_RV_WAITS, reason ? reason : "?",
                 web_msg(show->ctx, strcmp(after, "archive") == 0  ? MSG_RV_ARCHIVE
                                    : strcmp(after, "delete") == 0 ? MSG_RV_DELETE
                                                                   : MSG_RV_KEEP));
    html_raw(show->page, "</p></div>");
}

/* That it went well, and how clients hear of it. */
static void revoked_note(const struct show *show)
{
    const json_t *revocation = cm_json_obj(show->credential, "revocation");
    const json_t *published = cm_json_arr(revocation, "published");
    const char *reason = acme_reason_name((int)cm_json_int(revocation, "reason", 0));
    bool ocsp = cm_json_has_str(published, "ocsp"), crl = cm_json_has_str(published, "crl");

    if (!cm_json_str(revocation, "revoked_at"))
        return;
    html_raw(show->page, "<div class=\"notice tone-info\">");
    web_icon(show->page, "ok");
    html_raw(show->page, "<p>");
    web_sentence(show->page, show->ctx->lang, ocsp || crl ? MSG_RV_DONE : MSG_RV_DONE_PLAIN,
                 reason ? reason : "?",
                 ocsp && crl ? "OCSP, CRL"
                 : ocsp      ? "OCSP"
                             : "CRL");
    html_raw(show->page, "</p></div>");
}

/* What became of the last dry run. */
static void trial_card(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    const json_t *trial = cm_json_obj(show->credential, "trial");
    const json_t *error = cm_json_obj(trial, "error");
    const char *state = cm_json_str_or(trial, "state", "");
    bool passed = strcmp(state, "passed") == 0;

    if (!passed && strcmp(state, "failed") != 0)
        return;
    html_open(page, "section", "class", passed ? "card tone-ok" : "card tone-bad",
              "aria-labelledby", "trial-title", NULL);
    html_leaf(page, "h2", web_msg(ctx, passed ? MSG_DRY_PASSED : MSG_DRY_FAILED), "id",
              "trial-title", NULL);
    html_raw(page, "<p>");
    html_leaf(page, "bdi", cm_json_str_or(trial, "account", ""), NULL);
    html_raw(page, " · ");
    web_time(ctx, page, cm_json_str(trial, "ended_at"));
    html_raw(page, "</p>");
    if (passed && strcmp(show->status, "draft") == 0)
        html_leaf(page, "p", web_msg(ctx, MSG_DRY_SUBMIT), NULL);
    if (error)
        web_error_object(ctx, page, error);
    html_raw(page, "</section>");
}

static void messages(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    const json_t *error = cm_json_obj(show->credential, "error");

    web_next(ctx, show->page, show->view);
    trial_card(show);
    if (strcmp(show->status, "revoke_pending") == 0)
        revoking_note(show);
    else
        revoked_note(show);
    check_contradictions(ctx, show->page, cm_json_arr(show->view, "contradictions"));
    text_list(show, json_object_get(ctx->web->notes, ctx->param), "info");
    web_health_causes(ctx, show->page, cm_json_obj(show->credential, "health"));
    if (error) {
        html_raw(show->page, "<section class=\"card tone-bad\" aria-labelledby=\"error-title\">");
        html_leaf(show->page, "h2", web_msg(ctx, MSG_E_TITLE), "id", "error-title", NULL);
        web_error_object(ctx, show->page, error);
        without_link(show);
        html_raw(show->page, "</section>");
    }
}

/* A CSR that somebody has to take to a CA. */
static void csr_card(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    CM_AUTO_STR href = cm_asprintf("/credentials/%s/csr", ctx->param);

    if (!cm_json_obj(show->credential, "csr_out"))
        return;
    html_raw(page, "<section class=\"card tone-warn\" aria-labelledby=\"csr-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_CS_WAITS), "id", "csr-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_CS_LEAD), NULL);
    html_leaf(page, "a", web_msg(ctx, MSG_CS_TITLE), "class", "button primary", "href", href, NULL);
    html_raw(page, "</section>");
}

/* A key is never handed to a page: the commands for it. */
static void key_card(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    CM_AUTO_STR import = cm_asprintf(
        "certmgr import --credential %s FILE --password-file PASSWORD_FILE", ctx->param);
    CM_AUTO_STR export =
        cm_asprintf("certmgr export %s --out FILE.p12 --password-file PASSWORD_FILE", ctx->param);

    if (is_import(show)) {
        html_raw(page, "<section class=\"card\" aria-labelledby=\"import-title\">");
        html_leaf(page, "h2", web_msg(ctx, MSG_IM_TITLE), "id", "import-title", NULL);
        html_leaf(page, "p", web_msg(ctx, MSG_IM_LEAD), NULL);
        html_leaf(page, "pre", import, "tabindex", "0", NULL);
        html_raw(page, "</section>");
    }
    if (cm_json_bool(show->credential, "exportable", false) &&
        cm_json_str(show->credential, "chain")) {
        html_raw(page, "<section class=\"card\" aria-labelledby=\"export-title\">");
        html_leaf(page, "h2", web_msg(ctx, MSG_EX_TITLE), "id", "export-title", NULL);
        html_leaf(page, "p", web_msg(ctx, MSG_EX_LEAD), NULL);
        html_leaf(page, "pre", export, "tabindex", "0", NULL);
        html_raw(page, "</section>");
    }
}

/* TXT records that somebody has to write. */
static void manual(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    const json_t *records = cm_json_arr(show->view, "manual");
    const char *problem = cm_json_str(show->view, "manual_problem");
    CM_AUTO_STR action = cm_asprintf("/credentials/%s/go-on", ctx->param);
    size_t i;
    json_t *record;

    if (!records)
        return;
    html_raw(page, "<section class=\"card tone-warn\" aria-labelledby=\"manual-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_N_MANUAL), "id", "manual-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_N_MANUAL_LEAD), NULL);
    if (problem)
        web_notice(page, "bad", problem);
    web_table_frame(page, web_msg(ctx, MSG_N_MANUAL));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    html_leaf(page, "th", web_msg(ctx, MSG_N_RECORD), "scope", "col", NULL);
    html_leaf(page, "th", web_msg(ctx, MSG_N_VALUE), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(records, i, record)
    {
        html_raw(page, "<tr><td>");
        html_leaf(page, "code", cm_json_str(record, "fqdn"), NULL);
        html_raw(page, "</td><td>");
        html_leaf(page, "code", cm_json_str(record, "value"), NULL);
        html_raw(page, "</td></tr>");
    }
    html_raw(page, "</tbody></table></div>");
    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
    html_leaf(page, "button", web_msg(ctx, MSG_N_GO_ON), "class", "primary", "type", "submit",
              NULL);
    html_raw(page, "</form></section>");
}

static void part(struct cm_buf *page, const char *name)
{
    html_open(page, "div", "data-part", name, NULL);
}

static void body(const struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;

    part(page, "messages");
    messages(show);
    csr_card(show);
    manual(show);
    html_raw(page, "</div><div class=\"split\"><div>");
    part(page, "servers");
    part_servers(ctx, page, show->fields, cm_json_arr(show->view, "receipts"));
    key_card(show);
    html_raw(page, "</div>");
    part(page, "certificate");
    part_host_names(ctx, page, show->fields);
    part_certificate(ctx, page, show->credential);
    html_raw(page, "</div>");
    part_steps(ctx, page, cm_json_arr(show->view, "steps"));
    part(page, "history");
    part_history(ctx, page, cm_json_arr(show->view, "history"));
    html_raw(page, "</div></div><aside>");
    part(page, "facts");
    part_facts(ctx, page, show->fields, show->request);
    html_raw(page, "</div></aside></div>");
}

static const char *last_step(const struct show *show)
{
    const json_t *steps = cm_json_arr(show->view, "steps");
    size_t count = json_array_size(steps);

    return count ? cm_json_str_or(json_array_get(steps, count - 1), "id", "0") : "0";
}

static void render(struct show *show)
{
    struct web_ctx *ctx = show->ctx;
    struct cm_buf *page = show->page;
    CM_AUTO_STR events = cm_asprintf("/api/v1/credentials/%s/events", ctx->param);
    bool moving = in_motion(show);
    bool refreshes = moving && strcmp(web_form_text(&ctx->query, "live"), "0") != 0;
    struct web_page opts = {.title = title_of(show),
                            .nav = NAV_CREDENTIALS,
                            .module = "live.mjs",
                            .refresh = refreshes ? REFRESH_S : NULL};

    web_page_begin_with(ctx, page, &opts);
    html_open(page, "div", "data-events", events, "data-after", last_step(show), NULL);
    heading(show, moving);
    live_note(show, moving, refreshes);
    body(show);
    html_raw(page, "</div>");
    web_page_end(ctx, page);
    web_reply_html(ctx, 200, page);
}

void page_credential(struct web_ctx *ctx)
{
    CM_AUTO_JSON view = web_credential(ctx->web, ctx->param);
    struct cm_buf page;
    struct show show = {.ctx = ctx, .view = view, .page = &page};

    if (!view) {
        web_reply_status(ctx, 404);
        return;
    }
    show.credential = cm_json_obj(view, "credential");
    show.request = cm_json_obj(view, "request");
    show.fields = show.credential ? show.credential : cm_json_obj(show.request, "fields");
    show.status = cm_json_str_or(show.credential, "status", "pending");
    render(&show);
}

static void retried(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;
    CM_AUTO_STR href = NULL;

    if (web_ctx_gone(ctx))
        return;
    href = cm_asprintf("/credentials/%s", ctx->param);
    if (err && err->code)
        web_reply_error(ctx, err);
    else
        web_reply_redirect(ctx, href);
}

void page_credential_retry(struct web_ctx *ctx)
{
    struct eng_actor actor = web_actor(ctx);

    if (cm_ulid_ok(ctx->param))
        eng_retry(ctx->web->env.engine, ctx->param, &actor, retried, ctx);
    else
        web_reply_status(ctx, 404);
}
