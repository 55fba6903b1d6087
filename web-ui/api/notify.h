/* POST /api/v1/notify/test. */
#pragma once

#include "web-ui/ctx.h"

void api_notify_test(struct web_ctx *ctx);
