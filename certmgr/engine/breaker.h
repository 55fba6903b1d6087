/*
 * When many renewals of one CA fail, the others wait: pushing on would only burn its limits.  One
 * goes ahead now and then; when it succeeds, all go on.  Pure: times come in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_WINDOW_MS 3600000 /* what happened within this counts … */
#define BREAKER_SLOTS     60      /* … in so many parts */
#define BREAKER_PERCENT   20      /* more than this share of failures opens it … */
#define BREAKER_LEAST     5       /* … when there are at least so many failures */
#define BREAKER_CANARY_MS 600000  /* one renewal in this time while it is open */

/* All zero to begin with. */
struct eng_breaker {
    struct {
        int64_t number; /* of the slot's time since the clock's zero */
        unsigned good, bad;
    } slot[BREAKER_SLOTS];
    int64_t open_ms;   /* since when; 0 = closed */
    int64_t canary_ms; /* the last one that went ahead */
};

/* A renewal ended.  True when that opened or closed it.  Times: any clock that does not go back. */
bool eng_breaker_note(struct eng_breaker *breaker, int64_t now_ms, bool good);
/* May a renewal begin?  0 = yes (while open: as the canary), else when to ask again. */
int64_t eng_breaker_ask(struct eng_breaker *breaker, int64_t now_ms);
/* Failures and all ends within the window. */
void eng_breaker_count(const struct eng_breaker *breaker, int64_t now_ms, unsigned *ret_bad,
                       unsigned *ret_all);
