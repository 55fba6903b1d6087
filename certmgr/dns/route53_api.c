/* Route 53's XML (API version 2013-04-01). */
#include "certmgr/dns/route53_api.h"

#include <string.h>
#include <strings.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/dns/xml.h"

void r53_change(struct cm_buf *out, const char *action, const char *fqdn, int64_t ttl,
                const json_t *values)
{
    cm_buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                     "<ChangeResourceRecordSetsRequest "
                     "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">"
                     "<ChangeBatch><Changes><Change>");
    cm_buf_printf(out, "<Action>%s</Action><ResourceRecordSet><Name>", action);
    xml_escape(out, fqdn);
    cm_buf_printf(out, ".</Name><Type>TXT</Type><TTL>%lld</TTL><ResourceRecords>", (long long)ttl);
    for (size_t i = 0; i < json_array_size(values); i++) {
        cm_buf_puts(out, "<ResourceRecord><Value>");
        xml_escape(out, json_string_value(json_array_get(values, i)));
        cm_buf_puts(out, "</Value></ResourceRecord>");
    }
    cm_buf_puts(out, "</ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch>"
                     "</ChangeResourceRecordSetsRequest>");
}

static bool same_name(const char *with_dot, const char *name)
{
    size_t len = strlen(name);
    return with_dot && strncasecmp(with_dot, name, len) == 0 &&
           (with_dot[len] == '\0' || strcmp(with_dot + len, ".") == 0);
}

char *r53_zone_id(const json_t *xml, const char *name)
{
    const json_t *zones = cm_json_arr(xml_at(xml, "HostedZones"), "kids");
    for (size_t i = 0; i < json_array_size(zones); i++) {
        const json_t *zone = json_array_get(zones, i);
        const char *id = xml_text(zone, "Id"), *inside = xml_text(zone, "Config/PrivateZone");
        if (!id || !same_name(xml_text(zone, "Name"), name) ||
            (inside && strcmp(inside, "true") == 0))
            continue;
        const char *slash = strrchr(id, '/');
        return cm_strdup(slash ? slash + 1 : id);
    }
    return NULL;
}

int r53_values(const json_t *xml, const char *fqdn, json_t *values, int64_t *ttl,
               struct cm_err *err)
{
    const json_t *sets = cm_json_arr(xml_at(xml, "ResourceRecordSets"), "kids");
    json_array_clear(values);
    for (size_t i = 0; i < json_array_size(sets); i++) {
        const json_t *set = json_array_get(sets, i);
        const char *type = xml_text(set, "Type"), *ttl_text = xml_text(set, "TTL");
        if (!type || strcmp(type, "TXT") != 0 || !same_name(xml_text(set, "Name"), fqdn))
            continue;
        if (xml_at(set, "SetIdentifier"))
            return cm_fail(err, CM_EHUMAN,
                           "the TXT set of %s has a routing policy: it is not changed", fqdn);
        if (ttl_text)
            (void)cm_num_i64(ttl_text, 0, INT32_MAX, ttl);
        const json_t *records = cm_json_arr(xml_at(set, "ResourceRecords"), "kids");
        for (size_t k = 0; k < json_array_size(records); k++) {
            const char *value = xml_text(json_array_get(records, k), "Value");
            if (value)
                json_array_append_new(values, json_string(value));
        }
    }
    return 0;
}
