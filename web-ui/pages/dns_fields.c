/* Fields of DNS accounts by kind.  See dns_fields.h. */
#include "web-ui/pages/dns_fields.h"

#include <string.h>

#include "base/core/json.h"

static const struct {
    const char *kind;
    struct dns_field field;
} rows[] = {
    {"rfc2136", {"server", "ns1.example.com:53", false, false}},
    {"rfc2136", {"zone", "example.com", false, false}},
    {"rfc2136", {"key_name", "TSIG", false, true}},
    {"rfc2136", {"algorithm", "hmac-sha256, hmac-sha512", false, false}},
    {"rfc2136", {"ttl", "60", false, false}},
    {"rfc2136", {"tsig_secret", "base64", true, true}},
    {"route53", {"zone_id", "Z2FDTNDATAQYW2", false, false}},
    {"route53", {"ttl", "60", false, false}},
    {"route53", {"access_key_id", NULL, true, true}},
    {"route53", {"secret_access_key", NULL, true, true}},
    {"route53", {"session_token", NULL, true, false}},
    {"webhook", {"url", "https://", false, true}},
    {"webhook", {"username", NULL, true, false}},
    {"webhook", {"password", NULL, true, false}},
    {"exec", {"program", "[dns_exec NAME]", false, true}},
};

/* Rows {name, secret?, required?, help?} of a recipe's array. */
static size_t of_recipe(const json_t *array, bool secret, struct dns_field *out, size_t room)
{
    size_t count = 0, i;
    json_t *row;

    json_array_foreach(array, i, row)
    {
        const char *name = cm_json_str(row, "name");

        if (!name || count == room)
            continue;
        out[count++] = (struct dns_field){.name = name,
                                          .help = cm_json_str(row, "help"),
                                          .secret = secret,
                                          .required = cm_json_bool(row, "required", secret)};
    }
    return count;
}

size_t dns_fields(const char *kind, const json_t *recipe, struct dns_field out[DNS_FIELDS_MAX])
{
    size_t count = 0;

    if (strcmp(kind, "recipe") == 0) {
        count = of_recipe(cm_json_arr(recipe, "options"), false, out, DNS_FIELDS_MAX);
        return count + of_recipe(cm_json_arr(recipe, "credentials"), true, out + count,
                                 DNS_FIELDS_MAX - count);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].kind, kind) == 0)
            out[count++] = rows[i].field;
    }
    return count;
}
