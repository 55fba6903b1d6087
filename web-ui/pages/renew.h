/* Renewal by hand: the button of one credential, the bar under a list of them. */
#pragma once

#include "web-ui/ctx.h"

#define RENEW_BULK_MAX 200 /* credentials renewed by one form */

/* A whole form: "Renew now", with a new key if wished. */
void renew_form(const struct web_ctx *ctx, struct cm_buf *page);
/* The list's form around its table: begin, a check box per row, end with button. */
void renew_list_begin(const struct web_ctx *ctx, struct cm_buf *page, const char *view);
void renew_list_box(struct cm_buf *page, const char *ulid, const char *name);
void renew_list_end(const struct web_ctx *ctx, struct cm_buf *page);
/* The button "Dry run" of one. */
void dry_run_form(const struct web_ctx *ctx, struct cm_buf *page);
/* What the list says after a bulk renewal. */
void renew_list_notice(const struct web_ctx *ctx, struct cm_buf *page);
