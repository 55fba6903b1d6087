/*
 * A reply of _bulk_get (or of a GET with open_revs) on its way from text to the store: parsed, each
 * document read and judged as far as that goes without the store and the trust root.  All of that
 * may happen on a worker thread.
 */
#pragma once

#include "replicator/job.h"

struct rp_item {
    struct cs_ready *ready; /* NULL: an error instead */
    const json_t *error;    /* lives in the reply */
    bool mark;              /* rp_remedy_is_mark(); of a hub only */
};

struct rp_reading {
    struct rp_job *job; /* NULL: nobody waits any more */
    bool policy, hub;
    char *text;
    size_t len;
    json_t *reply; /* NULL: it is too large or does not parse */
    struct rp_item *item;
    size_t count, size;
    json_t *docs; /* while their signatures are checked: rp_reading_signed() */
};

/* Of the body of a reply, which is copied. */
struct rp_reading *rp_reading_new(struct rp_job *job, const struct http_result *res);
/* Reads it, on any thread.  many: {"results": [{"docs": [...]}]}, else an array. */
void rp_reading_run(struct rp_reading *reading, bool many);
/* How many documents, and those (an array of the reading) as their signatures are checked. */
size_t rp_reading_documents(const struct rp_reading *reading);
const json_t *rp_reading_signed(struct rp_reading *reading);
void rp_reading_free(struct rp_reading *reading); /* on any thread */
/* The same on a worker thread when there is much to free. */
void rp_reading_drop(struct rp_reading *reading, struct cm_loop *loop);
