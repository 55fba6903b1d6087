/* Parts that several pages share: status, times, error objects, boxes, icons. */
#pragma once

#include "web-ui/ctx.h"

/* Word, colour and icon of a credential's status; unknown ones are shown as they are. */
void web_status_badge(const struct web_ctx *ctx, struct cm_buf *page, const char *status);
/* The same for health (green, yellow, red) and a receipt's state. */
void web_health_badge(const struct web_ctx *ctx, struct cm_buf *page, const char *color);
void web_receipt_badge(const struct web_ctx *ctx, struct cm_buf *page, const char *state);
/* <time> with date, UTC and the distance from now; a dash when absent or malformed. */
void web_time(const struct web_ctx *ctx, struct cm_buf *page, const char *rfc3339);
/* <time> with date, time of day with seconds, UTC: for logs. */
void web_time_exact(struct cm_buf *page, const char *rfc3339);
/* A full error object (base/core/err.h): what, causes, the CA's words verbatim, hint, next try. */
void web_error_object(const struct web_ctx *ctx, struct cm_buf *page, const json_t *error);
/* Icon by name: "ok", "info", "warn", "bad", "dot". Decorative: hidden from screen readers. */
void web_icon(struct cm_buf *page, const char *name);
/* <div> that scrolls a wide table sideways and can be focused; close it with </div>. */
void web_table_frame(struct cm_buf *page, const char *label);
/* A message box: tone is "info", "ok", "warn" or "bad". */
void web_notice(struct cm_buf *page, const char *tone, const char *text);
