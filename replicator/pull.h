/*
 * Inside of the pulling job: its batch, shared by pull.c (batches), pull_feed.c (the peer's
 * changes), bulk.c (_bulk_get), gets.c (one GET per document, for peers without _bulk_get) and
 * later.c (what comes at the second go).
 */
#pragma once

#include "base/core/buf.h"
#include "replicator/reading.h"

#define RP_GETS_MAX 8 /* GETs in flight */

struct rp_get {
    struct rp_job *job;
    struct http_call *call;
    size_t entry; /* of missing */
};

struct rp_pull {
    json_t *since;    /* the peer's sequence (text or number); NULL = from the beginning */
    json_t *next;     /* sequence at the end of the batch under way */
    json_t *missing;  /* array of {id, rev} to fetch */
    size_t at, asked; /* fetched up to here; entries of the request under way */
    size_t chunk;     /* entries of one request */
    size_t page;      /* rows asked for; fewer when some are very long */
    size_t page_max;  /* … or when more of them never came through */
    json_t *later;    /* entries of missing that the peer could not read just now; or NULL */
    int tries;        /* so often were such asked for again in this batch */
    bool hold;        /* some were given up: the next opening is to see them again */
    bool over;        /* the reply was longer than fits */
    bool cut;         /* the last answer ended in the middle, as if that were its end */
    bool winners;     /* not even one row fits: ask for it without its other leaves */
    size_t put;       /* documents put in this batch */
    json_t
        *committing; /* sequence of the batch that waits for its commit; NULL = nothing to note */
    size_t committing_put;
    bool ended;                 /* the batch after it has ended, too, and waits */
    bool live;                  /* caught up: ask with longpoll */
    bool gathering;             /* waits a moment before it asks */
    bool no_bulk_get;           /* the peer lacks it: one GET per document */
    bool rows;                  /* the batch had rows */
    bool open;                  /* a batch is under way: rows are known, not everything is put */
    bool asked_ahead;           /* the rows of the batch after it are asked for … */
    json_t *ahead;              /* … and have come */
    struct rp_reading *reading; /* of a reply of _bulk_get, on a worker thread */
    struct rp_reading *proving; /* one read before: its signatures are being checked */
    struct rp_reading *held;    /* read meanwhile */
    rp_job_fn fetched;
    struct rp_get get[RP_GETS_MAX];
    rp_job_fn gets_done;
    struct cm_buf feed; /* reply of the parked feed */
    int64_t asked_at;
};

/* Puts the documents of a reply; negative when the store failed.  Missing is what was superseded or
 * purged between feed and fetch. */
int rp_pull_put(struct rp_job *job, const struct rp_reading *reading, struct cm_err *err);
/* Counts and lists a document that cannot be had. */
void rp_pull_leave_out(struct rp_job *job, const json_t *entry);

/* A line of the log about what is refused, as long as there are few in a minute. */
void rp_pull_tell(struct rp_job *job, const char *id, const char *why);
/* A revision that never becomes a document to judge: listed, so that people see it. */
void rp_pull_refuse(struct rp_job *job, const char *id, const char *rev, const char *why);
/* Is this a document that travels to us? */
bool rp_pull_wants(const struct rp_job *job, const char *id);

/* The rows of the next batch, as the peer's feed gives them (borrowed; NULL: it does not parse). */
void rp_pull_take(struct rp_job *job, const json_t *reply);
/* Asks for the rows of the next batch while the last documents of this one are being checked. */
void rp_pull_ahead(struct rp_job *job);

/* ---- pull_feed.c ---- */
/* Asks for the changes since then; the answer goes to rp_pull_take(), or waits as `ahead` for the
 * end of the batch that is under way. */
void rp_pull_ask(struct rp_job *job, const json_t *since);

/* ---- later.c ---- */
/* The peer listed it, but could not give it (entry: {id, rev, error?, reason?}). */
void rp_pull_later(struct rp_job *job, const json_t *entry);
/* At the end of a batch: asks for those again, some times, by fetch(job) after a while.  False when
 * there are none (any more). */
bool rp_later_ask(struct rp_job *job, rp_job_fn fetch);

/* ---- bulk.c ---- */
/* Fetches missing[at…] with _bulk_get and puts what comes; then fetched(job).  Failures end the
 * job; a peer without _bulk_get is asked by gets.c instead. */
void rp_bulk_start(struct rp_job *job, rp_job_fn fetched);
void rp_bulk_cancel(struct rp_job *job);

/* ---- gets.c ---- */
/* Fetches missing[at…] and puts what comes; then done(job).  Failures end the job. */
void rp_gets_start(struct rp_job *job, rp_job_fn done);
void rp_gets_cancel(struct rp_job *job);
