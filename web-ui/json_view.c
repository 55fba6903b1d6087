/* Generic JSON as HTML.  See json_view.h. */
#include "web-ui/json_view.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/widget.h"

/* "last_seen_at" -> "Last seen at". */
static void member_name(struct cm_buf *page, const char *name)
{
    CM_AUTO_STR text = cm_strdup(name);

    for (char *p = text; *p; p++) {
        if (*p == '_')
            *p = ' ';
    }
    if (text[0] >= 'a' && text[0] <= 'z')
        text[0] = (char)(text[0] - 'a' + 'A');
    html_text(page, text);
}

static void scalar(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value)
{
    const char *text = json_string_value(value);
    int64_t ms;

    if (text && cm_time_parse(text, &ms) == 0)
        web_time(ctx, page, text);
    else if (text)
        html_text(page, text);
    else if (json_is_integer(value))
        html_int(page, json_integer_value(value));
    else if (json_is_boolean(value))
        html_text(page, web_msg(ctx, json_is_true(value) ? MSG_YES : MSG_NO));
    else
        html_raw(page, "–");
}

static void show(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value, int depth);

static void show_object(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value,
                        int depth)
{
    const char *key;
    json_t *member;

    html_raw(page, "<dl class=\"facts\">");
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        html_raw(page, "<dt>");
        member_name(page, key);
        html_raw(page, "</dt><dd>");
        show(ctx, page, member, depth + 1);
        html_raw(page, "</dd>");
    }
    html_raw(page, "</dl>");
}

/* Column names of an array of objects: the union of their members in order of appearance. */
static json_t *columns_of(const json_t *rows)
{
    json_t *columns = json_array();
    size_t i;
    json_t *row, *member;
    const char *key;

    json_array_foreach(rows, i, row)
    {
        json_object_foreach(row, key, member)
        {
            if (json_array_size(columns) < JSON_VIEW_COLUMNS && !cm_json_has_str(columns, key))
                json_array_append_new(columns, json_string(key));
        }
    }
    return columns;
}

static void show_table(const struct web_ctx *ctx, struct cm_buf *page, const json_t *rows,
                       int depth)
{
    CM_AUTO_JSON columns = columns_of(rows);
    size_t i, c;
    json_t *row, *column;

    html_raw(page, "<div class=\"frame\"><table><thead><tr>");
    json_array_foreach(columns, c, column)
    {
        html_raw(page, "<th scope=\"col\">");
        member_name(page, json_string_value(column));
        html_raw(page, "</th>");
    }
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(rows, i, row)
    {
        html_raw(page, "<tr>");
        json_array_foreach(columns, c, column)
        {
            html_raw(page, "<td>");
            show(ctx, page, json_object_get(row, json_string_value(column)), depth + 1);
            html_raw(page, "</td>");
        }
        html_raw(page, "</tr>");
    }
    html_raw(page, "</tbody></table></div>");
}

static void show(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value, int depth)
{
    if (depth > JSON_VIEW_DEPTH_MAX) {
        html_raw(page, "…");
    } else if (json_is_object(value) && cm_json_str(value, "what")) {
        web_error_object(ctx, page, value);
    } else if (json_is_object(value) && json_object_size(value) > 0) {
        show_object(ctx, page, value, depth);
    } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
        show_table(ctx, page, value, depth);
    } else if (json_is_array(value) && json_array_size(value) > 0) {
        size_t i;
        json_t *item;

        html_raw(page, "<ul class=\"plain\">");
        json_array_foreach(value, i, item)
        {
            html_raw(page, "<li>");
            show(ctx, page, item, depth + 1);
            html_raw(page, "</li>");
        }
        html_raw(page, "</ul>");
    } else {
        scalar(ctx, page, value);
    }
}

void web_json_view(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value)
{
    show(ctx, page, value, 0);
}
