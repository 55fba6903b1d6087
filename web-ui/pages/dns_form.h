/* The page of a new or present DNS account, as opened or as refused. */
#pragma once

#include "web-ui/ctx.h"

struct dns_form {
    const json_t *account;         /* as eng_dns_account_view() shows it; NULL = a new one */
    const struct web_form *posted; /* what was typed, or NULL */
    const char *kind, *provider;   /* of a new one */
    const json_t *errors;          /* [{"field","message"}], or NULL */
    const struct cm_err *err;      /* what no field is to blame for, or NULL */
};
/* Renders and replies. */
void dns_form(struct web_ctx *ctx, int status, const struct dns_form *form);
