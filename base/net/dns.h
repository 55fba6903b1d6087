/* Asynchronous DNS look-ups (c-ares) against the system's or the configured resolver. */
#pragma once

#include "base/net/loop.h"

struct dns_client;
#define DNS_ADDRS_MAX 16

/* resolver: "address:port" list separated by commas (then the hosts file does not count), or NULL
 * for the system's.  Returns 0, CM_EINVAL or CM_EIO. */
int dns_client_new(struct cm_loop *loop, const char *resolver, struct dns_client **ret,
                   struct cm_err *err);
/* Ends what is pending (fn is called with CM_ECLOSED); not allowed inside fn. */
void dns_client_free(struct dns_client *client);
/* addrs: textual addresses, IPv6 first then IPv4 in the order received; err set when none. */
typedef void (*dns_addrs_fn)(void *arg, const char *const *addrs, size_t count,
                             const struct cm_err *err);
/* Looks up AAAA and A (an address literal answers itself).  fn is called exactly once, never from
 * inside this call. */
void dns_addrs(struct dns_client *client, const char *host, dns_addrs_fn fn, void *arg);
