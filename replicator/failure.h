/* What a peer's unwelcome answer means, and what a person can do about it. */
#pragma once

#include "base/net/http_client.h"

/* Fills err from an answer whose status or text is not the one wanted, or from its own error.
 * what: the beginning of the sentence ("opening the database of").  Returns how long the peer asks
 * to be left alone (ms, at most RP_TIMEOUT_MAX). */
int64_t rp_failure_explain(const struct http_result *res, bool hub, const char *what,
                           struct cm_err *err);
