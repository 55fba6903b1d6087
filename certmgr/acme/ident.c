/* Identifier objects and their comparison. */
#include "certmgr/acme/ident.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/core/json.h"
#include "base/net/hostname.h"
#include "certmgr/acme/text.h"

const char *acme_ident_type(const char *name)
{
    return hostname_is_ip(name) ? "ip" : "dns";
}

/* Length of the address, 0 = not one. */
static size_t address(const char *text, unsigned char out[sizeof(struct in6_addr)])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return sizeof(struct in_addr);
    return inet_pton(AF_INET6, text, out) == 1 ? sizeof(struct in6_addr) : 0;
}

static bool same_address(const char *a, const char *b)
{
    unsigned char x[sizeof(struct in6_addr)];
    unsigned char y[sizeof(struct in6_addr)];
    size_t len = address(a, x);
    return len > 0 && address(b, y) == len && memcmp(x, y, len) == 0;
}

json_t *acme_ident_json(const char *name)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];
    json_t *ident = json_object();
    size_t len = address(name, bytes);
    cm_json_set_str(ident, "type", len > 0 ? "ip" : "dns");
    if (len > 0 &&
        inet_ntop(len == sizeof(struct in_addr) ? AF_INET : AF_INET6, bytes, text, sizeof(text)))
        name = text;
    cm_json_set_str(ident, "value", name);
    return ident;
}

bool acme_ident_is(const json_t *ident, const char *name)
{
    const char *type = cm_json_str_or(ident, "type", "");
    const char *value = cm_json_str_or(ident, "value", "");
    if (strcmp(type, acme_ident_type(name)) != 0)
        return false;
    return strcmp(type, "ip") == 0 ? same_address(value, name) : acme_same_name(value, name);
}
