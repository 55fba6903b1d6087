/*
 * The self-check of HTTP-01 and TLS-ALPN-01: before the CA is told, every token is asked for on
 * every address of its host, as the CA will do (reference/acme.md H4, H4b, H6; fetch.h is one such
 * fetch, alpn.h one handshake).
 *
 * One probe per token: look the host up, then its addresses one after the other.  Rounds repeat
 * with a growing pause until every probe passed or the deadline came, because the challenge
 * document is on its way to the other servers meanwhile.
 */
#include "certmgr/challenge/challenge.h"

#include <string.h>

#include "base/core/err_dup.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/challenge/alpn.h"
#include "certmgr/challenge/fetch.h"

#define PROBES_AT_ONCE 8
#define TLS_PORT       443
#define PAUSE_FIRST_MS 50 /* replication to the servers is about as quick */
#define PAUSE_MAX_MS   2000

enum state { OPEN, SERVED, FAILED };

/* What went wrong at a host. */
struct findings {
    struct cm_err err;       /* of the last complete round */
    struct cm_err bad;       /* this round's first failure, of address bad_at */
    struct cm_err unreached; /* an address this server has no route to */
};

struct probe {
    struct ch_check *check;
    char *host, *token, *answer;
    bool alpn;                       /* tls-alpn-01 */
    char address[DNS_ADDRS_MAX][64]; /* in the order a CA tries them */
    enum state state[DNS_ADDRS_MAX];
    size_t address_count, at; /* next address */
    struct ch_fetch *fetch;
    struct ch_alpn *look;
    bool passed, tried; /* tried: had its turn in this round */
    struct findings
        *found; /* NULL = nothing went wrong: they are large, and there are many hosts */
    size_t bad_at;
    bool bad_silent;
};

struct ch_check {
    struct cm_loop *loop;
    struct http_client *http;
    struct dns_client *dns;
    int port, tls_port;
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

static struct findings *findings_of(struct probe *probe)
{
    if (!probe->found)
        probe->found = cm_calloc(1, sizeof(*probe->found));
    return probe->found;
}

static void forget_findings(struct probe *probe)
{
    if (!probe->found)
        return;
    cm_err_fini(&probe->found->err);
    cm_err_fini(&probe->found->bad);
    cm_err_fini(&probe->found->unreached);
    cm_free(probe->found);
    probe->found = NULL;
}

static bool is_bad(const struct probe *probe)
{
    return probe->found && probe->found->bad.code != 0;
}

static void check_unref(struct ch_check *check)
{
    if (--check->refs > 0)
        return;
    for (size_t i = 0; i < check->count; i++) {
        struct probe *probe = &check->probe[i];
        cm_free(probe->host);
        cm_free(probe->token);
        cm_free(probe->answer);
        forget_findings(probe);
    }
    cm_free(check->probe);
    cm_free(check);
}

void ch_check_cancel(struct ch_check *check)
{
    if (!check)
        return;
    check->dead = true;
    for (size_t i = 0; i < check->count; i++) {
        ch_fetch_cancel(check->probe[i].fetch);
        ch_alpn_cancel(check->probe[i].look);
    }
    cm_timer_free(check->pause);
    cm_timer_free(check->deadline);
    check_unref(check);
}

static void finish(struct ch_check *check, const struct cm_err *err)
{
    ch_check_fn done = check->done;
    void *arg = check->arg;
    struct cm_err *copy = cm_err_dup(err); /* err may be the check's own */
    ch_check_cancel(check);
    done(arg, copy);
    cm_err_free(copy);
}

/* ---- one probe ---------------------------------------------------------------------------- */

static void probe_end(struct probe *probe, bool passed)
{
    struct ch_check *check = probe->check;
    probe->passed = passed;
    check->running--;
    start_probes(check);
}

static bool is_v6(const char *address)
{
    return strchr(address, ':') != NULL;
}

/* Which of the addresses fails is known; what the others say about it completes the sentence. */
static void add_verdict(struct probe *probe)
{
    const char *v4 = NULL;
    for (size_t i = 0; i < probe->address_count && !v4; i++)
        if (probe->state[i] == SERVED && !is_v6(probe->address[i]))
            v4 = probe->address[i];
    if (!v4 || !probe->bad_silent || !is_v6(probe->address[probe->bad_at]))
        return;
    struct cm_err told, *err = &findings_of(probe)->err;
    cm_err_copy(&told, err);
    cm_fail(err, told.code,
            "%.380s; %s answers as it should, but the CA tries the first IPv6 address first",
            told.what, v4);
    for (unsigned i = 0; i < told.cause_count; i++)
        cm_err_cause(err, "%s", told.cause[i]);
    cm_err_object(err, "host %s", probe->host);
    cm_err_hint(err,
                "let the web server listen on IPv6 as well (nginx: \"listen [::]:%d;\"), or remove "
                "the AAAA record of %.200s",
                probe->alpn ? probe->check->tls_port : probe->check->port, probe->host);
    cm_err_fini(&told);
}

/* All addresses of this round had their turn. */
static void judge(struct probe *probe)
{
    size_t served = 0;
    for (size_t i = 0; i < probe->address_count; i++)
        served += probe->state[i] == SERVED;
    if (!is_bad(probe) && served > 0) {
        forget_findings(probe);
        probe_end(probe, true);
        return;
    }
    struct findings *found = findings_of(probe);
    cm_err_fini(&found->err);
    cm_err_copy(&found->err, is_bad(probe) ? &found->bad : &found->unreached);
    add_verdict(probe);
    probe_end(probe, false);
}

static void next_address(struct probe *probe);

static void on_fetched(void *arg, const struct ch_fetch_end *end)
{
    struct probe *probe = arg;
    const char *address = probe->address[probe->at];
    probe->fetch = NULL;
    probe->look = NULL;
    probe->state[probe->at] = end->served ? SERVED : FAILED;
    if (!end->served && end->no_route && is_v6(address)) {
        /* A server without IPv6 cannot look; that says nothing about the address. */
        cm_log(CM_LOG_DEBUG, "challenge", NULL, "self-check: no route to %s of %s from here",
               address, probe->host);
        struct cm_err *unreached = &findings_of(probe)->unreached;
        cm_err_fini(unreached);
        cm_err_copy(unreached, end->err);
        cm_err_hint(unreached,
                    "this server has no route to any address of %.200s: give it one (IPv6), or "
                    "switch the self-check off in the account",
                    probe->host);
    } else if (!end->served && !is_bad(probe)) {
        cm_err_copy(&findings_of(probe)->bad, end->err);
        probe->bad_at = probe->at;
        probe->bad_silent = end->silent;
    }
    probe->at++;
    next_address(probe);
}

static void next_address(struct probe *probe)
{
    if (probe->at == probe->address_count) {
        judge(probe);
        return;
    }
    struct ch_check *check = probe->check;
    struct cm_err err = CM_ERR_INIT;
    struct ch_fetch_opts opts = {
        .http = check->http,
        .dns = check->dns,
        .host = probe->host,
        .token = probe->token,
        .answer = probe->answer,
        .address = probe->address[probe->at],
        .address_first = probe->address_count > 1 && probe->at == 0,
        .port = probe->alpn ? check->tls_port : check->port,
    };
    if (probe->alpn) {
        probe->look = ch_alpn(check->loop, &opts, on_fetched, probe);
        return;
    }
    probe->fetch = ch_fetch(&opts, on_fetched, probe, &err);
    if (!probe->fetch) {
        cm_wrap(&err, CM_EINVAL, "the challenge of %s cannot be asked for", probe->host);
        cm_err_object(&err, "host %s", probe->host);
        cm_err_fini(&findings_of(probe)->err);
        cm_err_copy(&findings_of(probe)->err, &err);
        probe_end(probe, false);
    }
    cm_err_fini(&err);
}

/* A resolver that is away says nothing about the host's records. */
static void no_address(struct probe *probe, const struct cm_err *err)
{
    struct cm_err *why = &findings_of(probe)->err;
    bool unknown = err && err->code != CM_ENOENT && err->code != CM_EINVAL;
    if (unknown)
        cm_fail(why, err->code, "the addresses of %s cannot be looked up", probe->host);
    else
        cm_fail(why, err ? err->code : CM_ENOENT, "%s has no address", probe->host);
    if (err)
        cm_err_cause(why, "%s", err->what);
    cm_err_object(why, "host %s", probe->host);
    if (unknown && err->hint[0])
        cm_err_hint(why, "%s", err->hint);
    else
        cm_err_hint(why, "make an A or AAAA record for %s", probe->host);
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
        no_address(probe, err);
        probe_end(probe, false);
        return;
    }
    probe->address_count = 0;
    for (size_t i = 0; i < count && i < DNS_ADDRS_MAX; i++)
        if (cm_strcpy(probe->address[probe->address_count], sizeof(probe->address[0]), addrs[i]) ==
            0)
            probe->state[probe->address_count++] = OPEN;
    probe->at = 0;
    if (probe->found) {
        cm_err_fini(&probe->found->bad);
        cm_err_fini(&probe->found->unreached);
    }
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
        probe->tried = true;
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
        if (probe->passed || !probe->found)
            continue;
        const struct findings *found = probe->found;
        const struct cm_err *bad = found->err.code != 0 ? &found->err : &found->bad;
        if (bad->code == 0)
            continue;
        if (!err.code)
            cm_err_copy(&err, bad);
        else if (err.cause_count < CM_ERR_CAUSES_MAX)
            cm_err_cause(&err, "%s", bad->what);
    }
    if (!err.code)
        cm_fail(&err, CM_ETIMEOUT, "the self-check of the challenge got no answer in time");
    if (!err.hint[0])
        cm_err_hint(&err,
                    "every address of the host must answer challenges on port %d from a server of "
                    "the fleet; or switch the self-check off in the account",
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
                               .tls_port = TLS_PORT,
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
        probe->alpn = strcmp(cm_json_str_or(entry, "type", ""), "tls-alpn-01") == 0;
        probe->token = cm_strdup(cm_json_str_or(entry, "token", ""));
        probe->answer = cm_strdup(cm_json_str_or(entry, "key_authorization", ""));
    }
    check->pause = cm_timer_new(loop, on_round, check);
    check->deadline = cm_timer_new(loop, on_deadline, check);
    cm_timer_start(check->pause, 0);
    cm_timer_start(check->deadline, deadline_ms);
    return check;
}

void ch_check_tls_port(struct ch_check *check, int port)
{
    check->tls_port = port;
}
