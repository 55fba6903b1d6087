/* Waits until TXT values are seen: at every authoritative server, at chosen resolvers, or simply
 * for a fixed time (reference/acme.md D4, 2.2 item 10). */
#pragma once

#include "certmgr/dns/zone.h"
#include <jansson.h>

#define DNS_WAIT_VALUES_MAX 200 /* of one wait */

struct dns_wait_options {
    bool authoritative;    /* ask every server of the zone (default) */
    const char *resolvers; /* "address:port,…" to ask besides, or NULL */
    bool resolver;         /* ask the client's own resolver besides */
    int fixed_s;           /* > 0: only wait this long */
    int interval_s;        /* between looks; 0 = 2 */
    int64_t start_ms; /* the first look comes so late (measured before), never after the limit */
    int limit_s;      /* then it fails and tells what each server said; 0 = 600, at most 7200 */
};
/* report: [{"name","server","seen": bool,"ms","said"}] of the last look; ms: since the wait began
 * until all values were seen there, or until the last look; said: "all values", "no such name",
 * "2 other values", …; a server this host has no way to (IPv6) has "skipped": true.  err NULL = all
 * values are seen everywhere.  Once, never from inside. */
typedef void (*dns_wait_fn)(void *arg, const json_t *report, const struct cm_err *err);
struct dns_wait;
/* values: [{"fqdn","value"}]; all are waited for together; CNAMEs are followed. */
struct dns_wait *dns_wait(struct cm_loop *loop, struct dns_client *dns, const json_t *values,
                          const struct dns_wait_options *options, dns_wait_fn done, void *arg);
void dns_wait_cancel(struct dns_wait *wait); /* NULL allowed; not after done was called */
