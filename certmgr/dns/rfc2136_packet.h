/* RFC 2136 update messages with TSIG (RFC 8945) as bytes, by libldns.  Pure: no network. */
#pragma once

#include <stddef.h>

#include "certmgr/dns/provider.h"

struct rfc2136_key {
    const char *name;
    const char *algorithm; /* "hmac-sha256", "hmac-sha512", "hmac-sha1" */
    const char *secret;    /* base64 */
};

/* One message: the server makes all changes, in this order, or none (RFC 2136 3.4, 3.7). */
struct rfc2136_update {
    const char *zone;
    uint32_t ttl;                      /* seconds, of what is added */
    const struct dnsp_change *changes; /* one TXT record each; taken away: that very record */
    size_t count;
};

struct rfc2136_packet {
    uint8_t *wire;
    size_t len;
    struct ldns_struct_rdf *mac; /* the answer's signature covers it */
};

/* CM_EINVAL: an algorithm or secret that is no good; the text names the member. */
int rfc2136_key_check(const struct rfc2136_key *key, struct cm_err *err);
/* Returns 0, CM_EINVAL or CM_ECRYPTO. */
int rfc2136_build(const struct rfc2136_update *update, const struct rfc2136_key *key,
                  struct rfc2136_packet *ret, struct cm_err *err);
void rfc2136_packet_free(struct rfc2136_packet *packet);

/* 0 = done, and signed by the key.  Else what the server (a name for people) said, explained:
 * CM_EDENIED, CM_EPEER or CM_EMALF. */
int rfc2136_judge(const struct rfc2136_update *update, const struct rfc2136_key *key,
                  const struct rfc2136_packet *packet, const char *server, const uint8_t *answer,
                  size_t len, struct cm_err *err);
