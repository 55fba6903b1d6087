/* A bounded stack of nonces with an age limit. */
#include "certmgr/acme/nonce.h"

#include <string.h>

#include "base/core/clock.h"
#include "certmgr/acme/header.h"

bool acme_nonce_ok(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    return len > 0 && len < ACME_NONCE_TEXT && text[len] == '\0';
}

void acme_nonces_put(struct acme_nonces *pool, const char *headers)
{
    char text[ACME_NONCE_TEXT];
    if (!acme_header_get(headers, "replay-nonce", 0, text, sizeof(text)) || !acme_nonce_ok(text))
        return;
    if (pool->count == ACME_NONCE_POOL) {
        memmove(&pool->item[0], &pool->item[1], (ACME_NONCE_POOL - 1) * sizeof(pool->item[0]));
        pool->count--;
    }
    memcpy(pool->item[pool->count].text, text, sizeof(text));
    pool->item[pool->count].at_ms = cm_mono_ms();
    pool->count++;
}

bool acme_nonces_take(struct acme_nonces *pool, char out[ACME_NONCE_TEXT])
{
    if (pool->count == 0)
        return false;
    pool->count--;
    /* The top is the youngest: when it is too old, all are. */
    if (cm_mono_ms() - pool->item[pool->count].at_ms > ACME_NONCE_AGE_MS) {
        pool->count = 0;
        return false;
    }
    memcpy(out, pool->item[pool->count].text, ACME_NONCE_TEXT);
    return true;
}

void acme_nonces_clear(struct acme_nonces *pool)
{
    pool->count = 0;
}
