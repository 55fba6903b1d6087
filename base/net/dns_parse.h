/* DNS messages (RFC 1035 4.1) from the network into records.  Pure; fuzzed. */
#pragma once

#include "base/net/dns.h"

/* Fills status, rcode, authoritative and both sections; names and servers are the caller's.
 * CM_EMALF or CM_ELIMIT: reply is empty with DNS_BROKEN.  Frees with dns_parse_free(). */
int dns_parse(const uint8_t *wire, size_t len, unsigned type, struct dns_reply *reply,
              struct cm_err *err);
void dns_parse_free(struct dns_reply *reply);
