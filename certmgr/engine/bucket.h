/*
 * A token bucket as one time: when it will be full again (the generic cell rate algorithm, which is
 * how Let's Encrypt counts).  Pure; saturating; a clock that was set back cannot lock it for longer
 * than it takes to fill.
 */
#pragma once

#include "certmgr/acme/presets.h"

/* full_ms: wall clock; 0 or past = full.  How many may be taken now; UINT32_MAX without a limit. */
unsigned eng_bucket_left(const struct acme_rate *rate, int64_t full_ms, int64_t now_ms);
/* full_ms after n are taken, whether they are there or not. */
int64_t eng_bucket_take(const struct acme_rate *rate, int64_t full_ms, int64_t now_ms, unsigned n);
/* From when on n are there: now_ms at the earliest. */
int64_t eng_bucket_when(const struct acme_rate *rate, int64_t full_ms, int64_t now_ms, unsigned n);
