/*
 * Identifiers of an order: host names ("dns", RFC 8555 9.7.7) and addresses ("ip", RFC 8738).
 *
 * Everywhere in CertMgr an identifier is its text alone: an IP literal is an address, anything else
 * a host name.  Pure functions.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* "ip" or "dns". */
const char *acme_ident_type(const char *name);
/* {"type","value"} as newOrder wants it; addresses in canonical text (RFC 5952). */
json_t *acme_ident_json(const char *name);
/* Is this identifier object of a CA that name?  Addresses are compared as numbers. */
bool acme_ident_is(const json_t *ident, const char *name);
