/*
 * One DNS message to one server and its answer, as bytes: UDP with repeats, TCP when the answer is
 * cut or the message is long.  For what c-ares cannot send (RFC 2136 updates).
 */
#pragma once

#include <stddef.h>

#include "base/net/loop.h"

#define DNS_MESSAGE_MAX 65535
#define DNS_UDP_MAX     1232 /* longer messages go by TCP at once (no fragments) */

struct dns_exchange;
/* answer NULL: err says why (CM_ENET, CM_ETIMEOUT, CM_EINVAL).  The answer has the message's ID;
 * nothing else of it was looked at but the bit for truncation. */
typedef void (*dns_exchange_fn)(void *arg, const uint8_t *answer, size_t len,
                                const struct cm_err *err);
/* address: numeric IPv4 or IPv6.  The message (12 to DNS_MESSAGE_MAX bytes) is copied.  fn is
 * called once, never from inside. */
struct dns_exchange *dns_exchange(struct cm_loop *loop, const char *address, unsigned port,
                                  const uint8_t *message, size_t len, dns_exchange_fn fn,
                                  void *arg);
void dns_exchange_cancel(struct dns_exchange *exchange); /* NULL allowed; not after fn was called */

/* Has this host a way to that address at all?  Sends nothing. */
bool dns_routable(const char *address);
