/* Form fields with label, hint and error, tied together for screen readers
 * (WCAG 2.2: 1.3.1, 3.3.1). */
#pragma once

#include "web-ui/ctx.h"

struct web_field {
    const char *name; /* also the id */
    enum web_msg label;
    enum web_msg hint; /* MSG_NONE = none */
    const char *value; /* NULL = "" */
    const char *type;  /* NULL = "text"; "number" keeps what was typed, unlike the browser's own */
    const char *autocomplete;
    unsigned rows; /* > 0: a text area of so many lines */
    bool required;
    bool names;           /* host names, tokens: no spelling or capitals help */
    const json_t *errors; /* [{"field","value"?,"message"}] of the whole form, or NULL */
};

void web_field(const struct web_ctx *ctx, struct cm_buf *page, const struct web_field *field);
struct web_option {
    const char *value;
    const char *label;
};
/* <select>; field->value is the chosen one. */
void web_field_select(const struct web_ctx *ctx, struct cm_buf *page, const struct web_field *field,
                      const struct web_option *options, size_t count);
/* One check box with its label. */
void web_field_check(const struct web_ctx *ctx, struct cm_buf *page, const char *name,
                     const char *value, enum web_msg label, bool checked);
/* Box at the top that lists all errors, each linked to its field.  Nothing when there are none. */
void web_error_summary(const struct web_ctx *ctx, struct cm_buf *page, const json_t *errors);
/* The errors of one field, with id "<name>-error". */
void web_field_errors(const struct web_ctx *ctx, struct cm_buf *page, const char *name,
                      const json_t *errors);
bool web_field_has_error(const char *name, const json_t *errors);
/* Appends {"field","message"} to an array of errors. */
void web_field_fail(json_t *errors, const char *name, const char *message);
/* An engine's "field: message" as [{"field","message"}] (owned); NULL when err names no field. */
json_t *web_errors_of(const struct cm_err *err);
