/*
 * Outgoing HTTP: libcurl on the loop (curl_loop.h).
 *
 * libcurl forbids most of its functions inside its own callbacks, so on_data may start or cancel
 * calls only by marking them; `kick` does the work in the next turn.
 */
#include "base/net/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/curl_loop.h"
#include "base/net/http_failure.h"
#include "base/net/http_setup.h"
#include "base/net/url.h"

#define CONNECT_TIMEOUT_MS 30000
#define CONNS_MAX          256L
#define CONNS_IDLE_MAX     128L /* fewer, and calls to a distant host would close each other's */
#define KEEPALIVE_S        60L
#define SEND_BUFFER        16384L /* the least that libcurl takes; made and freed for each call */
#define PATIENCE_MS        250    /* how exact the deadline of a call without a connection is */

struct http_client {
    struct cm_loop *loop;
    struct curl_loop *curl;
    struct cm_timer *kick;     /* marked work that could not be done inside a callback */
    struct cm_timer *patience; /* while calls wait for a connection */
    struct http_call *calls;   /* newest first */
    size_t per_host;           /* connections */
    bool impatient;            /* patience runs */
    bool finishing;            /* inside a done function */
    bool closing;
};

struct http_call {
    struct http_call *prev, *next;
    struct http_client *client;
    struct http_setup setup;
    http_done_fn done;
    http_data_fn on_data;
    void *arg;
    char *host;
    int port, timeout_ms, connect_ms, silence_ms;
    struct cm_timer *silence;
    struct cm_buf head, reply;
    bool client_cert; /* is offered */
    bool added;       /* the multi handle has it */
    bool waiting;     /* for a connection: it will be added */
    int64_t asked_ms; /* when that began, monotonic */
    bool begun;       /* sent, as far as we know (http_call_opts.once) */
    bool head_done;   /* final or interim header block complete */
    bool cancelled;   /* done is not called any more */
    bool finished;    /* done is running */
    int fault;        /* our own reason for ending the transfer, 0 = none */
    char why[CURL_ERROR_SIZE];
};

/* ---- start of a call ---------------------------------------------------------------------- */

static void heard(struct http_call *call)
{
    if (call->silence)
        cm_timer_start(call->silence, call->silence_ms);
}

static void call_add(struct http_call *call)
{
    call->waiting = false;
    curl_loop_add(call->client->curl, call->setup.easy);
    call->added = true;
    heard(call);
}

/* libcurl takes a call that finds no connection through half of its set-up again whenever any other
 * ends: three times and more for each when many wait.  So they wait here, the oldest goes first. */
static void call_start(struct http_call *call)
{
    struct http_client *client = call->client;
    size_t same = 0;
    for (const struct http_call *at = client->calls; at; at = at->next)
        if (at->added && at->port == call->port && strcmp(at->host, call->host) == 0)
            same++;
    if (same < client->per_host) {
        call_add(call);
        return;
    }
    if (!call->waiting)
        call->asked_ms = cm_mono_ms();
    call->waiting = true;
    if (!client->impatient)
        cm_timer_start(client->patience, PATIENCE_MS);
    client->impatient = true;
}

/* `call` has left libcurl: its place is free. */
static void start_next(const struct http_call *call)
{
    struct http_call *oldest = NULL;
    if (call->client->closing)
        return;
    for (struct http_call *at = call->client->calls; at; at = at->next)
        if (at->waiting && !at->cancelled && at->port == call->port &&
            strcmp(at->host, call->host) == 0)
            oldest = at;
    if (oldest)
        call_add(oldest);
}

/* ---- end of a call ------------------------------------------------------------------------ */

static void call_remove(struct http_call *call)
{
    if (!call->added)
        return;
    curl_loop_remove(call->client->curl, call->setup.easy);
    call->added = false;
    start_next(call);
}

static void call_free(struct http_call *call)
{
    struct http_client *client = call->client;
    call_remove(call);
    if (call->prev)
        call->prev->next = call->next;
    else
        client->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    http_setup_fini(&call->setup);
    cm_timer_free(call->silence);
    cm_buf_fini(&call->head);
    cm_buf_fini(&call->reply);
    cm_free(call->host);
    cm_free(call);
}

static void explain(const struct http_call *call, CURLcode rc, struct cm_err *err)
{
    curl_off_t ready = 0; /* when the request could have been sent */
    (void)curl_easy_getinfo(call->setup.easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
    const struct http_failure failure = {
        .curl = rc,
        .fault = call->fault,
        .host = call->host,
        .port = call->port,
        .timeout_ms = call->timeout_ms > 0 ? call->timeout_ms : CONNECT_TIMEOUT_MS,
        .connect_ms = ready > 0 ? 0 : call->connect_ms,
        .silence_ms = call->silence_ms,
        .client_cert = call->client_cert,
        .why = call->why,
    };
    http_failure_explain(&failure, err);
}

static void call_finish(struct http_call *call, CURLcode rc)
{
    struct cm_err err = CM_ERR_INIT;
    struct http_result res = {.headers = cm_buf_str(&call->head),
                              .body = cm_buf_str(&call->reply),
                              .body_len = call->reply.len,
                              .remote_ip = "",
                              .err = &err};
    long status = 0, sys_errno = 0;
    const char *ip = NULL;
    curl_easy_getinfo(call->setup.easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->setup.easy, CURLINFO_PRIMARY_IP, &ip);
    res.status = (int)status;
    if (ip)
        res.remote_ip = ip;
    if (rc == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(call->setup.easy, CURLINFO_OS_ERRNO, &sys_errno) == CURLE_OK)
        res.sys_errno = (int)sys_errno;
    if (rc != CURLE_OK || call->fault)
        explain(call, rc, &err);
    /* Out of the multi handle first: done may do anything with the client. */
    call_remove(call);
    call->waiting = false;
    call->finished = true;
    bool outer = call->client->finishing;
    call->client->finishing = true;
    call->done(call->arg, &res);
    call->client->finishing = outer;
    cm_err_fini(&err);
    call_free(call);
}

/* One that waited for all its time, or NULL; *ret = does any wait? */
static struct http_call *find_late(const struct http_client *client, bool *ret)
{
    int64_t now = cm_mono_ms();
    *ret = false;
    for (struct http_call *at = client->calls; at; at = at->next) {
        if (!at->waiting || at->cancelled || at->finished)
            continue;
        if (at->timeout_ms > 0 && now - at->asked_ms >= at->timeout_ms)
            return at;
        *ret = true;
    }
    return NULL;
}

static void on_patience(void *arg)
{
    struct http_client *client = arg;
    struct http_call *late;
    while ((late = find_late(client, &client->impatient)) != NULL) /* done may change the list */
        call_finish(late, CURLE_OPERATION_TIMEDOUT);
    if (client->impatient)
        cm_timer_start(client->patience, PATIENCE_MS);
}

static void on_curl_done(void *arg, int code)
{
    struct http_call *call = arg;
    if (call->cancelled)
        call_free(call);
    else
        call_finish(call, (CURLcode)code);
}

/* ---- data of one call --------------------------------------------------------------------- */

static void on_silence(void *arg)
{
    struct http_call *call = arg;
    call->fault = CM_ETIMEOUT;
    call_finish(call, CURLE_OPERATION_TIMEDOUT);
}

/* Keeps the last header block (interim 1xx blocks go, trailers are not taken). */
static size_t on_curl_header(char *data, size_t one, size_t len, void *arg)
{
    struct http_call *call = arg;
    (void)one;
    heard(call);
    size_t line = len;
    while (line > 0 && (data[line - 1] == '\n' || data[line - 1] == '\r'))
        line--;
    if (call->head_done && (len < 5 || memcmp(data, "HTTP/", 5) != 0))
        return len;
    if (call->head_done)
        cm_buf_reset(&call->head);
    call->head_done = line == 0;
    cm_buf_add(&call->head, data, line);
    if (cm_buf_puts(&call->head, "\r\n") == 0)
        return len;
    call->fault = CM_ELIMIT;
    return 0;
}

/* Before each sending of a request that must not be sent twice (RFC 9110 9.2.2). */
static int on_curl_begin(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct http_call *call = arg;
    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    if (call->begun)
        return CURL_PREREQFUNC_ABORT;
    call->begun = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_curl_data(char *data, size_t one, size_t len, void *arg)
{
    struct http_call *call = arg;
    (void)one;
    if (call->cancelled)
        return 0;
    heard(call);
    long status = 0;
    curl_easy_getinfo(call->setup.easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->on_data && status >= 200 && status <= 299) {
        if (call->on_data(call->arg, data, len) < 0)
            call->fault = CM_ECLOSED;
    } else if (cm_buf_add(&call->reply, data, len) < 0) {
        call->fault = CM_ELIMIT;
    }
    return call->fault || call->cancelled ? 0 : len;
}

/* ---- options ------------------------------------------------------------------------------ */

#define SET(call, option, value) HTTP_SET(&(call)->setup, option, value)

static void set_limits(struct http_call *call, const struct http_call_opts *opts)
{
    size_t reply_max = opts->reply_max ? opts->reply_max : HTTP_CALL_REPLY_MAX;
    cm_buf_init(&call->head, HTTP_CALL_HEADERS_MAX);
    cm_buf_init(&call->reply, reply_max);
    if (!call->on_data)
        SET(call, MAXFILESIZE_LARGE, (curl_off_t)reply_max);
    call->timeout_ms = opts->timeout_ms ? opts->timeout_ms : HTTP_CALL_TIMEOUT_MS;
    if (call->timeout_ms > 0)
        SET(call, TIMEOUT_MS, (long)call->timeout_ms);
    call->connect_ms = opts->connect_ms ? opts->connect_ms : CONNECT_TIMEOUT_MS;
    if (call->timeout_ms > 0 && call->timeout_ms < call->connect_ms)
        call->connect_ms = call->timeout_ms;
    SET(call, CONNECTTIMEOUT_MS, (long)call->connect_ms);
    SET(call, FORBID_REUSE, opts->no_keep ? 1L : 0L);
    call->silence_ms = opts->silence_ms;
    if (call->silence_ms > 0)
        call->silence = cm_timer_new(call->client->loop, on_silence, call);
}

static void set_callbacks(struct http_call *call)
{
    SET(call, PRIVATE, call);
    SET(call, ERRORBUFFER, call->why);
    SET(call, HEADERFUNCTION, on_curl_header);
    SET(call, HEADERDATA, call);
    SET(call, WRITEFUNCTION, on_curl_data);
    SET(call, WRITEDATA, call);
    SET(call, USERAGENT, "certmgr");
    /* Not HTTP/2: driven by sockets, libcurl 7.88 loses the wake-up of a stream now and then. */
    SET(call, UPLOAD_BUFFERSIZE, SEND_BUFFER);
    SET(call, HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(call, TCP_NODELAY, 1L);
    SET(call, TCP_KEEPALIVE, 1L);
    SET(call, TCP_KEEPIDLE, KEEPALIVE_S);
}

/* ---- public ------------------------------------------------------------------------------- */

/* What was asked for inside a callback, and who may have room now.  The list may change under done,
 * which never runs here. */
static void on_kick(void *arg)
{
    struct http_client *client = arg;
    for (struct http_call *call = client->calls, *next; call; call = next) {
        next = call->next;
        if (call->cancelled)
            call_free(call);
        else if (!call->added && !call->finished)
            call_start(call);
    }
}

struct http_client *http_client_new(struct cm_loop *loop)
{
    struct http_client *client = cm_calloc(1, sizeof(*client));
    client->loop = loop;
    client->curl = curl_loop_new(loop, on_curl_done);
    client->kick = cm_timer_new(loop, on_kick, client);
    client->patience = cm_timer_new(loop, on_patience, client);
    http_client_set_conns(client, HTTP_HOST_CONNS_USUAL);
    return client;
}

void http_client_set_conns(struct http_client *client, size_t per_host)
{
    if (per_host > HTTP_HOST_CONNS_MAX)
        per_host = HTTP_HOST_CONNS_MAX;
    if (per_host == client->per_host)
        return;
    client->per_host = per_host;
    curl_loop_limits(client->curl, (long)per_host, CONNS_MAX, CONNS_IDLE_MAX);
    cm_timer_start(client->kick, 0); /* there may be room for those that wait */
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    CM_BUG_ON(curl_loop_inside(client->curl) || client->finishing);
    client->closing = true;
    while (client->calls) {
        struct http_call *call = client->calls;
        call->fault = CM_ECLOSED;
        if (call->cancelled)
            call_free(call);
        else
            call_finish(call, CURLE_ABORTED_BY_CALLBACK);
    }
    curl_loop_free(client->curl);
    cm_timer_free(client->kick);
    cm_timer_free(client->patience);
    cm_free(client);
}

struct http_call *http_call(struct http_client *client, const struct http_call_opts *opts,
                            http_done_fn done, void *arg, struct cm_err *err)
{
    struct url url;
    if (client->closing) {
        cm_fail(err, CM_ECLOSED, "this process is shutting down: no new HTTP calls");
        return NULL;
    }
    if (url_parse(opts->url, &url, err) < 0)
        return NULL;
    if (!url.https && !opts->allow_http) {
        cm_fail(err, CM_EDENIED, "plain http:// is not allowed here: %.200s", opts->url);
        return NULL;
    }
    struct http_call *call = cm_calloc(1, sizeof(*call));
    *call = (struct http_call){.client = client, .done = done, .arg = arg, .next = client->calls};
    call->on_data = opts->on_data;
    call->client_cert = opts->cert_file != NULL || opts->cert_pem != NULL;
    call->host = cm_strdup(url.host);
    call->port = url.port;
    call->setup.easy = curl_loop_easy(client->curl);
    if (client->calls)
        client->calls->prev = call;
    client->calls = call;
    set_callbacks(call);
    set_limits(call, opts);
    if (opts->once) {
        SET(call, PREREQFUNCTION, on_curl_begin);
        SET(call, PREREQDATA, call);
    }
    if (http_setup(&call->setup, opts, err) < 0) {
        call_free(call);
        return NULL;
    }
    if (curl_loop_inside(client->curl))
        cm_timer_start(client->kick, 0);
    else
        call_start(call);
    return call;
}

void http_call_cancel(struct http_call *call)
{
    if (call->finished || call->cancelled)
        return;
    if (!curl_loop_inside(call->client->curl)) {
        call_free(call);
        return;
    }
    call->cancelled = true;
    cm_timer_free(call->silence);
    call->silence = NULL;
    cm_timer_start(call->client->kick, 0);
}
