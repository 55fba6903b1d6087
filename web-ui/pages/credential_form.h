/* The TLS Credentials form: its HTML, and its values as the engine's fields. */
#pragma once

#include "web-ui/ctx.h"

/* Replies with the form.  posted: values to keep, or NULL for the defaults; errors: as eng_check(),
 * or NULL.  Ends ctx. */
void credential_form(struct web_ctx *ctx, int status, const struct web_form *posted,
                     const json_t *errors);
/* Fields for eng_submit() (owned); what no field can hold goes to errors. */
json_t *credential_form_fields(const struct web_ctx *ctx, json_t *errors);
