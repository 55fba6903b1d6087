/* The fleet: servers of the trust root, and invitations for new ones. */
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/field.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

static void roles_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *server)
{
    const json_t *roles = cm_json_arr(server, "roles");

    if (cm_json_has_str(roles, "manager"))
        html_leaf(page, "span", web_msg(ctx, MSG_ROLE_MANAGER), "class", "role", NULL);
    if (cm_json_has_str(roles, "standby"))
        html_leaf(page, "span", web_msg(ctx, MSG_ROLE_STANDBY), "class", "role", NULL);
    html_leaf(page, "span", web_msg(ctx, MSG_ROLE_SERVER), "class", "role", NULL);
}

static void state_html(struct web_ctx *ctx, struct cm_buf *page, const char *state)
{
    bool active = strcmp(state, "active") == 0;
    bool retiring = strcmp(state, "retiring") == 0;

    html_open(page, "span", "class",
              active     ? "badge tone-ok"
              : retiring ? "badge tone-warn"
                         : "badge tone-dot",
              NULL);
    web_icon(page, active ? "ok" : retiring ? "warn" : "dot");
    html_text(page, web_msg(ctx, active     ? MSG_ST_ACTIVE
                                 : retiring ? MSG_ST_RETIRING
                                            : MSG_ST_REMOVED));
    html_close(page, "span");
}

static void link_or_dash(struct cm_buf *page, const char *url)
{
    html_raw(page, "<td>");
    if (url)
        html_leaf(page, "a", url, "href", url, "rel", "noreferrer", NULL);
    else
        html_raw(page, "–");
    html_raw(page, "</td>");
}

/* Promotion is done on the standby itself. */
static void promote_link(struct web_ctx *ctx, struct cm_buf *page, const json_t *server)
{
    const char *ui_url = cm_json_str(server, "ui_url");
    struct cm_buf label;

    if (!ui_url || strcmp(cm_json_str_or(server, "state", ""), "active") != 0 ||
        !cm_json_has_str(cm_json_arr(server, "roles"), "standby"))
        return;
    CM_AUTO_STR href = cm_asprintf("%s/manager", ui_url);

    cm_buf_init(&label, 4096);
    web_sentence(&label, ctx->lang, MSG_P_PROMOTE_OF, cm_json_str(server, "name"), NULL);
    html_leaf(page, "a", cm_buf_str(&label), "href", href, "rel", "noreferrer", NULL);
    cm_buf_fini(&label);
}

/* The manager cannot remove itself, and what is removed stays so. */
static void remove_cell(struct web_ctx *ctx, struct cm_buf *page, const json_t *server)
{
    const char *name = cm_json_str_or(server, "name", "");
    bool can = strcmp(cm_json_str_or(server, "state", ""), "removed") != 0 &&
               !cm_json_has_str(cm_json_arr(server, "roles"), "manager");
    struct cm_buf href, label;

    html_raw(page, "<td><div class=\"row-links\">");
    promote_link(ctx, page, server);
    part_rotate_link(ctx, page, server);
    if (can) {
        cm_buf_init(&href, 2048);
        cm_buf_puts(&href, "/servers/");
        url_encode(&href, name);
        cm_buf_puts(&href, "/remove");
        cm_buf_init(&label, 4096);
        web_sentence(&label, ctx->lang, MSG_V_DO_LABEL, name, NULL); /* a-z 0-9 . - : no escapes */
        html_leaf(page, "a", web_msg(ctx, MSG_V_DO), "href", cm_buf_str(&href), "aria-label",
                  cm_buf_str(&label), NULL);
        cm_buf_fini(&href);
        cm_buf_fini(&label);
    }
    html_raw(page, "</div></td>");
}

static void list_html(struct web_ctx *ctx, struct cm_buf *page)
{
    static const enum web_msg columns[] = {MSG_C_SERVER, MSG_C_ROLES, MSG_C_STATE, MSG_C_UPSTREAM,
                                           MSG_C_UI};
    CM_AUTO_JSON servers = web_servers(ctx->web);
    size_t i;
    json_t *server;

    web_table_frame(page, web_msg(ctx, MSG_NAV_SERVERS));
    html_raw(page, "<table class=\"list\"><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "<td></td></tr></thead><tbody>");
    json_array_foreach(servers, i, server)
    {
        html_raw(page, "<tr><th scope=\"row\">");
        html_text(page, cm_json_str(server, "name"));
        if (cm_json_bool(server, "self", false)) {
            html_raw(page, " ");
            html_leaf(page, "span", web_msg(ctx, MSG_THIS_SERVER), "class", "more", NULL);
        }
        html_raw(page, "</th><td>");
        roles_html(ctx, page, server);
        html_raw(page, "</td><td>");
        state_html(ctx, page, cm_json_str_or(server, "state", ""));
        html_raw(page, "</td>");
        link_or_dash(page, cm_json_str(server, "url"));
        link_or_dash(page, cm_json_str(server, "ui_url"));
        remove_cell(ctx, page, server);
        html_raw(page, "</tr>");
    }
    html_raw(page, "</tbody></table></div>");
}

static void invite_form(struct web_ctx *ctx, struct cm_buf *page, const char *name,
                        const json_t *errors)
{
    struct web_field field = {.name = "name",
                              .label = MSG_SERVER_NAME,
                              .hint = MSG_SERVER_NAME_HINT,
                              .value = name,
                              .required = true,
                              .names = true,
                              .autocomplete = "off",
                              .errors = errors};

    html_raw(page, "<section class=\"card\" aria-labelledby=\"invite-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_INVITE), "id", "invite-title", NULL);
    html_leaf(page, "p", web_msg(ctx, MSG_INVITE_LEAD), NULL);
    html_raw(page, "<form method=\"post\" action=\"/servers\">");
    web_page_token(ctx, page);
    web_field(ctx, page, &field);
    html_leaf(page, "button", web_msg(ctx, MSG_INVITE_SUBMIT), "class", "primary", "type", "submit",
              NULL);
    html_raw(page, "</form></section>");
}

static void fact(struct web_ctx *ctx, struct cm_buf *page, enum web_msg name, const char *value)
{
    html_leaf(page, "dt", web_msg(ctx, name), NULL);
    html_leaf(page, "dd", value, NULL);
}

/* Who signs changes of the fleet, and which change waits for them. */
static void signers_html(struct web_ctx *ctx, struct cm_buf *page)
{
    const struct web_power *power = &ctx->web->env.power;
    CM_AUTO_JSON view = power->show ? power->show(power->arg) : NULL;
    const json_t *proposal = cm_json_obj(view, "proposal");
    struct cm_buf names;
    size_t i;
    json_t *name;

    if (!view)
        return;
    cm_buf_init(&names, 4096);
    json_array_foreach(cm_json_arr(view, "signers"), i, name)
    {
        if (i > 0)
            cm_buf_puts(&names, ", ");
        cm_buf_puts(&names, json_string_value(name));
    }
    CM_AUTO_STR threshold = cm_asprintf("%lld", (long long)cm_json_int(view, "threshold", 1));

    html_raw(page, "<section class=\"card\" aria-labelledby=\"signers-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_TRUST_SIGNERS), "id", "signers-title", NULL);
    html_raw(page, "<dl class=\"facts\">");
    fact(ctx, page, MSG_TRUST_SIGNERS, cm_buf_str(&names));
    fact(ctx, page, MSG_TRUST_RULE, threshold);
    if (proposal) {
        CM_AUTO_STR waits = cm_asprintf("%s (%lld/%lld)", cm_json_str_or(proposal, "what", ""),
                                        (long long)cm_json_int(proposal, "have", 0),
                                        (long long)cm_json_int(proposal, "need", 0));

        fact(ctx, page, MSG_TRUST_WAITS, waits);
    }
    html_raw(page, "</dl>");
    if (proposal)
        html_leaf(page, "p", web_msg(ctx, MSG_TRUST_HOW), "class", "hint", NULL);
    html_raw(page, "</section>");
    cm_buf_fini(&names);
}

static void render(struct web_ctx *ctx, int status, const char *name, const json_t *errors)
{
    struct cm_buf page;

    web_page_begin(ctx, &page, web_msg(ctx, MSG_NAV_SERVERS), NAV_SERVERS);
    web_error_summary(ctx, &page, errors);
    html_raw(&page, "<div class=\"title\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_NAV_SERVERS), NULL);
    html_raw(&page, "</div>");
    list_html(ctx, &page);
    invite_form(ctx, &page, name, errors);
    signers_html(ctx, &page);
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

void page_servers(struct web_ctx *ctx)
{
    render(ctx, 200, "", NULL);
}

/* The token is shown this once; it is stored nowhere in the clear. */
static void show_token(struct web_ctx *ctx, const char *token, const char *expires_at)
{
    struct cm_buf page;
    CM_AUTO_STR command = cm_asprintf("certmgr join %s", token);

    web_page_begin(ctx, &page, web_msg(ctx, MSG_INVITED), NAV_SERVERS);
    html_raw(&page, "<section class=\"card\">");
    html_leaf(&page, "h1", web_msg(ctx, MSG_INVITED), NULL);
    html_raw(&page, "<p>");
    web_sentence(&page, ctx->lang, MSG_INVITED_LEAD, web_form_text(&ctx->form, "name"), NULL);
    html_raw(&page, "</p>");
    html_leaf(&page, "pre", command, "class", "token", "tabindex", "0", NULL);
    html_leaf(&page, "p", web_msg(ctx, MSG_INVITED_ONCE), "class", "hint", NULL);
    html_raw(&page, "<dl class=\"facts\">");
    html_leaf(&page, "dt", web_msg(ctx, MSG_INVITED_UNTIL), NULL);
    html_raw(&page, "<dd>");
    web_time(ctx, &page, expires_at);
    html_raw(&page, "</dd></dl><p>");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_SERVERS), "class", "button", "href", "/servers",
              NULL);
    html_raw(&page, "</p></section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, 200, &page);
    cm_wipe(command, strlen(command));
}

static void invited(void *arg, const char *token, const char *expires_at, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code) {
        CM_AUTO_JSON errors = json_array();
        char line[CM_ERR_TEXT_MAX * 2];

        cm_err_line(err, line, sizeof(line));
        web_field_fail(errors, "name", line);
        render(ctx, web_status_of(err->code), web_form_text(&ctx->form, "name"), errors);
    } else {
        show_token(ctx, token, expires_at);
    }
}

void page_servers_post(struct web_ctx *ctx)
{
    const char *name = web_form_text(&ctx->form, "name");

    if (*name && strlen(name) < KF_NAME_MAX) {
        fleet_invite(ctx->web->env.fleet, name, invited, ctx);
    } else {
        CM_AUTO_JSON errors = json_array();

        web_field_fail(errors, "name", web_msg(ctx, MSG_SERVER_NAME_BAD));
        render(ctx, 422, name, errors);
    }
}
