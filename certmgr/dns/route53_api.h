/* Route 53's XML: what a change says and what replies hold.  Pure functions. */
#pragma once

#include "base/core/buf.h"
#include "base/core/json.h"

/* A ChangeResourceRecordSets body with the values (quoted, as they stand in the zone). */
void r53_change(struct cm_buf *out, const char *action, const char *fqdn, int64_t ttl,
                const json_t *values);
/* Id of the public zone `name` in a ListHostedZonesByName reply, or NULL.  cm_free. */
char *r53_zone_id(const json_t *xml, const char *name);
/* The TXT set of fqdn in a ListResourceRecordSets reply: fills values (array) and *ttl.  Returns 0
 * or CM_EHUMAN when the set has a routing policy, which a plain change would destroy. */
int r53_values(const json_t *xml, const char *fqdn, json_t *values, int64_t *ttl,
               struct cm_err *err);
