/* Where a TXT record has to be written: CNAMEs followed, zone and its servers found. */
#pragma once

#include "base/net/dns.h"

#define DNS_CNAME_MAX   8  /* hops; more, or a loop, is an error that names them */
#define DNS_SERVERS_MAX 32 /* of a zone; more are left out */

struct dns_place {
    const char *name;           /* after CNAMEs: write here */
    const char *zone;           /* longest name with a SOA record */
    const char *primary;        /* MNAME of the SOA */
    const char *const *servers; /* NS names of the zone */
    size_t server_count;
    unsigned hops; /* CNAMEs followed, also those that a DNAME makes (RFC 6672) */
    /* A wildcard answers with a CNAME at the name itself.  It is not followed: the record that is
     * written here takes its place. */
    bool wildcard;
};
typedef void (*dns_place_fn)(void *arg, const struct dns_place *place, const struct cm_err *err);
struct dns_find;
/* Once, never from inside; err NULL = found.  name: ASCII without dot at the end. */
struct dns_find *dns_place_find(struct cm_loop *loop, struct dns_client *dns, const char *name,
                                dns_place_fn done, void *arg);
void dns_place_cancel(struct dns_find *find); /* NULL allowed; not after done was called */
