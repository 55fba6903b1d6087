/*
 * The walk of one challenge fetch through redirects, kept hop by hop so that a failure names the
 * one that breaks (reference/acme.md H4, H4b).
 *
 * A hop to the validated host stays on the address under test; a hop to another host goes to the
 * address a CA tries first there.  Certificates of https hops are not verified: no CA does.
 */
#include "certmgr/challenge/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/url.h"
#include "certmgr/challenge/answer.h"
#include "certmgr/challenge/challenge.h"
#include "certmgr/challenge/redirect.h"

#define ANSWER_MAX    4096 /* of a reply that is not ours; enough to name it */
#define SHOWN_URL_MAX 150
#define SAID_MAX      220
#define HOPS_SHOWN    2 /* at either end of a long walk */

struct hop {
    char *url;
    char address[64];
    char said[SAID_MAX]; /* what it answered */
};

struct ch_fetch {
    struct http_client *http;
    struct dns_client *dns;
    char *host, *token, *answer;
    char address[64];
    bool address_first;
    int port;
    struct hop hop[CH_REDIRECTS_MAX + 2]; /* the first URL, its redirects, the one too many */
    size_t count;
    struct http_call *call;
    unsigned refs; /* the caller, and a look-up under way (those cannot be cancelled) */
    bool dead;
    ch_fetch_fn fn;
    void *arg;
};

static void fetch_unref(struct ch_fetch *fetch)
{
    if (--fetch->refs > 0)
        return;
    for (size_t i = 0; i < fetch->count; i++)
        cm_free(fetch->hop[i].url);
    cm_free(fetch->host);
    cm_free(fetch->token);
    cm_free(fetch->answer);
    cm_free(fetch);
}

void ch_fetch_cancel(struct ch_fetch *fetch)
{
    if (!fetch)
        return;
    fetch->dead = true;
    if (fetch->call)
        http_call_cancel(fetch->call);
    fetch->call = NULL;
    fetch_unref(fetch);
}

static void finish(struct ch_fetch *fetch, const struct ch_fetch_end *end)
{
    ch_fetch_fn fn = fetch->fn;
    void *arg = fetch->arg;
    ch_fetch_cancel(fetch);
    fn(arg, end);
}

/* ---- telling ------------------------------------------------------------------------------ */

static void show_url(const char *url, char *out, size_t size)
{
    char text[SHOWN_URL_MAX + 1];
    ch_show(url, strlen(url), text, sizeof(text));
    snprintf(out, size, "%s%s", text, strlen(url) > SHOWN_URL_MAX ? "…" : "");
}

static void add_hops(const struct ch_fetch *fetch, struct cm_err *err)
{
    size_t before = fetch->count - 1;
    for (size_t i = 0; i < before; i++) {
        const struct hop *hop = &fetch->hop[i];
        char url[SHOWN_URL_MAX + 8];
        show_url(hop->url, url, sizeof(url));
        if (before <= 2 * HOPS_SHOWN + 1 || i < HOPS_SHOWN || i >= before - HOPS_SHOWN)
            cm_err_cause(err, "hop %zu, %s (%s): %s", i + 1, url, hop->address, hop->said);
        else if (i == HOPS_SHOWN)
            cm_err_cause(err, "hops %zu to %zu: redirected as well", i + 1, before - HOPS_SHOWN);
    }
}

/* Ends the fetch at the last hop; why->what goes on from "…: ".  `silent` = the call that got no
 * answer, or NULL. */
static void fail(struct ch_fetch *fetch, const struct cm_err *why, const struct http_result *silent)
{
    struct cm_err err = CM_ERR_INIT;
    const struct hop *hop = &fetch->hop[fetch->count - 1];
    char url[SHOWN_URL_MAX + 8], where[SHOWN_URL_MAX + 100] = "";
    show_url(hop->url, url, sizeof(url));
    if (fetch->count > 1)
        snprintf(where, sizeof(where), "hop %zu, %s%s%s%s: ", fetch->count, url,
                 hop->address[0] ? " (" : "", hop->address, hop->address[0] ? ")" : "");
    cm_fail(&err, why->code, "the challenge of %.100s is not served on %s port %d%s: %s%s",
            fetch->host, fetch->address, fetch->port,
            fetch->address_first ? " (the address a CA tries first)" : "", where, why->what);
    add_hops(fetch, &err);
    for (unsigned i = 0; i < why->cause_count; i++)
        cm_err_cause(&err, "%s", why->cause[i]);
    cm_err_object(&err, "host %s", fetch->host);
    cm_err_hint(&err, "%s", why->hint);
    struct ch_fetch_end end = {.silent = silent && fetch->count == 1, .err = &err};
    if (end.silent)
        end.no_route = silent->sys_errno == ENETUNREACH || silent->sys_errno == EHOSTUNREACH ||
                       silent->sys_errno == EADDRNOTAVAIL;
    finish(fetch, &end);
    cm_err_fini(&err);
}

static void fail_call(struct ch_fetch *fetch, const struct http_result *res)
{
    struct cm_err why = CM_ERR_INIT;
    struct url url;
    int port = url_parse(fetch->hop[fetch->count - 1].url, &url, NULL) == 0 ? url.port : 0;
    if (res->sys_errno == ECONNREFUSED) {
        cm_fail(&why, res->err->code, "nothing listens there on port %d (connection refused)",
                port);
        cm_err_hint(&why,
                    "let the web server or CertMgr ([server] challenge_port) listen on port %d of "
                    "that address, or correct the address record (docs/beside-a-web-server.md)",
                    port);
    } else {
        cm_err_copy(&why, res->err);
        if (res->sys_errno != 0)
            cm_err_cause(&why, "%s", cm_errno_text(res->sys_errno));
    }
    fail(fetch, &why, res);
    cm_err_fini(&why);
}

/* ---- hops --------------------------------------------------------------------------------- */

static void on_reply(void *arg, const struct http_result *res);

static struct http_call *ask(struct ch_fetch *fetch, struct cm_err *err)
{
    static const char *const headers[] = {"User-Agent: certmgr/" CM_VERSION " (self-check)", NULL};
    struct hop *hop = &fetch->hop[fetch->count - 1];
    /* The hosts of an order mostly lead to one address: they share its connections.  TLS is made
     * for each host anew, with whatever certificate, as a CA does. */
    bool plain = strncmp(hop->url, "http://", strlen("http://")) == 0;
    struct http_call_opts opts = {
        .method = "GET",
        .url = hop->url,
        .headers = headers,
        .timeout_ms = CH_FETCH_MS,
        .reply_max = ANSWER_MAX,
        .allow_http = true,
        .insecure = !plain,
        .no_keep = !plain,
        .any_host = plain,
        .resolve = hop->address,
    };
    fetch->call = http_call(fetch->http, &opts, on_reply, fetch, err);
    return fetch->call;
}

static void go_to(struct ch_fetch *fetch, const char *address)
{
    struct cm_err err = CM_ERR_INIT;
    struct hop *hop = &fetch->hop[fetch->count - 1];
    if (cm_strcpy(hop->address, sizeof(hop->address), address) < 0)
        cm_fail(&err, CM_ELIMIT, "its address is too long");
    if (err.code != 0 || !ask(fetch, &err))
        fail(fetch, &err, NULL);
    cm_err_fini(&err);
}

static void on_hop_address(void *arg, const char *const *addrs, size_t count,
                           const struct cm_err *err)
{
    struct ch_fetch *fetch = arg;
    bool dead = fetch->dead;
    fetch_unref(fetch); /* a live fetch is held by its caller as well */
    if (dead)
        return;
    if (count > 0) {
        go_to(fetch, addrs[0]); /* IPv6 first, as a CA does */
        return;
    }
    struct cm_err why = CM_ERR_INIT;
    cm_fail(&why, err ? err->code : CM_ENOENT, "the host of this redirect has no address");
    if (err)
        cm_err_cause(&why, "%s", err->what);
    cm_err_hint(&why, "make an A or AAAA record for it, or redirect to another host");
    fail(fetch, &why, NULL);
    cm_err_fini(&why);
}

static void add_hop(struct ch_fetch *fetch, const char *url)
{
    CM_BUG_ON(fetch->count == sizeof(fetch->hop) / sizeof(fetch->hop[0]));
    fetch->hop[fetch->count++].url = cm_strdup(url);
}

static bool asked_before(const struct ch_fetch *fetch, const char *url)
{
    for (size_t i = 0; i < fetch->count; i++)
        if (strcmp(fetch->hop[i].url, url) == 0)
            return true;
    return false;
}

/* The target of a redirect, appended as the next hop.  Returns 0, or why a CA does not go there. */
static int next_hop(struct ch_fetch *fetch, const struct http_result *res, struct cm_err *why)
{
    struct hop *hop = &fetch->hop[fetch->count - 1];
    char location[CH_URL_MAX], target[CH_URL_MAX], shown[SHOWN_URL_MAX + 8];
    if (!http_header_get(res->headers, "location", 0, location, sizeof(location))) {
        cm_fail(why, CM_EPEER, "status %d without a Location that could be followed", res->status);
        cm_err_hint(why, "correct the web server's redirect rule");
        return CM_EPEER;
    }
    show_url(location, shown, sizeof(shown));
    snprintf(hop->said, sizeof(hop->said), "status %d, redirect to %s", res->status, shown);
    int rc = ch_redirect(hop->url, location, fetch->host, fetch->port, target, sizeof(target), why);
    if (rc == 0 && asked_before(fetch, target)) {
        rc = cm_fail(why, CM_EPEER,
                     "redirected to a URL that was asked before: the redirects turn "
                     "in a circle");
        cm_err_hint(why, "correct the web server's redirect rules");
    } else if (rc == 0 && fetch->count > CH_REDIRECTS_MAX) {
        rc = cm_fail(why, CM_EPEER, "redirected once more; a CA follows %d redirects",
                     CH_REDIRECTS_MAX);
        cm_err_hint(why, "shorten the chain of redirects in the web server");
    }
    add_hop(fetch, target);
    return rc;
}

static void follow(struct ch_fetch *fetch, const struct http_result *res)
{
    struct cm_err why = CM_ERR_INIT;
    struct url url;
    if (next_hop(fetch, res, &why) < 0 ||
        url_parse(fetch->hop[fetch->count - 1].url, &url, &why) < 0) {
        fail(fetch, &why, NULL);
    } else if (strcmp(url.host, fetch->host) == 0) {
        go_to(fetch, fetch->address);
    } else {
        fetch->refs++;
        dns_addrs(fetch->dns, url.host, on_hop_address, fetch);
    }
    cm_err_fini(&why);
}

static void on_reply(void *arg, const struct http_result *res)
{
    struct ch_fetch *fetch = arg;
    struct cm_err why = CM_ERR_INIT;
    fetch->call = NULL;
    if (res->status == 0)
        fail_call(fetch, res);
    else if (ch_redirect_status(res->status))
        follow(fetch, res);
    else if (ch_answer(res, fetch->token, fetch->answer, &why) < 0)
        fail(fetch, &why, NULL);
    else
        finish(fetch, &(struct ch_fetch_end){.served = true});
    cm_err_fini(&why);
}

struct ch_fetch *ch_fetch(const struct ch_fetch_opts *opts, ch_fetch_fn fn, void *arg,
                          struct cm_err *err)
{
    struct ch_fetch *fetch = cm_calloc(1, sizeof(*fetch));
    char port[16] = "";
    fetch->http = opts->http;
    fetch->dns = opts->dns;
    fetch->host = cm_strdup(opts->host);
    fetch->token = cm_strdup(opts->token);
    fetch->answer = cm_strdup(opts->answer);
    fetch->address_first = opts->address_first;
    fetch->port = opts->port;
    fetch->refs = 1;
    fetch->fn = fn;
    fetch->arg = arg;
    if (opts->port != 80)
        snprintf(port, sizeof(port), ":%d", opts->port);
    bool v6 = strchr(opts->host, ':') != NULL; /* an address in a URL has brackets */
    CM_AUTO_STR url = cm_asprintf("http://%s%s%s%s" CH_PATH "%s", v6 ? "[" : "", opts->host,
                                  v6 ? "]" : "", port, opts->token);
    add_hop(fetch, url);
    struct hop *hop = &fetch->hop[0];
    if (cm_strcpy(fetch->address, sizeof(fetch->address), opts->address) == 0 &&
        cm_strcpy(hop->address, sizeof(hop->address), opts->address) == 0 && ask(fetch, err))
        return fetch;
    ch_fetch_cancel(fetch);
    return NULL;
}
