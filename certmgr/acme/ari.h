/* Renewal information of a CA (RFC 9773): its window, the time chosen in it, when to ask again. */
#pragma once

#include "base/core/err.h"

#define ACME_ARI_CHECK_MIN_MS INT64_C(60000)    /* Retry-After counts between these (4.3.2) … */
#define ACME_ARI_CHECK_MAX_MS INT64_C(86400000) /* … bounds */
#define ACME_ARI_CHECK_MS     INT64_C(21600000) /* without one, and after many failures */

struct acme_ari {
    int64_t start_ms, end_ms;
    const char *explanation; /* URL, of the reply, or NULL */
};

/* Reads a renewalInfo object.  CM_EMALF: no window, or one that ends before it begins: as good as
 * no answer (4.2).  A URL that is none, or too long, counts as absent. */
int acme_ari_read(const json_t *reply, struct acme_ari *ret, struct cm_err *err);
/* A time within the window, every one as likely; random: 64 random bits. */
int64_t acme_ari_choose(const struct acme_ari *window, uint64_t random);
/* When to ask again.  retry_after_ms: wall clock, 0 = none; failures: in a row, 0 = it answered. */
int64_t acme_ari_next(int64_t now_ms, int64_t retry_after_ms, unsigned failures);
