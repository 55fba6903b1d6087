/* Live event streams.  See stream.h. */
#include "web-ui/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "web-ui/credential.h"
#include "web-ui/reply.h"

#define EVENT_MAX   (CS_DOC_MAX + 4096u)
#define HEARTBEAT   ": alive\n\n"
#define ULID_DIGITS (CM_ULID_TEXT - 1)

struct stream {
    struct stream *next;
    struct web_streams *all;
    struct http_exchange *ex;
    char ulid[CM_ULID_TEXT];
    int64_t last;               /* number of the newest step sent */
    char state[CM_SHA256_HEX];  /* hash of the state sent last */
    bool changed;               /* the state may have changed */
    bool slow;                  /* the client has not read what was sent */
    struct web_session session; /* whose end ends the stream */
};
struct web_streams {
    struct web *web;
    struct stream *first;
    size_t count;
    struct cm_timer *heartbeat, *gather;
};

/* ---- life of one stream ---- */

static void listen_on(struct web_streams *all);
static void listen_off(struct web_streams *all);

static void stream_free(struct stream *stream)
{
    struct web_streams *all = stream->all;
    struct stream **at = &all->first;

    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    if (--all->count == 0)
        listen_off(all);
    cm_free_secret(stream, sizeof(*stream));
}

static void stream_gone(void *arg)
{
    stream_free(arg);
}

static void stream_end(struct stream *stream)
{
    http_ex_end(stream->ex);
    stream_free(stream);
}

/* ---- events ---- */

/* Data of one event is one line: JSON text holds no line ends. */
static void send_event(struct stream *stream, const char *event, int64_t id, const json_t *data)
{
    CM_AUTO_STR text = cm_json_dump(data, NULL);
    struct cm_buf out;

    cm_buf_init(&out, EVENT_MAX);
    if (id > 0)
        cm_buf_printf(&out, "id: %0*" PRId64 "\n", STEP_ID_WIDTH, id);
    cm_buf_printf(&out, "event: %s\ndata: %s\n\n", event, text);
    if (!out.failed && http_ex_write(stream->ex, out.data, out.len) < 0)
        stream->slow = true;
    cm_buf_fini(&out);
}

/* The newest state, when it is not the one sent last. */
static void send_state(struct stream *stream)
{
    CM_AUTO_JSON view = eng_view(stream->all->web->env.engine, stream->ulid);
    CM_AUTO_JSON state = view ? web_state(view) : json_object();
    CM_AUTO_STR text = cm_json_dump(state, NULL);
    char hash[CM_SHA256_HEX];

    stream->changed = false;
    cm_sha256_hex(text, strlen(text), hash);
    if (strcmp(hash, stream->state) == 0)
        return;
    memcpy(stream->state, hash, sizeof(hash));
    send_event(stream, "state", 0, state);
}

static int send_step(void *arg, int64_t number, const json_t *step)
{
    struct stream *stream = arg;

    send_event(stream, "step", number, step);
    stream->last = number;
    return stream->slow ? 1 : 0;
}

/* Everything the client has not got yet, as far as it reads. */
static void catch_up(struct stream *stream)
{
    struct cs_store *store = stream->all->web->env.store;

    web_steps_each(store, stream->ulid, stream->last, send_step, stream);
    if (!stream->slow && stream->changed)
        send_state(stream);
}

static void on_drain(void *arg)
{
    struct stream *stream = arg;

    stream->slow = false;
    catch_up(stream);
}

/* ---- what wakes streams ---- */

static void on_line(void *arg, const char *key)
{
    struct web_streams *all = arg;

    for (struct stream *s = all->first; s; s = s->next) {
        int64_t number = web_step_number(key, s->ulid);
        CM_AUTO_JSON line = NULL;
        CM_AUTO_JSON step = NULL;

        if (number <= s->last || s->slow)
            continue;
        line = cs_kv_get(all->web->env.store, "log", key);
        if (!line)
            continue;
        step = web_step(key, line);
        send_step(s, number, step);
    }
}

/* credential:<ulid>, receipt:<server>:<ulid>; a request names its credential inside. */
static bool concerns(struct cs_store *store, const char *id, const char *ulid)
{
    size_t len = strlen(id);

    if (strncmp(id, "request:", 8) == 0) {
        CM_AUTO_JSON body = cs_get_body(store, id);

        return strcmp(cm_json_str_or(body, "credential", ""), ulid) == 0;
    }
    return len > ULID_DIGITS && strcmp(id + len - ULID_DIGITS, ulid) == 0;
}

static void on_document(void *arg, const char *id)
{
    struct web_streams *all = arg;

    for (struct stream *s = all->first; s; s = s->next) {
        if (s->changed || !concerns(all->web->env.store, id, s->ulid))
            continue;
        s->changed = true;
        if (!cm_timer_active(all->gather))
            cm_timer_start(all->gather, STREAM_GATHER_MS);
    }
}

static void on_gathered(void *arg)
{
    struct web_streams *all = arg;

    for (struct stream *s = all->first; s; s = s->next) {
        if (s->changed && !s->slow)
            send_state(s);
    }
}

/* Also the time to see whose session has ended meanwhile. */
void web_streams_beat(struct web_streams *all)
{
    struct stream *next;

    for (struct stream *s = all->first; s; s = next) {
        next = s->next;
        if (!web_session_alive(all->web->env.store, &s->session))
            stream_end(s);
        else if (!s->slow && http_ex_write(s->ex, HEARTBEAT, sizeof(HEARTBEAT) - 1) < 0)
            s->slow = true;
    }
}

static void on_heartbeat(void *arg)
{
    struct web_streams *all = arg;

    web_streams_beat(all);
    if (all->first)
        cm_timer_start(all->heartbeat, STREAM_HEARTBEAT_MS);
}

static void listen_on(struct web_streams *all)
{
    cs_listen(all->web->env.store, on_document, all);
    cs_listen_local(all->web->env.store, "log", on_line, all);
    cm_timer_start(all->heartbeat, STREAM_HEARTBEAT_MS);
}

static void listen_off(struct web_streams *all)
{
    cs_unlisten(all->web->env.store, all);
    cm_timer_stop(all->heartbeat);
    cm_timer_stop(all->gather);
}

/* ---- opening ---- */

static size_t count_of(const struct web_streams *all, const struct web_session *session)
{
    size_t count = 0;

    for (const struct stream *s = all->first; s; s = s->next)
        count += strcmp(s->session.key, session->key) == 0 ? 1 : 0;
    return count;
}

void web_stream_open(struct web_ctx *ctx, int64_t after)
{
    struct web_streams *all = ctx->web->streams;
    struct stream *stream;
    char hello[64];
    int len;

    if (ctx->web->closing || all->count >= WEB_STREAMS_MAX ||
        count_of(all, &ctx->session) >= WEB_STREAMS_SESSION_MAX) {
        http_ex_header(ctx->ex, "Retry-After", "30");
        web_reply_problem(ctx, 503, NULL, "too many event streams are open; ask for the document",
                          NULL, NULL);
        return;
    }
    stream = cm_calloc(1, sizeof(*stream));
    *stream = (struct stream){
        .all = all, .next = all->first, .last = after, .changed = true, .session = ctx->session};
    (void)cm_strcpy(stream->ulid, sizeof(stream->ulid), ctx->param);
    if (all->count++ == 0)
        listen_on(all);
    all->first = stream;
    stream->ex = web_reply_stream(ctx, "text/event-stream");
    http_ex_on_close(stream->ex, stream_gone, stream);
    http_ex_on_drain(stream->ex, on_drain, stream);
    len = snprintf(hello, sizeof(hello), "retry: %d\n\n", STREAM_RETRY_MS);
    (void)http_ex_write(stream->ex, hello, (size_t)len);
    catch_up(stream);
}

struct web_streams *web_streams_new(struct web *web)
{
    struct web_streams *all = cm_calloc(1, sizeof(*all));

    all->web = web;
    all->heartbeat = cm_timer_new(web->env.loop, on_heartbeat, all);
    all->gather = cm_timer_new(web->env.loop, on_gathered, all);
    return all;
}

void web_streams_free(struct web_streams *all)
{
    while (all->first)
        stream_end(all->first);
    cm_timer_free(all->heartbeat);
    cm_timer_free(all->gather);
    cm_free(all);
}

size_t web_streams_count(const struct web_streams *all)
{
    return all->count;
}
