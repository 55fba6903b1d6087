/* What a pre-flight check found (certmgr/engine/preflight.h), as a part of the form's page. */
#pragma once

#include "web-ui/ctx.h"

/* NULL report: nothing.  Failures first, then warnings, then what is fine. */
void check_result(struct web_ctx *ctx, struct cm_buf *page, const json_t *report);
/* What has to be read before the form is submitted (eng_advise()).  NULL: nothing. */
void check_advice(struct web_ctx *ctx, struct cm_buf *page, const json_t *rows);
/* What to do about a row with `id` and `fix`: nothing without a fix. */
void check_fix(struct web_ctx *ctx, struct cm_buf *page, const json_t *row);
/* Of a credential (eng_contradictions()), as notices. */
void check_contradictions(struct web_ctx *ctx, struct cm_buf *page, const json_t *rows);
