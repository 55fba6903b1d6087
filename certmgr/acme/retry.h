/*
 * When a failed run is tried again: 1, 10, 100 minutes, then daily (reference/acme.md 2.2, the
 * integration guide of Let's Encrypt), spread so that a fleet never comes back in one second.
 */
#pragma once

#include "base/core/err.h"

/* Pause in ms after `attempts` failed runs in a row (1 = the first failure; 0 counts as 1).
 * Configuration and permanent errors go straight to daily: a person must act first, and may start
 * a run at any time.  Jitter is +-50 %, decided by seed and attempts alone, so that the same
 * object gets the same answer.  Never below 30 s, never above 36 h, for any argument. */
int64_t acme_backoff_ms(unsigned attempts, enum cm_retry retry, uint64_t seed);
/* now + pause, but never before floor_ms (the CA's Retry-After as wall clock; 0 = none). */
int64_t acme_next_attempt_ms(int64_t now_ms, unsigned attempts, enum cm_retry retry, uint64_t seed,
                             int64_t floor_ms);
