/* Running, parking and ending streams. */
#include "replicator/stream.h"

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "replicator/serve.h"

#define STEPS_PER_TURN 4
#define BEAT_GRAIN_MS  20 /* heartbeats so close together share one timer event */

static void unlink_stream(struct rp_stream *stream)
{
    struct rp_server *server = stream->server;
    if (stream->prev)
        stream->prev->next = stream->next;
    else
        server->streams = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    server->stream_count--;
}

static void drop(struct rp_stream *stream)
{
    unlink_stream(stream);
    cm_buf_fini(&stream->out);
    stream->fini(stream);
}

static void on_close(void *arg)
{
    drop(arg);
}

/* Sends what the steps added; may set blocked. */
static void flush(struct rp_stream *stream)
{
    if (!stream->head_sent) {
        rp_common_headers(stream->ex);
        http_ex_stream(stream->ex, 200, RP_JSON);
        stream->head_sent = true;
    }
    if (stream->out.len > 0 &&
        http_ex_write(stream->ex, stream->out.data, stream->out.len) == CM_EBUSY)
        stream->blocked = true;
    cm_buf_reset(&stream->out);
}

static void finish(struct rp_stream *stream)
{
    if (stream->head_sent) {
        flush(stream);
        http_ex_end(stream->ex);
    } else {
        rp_common_headers(stream->ex);
        http_ex_reply(stream->ex, 200, RP_JSON, cm_buf_str(&stream->out), stream->out.len);
    }
    drop(stream);
}

static void arm_beat(struct rp_server *server)
{
    int64_t first = 0;
    for (const struct rp_stream *s = server->streams; s; s = s->next)
        if (s->parked && !s->blocked && !s->ready && s->due > 0 && (first == 0 || s->due < first))
            first = s->due;
    if (first == 0) {
        cm_timer_stop(server->beat);
        return;
    }
    int64_t wait = first - cm_mono_ms();
    cm_timer_start(server->beat, wait > BEAT_GRAIN_MS ? wait : BEAT_GRAIN_MS);
}

/* One outcome of step or tick; false when the stream is gone. */
static bool settle(struct rp_stream *stream, enum rp_step outcome)
{
    /* A piece over RP_OUT_MAX cannot be sent whole: cut, so that the client sees an error. */
    if (stream->out.failed)
        outcome = RP_END;
    if (outcome == RP_END) {
        finish(stream);
        return false;
    }
    stream->parked = outcome == RP_PARK;
    flush(stream);
    return true;
}

static void pump(struct rp_stream *stream)
{
    struct rp_server *server = stream->server;
    stream->ready = stream->parked = false;
    for (int i = 0; i < STEPS_PER_TURN; i++) {
        if (!settle(stream, stream->step(stream)) || stream->parked || stream->blocked)
            return;
    }
    stream->ready = true;
    cm_timer_start(server->kick, 0);
}

static void on_drain(void *arg)
{
    struct rp_stream *stream = arg;
    struct rp_server *server = stream->server;
    bool parked = stream->parked;
    stream->blocked = false;
    if (!parked || stream->ready) {
        pump(stream);
        arm_beat(server);
    }
}

void rp_stream_start(struct rp_req *req, struct rp_stream *stream)
{
    struct rp_server *server = req->server;
    stream->server = server;
    stream->ex = req->ex;
    cm_buf_init(&stream->out, RP_OUT_MAX);
    stream->prev = NULL;
    stream->next = server->streams;
    if (stream->next)
        stream->next->prev = stream;
    server->streams = stream;
    server->stream_count++;
    http_ex_on_close(stream->ex, on_close, stream);
    http_ex_on_drain(stream->ex, on_drain, stream);
    pump(stream);
    arm_beat(server);
}

void rp_stream_wake_all(struct rp_server *server)
{
    bool any = false;
    for (struct rp_stream *s = server->streams; s; s = s->next) {
        s->ready = s->ready || s->parked;
        any = any || s->ready;
    }
    if (any)
        cm_timer_start(server->kick, 0);
}

void rp_stream_on_kick(void *arg)
{
    struct rp_server *server = arg;
    for (struct rp_stream *s = server->streams, *next; s; s = next) {
        next = s->next;
        if (s->ready && !s->blocked)
            pump(s);
    }
    arm_beat(server);
}

void rp_stream_on_beat(void *arg)
{
    struct rp_server *server = arg;
    int64_t now = cm_mono_ms();
    for (struct rp_stream *s = server->streams, *next; s; s = next) {
        next = s->next;
        /* A blocked stream needs no heartbeat; HTTP_WRITE_MS ends it when nobody reads.  A ready
         * one has changes to look at first: ending it now would skip them. */
        if (s->parked && !s->blocked && !s->ready && s->due > 0 && s->due <= now)
            settle(s, s->tick(s));
    }
    arm_beat(server);
}

void rp_stream_end_all(struct rp_server *server)
{
    while (server->streams) {
        struct rp_stream *stream = server->streams;
        if (!stream->head_sent)
            http_ex_stream(stream->ex, 200, RP_JSON);
        http_ex_end(stream->ex);
        drop(stream);
    }
}
