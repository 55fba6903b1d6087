/* JSON shown to people: objects as definition lists, arrays of objects as tables.  For reports
 * whose members their makers choose (status of listeners, peers, replication). */
#pragma once

#include "web-ui/ctx.h"

#define JSON_VIEW_DEPTH_MAX 4
#define JSON_VIEW_COLUMNS   12

void web_json_view(const struct web_ctx *ctx, struct cm_buf *page, const json_t *value);
/* A word of a state ("live", "idle") in the language of the page; others come back as they are. */
const char *web_json_word(const struct web_ctx *ctx, const char *text);
