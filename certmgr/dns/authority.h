/* Every address of every name server that answers for a name, CNAMEs followed. */
#pragma once

#include "certmgr/dns/zone.h"

#define DNS_ADDRESSES_MAX 64 /* of all servers of a zone together; more are left out */

struct dns_authority_server {
    const char *host;    /* NS name */
    const char *address; /* numeric; NULL = the name has none */
    const char *asked;   /* "address:port" for dns_ask() */
    bool routable;       /* this host has a way to it (no IPv6 here: false) */
};
typedef void (*dns_authority_fn)(void *arg, const struct dns_place *place,
                                 const struct dns_authority_server *servers, size_t count,
                                 const struct cm_err *err);
struct dns_authority;
/* Once, never from inside; err NULL = found, everything valid inside done only. */
struct dns_authority *dns_authority_find(struct cm_loop *loop, struct dns_client *dns,
                                         const char *name, dns_authority_fn done, void *arg);
void dns_authority_cancel(struct dns_authority *authority); /* NULL allowed; not after done */
