/*
 * Nonces of one CA (RFC 8555 6.5): each is used once, the freshest first, old ones are dropped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACME_NONCE_TEXT   256             /* with NUL; a longer one is ignored as malformed */
#define ACME_NONCE_POOL   128             /* the oldest gives way */
#define ACME_NONCE_AGE_MS INT64_C(600000) /* by the monotonic clock */

struct acme_nonces {
    struct {
        char text[ACME_NONCE_TEXT];
        int64_t at_ms;
    } item[ACME_NONCE_POOL];
    size_t count;
};

/* base64url alphabet and a bounded length; anything else MUST be ignored (RFC 8555 6.5.1). */
bool acme_nonce_ok(const char *text);
/* Keeps the Replay-Nonce of a reply, if there is a well-formed one. */
void acme_nonces_put(struct acme_nonces *pool, const char *headers);
/* Takes the freshest; false when none is left. */
bool acme_nonces_take(struct acme_nonces *pool, char out[ACME_NONCE_TEXT]);
void acme_nonces_clear(struct acme_nonces *pool);
