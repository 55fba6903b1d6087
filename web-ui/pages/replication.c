/* Replication on the status page: each direction with its lag and last error, the peers; and the
 * refused documents, which are taken off the list once they were seen. */
#include <string.h>

#include "base/core/clock.h"
#include "web-ui/html.h"
#include "web-ui/json_view.h"
#include "web-ui/pages/pages.h"
#include "web-ui/reply.h"
#include "web-ui/shell.h"
#include "web-ui/widget.h"

/* An integer with its unit, or a dash when it is not known. */
static void number(struct cm_buf *page, const json_t *row, const char *key, const char *unit)
{
    if (json_is_integer(json_object_get(row, key))) {
        html_int(page, cm_json_int(row, key, 0));
        html_raw(page, unit);
    } else {
        html_raw(page, "–");
    }
}

static void head(struct web_ctx *ctx, struct cm_buf *page, const enum web_msg *columns,
                 size_t count)
{
    html_raw(page, "<table class=\"list\"><thead><tr>");
    for (size_t i = 0; i < count; i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
}

static void when(struct web_ctx *ctx, struct cm_buf *page, const char *at)
{
    html_raw(page, "<td>");
    if (at)
        web_time(ctx, page, at);
    else
        html_raw(page, "–");
    html_raw(page, "</td>");
}

static void direction_row(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    bool pull = strcmp(cm_json_str_or(row, "direction", ""), "pull") == 0;
    const json_t *error = cm_json_obj(row, "last_error");

    html_raw(page, "<tr><th scope=\"row\">");
    html_text(page, web_msg(ctx, pull ? MSG_REPL_PULL : MSG_REPL_PUSH));
    html_raw(page, "</th><td>");
    html_text(page, web_json_word(ctx, cm_json_str_or(row, "state", "")));
    html_raw(page, "</td><td>");
    number(page, row, "lag_documents", "");
    html_raw(page, " / ");
    number(page, row, "lag_seconds", " s");
    html_raw(page, "</td>");
    when(ctx, page, cm_json_str(row, "last_success_at"));
    html_raw(page, "<td>");
    number(page, row, "documents", "");
    html_raw(page, "</td><td>");
    number(page, row, "refused", "");
    html_raw(page, "</td><td>");
    if (error)
        web_time(ctx, page, cm_json_str_or(row, "last_error_at", ""));
    else
        html_raw(page, "–");
    html_raw(page, "</td></tr>");
}

/* The whole last error of a direction below the table: a cell is too narrow for causes and hint. */
static void direction_error(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    bool pull = strcmp(cm_json_str_or(row, "direction", ""), "pull") == 0;
    bool over = !cm_json_obj(row, "error");
    const json_t *error = cm_json_obj(row, "last_error");

    if (!error)
        return;
    html_raw(page, "<h3>");
    web_sentence(page, ctx->lang, over ? MSG_REPL_ERROR_OVER : MSG_REPL_ERROR_NOW,
                 web_msg(ctx, pull ? MSG_REPL_PULL : MSG_REPL_PUSH), NULL);
    html_raw(page, "</h3>");
    web_error_object(ctx, page, error);
}

/* The certificate that opens the hub to this server is renewed by people only. */
static void hub_certificate(struct web_ctx *ctx, struct cm_buf *page, const json_t *upstream)
{
    const char *health = cm_json_str_or(upstream, "cert_health", "green");
    int64_t end = cm_json_time(upstream, "cert_not_after", 0);

    if (strcmp(health, "green") == 0)
        return;
    web_notice(page, strcmp(health, "red") == 0 ? "bad" : "warn",
               web_msg(ctx, end <= cm_now_ms() ? MSG_REPL_CERT_OVER : MSG_REPL_CERT_ENDS));
}

/* Who comes here, and how far it is: one that does not come stands out. */
static void peer_row(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    bool here = cm_json_bool(row, "feed", false), hub = cm_json_str(row, "through") != NULL;

    html_raw(page, "<tr><th scope=\"row\">");
    html_text(page, cm_json_str_or(row, "peer", ""));
    html_raw(page, here  ? "</th><td><span class=\"badge tone-ok\">"
                   : hub ? "</th><td><span class=\"badge tone-info\">"
                         : "</th><td><span class=\"badge tone-warn\">");
    web_icon(page, here ? "ok" : hub ? "info" : "warn");
    html_text(page, web_msg(ctx, here ? MSG_REPL_HERE : hub ? MSG_REPL_THROUGH : MSG_REPL_AWAY));
    html_raw(page, "</span></td><td>");
    number(page, row, "lag_documents", "");
    html_raw(page, " / ");
    number(page, row, "lag_seconds", " s");
    html_raw(page, "</td>");
    when(ctx, page, cm_json_str(row, "last_seen_at"));
    html_raw(page, "</tr>");
}

static void peers(struct web_ctx *ctx, struct cm_buf *page, const json_t *list)
{
    static const enum web_msg columns[] = {MSG_K_PEER, MSG_C_STATE, MSG_REPL_LAG,
                                           MSG_K_LAST_SEEN_AT};
    size_t i;
    json_t *row;

    if (json_array_size(list) == 0)
        return;
    html_leaf(page, "h3", web_msg(ctx, MSG_REPL_PEERS), NULL);
    web_table_frame(page, web_msg(ctx, MSG_REPL_PEERS));
    head(ctx, page, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(list, i, row)
    {
        peer_row(ctx, page, row);
    }
    html_raw(page, "</tbody></table></div>");
}

void part_replication(struct web_ctx *ctx, struct cm_buf *page)
{
    static const enum web_msg columns[] = {MSG_REPL_DIRECTION, MSG_C_STATE,   MSG_REPL_LAG,
                                           MSG_REPL_SUCCESS,   MSG_REPL_DOCS, MSG_REPL_REFUSED,
                                           MSG_REPL_LAST_ERROR};
    const struct web_upstream *up = &ctx->web->env.upstream;
    CM_AUTO_JSON view = up->replication ? up->replication(up->arg) : NULL;
    size_t i;
    json_t *row;

    if (!view)
        return;
    html_raw(page, "<section class=\"card\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_REPL_TITLE), NULL);
    if (json_object_get(view, "second_manager"))
        web_notice(page, "bad", web_msg(ctx, MSG_REPL_SECOND));
    hub_certificate(ctx, page, cm_json_obj(view, "upstream"));
    if (strcmp(cm_json_str_or(cm_json_obj(view, "upstream"), "kind", ""), "none") == 0)
        html_leaf(page, "p", web_msg(ctx, MSG_REPL_NO_UPSTREAM), "class", "hint", NULL);
    else
        web_json_view(ctx, page, json_object_get(view, "upstream"));
    if (json_array_size(cm_json_arr(view, "directions")) > 0) {
        web_table_frame(page, web_msg(ctx, MSG_REPL_TITLE));
        head(ctx, page, columns, sizeof(columns) / sizeof(columns[0]));
        json_array_foreach(cm_json_arr(view, "directions"), i, row)
        {
            direction_row(ctx, page, row);
        }
        html_raw(page, "</tbody></table></div>");
        json_array_foreach(cm_json_arr(view, "directions"), i, row)
        {
            direction_error(ctx, page, row);
        }
    }
    peers(ctx, page, cm_json_arr(view, "peers"));
    html_raw(page, "</section>");
}

/* ---- refused documents ---- */

/* A button for one entry, or for all of them (row NULL). */
static void clear_form(struct web_ctx *ctx, struct cm_buf *page, const json_t *row)
{
    html_open(page, "form", "method", "post", "action", "/status/quarantine-clear", NULL);
    web_page_token(ctx, page);
    if (row) {
        html_open(page, "input", "type", "hidden", "name", "id", "value",
                  cm_json_str_or(row, "id", ""), NULL);
        html_open(page, "input", "type", "hidden", "name", "rev", "value",
                  cm_json_str_or(row, "rev", ""), NULL);
    }
    html_leaf(page, "button", web_msg(ctx, row ? MSG_REPL_CLEAR : MSG_REPL_CLEAR_ALL), "type",
              "submit", NULL);
    html_raw(page, "</form>");
}

void part_refused(struct web_ctx *ctx, struct cm_buf *page, const json_t *list)
{
    static const enum web_msg columns[] = {MSG_REPL_DOCUMENT, MSG_REPL_FROM, MSG_REPL_REASON,
                                           MSG_REPL_LAST, MSG_REPL_TIMES};
    size_t i;
    json_t *row;

    if (json_array_size(list) == 0)
        return;
    html_raw(page, "<section class=\"card\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_STATUS_QUARANTINE), NULL);
    web_table_frame(page, web_msg(ctx, MSG_STATUS_QUARANTINE));
    head(ctx, page, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(list, i, row)
    {
        html_raw(page, "<tr><th scope=\"row\">");
        html_text(page, cm_json_str_or(row, "id", ""));
        html_raw(page, "<br><span class=\"more\">");
        html_text(page, cm_json_str_or(row, "rev", ""));
        html_raw(page, "</span></th><td>");
        html_text(page, cm_json_str_or(row, "peer", ""));
        html_raw(page, "</td><td>");
        html_text(page, cm_json_str_or(row, "reason", ""));
        html_raw(page, "</td>");
        when(ctx, page, cm_json_str(row, "at"));
        html_raw(page, "<td>");
        number(page, row, "count", "");
        clear_form(ctx, page, row);
        html_raw(page, "</td></tr>");
    }
    html_raw(page, "</tbody></table></div>");
    clear_form(ctx, page, NULL);
    html_raw(page, "</section>");
}

static void cleared(struct web_ctx *ctx)
{
    web_reply_redirect(ctx, "/status");
}

void page_quarantine_clear_post(struct web_ctx *ctx)
{
    const char *id = web_form_get(&ctx->form, "id"), *rev = web_form_get(&ctx->form, "rev");
    struct cm_err err = CM_ERR_INIT;
    size_t count;

    if (cs_quarantine_forget(ctx->web->env.store, id, rev, &count, &err) < 0)
        web_reply_error(ctx, &err);
    else
        web_after_commit(ctx, cleared);
    cm_err_fini(&err);
}
