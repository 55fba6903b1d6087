/* The TLS Credentials form: its HTML, and its values as the engine's fields. */
#pragma once

#include "web-ui/ctx.h"

#define CREDENTIAL_FORM_ID "request"

struct credential_form {
    const struct web_form *posted; /* values to keep, or NULL */
    const json_t *errors;          /* as eng_check(), or NULL */
    const struct cm_err *err;      /* an edit conflict to tell, or NULL */
    const json_t *credential;      /* the one being edited (ctx->param), or NULL: a new one */
    const json_t *without;         /* names (ASCII) to leave out of it, or NULL */
    const json_t *report;          /* of a check, or NULL */
    const json_t *advice;          /* to be read before it is submitted again, or NULL … */
    const char *read;              /* … and what the next submit says then; NULL = nothing */
    const char *add;               /* a name to add to those posted, or NULL */
};
/* The names that the last failure was about, when others remain without them; else NULL.  A form
 * without them can be offered (borrowed). */
const json_t *credential_refused_names(const json_t *credential);
/* Replies with the form.  Ends ctx. */
void credential_form(struct web_ctx *ctx, int status, const struct credential_form *wanted);
/* Fields for eng_submit() or (edit) eng_change(), owned; what no field can hold goes to errors. */
json_t *credential_form_fields(const struct web_ctx *ctx, bool edit, json_t *errors);
/* Is there something to be read first, or a name to be added?  Then replies with the form, ends ctx
 * and returns true.  credential: the one being edited, or NULL. */
bool credential_advice(struct web_ctx *ctx, const json_t *fields, const json_t *credential);
/* Keeps the notes of a submission ("duplicate folded: …") for the credential's page. */
void credential_notes(struct web *web, const char *credential, const json_t *notes);
/* The button Check: looks at what was typed and shows the form again.  Ends ctx.  read: the
 * credential being edited (ctx->param; owned, NULL = gone); NULL: a new one. */
void credential_check(struct web_ctx *ctx, const json_t *fields,
                      json_t *(*read)(const struct web_ctx *ctx));
