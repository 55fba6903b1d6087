/* One changes feed: rows since a sequence, once or until the client leaves. */
#pragma once

#include "replicator/serve.h"

enum rp_feed_kind { RP_FEED_NORMAL, RP_FEED_LONGPOLL, RP_FEED_CONTINUOUS };

struct rp_feed_opts {
    enum rp_feed_kind kind;
    int64_t since, limit;
    int64_t timeout_ms;
    int64_t heartbeat_ms; /* 0 = none: the feed ends at timeout_ms of silence */
    bool all_leaves, include_docs, conflicts, descending, design_only;
    json_t *doc_ids; /* object used as a set, or NULL; ownership passes to the feed */
};

/* Starts the feed as a stream on the exchange of req. */
void rp_feed_start(struct rp_req *req, const struct rp_feed_opts *opts);
