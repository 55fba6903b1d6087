/* Fields of DNS accounts by kind.  See dns_fields.h. */
#include "web-ui/pages/dns_fields.h"

#include <string.h>

#include "base/core/json.h"

struct row {
    const char *kind, *name;
    enum web_msg label, advice;
    bool secret, required;
};

static const struct row rows[] = {
    {"rfc2136", "server", MSG_NF_SERVER, MSG_NF_SERVER_HINT, false, false},
    {"rfc2136", "zone", MSG_NF_ZONE, MSG_NF_ZONE_HINT, false, false},
    {"rfc2136", "key_name", MSG_NF_KEY_NAME, MSG_NF_KEY_NAME_HINT, false, true},
    {"rfc2136", "algorithm", MSG_NF_ALGORITHM, MSG_NF_ALGORITHM_HINT, false, false},
    {"rfc2136", "ttl", MSG_NF_TTL, MSG_NF_TTL_HINT, false, false},
    {"rfc2136", "tsig_secret", MSG_NF_TSIG, MSG_NF_TSIG_HINT, true, true},
    {"route53", "zone_id", MSG_NF_ZONE_ID, MSG_NF_ZONE_ID_HINT, false, false},
    {"route53", "ttl", MSG_NF_TTL, MSG_NF_TTL_HINT, false, false},
    {"route53", "access_key_id", MSG_NF_ACCESS_ID, MSG_NF_ACCESS_ID_HINT, true, true},
    {"route53", "secret_access_key", MSG_NF_ACCESS_SECRET, MSG_NONE, true, true},
    {"route53", "session_token", MSG_NF_SESSION, MSG_NF_SESSION_HINT, true, false},
    {"webhook", "url", MSG_NF_URL, MSG_NF_URL_HINT, false, true},
    {"webhook", "username", MSG_USER_NAME, MSG_NF_BASIC_HINT, true, false},
    {"webhook", "password", MSG_PASSWORD, MSG_NONE, true, false},
    {"exec", "program", MSG_NF_PROGRAM, MSG_NF_PROGRAM_HINT, false, true},
};

/* Rows {name, title?, secret?, required?, help?, default?} of a recipe's array. */
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
                                          .title = cm_json_str(row, "title"),
                                          .help = cm_json_str(row, "help"),
                                          .usual = json_object_get(row, "default"),
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
            out[count++] = (struct dns_field){.name = rows[i].name,
                                              .label = rows[i].label,
                                              .advice = rows[i].advice,
                                              .secret = rows[i].secret,
                                              .required = rows[i].required};
    }
    return count;
}
