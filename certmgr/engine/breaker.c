/* See breaker.h. */
#include "certmgr/engine/breaker.h"

#define SLOT_MS (BREAKER_WINDOW_MS / BREAKER_SLOTS)

void eng_breaker_count(const struct eng_breaker *breaker, int64_t now_ms, unsigned *ret_bad,
                       unsigned *ret_all)
{
    int64_t now = now_ms / SLOT_MS;
    *ret_bad = *ret_all = 0;
    for (unsigned i = 0; i < BREAKER_SLOTS; i++) {
        int64_t number = breaker->slot[i].number;
        if (number > now || now - number >= BREAKER_SLOTS)
            continue;
        *ret_bad += breaker->slot[i].bad;
        *ret_all += breaker->slot[i].bad + breaker->slot[i].good;
    }
}

bool eng_breaker_note(struct eng_breaker *breaker, int64_t now_ms, bool good)
{
    int64_t number = now_ms / SLOT_MS;
    unsigned i = (unsigned)(number % BREAKER_SLOTS), bad, all;
    if (breaker->open_ms != 0 && good) {
        *breaker = (struct eng_breaker){.open_ms = 0}; /* the canary lives */
        return true;
    }
    if (breaker->slot[i].number != number) {
        breaker->slot[i].number = number;
        breaker->slot[i].good = breaker->slot[i].bad = 0;
    }
    if (good)
        breaker->slot[i].good++;
    else
        breaker->slot[i].bad++;
    if (breaker->open_ms != 0)
        return false;
    eng_breaker_count(breaker, now_ms, &bad, &all);
    if (bad < BREAKER_LEAST || (uint64_t)bad * 100 <= (uint64_t)all * BREAKER_PERCENT)
        return false;
    breaker->open_ms = now_ms > 0 ? now_ms : 1;
    breaker->canary_ms = now_ms;
    return true;
}

int64_t eng_breaker_ask(struct eng_breaker *breaker, int64_t now_ms)
{
    if (breaker->open_ms == 0)
        return 0;
    int64_t next = breaker->canary_ms + BREAKER_CANARY_MS;
    if (now_ms < next)
        return next;
    breaker->canary_ms = now_ms;
    return 0;
}
