/* Form fields.  See field.h. */
#include "web-ui/field.h"

#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/html.h"
#include "web-ui/sentence.h"
#include "web-ui/widget.h"

static bool is_for(const json_t *error, const char *name)
{
    return strcmp(cm_json_str_or(error, "field", ""), name) == 0;
}

bool web_field_has_error(const char *name, const json_t *errors)
{
    size_t i;
    json_t *error;

    json_array_foreach(errors, i, error)
    {
        if (is_for(error, name))
            return true;
    }
    return false;
}

void web_field_fail(json_t *errors, const char *name, const char *message)
{
    json_t *error = json_object();

    cm_json_set_str(error, "field", name);
    cm_json_set_str(error, "message", message);
    json_array_append_new(errors, error);
}

json_t *web_errors_of(const struct cm_err *err)
{
    size_t len = err ? strspn(err->what, "abcdefghijklmnopqrstuvwxyz_") : 0;
    CM_AUTO_STR field = NULL;
    json_t *errors;

    if (len == 0 || err->code != CM_EINVAL || err->what[len] != ':' || err->what[len + 1] != ' ')
        return NULL;
    field = cm_strndup(err->what, len);
    errors = json_array();
    web_field_fail(errors, field, err->what + len + 2);
    return errors;
}

/* The value as typed before the message, unless the message quotes it already. */
static void error_text(const struct web_ctx *ctx, struct cm_buf *page, const json_t *error)
{
    const char *value = cm_json_str(error, "value");
    const char *message = cm_json_str_or(error, "message", "");

    if (value && *value && !strstr(message, value)) {
        html_leaf(page, "bdi", value, "class", "typed", NULL);
        html_raw(page, " ");
    }
    if (!web_say(page, ctx->lang, message))
        html_text(page, message);
}

void web_field_errors(const struct web_ctx *ctx, struct cm_buf *page, const char *name,
                      const json_t *errors)
{
    CM_AUTO_STR id = cm_asprintf("%s-error", name);
    size_t i;
    json_t *error;

    if (!web_field_has_error(name, errors))
        return;
    html_open(page, "div", "class", "field-error", "id", id, NULL);
    json_array_foreach(errors, i, error)
    {
        if (!is_for(error, name))
            continue;
        html_raw(page, "<p>");
        web_icon(page, "bad");
        html_raw(page, "<span>");
        error_text(ctx, page, error);
        html_raw(page, "</span></p>");
    }
    html_close(page, "div");
}

void web_error_summary(const struct web_ctx *ctx, struct cm_buf *page, const json_t *errors)
{
    size_t i;
    json_t *error;

    if (json_array_size(errors) == 0)
        return;
    html_raw(page, "<div class=\"summary\" role=\"alert\" tabindex=\"-1\" autofocus "
                   "aria-labelledby=\"summary-title\">");
    html_leaf(page, "h2", web_msg(ctx, MSG_SUMMARY), "id", "summary-title", NULL);
    html_raw(page, "<ul>");
    json_array_foreach(errors, i, error)
    {
        const char *field = cm_json_str_or(error, "field", "");
        CM_AUTO_STR href = cm_asprintf("#%s", *field ? field : "main");

        html_raw(page, "<li>");
        html_open(page, "a", "href", href, NULL);
        error_text(ctx, page, error);
        html_raw(page, "</a></li>");
    }
    html_raw(page, "</ul></div>");
}

/* Label and hint; described (owned) = the ids for aria-describedby, or NULL. */
static char *field_head(const struct web_ctx *ctx, struct cm_buf *page,
                        const struct web_field *field)
{
    bool bad = web_field_has_error(field->name, field->errors);
    CM_AUTO_STR hint_id = cm_asprintf("%s-hint", field->name);

    html_open(page, "div", "class", bad ? "field bad" : "field", NULL);
    html_open(page, "label", "for", field->name, NULL);
    html_text(page, web_msg(ctx, field->label));
    if (!field->required) {
        html_raw(page, " ");
        html_leaf(page, "span", web_msg(ctx, MSG_OPTIONAL), "class", "optional", NULL);
    }
    html_close(page, "label");
    if (field->hint != MSG_NONE)
        html_leaf(page, "p", web_msg(ctx, field->hint), "class", "hint", "id", hint_id, NULL);
    web_field_errors(ctx, page, field->name, field->errors);
    if (field->hint == MSG_NONE && !bad)
        return NULL;
    return cm_asprintf("%s%s%s%s", field->hint != MSG_NONE ? hint_id : "",
                       field->hint != MSG_NONE && bad ? " " : "", bad ? field->name : "",
                       bad ? "-error" : "");
}

void web_field(const struct web_ctx *ctx, struct cm_buf *page, const struct web_field *field)
{
    CM_AUTO_STR described = field_head(ctx, page, field);
    const char *invalid = web_field_has_error(field->name, field->errors) ? "true" : NULL;
    const char *required = field->required ? "" : NULL;
    const char *spell = field->names ? "false" : NULL;
    const char *capitals = field->names ? "none" : NULL;
    const char *value = field->value ? field->value : "";

    if (field->rows > 0) {
        char rows[16];

        snprintf(rows, sizeof(rows), "%u", field->rows);
        html_open(page, "textarea", "id", field->name, "name", field->name, "rows", rows,
                  "required", required, "spellcheck", spell, "autocapitalize", capitals,
                  "aria-invalid", invalid, "aria-describedby", described, "autocomplete",
                  field->autocomplete, NULL);
        html_raw(page, "\n"); /* the parser drops one leading newline; keep the value's own */
        html_text(page, value);
        html_close(page, "textarea");
    } else {
        bool number = field->type && strcmp(field->type, "number") == 0;

        html_open(page, "input", "id", field->name, "name", field->name, "type",
                  number || !field->type ? "text" : field->type, "inputmode",
                  number ? "numeric" : (const char *)NULL, "value", *value ? value : NULL,
                  "required", required, "spellcheck", spell, "autocapitalize", capitals,
                  "aria-invalid", invalid, "aria-describedby", described, "autocomplete",
                  field->autocomplete, NULL);
    }
    html_close(page, "div");
}

void web_field_select(const struct web_ctx *ctx, struct cm_buf *page, const struct web_field *field,
                      const struct web_option *options, size_t count)
{
    CM_AUTO_STR described = field_head(ctx, page, field);
    const char *invalid = web_field_has_error(field->name, field->errors) ? "true" : NULL;

    html_open(page, "select", "id", field->name, "name", field->name, "aria-invalid", invalid,
              "aria-describedby", described, "required", field->required ? "" : (const char *)NULL,
              NULL);
    for (size_t i = 0; i < count; i++) {
        bool chosen = field->value && strcmp(field->value, options[i].value) == 0;

        html_leaf(page, "option", options[i].label, "value", options[i].value, "selected",
                  chosen ? "" : (const char *)NULL, NULL);
    }
    html_close(page, "select");
    html_close(page, "div");
}

void web_field_check(const struct web_ctx *ctx, struct cm_buf *page, const char *name,
                     const char *value, enum web_msg label, bool checked)
{
    html_raw(page, "<label class=\"check\">");
    html_open(page, "input", "type", "checkbox", "id", name, "name", name, "value", value,
              "checked", checked ? "" : (const char *)NULL, NULL);
    html_leaf(page, "span", web_msg(ctx, label), NULL);
    html_close(page, "label");
}
