/*
 * How long a peer may be silent, and when it is asked again.
 *
 * Whatever was cut, for however long, is to be equal within 30 s after the healing.  Of those a
 * silent peer takes at most RP_FEED_SILENCE_MS, or a wait RP_BACKOFF_MAX_MS; a connection that TCP
 * is about to repeat into (RFC 6298: its pauses double, and grow past 30 s on a crowded line) is
 * left for a new one.  The rest is for the documents.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RP_HEARTBEAT_MS    6000                         /* asked for on every feed */
#define RP_FEED_SILENCE_MS (2 * RP_HEARTBEAT_MS + 3000) /* a heartbeat may be lost or late */
#define RP_SILENCE_MS      12000                        /* a request at one of ours */
#define RP_HUB_SILENCE_MS  30000 /* a CouchDB may think for long, and other nodes with it */
#define RP_UPLOAD_RATE     8     /* bytes per ms: what a request may take to get there */
#define RP_CONNECT_MS      10000 /* a lost packet in between is repeated within 4 s (RFC 6298) */
#define RP_BACKOFF_MIN_MS  250
#define RP_BACKOFF_MAX_MS  15000

/* For how many ms no byte need come: on a feed, or to a request with a body of so many bytes. */
int rp_silence_ms(bool feed, bool hub, size_t body_len);

/* Ms to wait after an attempt that failed after `elapsed` ms.  Attempts begin `backoff` apart, with
   jitter over its upper half (random: any number), so that a fleet does not come back in one
   moment; who waited in vain for a silent peer has waited already. */
int64_t rp_wait_ms(int64_t backoff, int64_t elapsed, uint32_t random);

/* The backoff after the next failure. */
int64_t rp_backoff_next(int64_t backoff);

/* What a peer says of one document in an answer that went well otherwise (`error` of its row): is
   it about the document, and would be said again?  Everything else (no copy answered in time, a
   node is down, names we do not know) is a moment's trouble of the peer: it is tried again. */
bool rp_row_final(const char *error);
