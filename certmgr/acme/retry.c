/* Back-off table with deterministic jitter and saturating arithmetic. */
#include "certmgr/acme/retry.h"

#include "base/core/num.h"

#define MINUTE_MS INT64_C(60000)
#define DAY_MS    (24 * 60 * MINUTE_MS)

/* splitmix64: a few multiplications that spread neighbouring seeds over all values. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

int64_t acme_backoff_ms(unsigned attempts, enum cm_retry retry, uint64_t seed)
{
    static const int64_t table[] = {MINUTE_MS, 10 * MINUTE_MS, 100 * MINUTE_MS, DAY_MS};
    const unsigned last = sizeof(table) / sizeof(table[0]) - 1;
    unsigned row = attempts == 0 ? 0 : attempts - 1;
    if (row > last || retry == CM_RETRY_CONFIGURATION || retry == CM_RETRY_PERMANENT)
        row = last;
    /* 500..1500 thousandths of the table's value */
    int64_t share = 500 + (int64_t)(mix(seed ^ mix(attempts)) % 1001);
    return cm_mul_sat(table[row] / 1000, share);
}

int64_t acme_next_attempt_ms(int64_t now_ms, unsigned attempts, enum cm_retry retry, uint64_t seed,
                             int64_t floor_ms)
{
    int64_t at = cm_add_sat(now_ms, acme_backoff_ms(attempts, retry, seed));
    return at < floor_ms ? floor_ms : at;
}
