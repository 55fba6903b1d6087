/* REST API of replication: how far it is, the upstream, what was refused. */
#pragma once

#include "web-ui/ctx.h"

void api_replication(struct web_ctx *ctx);
void api_upstream(struct web_ctx *ctx);
void api_upstream_put(struct web_ctx *ctx);
void api_upstream_delete(struct web_ctx *ctx);
void api_upstream_test(struct web_ctx *ctx);
void api_quarantine(struct web_ctx *ctx);
void api_quarantine_clear(struct web_ctx *ctx);
