/*
 * How long a peer may be silent, and when it is asked again.
 */
#include "replicator/patience.h"

int rp_silence_ms(bool feed, bool hub, size_t body_len)
{
    if (feed)
        return RP_FEED_SILENCE_MS;
    size_t upload = body_len / RP_UPLOAD_RATE;
    int limit = hub ? RP_HUB_SILENCE_MS : RP_SILENCE_MS;
    return upload < (size_t)(INT32_MAX - limit) ? limit + (int)upload : INT32_MAX;
}

static int64_t with_jitter(int64_t ms, uint32_t random)
{
    return ms / 2 + (int64_t)(random % (uint64_t)(ms / 2 + 1));
}

int64_t rp_wait_ms(int64_t backoff, int64_t elapsed, uint32_t random)
{
    int64_t wait = with_jitter(backoff, random) - elapsed;
    int64_t least = with_jitter(RP_BACKOFF_MIN_MS, random);
    return wait > least ? wait : least;
}

int64_t rp_backoff_next(int64_t backoff)
{
    return 2 * backoff < RP_BACKOFF_MAX_MS ? 2 * backoff : RP_BACKOFF_MAX_MS;
}
