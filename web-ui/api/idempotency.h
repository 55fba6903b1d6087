/*
 * Idempotency-Key: a request that is sent twice (a lost reply, an impatient script) is done once.
 *
 * Kept for 24 hours in the local table "idempotency", at most IDEMPOTENCY_MAX of them.  The key is
 * written before the request is submitted, so a crash in between is told instead of repeated.
 */
#pragma once

#include "web-ui/ctx.h"

#define IDEMPOTENCY_KEY_MAX 200 /* characters of a key */
#define IDEMPOTENCY_MAX     2000
#define IDEMPOTENCY_S       86400

/*
 * Looks at the Idempotency-Key of a request.  True: go on, then call idempotency_done(); the
 * context holds the key until then.  False: replied: the answer of the first time, 409 for another
 * body or one that is under way, 400 for a malformed key.
 */
bool idempotency_begin(struct web_ctx *ctx);
/* Remembers a success ({credential, notes}; NULL: it failed and may be sent again). */
void idempotency_done(struct web_ctx *ctx, const json_t *answer);
