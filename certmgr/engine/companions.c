/*
 * Companions of names: a wildcard does not stand for its base (RFC 6125 6.4.3), and www.example.com
 * is served together with example.com more often than not.
 */
#include "certmgr/engine/companions.h"

#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/net/domain.h"
#include "base/net/hostname.h"

static void offer(const json_t *names, const char *name, const char *of, json_t *out)
{
    size_t i;
    json_t *one;
    if (!domain_registered(name) || cm_json_has_str(names, name))
        return;
    json_array_foreach(out, i, one)
    {
        if (strcmp(cm_json_str_or(one, "name", ""), name) == 0)
            return;
    }
    one = json_object();
    cm_json_set_str(one, "name", name);
    cm_json_set_str(one, "of", of);
    json_array_append_new(out, one);
}

/* "example.com", but not what has its www by a wildcard. */
static void offer_www(const json_t *names, const char *name, json_t *out)
{
    char other[HOSTNAME_MAX + 4];
    const char *registered = domain_registered(name);
    if (!registered || strcmp(registered, name) != 0)
        return;
    snprintf(other, sizeof(other), "*.%s", name);
    if (cm_json_has_str(names, other))
        return;
    snprintf(other, sizeof(other), "www.%s", name);
    if (strlen(other) < HOSTNAME_MAX)
        offer(names, other, name, out);
}

json_t *eng_companions(const json_t *names)
{
    json_t *out = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(names, i, item)
    {
        const char *name = json_string_value(item);
        if (!name || hostname_is_ip(name))
            continue;
        if (strncmp(name, "*.", 2) == 0)
            offer(names, name + 2, name, out);
        else if (strncmp(name, "www.", 4) == 0)
            offer(names, name + 4, name, out);
        else
            offer_www(names, name, out);
    }
    return out;
}
