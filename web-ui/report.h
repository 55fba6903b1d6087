/* The period of a report, as page and API take it. */
#pragma once

#include "web-ui/ctx.h"

#define WEB_REPORT_HOURS_MAX 8784 /* a year */

/* ?hours=…, else REPORT_HOURS; false: it is no such number. */
bool web_report_since(const struct web_ctx *ctx, int64_t *ret_ms);
