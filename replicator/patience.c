/*
 * How long a peer may be silent, and when it is asked again.
 */
#include "replicator/patience.h"

#include <string.h>

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

bool rp_row_final(const char *error)
{
    /* Those of CouchDB's chttpd:error_info() that a document itself calls forth. */
    static const char *const names[] = {
        "forbidden", "unauthorized", "bad_request",  "doc_validation",     "illegal_docid",
        "conflict",  "too_large",    "missing_stub", "document_too_large",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(error, names[i]) == 0)
            return true;
    return false;
}
