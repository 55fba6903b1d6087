/* Fuzz target: one DNS message from the network (first two bytes: the type that was asked). */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/dns_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    for (; text && *text; text++)
        CM_BUG_ON((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_reply reply;
    if (size < 2)
        return 0;
    int rv = dns_parse(data + 2, size - 2, (unsigned)(data[0] << 8 | data[1]), &reply, NULL);
    CM_BUG_ON(rv < 0 && (reply.count > 0 || reply.authority_count > 0));
    for (size_t i = 0; i < reply.count; i++) {
        const struct dns_record *record = &reply.records[i];
        CM_BUG_ON(!record->name);
        CM_BUG_ON(record->type == DNS_CAA && (!record->tag || !record->text));
        if (record->type == DNS_TXT || record->type == DNS_CAA)
            check_text(record->text);
    }
    dns_parse_free(&reply);
    return 0;
}
