/* What was done and asked, in time: the step log and the history of requests.  See
 * credential_parts.h. */
#include <string.h>

#include "base/core/log.h"
#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/pages/credential_parts.h"
#include "web-ui/sentence.h"
#include "web-ui/widget.h"

/* ---- steps ---- */

static const char *step_tone(const json_t *step)
{
    static const char *const by_number[] = {[CM_LOG_DEBUG] = "dot",
                                            [CM_LOG_INFO] = "info",
                                            [CM_LOG_WARN] = "warn",
                                            [CM_LOG_ERROR] = "bad"};
    const json_t *level = json_object_get(step, "level");
    enum cm_level parsed = CM_LOG_INFO;

    if (json_is_integer(level) && json_integer_value(level) >= CM_LOG_DEBUG &&
        json_integer_value(level) <= CM_LOG_ERROR)
        return by_number[json_integer_value(level)];
    if (json_is_string(level) && cm_level_parse(json_string_value(level), &parsed) == 0)
        return by_number[parsed];
    return "info";
}

void part_steps(struct web_ctx *ctx, struct cm_buf *page, const json_t *steps)
{
    size_t i;
    json_t *step;

    part_begin(page, "steps-title", web_msg(ctx, MSG_D_STEPS));
    html_raw(page, "<div data-part=\"no-steps\">");
    if (json_array_size(steps) == 0)
        html_leaf(page, "p", web_msg(ctx, MSG_D_NO_STEPS), "class", "hint", NULL);
    html_raw(page, "</div>");
    html_open(page, "div", "role", "log", "aria-labelledby", "steps-title", "aria-relevant",
              "additions", NULL);
    html_raw(page, "<ol class=\"steps\" data-part=\"steps\">");
    json_array_foreach(steps, i, step)
    {
        const char *tone = step_tone(step);
        const char *server = cm_json_str(step, "server");
        CM_AUTO_STR class = cm_asprintf("step tone-%s", tone);

        html_open(page, "li", "class", class, "data-id", cm_json_str(step, "id"), NULL);
        web_icon(page, tone);
        html_raw(page, "<div>");
        web_said(page, ctx->lang, "p", NULL, cm_json_str_or(step, "text", ""));
        html_raw(page, "<p class=\"meta\">");
        web_time_exact(page, cm_json_str(step, "at"));
        if (server)
            html_leaf(page, "span", server, "class", "role", NULL);
        html_raw(page, "</p></div></li>");
    }
    html_raw(page, "</ol></div></section>");
}

/* ---- history ---- */

static void history_word(struct web_ctx *ctx, struct cm_buf *page, const char *word)
{
    static const struct {
        const char *word;
        enum web_msg label;
    } words[] = {
        {"issue", MSG_Y_ISSUE},   {"retry", MSG_Y_RETRY},
        {"renew", MSG_Y_RENEW},   {"roll_over", MSG_Y_ROLL_OVER},
        {"import", MSG_Y_IMPORT}, {"form", MSG_Y_FORM},
        {"api", MSG_Y_API},       {"cli", MSG_Y_CLI},
    };

    for (size_t i = 0; word && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i].word, word) == 0)
            word = web_msg(ctx, words[i].label);
    }
    html_text(page, word ? word : "–");
}

static void history_row(struct web_ctx *ctx, struct cm_buf *page, const json_t *line)
{
    html_raw(page, "<tr><th scope=\"row\">");
    history_word(ctx, page, cm_json_str(line, "action"));
    html_raw(page, "</th>");
    html_leaf(page, "td", cm_json_str_or(line, "who", "–"), NULL);
    html_raw(page, "<td>");
    history_word(ctx, page, cm_json_str(line, "via"));
    html_raw(page, "</td>");
    html_leaf(page, "td", cm_json_str_or(line, "server", "–"), NULL);
    html_raw(page, "<td>");
    web_time(ctx, page, cm_json_str(line, "at"));
    html_raw(page, "</td></tr>");
}

void part_history(struct web_ctx *ctx, struct cm_buf *page, const json_t *history)
{
    static const enum web_msg columns[] = {MSG_Y_ACTION, MSG_Y_WHO, MSG_Y_VIA, MSG_C_SERVER,
                                           MSG_Y_WHEN};
    size_t i;

    if (json_array_size(history) == 0)
        return;
    part_begin(page, "history-title", web_msg(ctx, MSG_Y_TITLE));
    web_table_frame(page, web_msg(ctx, MSG_Y_TITLE));
    html_raw(page, "<table><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    for (i = json_array_size(history); i-- > 0;) /* newest first */
        history_row(ctx, page, json_array_get(history, i));
    html_raw(page, "</tbody></table></div></section>");
}
