/* A server's keys are replaced: what that means, asking for it, how far it is, giving it up. */
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "web-ui/html.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/sentence.h"
#include "web-ui/shell.h"
#include "web-ui/view.h"
#include "web-ui/widget.h"

#define REFRESH_S "5"

/* The states of certmgr/fleet/rotate.h in their order, and what each one waits for. */
static const struct stage {
    const char *state;
    enum web_msg name, waits, waits_self;
} stages[] = {
    {"ordered", MSG_ROT_ORDERED, MSG_ROT_WAITS_SERVER, MSG_ROT_WAITS_SERVER},
    {"keys", MSG_ROT_KEYS, MSG_ROT_WAITS_AGENT, MSG_ROT_WAITS_AGENT},
    {"proposed", MSG_ROT_PROPOSED, MSG_ROT_WAITS_LISTED, MSG_ROT_WAITS_LISTED},
    {"resealing", MSG_ROT_RESEALING, MSG_ROT_WAITS_SEALS, MSG_ROT_WAITS_SEALS_SELF},
    {"resealed", MSG_ROT_RESEALED, MSG_ROT_WAITS_FORGET, MSG_ROT_WAITS_FORGET},
};
#define STAGES (sizeof(stages) / sizeof(stages[0]))

static const struct stage *stage_of(const json_t *rotation)
{
    const char *state = cm_json_str_or(rotation, "state", "");

    for (size_t i = 0; i < STAGES; i++)
        if (strcmp(stages[i].state, state) == 0)
            return &stages[i];
    return NULL;
}

/* Path of this page, or of one below it. */
static char *path_of(const char *name, const char *below)
{
    struct cm_buf path;

    cm_buf_init(&path, 2048);
    cm_buf_puts(&path, "/servers/");
    url_encode(&path, name);
    cm_buf_puts(&path, "/rotate");
    cm_buf_puts(&path, below);
    char *ret = cm_strdup(cm_buf_str(&path));
    cm_buf_fini(&path);
    return ret;
}

static char *said_of(const struct web_ctx *ctx, enum web_msg msg, const char *arg)
{
    struct cm_buf text;

    cm_buf_init(&text, 4096);
    web_sentence(&text, ctx->lang, msg, arg, NULL);
    char *ret = cm_strdup(cm_buf_str(&text));
    cm_buf_fini(&text);
    return ret;
}

/* ---- in the list of servers ---- */

void part_rotate_link(struct web_ctx *ctx, struct cm_buf *page, const json_t *server)
{
    const char *name = cm_json_str_or(server, "name", "");
    bool moving = stage_of(cm_json_obj(server, "rotation")) != NULL;

    if (!ctx->web->env.power.rotate_order ||
        strcmp(cm_json_str_or(server, "state", ""), "active") != 0)
        return;
    CM_AUTO_STR href = path_of(name, "");
    /* a-z 0-9 . - : no escapes, as a name of the trust root is */
    CM_AUTO_STR label = said_of(ctx, moving ? MSG_ROT_MOVING_LABEL : MSG_ROT_DO_LABEL, name);

    html_leaf(page, "a", web_msg(ctx, moving ? MSG_ROT_MOVING : MSG_ROT_DO), "href", href,
              "aria-label", label, NULL);
}

/* ---- how far it is ---- */

static void fact_begin(struct web_ctx *ctx, struct cm_buf *page, enum web_msg name)
{
    html_leaf(page, "dt", web_msg(ctx, name), NULL);
    html_raw(page, "<dd>");
}

static void fact_time(struct web_ctx *ctx, struct cm_buf *page, enum web_msg name, const char *at)
{
    if (!at)
        return;
    fact_begin(ctx, page, name);
    web_time(ctx, page, at);
    html_raw(page, "</dd>");
}

static const json_t *listed(const json_t *document, const char *name)
{
    size_t i;
    json_t *server;

    json_array_foreach(cm_json_arr(document, "servers"), i, server)
    {
        if (strcmp(cm_json_str_or(server, "name", ""), name) == 0)
            return server;
    }
    return NULL;
}

/* The change that waits for other root signers, when it is the one that lists this server's keys.
 */
static bool waits_for_signers(struct web_ctx *ctx, struct cm_buf *page)
{
    const struct web_power *power = &ctx->web->env.power;
    CM_AUTO_JSON view = power->show ? power->show(power->arg) : NULL;
    const json_t *proposal = cm_json_obj(view, "proposal");
    const json_t *entry = listed(cm_json_obj(proposal, "document"), ctx->param);

    if (!cm_json_obj(entry, "old"))
        return false;
    CM_AUTO_STR have = cm_asprintf("%lld", (long long)cm_json_int(proposal, "have", 0));
    CM_AUTO_STR need = cm_asprintf("%lld", (long long)cm_json_int(proposal, "need", 0));

    html_raw(page, "<p>");
    web_sentence(page, ctx->lang, MSG_ROT_WAITS_SIGNERS, have, need);
    html_raw(page, "</p>");
    html_leaf(page, "p", web_msg(ctx, MSG_TRUST_HOW), "class", "hint", NULL);
    return true;
}

/* When replication heard of that server last: who is away holds it up. */
static void last_seen(struct web_ctx *ctx, struct cm_buf *page)
{
    CM_AUTO_JSON services = web_services(ctx->web);
    size_t i;
    json_t *peer;

    json_array_foreach(cm_json_arr(services, "peers"), i, peer)
    {
        if (strcmp(cm_json_str_or(peer, "peer", ""), ctx->param) == 0)
            fact_time(ctx, page, MSG_ROT_SEEN, cm_json_str(peer, "last_seen_at"));
    }
}

static void facts_html(struct web_ctx *ctx, struct cm_buf *page, const struct stage *stage,
                       const json_t *rotation, bool self)
{
    CM_AUTO_STR number = cm_asprintf("%zu", (size_t)(stage - stages) + 1);
    CM_AUTO_STR count = cm_asprintf("%zu", STAGES);
    int64_t left = cm_json_int(rotation, "left", -1);
    const json_t *waiting = cm_json_obj(rotation, "waiting");

    html_raw(page, "<dl class=\"facts\">");
    fact_begin(ctx, page, MSG_C_STATE);
    html_text(page, web_msg(ctx, stage->name));
    html_raw(page, " <span class=\"more\">");
    web_sentence(page, ctx->lang, MSG_ROT_STEP, number, count);
    html_raw(page, "</span></dd>");
    if (left >= 0) {
        fact_begin(ctx, page, MSG_ROT_LEFT);
        html_int(page, left);
        html_raw(page, "</dd>");
    }
    if (waiting) {
        fact_begin(ctx, page, MSG_ROT_UNREAD);
        html_int(page, cm_json_int(waiting, "documents", 0));
        html_raw(page, "</dd>");
        fact_time(ctx, page, MSG_ROT_UNTIL, cm_json_str(waiting, "until"));
    }
    fact_time(ctx, page, MSG_ROT_BEGUN, cm_json_str(rotation, "started_at"));
    if (cm_json_str(rotation, "by")) {
        fact_begin(ctx, page, MSG_ROT_BY);
        html_text(page, cm_json_str(rotation, "by"));
        html_raw(page, "</dd>");
    }
    fact_time(ctx, page, MSG_ROT_PROGRESS,
              cm_json_str_or(rotation, "progress_at", cm_json_str(rotation, "at")));
    if (!self)
        last_seen(ctx, page);
    html_raw(page, "</dl>");
}

static void trouble(struct web_ctx *ctx, struct cm_buf *page, enum web_msg lead, const char *what)
{
    if (!what)
        return;
    html_raw(page, "<div class=\"notice tone-warn\">");
    web_icon(page, "warn");
    html_raw(page, "<p>");
    html_text(page, web_msg(ctx, lead));
    html_raw(page, " ");
    web_said(page, ctx->lang, "span", NULL, what);
    html_raw(page, "</p></div>");
}

/* Nothing can be given up once the trust root lists the new keys, and elsewhere only there. */
static void cancel_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *rotation, bool self)
{
    const char *state = cm_json_str_or(rotation, "state", "");
    CM_AUTO_STR action = path_of(ctx->param, "/cancel");

    if (strcmp(state, "keys") != 0 && strcmp(state, "proposed") != 0) {
        if (strcmp(state, "ordered") != 0)
            html_leaf(page, "p", web_msg(ctx, MSG_ROT_NO_WAY_BACK), "class", "hint", NULL);
        return;
    }
    if (!self) {
        html_raw(page, "<p class=\"hint\">");
        web_sentence(page, ctx->lang, MSG_ROT_CANCEL_THERE, ctx->param, NULL);
        html_raw(page, "</p>");
        return;
    }
    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_ROT_CANCEL), "type", "submit", NULL);
    html_raw(page, "</div></form>");
}

static void moving_html(struct web_ctx *ctx, struct cm_buf *page, const struct stage *stage,
                        const json_t *rotation)
{
    bool self = strcmp(ctx->param, ctx->web->env.self) == 0;

    facts_html(ctx, page, stage, rotation, self);
    if (strcmp(stage->state, "proposed") != 0 || !waits_for_signers(ctx, page)) {
        html_raw(page, "<p>");
        web_sentence(page, ctx->lang,
                     cm_json_obj(rotation, "waiting") ? MSG_ROT_WAITS_UNREAD
                     : self                           ? stage->waits_self
                                                      : stage->waits,
                     ctx->param, NULL);
        html_raw(page, "</p>");
    }
    if (cm_json_bool(rotation, "stuck", false))
        web_notice(page, "warn", web_msg(ctx, MSG_ROT_STUCK));
    trouble(ctx, page, MSG_ROT_HINDERS, cm_json_str(rotation, "error"));
    trouble(ctx, page, MSG_ROT_REFUSED, cm_json_str(rotation, "refused"));
    cancel_html(ctx, page, rotation, self);
}

/* ---- before it ---- */

static void ask_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *rotation)
{
    static const enum web_msg said[] = {MSG_ROT_WHAT_KEYS, MSG_ROT_WHAT_SEALS, MSG_ROT_WHAT_TLS,
                                        MSG_ROT_WHAT_BACKUP};
    bool self = strcmp(ctx->param, ctx->web->env.self) == 0;
    CM_AUTO_STR action = path_of(ctx->param, "");

    html_leaf(page, "p", web_msg(ctx, MSG_ROT_LEAD), NULL);
    html_raw(page, "<ul>");
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
        html_leaf(page, "li", web_msg(ctx, said[i]), NULL);
    if (self)
        html_leaf(page, "li", web_msg(ctx, MSG_ROT_WHAT_SELF), NULL);
    html_raw(page, "</ul>");
    html_leaf(page, "p", web_msg(ctx, MSG_ROT_NOT_FOR), "class", "hint", NULL);
    if (cm_json_str(rotation, "finished_at")) {
        html_raw(page, "<dl class=\"facts\">");
        fact_time(ctx, page,
                  strcmp(cm_json_str_or(rotation, "state", ""), "cancelled") == 0 ? MSG_ROT_GIVEN_UP
                                                                                  : MSG_ROT_LAST,
                  cm_json_str(rotation, "finished_at"));
        html_raw(page, "</dl>");
    }
    trouble(ctx, page, MSG_ROT_HINDERS, cm_json_str(rotation, "error")); /* a copy: "replaced" */
    html_open(page, "form", "method", "post", "action", action, NULL);
    web_page_token(ctx, page);
    html_raw(page, "<div class=\"actions\">");
    html_leaf(page, "button", web_msg(ctx, MSG_ROT_DO), "class", "primary", "type", "submit", NULL);
    html_leaf(page, "a", web_msg(ctx, MSG_CANCEL), "class", "button", "href", "/servers", NULL);
    html_raw(page, "</div></form>");
}

static void render(struct web_ctx *ctx, int status, const struct cm_err *err)
{
    const struct web_power *power = &ctx->web->env.power;
    CM_AUTO_JSON rotation = power->rotation ? power->rotation(power->arg, ctx->param) : NULL;
    CM_AUTO_JSON refused = cm_err_to_json(err);
    CM_AUTO_STR here = path_of(ctx->param, "");
    const struct stage *moving = stage_of(rotation);
    struct cm_buf page;

    web_page_begin_with(ctx, &page,
                        &(struct web_page){.title = web_msg(ctx, MSG_ROT_DO),
                                           .nav = NAV_SERVERS,
                                           .refresh = moving ? REFRESH_S : NULL,
                                           .module = moving ? "watch.mjs" : NULL});
    html_raw(&page, "<p class=\"crumb\">");
    html_leaf(&page, "a", web_msg(ctx, MSG_NAV_SERVERS), "href", "/servers", NULL);
    html_raw(&page, "</p><div id=\"watch-lost\" role=\"status\" hidden>");
    web_notice(&page, "info", web_msg(ctx, MSG_ROT_LOST));
    html_raw(&page, "</div>");
    html_open(&page, "section", "class", "card", "tabindex", "-1", "data-part", "watched",
              "data-watch", moving ? here : NULL, NULL);
    html_raw(&page, "<h1>");
    web_sentence(&page, ctx->lang, moving ? MSG_ROT_MOVING_TITLE : MSG_ROT_TITLE, ctx->param, NULL);
    html_raw(&page, "</h1>");
    if (refused)
        web_error_object(ctx, &page, refused);
    if (moving)
        moving_html(ctx, &page, moving, rotation);
    else
        ask_html(ctx, &page, rotation);
    html_raw(&page, "</section>");
    web_page_end(ctx, &page);
    web_reply_html(ctx, status, &page);
}

/* An active server of the trust root, on a server that can do it; else the reply is given. */
static bool can_rotate(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;
    CM_AUTO_JSON server = web_server(ctx->web, ctx->param);
    bool can = power->rotate && power->rotate_order && power->rotate_cancel &&
               strcmp(cm_json_str_or(server, "state", ""), "active") == 0;

    if (!can)
        web_reply_status(ctx, 404);
    return can;
}

void page_server_rotate(struct web_ctx *ctx)
{
    if (can_rotate(ctx))
        render(ctx, 200, NULL);
}

static void asked(void *arg, const struct cm_err *err)
{
    struct web_ctx *ctx = arg;

    if (web_ctx_gone(ctx))
        return;
    if (err && err->code) {
        render(ctx, web_status_of(err->code), err);
        return;
    }
    CM_AUTO_STR here = path_of(ctx->param, "");

    web_reply_redirect(ctx, here);
}

void page_server_rotate_post(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;
    struct cm_err err = CM_ERR_INIT;

    if (!can_rotate(ctx))
        return;
    if (strcmp(ctx->param, ctx->web->env.self) == 0) {
        (void)power->rotate(power->arg, web_actor(ctx).who, &err); /* told by err */
        asked(ctx, &err);
    } else {
        power->rotate_order(power->arg, ctx->param, web_actor(ctx).who, asked, ctx);
    }
    cm_err_fini(&err);
}

void page_server_rotate_cancel(struct web_ctx *ctx)
{
    const struct web_power *power = &ctx->web->env.power;
    struct cm_err err = CM_ERR_INIT;

    if (!can_rotate(ctx))
        return;
    if (strcmp(ctx->param, ctx->web->env.self) != 0)
        cm_fail(&err, CM_EDENIED, "a rotation is given up on its own server (%.63s)", ctx->param);
    else
        (void)power->rotate_cancel(power->arg, &err); /* told by err */
    asked(ctx, &err);
    cm_err_fini(&err);
}
