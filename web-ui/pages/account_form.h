/* The form that adds or changes an ACME account. */
#pragma once

#include "web-ui/ctx.h"

struct account_form {
    const json_t *account;         /* the one that is changed, or NULL */
    const char *preset;            /* name of a preset to start from, or NULL */
    const struct web_form *posted; /* values to keep, or NULL */
    const json_t *errors;
    const struct cm_err *err; /* of the engine, beside the errors at fields; or NULL */
};
/* Replies with the form.  Ends ctx. */
void account_form(struct web_ctx *ctx, int status, const struct account_form *form);
/* Limits of the CA, when some are known (account_budget.c). */
void account_budget(struct web_ctx *ctx, struct cm_buf *page, const char *account);
/* Badge for the state of its registration. */
void account_status(const struct web_ctx *ctx, struct cm_buf *page, const json_t *account);
