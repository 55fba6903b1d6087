/*
 * Live event streams (server-sent events, WHATWG HTML 9.2) of one credential: its steps as they are
 * written, and its state when that changes.
 *
 * A stream costs one connection and a few bytes; it hears of commits (certstore), never polls, and
 * stops reading while its client is slow.  It ends when the client goes, or with its session.
 */
#pragma once

#include "web-ui/ctx.h"

#define WEB_STREAMS_MAX         256   /* open at a time; beyond it 503 */
#define WEB_STREAMS_SESSION_MAX 24    /* of one session */
#define STREAM_HEARTBEAT_MS     15000 /* a comment, so that proxies and clients see life */
#define STREAM_GATHER_MS        100   /* changes of state within this time are told as one */
#define STREAM_RETRY_MS         2000  /* a client waits so long before it comes again */

struct web_streams;
struct web_streams *web_streams_new(struct web *web);
/* Ends every stream. */
void web_streams_free(struct web_streams *streams);
/* A heartbeat for those whose session lives, the end for the others: every STREAM_HEARTBEAT_MS, and
 * whenever somebody signs out. */
void web_streams_beat(struct web_streams *streams);
size_t web_streams_count(const struct web_streams *streams);
/*
 * Turns the exchange into a stream of the credential ctx->param, beginning behind step number
 * `after` (0 = from the oldest kept).  Events: "step" with id = its number and {id, at, level,
 * text, server?} as data; "state" with web_state().  Ends ctx.
 */
void web_stream_open(struct web_ctx *ctx, int64_t after);
