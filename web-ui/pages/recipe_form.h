/* The form that stores a recipe of a DNS provider: new, or in place of one. */
#pragma once

#include "web-ui/ctx.h"

struct recipe_form {
    const char *name;     /* as typed or of the present one; NULL = "" */
    const char *text;     /* JSON; NULL = "" */
    const char *version;  /* of the one that it replaces, "" = it is new */
    const json_t *errors; /* [{"field","message"}] or NULL */
    const json_t *lint;   /* result of a check, or NULL */
    const json_t *widens; /* hosts to be confirmed: [{account, hosts}], or NULL */
    const struct cm_err *err;
};
/* Replies. */
void recipe_form(struct web_ctx *ctx, int status, const struct recipe_form *form);

/* What the pages share: the outcome of a lint, verified or not, and links to accounts. */
void recipe_lint_html(struct web_ctx *ctx, struct cm_buf *page, const json_t *lint);
void recipe_state_badge(struct web_ctx *ctx, struct cm_buf *page, const json_t *recipe);
void recipe_account_link(struct cm_buf *page, const char *account);
