/* /api/v1/store, /hold, /recovery-key: the server's care of its own state. */
#pragma once

#include "web-ui/ctx.h"

void api_store(struct web_ctx *ctx);
void api_store_scrub(struct web_ctx *ctx);
void api_store_copies(struct web_ctx *ctx);
void api_hold_release(struct web_ctx *ctx);
void api_recovery_key(struct web_ctx *ctx);
