/*
 * What the DNS said about CAA a moment ago, so that a thousand orders below one domain do not ask
 * for its records a thousand times.
 *
 * Kept are record sets and "none", each for its TTL (RFC 2308 for "none") and never longer than the
 * eight hours that a CA may rely on a look (Baseline Requirements 3.2.2.8), and failures for a
 * moment.  What is asked for by several at a time is asked once.  A resolver that is silent is
 * waited for once: while it stays silent everybody is told at once that nothing can be seen, and
 * one question a minute looks whether it is back.
 */
#pragma once

#include "base/net/dns.h"
#include <jansson.h>

#define CAA_KEEP_MS   INT64_C(28800000) /* 8 h; also when the answer has no TTL */
#define CAA_FAILED_MS 60000 /* a failure is believed so long (RFC 2308 7: at most 5 min) */
#define CAA_PROBE_MS  60000 /* a silent resolver is asked again */
#define CAA_SILENT_MS 3000  /* nobody waits longer for one answer */
#define CAA_KEPT_MAX  4096  /* answers kept; the oldest goes */
#define CAA_OPEN_MAX  128   /* questions under way; others wait in line */

/* What one name has; valid inside fn only. */
struct caa_seen {
    const json_t *records;    /* [[flags, tag, value]…], empty = none there */
    const char *cname;        /* the answer ends in this CNAME's target without having looked there,
                               * or NULL */
    bool kept;                /* of an earlier question */
    const struct cm_err *err; /* NULL, or it could not be seen */
};
typedef void (*caa_seen_fn)(void *arg, const struct caa_seen *seen);

struct caa_memory;
struct caa_ask;
struct caa_memory *caa_memory_new(struct cm_loop *loop, struct dns_client *dns);
/* Who still asks is not called any more; NULL allowed. */
void caa_memory_free(struct caa_memory *memory);
/* fn is called exactly once, never from inside, unless the asker was cancelled.  fresh: nothing
 * that is kept will do.  name: ASCII without dot at the end. */
struct caa_ask *caa_memory_ask(struct caa_memory *memory, const char *name, bool fresh,
                               caa_seen_fn fn, void *arg);
void caa_ask_cancel(struct caa_ask *ask); /* NULL allowed; not after fn was called */
unsigned caa_memory_questions(const struct caa_memory *memory); /* sent to the DNS so far */

/* One reply as fn gets it: *ret_records is owned by the caller, *ret_cname lives in the reply.
 * 0, or the reply is a failure (as dns_reply_fail()). */
int caa_reply_read(const struct dns_reply *reply, json_t **ret_records, const char **ret_cname,
                   struct cm_err *err);
