/* Frames to and from the key agent over the loop. */
#include "certmgr/agent_link.h"

#include "base/core/clock.h"
#include "base/core/frame.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes not yet taken by the socket; more waiting requests stay in the list. */
#define OUT_MAX        (16u << 20)
#define LOOK_MS        500
#define LOOK_SILENT_MS 100 /* while the greeting is not answered */

struct call {
    struct call *next;
    int64_t id;
    json_t *request;
    kf_reply_fn done;
    void *done_arg;
    int64_t since; /* monotonic ms of the call */
    unsigned sends;
    bool sent;           /* on the present channel */
    const char *refusal; /* not to be sent: answered so by the next tick */
    int refusal_code;
};

struct agent_link {
    struct cm_loop *loop;
    struct cm_watch *watch;
    struct cm_timer *timer;
    int fd;
    struct cm_buf in, out;
    struct call *head, **tail; /* in call order */
    size_t count;
    int64_t last_id;
    /* How long nothing was heard while something was owed; see agent_link.h. */
    int64_t silent_ms, looked_at, report_ms;
    char silence[192]; /* what callers are told of it */
    bool looking;      /* the timer runs, or on_tick() does */
    bool greeted;      /* the greeting went out on this channel and nothing was heard since */
    bool heard;        /* anything, ever */
    int64_t asked_at, told_at; /* after the worker; of a worker that hangs, on this channel */
    agent_hung_fn hung;
    void *hung_arg;
    bool deferred; /* on_turn_end() comes: what was called in this turn goes out together */
    bool freed;    /* by on_turn_end() then */
};

static void finish(struct call *call, const json_t *reply, const struct cm_err *err)
{
    call->done(call->done_arg, reply, err);
    json_decref(call->request);
    cm_free(call);
}

static struct call *unlink_at(struct agent_link *link, struct call **p)
{
    struct call *call = *p;
    *p = call->next;
    if (link->tail == &call->next)
        link->tail = p;
    link->count--;
    return call;
}

static struct call *unlink_call(struct agent_link *link, int64_t id)
{
    for (struct call **p = &link->head; *p != NULL; p = &(*p)->next)
        if ((*p)->id == id)
            return unlink_at(link, p);
    return NULL;
}

static void fail_call(struct call *call, int code, const char *what)
{
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, code, "%s", what);
    err.retry = code == CM_EINVAL || code == CM_ELIMIT ? CM_RETRY_PERMANENT : CM_RETRY_TRANSIENT;
    finish(call, NULL, &err);
    cm_err_fini(&err);
}

/* Fails every call that `why` gives a code for.  All leave the list before the first callback: that
 * may make new calls. */
static void fail_where(struct agent_link *link,
                       int (*why)(const struct agent_link *link, const struct call *call,
                                  int64_t now, const char **ret_what))
{
    struct call *failed = NULL, **end = &failed;
    int64_t now = cm_mono_ms();
    const char *what = NULL;
    for (struct call **p = &link->head; *p != NULL;) {
        int code = why(link, *p, now, &what);
        if (code == 0) {
            p = &(*p)->next;
            continue;
        }
        *end = unlink_at(link, p);
        (*end)->refusal = what;
        (*end)->refusal_code = code;
        end = &(*end)->next;
        *end = NULL;
    }
    while (failed != NULL) {
        struct call *call = failed;
        failed = call->next;
        fail_call(call, call->refusal_code, call->refusal);
    }
}

static void refuse(struct agent_link *link, struct call *call, int code, const char *what)
{
    call->refusal_code = code;
    call->refusal = what;
    cm_timer_start(link->timer, 0);
}

/* Something came from the agent, or it is another one. */
static void end_silence(struct agent_link *link)
{
    link->silent_ms = 0;
    link->looked_at = cm_mono_ms(); /* what was silence before this does not count */
    link->report_ms = AGENT_LINK_HUNG_MS;
    link->greeted = false;
}

static void disconnect(struct agent_link *link)
{
    if (link->fd < 0)
        return;
    cm_watch_free(link->watch);
    link->watch = NULL;
    close(link->fd);
    link->fd = -1;
    link->greeted = false;
    cm_buf_reset(&link->in);
    cm_buf_reset(&link->out);
    for (struct call *c = link->head; c != NULL; c = c->next)
        c->sent = false;
}

static void flush(struct agent_link *link)
{
    while (link->fd >= 0 && link->out.len > 0) {
        ssize_t n = send(link->fd, link->out.data, link->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            disconnect(link);
            return;
        }
        cm_buf_consume(&link->out, (size_t)n);
    }
    if (link->watch != NULL)
        cm_watch_set(link->watch, CM_WATCH_READ | (link->out.len > 0 ? CM_WATCH_WRITE : 0));
}

/* Writes what waits, as far as the buffer goes. */
static void send_waiting(struct agent_link *link)
{
    for (struct call *c = link->head; c != NULL && link->fd >= 0; c = c->next) {
        if (c->sent || c->refusal != NULL)
            continue;
        if (link->out.len > OUT_MAX / 2)
            break;
        if (cm_frame_encode(c->request, &link->out) != 0) {
            refuse(link, c, CM_ELIMIT, "the request is too large for the key agent");
            continue;
        }
        c->sent = true;
        c->sends++;
    }
    flush(link);
}

static int is_poison(const struct agent_link *link, const struct call *call, int64_t now,
                     const char **ret_what)
{
    (void)link;
    (void)now;
    *ret_what = "the key agent ended each time it was asked this; see its log";
    return call->sends > AGENT_LINK_RESENDS ? CM_EBUSY : 0;
}

/* The greeting's answer: how long the worker has been at what it does. */
static void on_greeted(struct agent_link *link, const json_t *reply)
{
    int64_t ms = cm_json_int(reply, "working_ms", 0), now = cm_mono_ms();
    if (ms < AGENT_LINK_WORK_MS || (link->told_at > 0 && now - link->told_at < AGENT_LINK_HUNG_MS))
        return;
    link->told_at = now;
    cm_log(CM_LOG_ERROR, "agent", NULL, "the key agent has been at one request for %d s",
           (int)(ms / 1000));
    if (link->hung != NULL)
        link->hung(link->hung_arg, ms, true);
}

static void on_reply(struct agent_link *link, const json_t *reply)
{
    struct call *call = unlink_call(link, cm_json_int(reply, "id", -1));
    if (call == NULL) { /* the greeting's; or too late: the caller was told so, and may ask again */
        on_greeted(link, reply);
        return;
    }
    if (cm_json_bool(reply, "ok", false)) {
        finish(call, reply, NULL);
        return;
    }
    struct cm_err err = CM_ERR_INIT;
    if (cm_err_from_json(&err, json_object_get(reply, "error")) != 0 || err.code == 0)
        cm_fail(&err, CM_EPEER, "the key agent refused without a reason");
    finish(call, NULL, &err);
    cm_err_fini(&err);
}

static void read_frames(struct agent_link *link)
{
    CM_UNSET char data[65536];
    ssize_t n = recv(link->fd, data, sizeof(data), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || cm_buf_add(&link->in, data, (size_t)n) != 0) {
        cm_log(CM_LOG_WARN, "agent", NULL, "the key agent's channel closed");
        disconnect(link);
        return;
    }
    if (!agent_link_answers(link))
        cm_log(CM_LOG_INFO, "agent", NULL, "the key agent answers again");
    end_silence(link);
    link->heard = true;
    while (link->fd >= 0) {
        CM_AUTO_JSON reply = NULL;
        int rv = cm_frame_decode(&link->in, &reply, NULL);
        if (rv < 0)
            disconnect(link);
        if (rv <= 0)
            break;
        on_reply(link, reply);
    }
}

static void on_ready(void *arg, int events)
{
    struct agent_link *link = arg;
    if ((events & CM_WATCH_READ) != 0)
        read_frames(link);
    if (link->fd >= 0)
        send_waiting(link);
}

static int64_t silence_limit(const struct agent_link *link)
{
    return link->heard ? AGENT_LINK_SILENT_MS : AGENT_LINK_GREET_MS;
}

static int is_over(const struct agent_link *link, const struct call *call, int64_t now,
                   const char **ret_what)
{
    int64_t limit = silence_limit(link), waited = now - call->since;
    *ret_what = call->refusal;
    if (call->refusal != NULL)
        return call->refusal_code;
    *ret_what = link->silence;
    if (link->silent_ms >= limit && waited >= limit)
        return CM_EBUSY;
    *ret_what = "the key agent answers, but has not finished this in time";
    return waited >= AGENT_LINK_TIMEOUT_MS ? CM_ETIMEOUT : 0;
}

/* This verb changes nothing and needs no time. */
static void greet(struct agent_link *link)
{
    CM_AUTO_JSON request =
        json_pack("{s:s, s:I}", "op", "hello", "id", (json_int_t)++link->last_id);
    link->asked_at = cm_mono_ms();
    if (cm_frame_encode(request, &link->out) == 0) /* no room: it takes nothing, so it hangs */
        flush(link);
}

/* Counts the silence, and does what it calls for. */
static void listen_for(struct agent_link *link, int64_t now)
{
    int64_t gap = now - link->looked_at;
    link->looked_at = now;
    link->silent_ms += gap > AGENT_LINK_GAP_MAX_MS ? AGENT_LINK_GAP_MAX_MS : gap;
    if (link->fd < 0)
        return;
    if (!link->greeted && link->silent_ms >= AGENT_LINK_PING_MS) {
        link->greeted = true;
        greet(link);
    } else if (link->greeted && link->silent_ms >= link->report_ms) {
        link->report_ms = link->silent_ms + AGENT_LINK_HUNG_MS;
        cm_log(CM_LOG_ERROR, "agent", NULL,
               "the key agent has not answered for %d s, although requests wait",
               (int)(link->silent_ms / 1000));
        if (link->hung != NULL)
            link->hung(link->hung_arg, link->silent_ms, false);
    }
}

/* An agent that says so much that it is never greeted may have a worker that hangs all the same. */
static void ask_for_the_worker(struct agent_link *link, int64_t now)
{
    const struct call *oldest = link->head;
    if (link->fd >= 0 && oldest != NULL && oldest->sent && !link->greeted &&
        now - oldest->since >= AGENT_LINK_ASK_MS && now - link->asked_at >= AGENT_LINK_ASK_MS)
        greet(link);
}

static void on_tick(void *arg)
{
    struct agent_link *link = arg;
    int64_t now = cm_mono_ms();
    listen_for(link, now);
    ask_for_the_worker(link, now);
    fail_where(link, is_over);
    link->looking = link->head != NULL || link->greeted;
    if (link->looking && !cm_timer_active(link->timer))
        cm_timer_start(link->timer, link->greeted ? LOOK_SILENT_MS : LOOK_MS);
}

static void begin_looking(struct agent_link *link)
{
    if (link->looking)
        return;
    link->looking = true;
    end_silence(link);
    cm_timer_start(link->timer, LOOK_MS);
}

static void on_turn_end(void *arg)
{
    struct agent_link *link = arg;
    link->deferred = false;
    if (link->freed)
        cm_free(link);
    else
        send_waiting(link);
}

static void call_agent(void *arg, json_t *take_request, kf_reply_fn done, void *done_arg)
{
    struct agent_link *link = arg;
    struct call *call = cm_calloc(1, sizeof(*call));
    call->id = ++link->last_id;
    call->request = take_request;
    call->done = done;
    call->done_arg = done_arg;
    call->since = cm_mono_ms();
    *link->tail = call;
    link->tail = &call->next;
    link->count++;
    begin_looking(link);
    /* Refusals too come with the next tick, never from inside this call. */
    if (take_request == NULL)
        refuse(link, call, CM_EINVAL, "a text in the request to the key agent is not UTF-8");
    else if (link->count > AGENT_LINK_PENDING_MAX)
        refuse(link, call, CM_EBUSY, "too many requests wait for the key agent");
    else
        cm_json_set_int(take_request, "id", call->id);
    if (!link->deferred)
        cm_loop_defer(link->loop, on_turn_end, link);
    link->deferred = true;
}

struct agent_link *agent_link_new(struct cm_loop *loop)
{
    struct agent_link *link = cm_calloc(1, sizeof(*link));
    link->loop = loop;
    link->fd = -1;
    link->tail = &link->head;
    link->timer = cm_timer_new(loop, on_tick, link);
    snprintf(link->silence, sizeof(link->silence),
             "the key agent has not answered for %d s; if it stays silent it is ended and started "
             "again. Nothing is done twice: try again in a minute",
             AGENT_LINK_SILENT_MS / 1000);
    end_silence(link);
    cm_buf_init(&link->in, 2 * CM_FRAME_MAX);
    cm_buf_init(&link->out, OUT_MAX);
    return link;
}

void agent_link_free(struct agent_link *link)
{
    if (link == NULL)
        return;
    disconnect(link);
    while (link->head != NULL)
        fail_call(unlink_at(link, &link->head), CM_ECLOSED, "the server is stopping");
    cm_timer_free(link->timer);
    cm_buf_fini(&link->in);
    cm_buf_fini(&link->out);
    link->freed = link->deferred;
    if (!link->deferred)
        cm_free(link);
}

void agent_link_connect(struct agent_link *link, int take_fd)
{
    disconnect(link);
    (void)fcntl(take_fd, F_SETFL, O_NONBLOCK); /* fails only for a descriptor that is none */
    link->fd = take_fd;
    link->watch = cm_watch_new(link->loop, take_fd, on_ready, link);
    cm_watch_set(link->watch, CM_WATCH_READ);
    end_silence(link);
    link->told_at = 0;
    fail_where(link, is_poison);
    send_waiting(link);
}

bool agent_link_connected(const struct agent_link *link)
{
    return link->fd >= 0;
}

bool agent_link_answers(const struct agent_link *link)
{
    return link->fd >= 0 && link->silent_ms < AGENT_LINK_SILENT_MS;
}

void agent_link_on_hung(struct agent_link *link, agent_hung_fn hung, void *arg)
{
    link->hung = hung;
    link->hung_arg = arg;
}

struct kf_agent agent_link_port(struct agent_link *link)
{
    return (struct kf_agent){.arg = link, .call = call_agent};
}
