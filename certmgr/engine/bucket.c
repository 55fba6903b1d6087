/* See bucket.h. */
#include "certmgr/engine/bucket.h"

#include "base/core/num.h"

/* The time to fill from now, at most one for the whole bucket. */
static int64_t debt(const struct acme_rate *rate, int64_t full_ms, int64_t now_ms)
{
    int64_t whole = cm_mul_sat((int64_t)rate->count, rate->refill_ms);
    if (full_ms <= now_ms)
        return 0;
    int64_t left = full_ms - now_ms;
    return left > whole ? whole : left;
}

unsigned eng_bucket_left(const struct acme_rate *rate, int64_t full_ms, int64_t now_ms)
{
    if (rate->count == 0 || rate->refill_ms <= 0)
        return UINT32_MAX;
    int64_t whole = cm_mul_sat((int64_t)rate->count, rate->refill_ms);
    return (unsigned)((whole - debt(rate, full_ms, now_ms)) / rate->refill_ms);
}

int64_t eng_bucket_take(const struct acme_rate *rate, int64_t full_ms, int64_t now_ms, unsigned n)
{
    if (rate->count == 0 || rate->refill_ms <= 0)
        return 0;
    int64_t more = cm_mul_sat((int64_t)n, rate->refill_ms);
    return cm_add_sat(cm_add_sat(now_ms, debt(rate, full_ms, now_ms)), more);
}

int64_t eng_bucket_when(const struct acme_rate *rate, int64_t full_ms, int64_t now_ms, unsigned n)
{
    if (rate->count == 0 || rate->refill_ms <= 0 || n == 0)
        return now_ms;
    int64_t whole = cm_mul_sat((int64_t)rate->count, rate->refill_ms);
    int64_t room = whole - cm_mul_sat((int64_t)n, rate->refill_ms); /* may be negative */
    int64_t wait = debt(rate, full_ms, now_ms) - room;
    return wait > 0 ? cm_add_sat(now_ms, wait) : now_ms;
}
