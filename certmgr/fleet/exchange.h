/* Trust roots between members, beside replication: what exchange.c serves and seek.c asks for. */
#pragma once

#include "certmgr/fleet/fleet.h"

#define FLEET_TRUST_BODY (32u << 20) /* of a request or a reply of /trust: 17 large roots */

/* Follows trust roots one after the other (at most 17); done gets the first refusal. */
void fleet_follow_chain(struct fleet *fleet, const json_t *documents, fleet_done_fn done,
                        void *arg);
/* Is this the TLS key of a member, or of one that was removed? */
bool fleet_knows_tls(struct fleet *fleet, const char *spki_hex);
