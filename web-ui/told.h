/* What the engine says with a code (certmgr/engine/told.h), in the reader's language. */
#pragma once

#include "web-ui/ctx.h"

/* The box that says what comes next, from `next_told` of a view, or its `next` alone. */
void web_next(const struct web_ctx *ctx, struct cm_buf *page, const json_t *view);
/* A box for each cause of this health. */
void web_health_causes(const struct web_ctx *ctx, struct cm_buf *page, const json_t *health);
