/* /api/v1/trust, /manager, and roles of servers. */
#pragma once

#include "web-ui/ctx.h"

void api_server_patch(struct web_ctx *ctx);
void api_manager_promote(struct web_ctx *ctx);
void api_trust(struct web_ctx *ctx);
void api_trust_threshold(struct web_ctx *ctx);
void api_trust_sign(struct web_ctx *ctx);
/* Replacing a server's keys (rotation.c). */
void api_rotation(struct web_ctx *ctx);
void api_rotation_post(struct web_ctx *ctx);
void api_rotation_delete(struct web_ctx *ctx);
/* fleet_done_fn: 204, an error, or 202 with the proposal that waits for signatures. */
void api_power_done(void *arg, const struct cm_err *err);
