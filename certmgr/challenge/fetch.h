/*
 * One challenge fetched from one address as a CA does it: the first URL on the address given, then
 * its redirects, each looked up anew.  Internal to the self-check.
 */
#pragma once

#include "base/net/dns.h"
#include "base/net/http_client.h"

#define CH_FETCH_MS 5000 /* per hop */

struct ch_fetch;

struct ch_fetch_opts {
    struct http_client *http;
    struct dns_client *dns;
    const char *host, *token, *answer; /* answer = key authorization */
    const char *address;               /* of host */
    bool address_first;                /* of several addresses, the one a CA tries first */
    int port;                          /* of the first URL */
};

struct ch_fetch_end {
    bool served;
    bool silent;              /* not served, as no HTTP answer came from the first address at all */
    bool no_route;            /* and that because this server has no route to it */
    const struct cm_err *err; /* when not served: host, address, hop; the hops before as causes */
};
/* Called once, never from inside ch_fetch(). */
typedef void (*ch_fetch_fn)(void *arg, const struct ch_fetch_end *end);

/* Texts are copied; the clients outlive the fetch.  NULL + err when the URL cannot be asked. */
struct ch_fetch *ch_fetch(const struct ch_fetch_opts *opts, ch_fetch_fn fn, void *arg,
                          struct cm_err *err);
void ch_fetch_cancel(struct ch_fetch *fetch); /* fn is not called any more */
