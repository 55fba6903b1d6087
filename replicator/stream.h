/*
 * Long answers: a step function makes one bounded piece at a time, so that no read transaction,
 * no buffer and no loop turn depends on the size of the database or the speed of the client.
 *
 * A stream may park (a feed waiting for changes); store commits wake all parked ones, and one
 * shared timer serves the heartbeats and timeouts of all.
 */
#pragma once

#include "base/core/buf.h"
#include "base/net/http_server.h"

struct rp_server;
struct rp_req;

enum rp_step {
    RP_MORE, /* call again */
    RP_PARK, /* nothing to send now: wait for a wake or for due */
    RP_END,  /* complete */
};

struct rp_stream {
    struct rp_server *server;
    struct http_exchange *ex;
    enum rp_step (*step)(struct rp_stream *stream); /* adds to out */
    enum rp_step (*tick)(struct rp_stream *stream); /* due has come while parked; adds to out */
    void (*fini)(struct rp_stream *stream);         /* frees what the stream owns, and itself */
    struct cm_buf out;
    int64_t due; /* monotonic ms, 0 = never */
    bool head_sent, blocked, ready, parked;
    struct rp_stream *prev, *next;
};

/* Takes over the exchange of req and runs the first steps.  The caller has filled step, tick and
 * fini.  An answer that is complete at once goes out with a Content-Length. */
void rp_stream_start(struct rp_req *req, struct rp_stream *stream);
/* Lets every parked stream look again, in the next loop turn. */
void rp_stream_wake_all(struct rp_server *server);
/* Ends every stream (the database is going away). */
void rp_stream_end_all(struct rp_server *server);
/* Timer callbacks of the server (arg = struct rp_server *). */
void rp_stream_on_kick(void *server);
void rp_stream_on_beat(void *server);
