/*
 * The self-check of HTTP-01: before the CA is told, every token is fetched from every address of
 * its host, as the CA will do (reference/acme.md H4b, H6).
 *
 * One probe per token: look the host up, then its addresses one after the other.  Rounds repeat
 * with a growing pause until every probe passed or the deadline came, because the challenge
 * document is on its way to the other servers meanwhile.
 */
#include "certmgr/challenge/challenge.h"

#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"

#define PROBES_AT_ONCE 8
#define FETCH_MS       5000
#define PAUSE_FIRST_MS 200
#define PAUSE_MAX_MS   2000
#define ANSWER_MAX     4096 /* of a reply that is not ours; enough to name it */
#define SHOWN_MAX      60   /* characters of a wrong answer shown */

struct probe {
    struct ch_check *check;
    char *host, *token, *answer;
    char address[DNS_ADDRS_MAX][64];
    size_t address_count, at; /* next address */
    struct http_call *call;
    bool passed, running, tried; /* tried: had its turn in this round */
    struct cm_err err;           /* last failure */
};

struct ch_check {
    struct cm_loop *loop;
    struct http_client *http;
    struct dns_client *dns;
    int port;
    struct probe *probe;
    size_t count, running;
    struct cm_timer *pause, *deadline;
    int64_t pause_ms;
    unsigned refs; /* the caller, and one per look-up under way (those cannot be cancelled) */
    bool dead;
    ch_check_fn done;
    void *arg;
};

static void start_probes(struct ch_check *check);

static void check_unref(struct ch_check *check)
{
    if (--check->refs > 0)
        return;
    for (size_t i = 0; i < check->count; i++) {
        struct probe *probe = &check->probe[i];
        cm_free(probe->host);
        cm_free(probe->token);
        cm_free(probe->answer);
        cm_err_fini(&probe->err);
    }
    cm_free(check->probe);
    cm_free(check);
}

void ch_check_cancel(struct ch_check *check)
{
    if (!check)
        return;
    check->dead = true;
    for (size_t i = 0; i < check->count; i++)
        if (check->probe[i].call)
            http_call_cancel(check->probe[i].call);
    cm_timer_free(check->pause);
    cm_timer_free(check->deadline);
    check_unref(check);
}

static void finish(struct ch_check *check, const struct cm_err *err)
{
    ch_check_fn done = check->done;
    void *arg = check->arg;
    struct cm_err copy;
    cm_err_copy(&copy, err ? err : &CM_ERR_INIT);
    ch_check_cancel(check);
    done(arg, err ? &copy : NULL);
    cm_err_fini(&copy);
}

/* ---- one probe ---------------------------------------------------------------------------- */

static void probe_end(struct probe *probe, bool passed)
{
    struct ch_check *check = probe->check;
    probe->running = false;
    probe->passed = passed;
    check->running--;
    start_probes(check);
}

static void probe_fail(struct probe *probe, int code, const char *address, const char *seen)
{
    cm_fail(&probe->err, code, "the challenge of %s is not served on %s port %d: %s", probe->host,
            address, probe->check->port, seen);
    cm_err_object(&probe->err, "host %s", probe->host);
    probe_end(probe, false);
}

/* A wrong answer as one printable line: it comes from anywhere. */
static void show_body(const char *body, size_t len, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n < SHOWN_MAX && n + 1 < size; i++) {
        unsigned char c = (unsigned char)body[i];
        out[n++] = (char)(c >= 0x20 && c < 0x7f ? c : '.');
    }
    out[n] = '\0';
}

static void describe(const struct probe *probe, const struct http_result *res, char *out,
                     size_t size)
{
    char text[1024];
    if (res->status >= 300 && res->status < 400 &&
        http_header_get(res->headers, "location", 0, text, sizeof(text))) {
        cm_utf8_fix(text);
        snprintf(out, size,
                 "status %d, redirect to %.200s: the hop breaks the check, which follows none",
                 res->status, text);
        return;
    }
    if (res->status != 200) {
        snprintf(out, size, "status %d instead of 200", res->status);
        return;
    }
    char shown[SHOWN_MAX + 1];
    show_body(res->body, res->body_len, shown, sizeof(shown));
    snprintf(out, size, "another answer than %.20s…: \"%s\"", probe->answer, shown);
}

static void next_address(struct probe *probe);

static void on_fetched(void *arg, const struct http_result *res)
{
    struct probe *probe = arg;
    probe->call = NULL;
    const char *address = probe->address[probe->at];
    if (res->status == 0) {
        char line[CM_ERR_TEXT_MAX];
        cm_err_line(res->err, line, sizeof(line));
        probe_fail(probe, CM_ENET, address, line);
        return;
    }
    /* Trailing white space is cut, as Boulder does. */
    size_t len = res->body_len;
    while (len > 0 && strchr(" \t\r\n", res->body[len - 1]))
        len--;
    if (res->status == 200 && len == strlen(probe->answer) &&
        memcmp(res->body, probe->answer, len) == 0) {
        probe->at++;
        next_address(probe);
        return;
    }
    char seen[CM_ERR_TEXT_MAX];
    describe(probe, res, seen, sizeof(seen));
    probe_fail(probe, CM_EPEER, address, seen);
}

static void next_address(struct probe *probe)
{
    if (probe->at == probe->address_count) {
        probe_end(probe, true);
        return;
    }
    struct ch_check *check = probe->check;
    char url[HTTP_TARGET_MAX];
    snprintf(url, sizeof(url), "http://%s:%d" CH_PATH "%s", probe->host, check->port, probe->token);
    static const char *const headers[] = {"User-Agent: certmgr/" CM_VERSION " (self-check)", NULL};
    struct http_call_opts opts = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .timeout_ms = FETCH_MS,
        .reply_max = ANSWER_MAX,
        .allow_http = true,
        .resolve = probe->address[probe->at],
    };
    struct cm_err err = CM_ERR_INIT;
    probe->call = http_call(check->http, &opts, on_fetched, probe, &err);
    if (!probe->call)
        probe_fail(probe, err.code, probe->address[probe->at], err.what);
    cm_err_fini(&err);
}

static void on_addresses(void *arg, const char *const *addrs, size_t count,
                         const struct cm_err *err)
{
    struct probe *probe = arg;
    struct ch_check *check = probe->check;
    bool dead = check->dead;
    check_unref(check); /* a live check is held by its caller as well */
    if (dead)
        return;
    if (count == 0) {
        cm_fail(&probe->err, err ? err->code : CM_ENOENT, "%s has no address", probe->host);
        if (err)
            cm_err_cause(&probe->err, "%s", err->what);
        cm_err_object(&probe->err, "host %s", probe->host);
        cm_err_hint(&probe->err, "make an A or AAAA record for %s", probe->host);
        probe_end(probe, false);
        return;
    }
    probe->address_count = 0;
    for (size_t i = 0; i < count && i < DNS_ADDRS_MAX; i++)
        if (cm_strcpy(probe->address[probe->address_count], sizeof(probe->address[0]), addrs[i]) ==
            0)
            probe->address_count++;
    probe->at = 0;
    next_address(probe);
}

/* ---- rounds ------------------------------------------------------------------------------- */

static struct probe *next_probe(struct ch_check *check, bool *ret_all_passed)
{
    *ret_all_passed = true;
    for (size_t i = 0; i < check->count; i++) {
        struct probe *probe = &check->probe[i];
        if (!probe->passed)
            *ret_all_passed = false;
        if (!probe->passed && !probe->tried)
            return probe;
    }
    return NULL;
}

/* Fills the free places; when the round is over, ends the check or plans the next round. */
static void start_probes(struct ch_check *check)
{
    bool all_passed = false;
    struct probe *probe;
    while (check->running < PROBES_AT_ONCE && (probe = next_probe(check, &all_passed))) {
        probe->running = probe->tried = true;
        check->running++;
        check->refs++;
        dns_addrs(check->dns, probe->host, on_addresses, probe);
    }
    if (check->running > 0)
        return;
    if (all_passed) {
        finish(check, NULL);
        return;
    }
    cm_timer_start(check->pause, check->pause_ms);
    check->pause_ms =
        check->pause_ms * 3 / 2 < PAUSE_MAX_MS ? check->pause_ms * 3 / 2 : PAUSE_MAX_MS;
}

static void on_round(void *arg)
{
    struct ch_check *check = arg;
    for (size_t i = 0; i < check->count; i++)
        check->probe[i].tried = false;
    start_probes(check);
}

static void on_deadline(void *arg)
{
    struct ch_check *check = arg;
    struct cm_err err = CM_ERR_INIT;
    for (size_t i = 0; i < check->count; i++) {
        const struct probe *probe = &check->probe[i];
        if (probe->passed)
            continue;
        if (!err.code && probe->err.code)
            cm_err_copy(&err, &probe->err);
        else if (probe->err.code)
            cm_err_cause(&err, "%s", probe->err.what);
    }
    if (!err.code)
        cm_fail(&err, CM_ETIMEOUT, "the self-check of the challenge got no answer in time");
    if (!err.hint[0])
        cm_err_hint(&err,
                    "every address of the host must answer " CH_PATH " on port %d from a server "
                    "of the fleet; or switch the self-check off in the account",
                    check->port);
    err.retry = CM_RETRY_TRANSIENT;
    finish(check, &err);
    cm_err_fini(&err);
}

struct ch_check *ch_self_check(struct cm_loop *loop, struct http_client *http,
                               struct dns_client *dns, const json_t *tokens, int port,
                               int deadline_ms, ch_check_fn done, void *arg)
{
    struct ch_check *check = cm_calloc(1, sizeof(*check));
    *check = (struct ch_check){.loop = loop,
                               .http = http,
                               .dns = dns,
                               .port = port,
                               .pause_ms = PAUSE_FIRST_MS,
                               .refs = 1,
                               .done = done,
                               .arg = arg};
    check->count = json_array_size(tokens);
    check->probe = cm_calloc(check->count ? check->count : 1, sizeof(*check->probe));
    for (size_t i = 0; i < check->count; i++) {
        const json_t *entry = json_array_get(tokens, i);
        struct probe *probe = &check->probe[i];
        probe->check = check;
        probe->host = cm_strdup(cm_json_str_or(entry, "host", ""));
        probe->token = cm_strdup(cm_json_str_or(entry, "token", ""));
        probe->answer = cm_strdup(cm_json_str_or(entry, "key_authorization", ""));
    }
    check->pause = cm_timer_new(loop, on_round, check);
    check->deadline = cm_timer_new(loop, on_deadline, check);
    cm_timer_start(check->pause, 0);
    cm_timer_start(check->deadline, deadline_ms);
    return check;
}
