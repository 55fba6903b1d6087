/*
 * How many orders are open at a time.  A CA near by is kept busy by few; at one far away the time
 * goes by waiting for replies, and more of them fit into it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PACE_WINDOW_MS 60000 /* the shortest reply of this window and of the last one counts */

/* All zero to begin with. */
struct eng_pace {
    int64_t best_ms, last_best_ms; /* shortest reply of this window, of the one before; 0 = none */
    int64_t window_ms;             /* where this window began */
};

/* One reply of a CA came at now_ms (monotonic), took_ms after its request. */
void eng_pace_reply(struct eng_pace *pace, int64_t now_ms, int64_t took_ms);
/* ENG_JOBS_NEAR to ENG_JOBS_MAX. */
size_t eng_pace_jobs(const struct eng_pace *pace);
/* Connections to the CA for so many orders: near by, an order is busy here most of the time, and
 * making a connection costs as much as several requests; far away, each order waits on its own. */
size_t eng_pace_conns(const struct eng_pace *pace);
