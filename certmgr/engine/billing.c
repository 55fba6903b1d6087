/*
 * SSL.com's classes: Basic = one name, or a name and its www; Wildcard = one wildcard, or it and
 * its base; Premium = a base and one to three of its subdomains (its www counts as one of them);
 * everything else is Multi-domain.
 */
#include "certmgr/engine/billing.h"

#include <stdbool.h>
#include <string.h>

#define PREMIUM_SUBDOMAINS 3

static const char *name_at(const json_t *names, size_t i)
{
    const char *name = json_string_value(json_array_get(names, i));
    return name ? name : "";
}

static bool is_wildcard(const char *name)
{
    return strncmp(name, "*.", 2) == 0;
}

static bool is_www_of(const char *name, const char *base)
{
    return strncmp(name, "www.", 4) == 0 && strcmp(name + 4, base) == 0;
}

static bool is_below(const char *name, const char *base)
{
    size_t len = strlen(name), tail = strlen(base);
    return len > tail + 1 && name[len - tail - 1] == '.' && strcmp(name + len - tail, base) == 0;
}

static bool is_premium(const json_t *names, const char *base)
{
    size_t count = json_array_size(names), below = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = name_at(names, i);
        if (is_wildcard(name) || (strcmp(name, base) != 0 && !is_below(name, base)))
            return false;
        below += strcmp(name, base) != 0;
    }
    return below <= PREMIUM_SUBDOMAINS;
}

static enum billing_class class_of_two(const char *a, const char *b)
{
    if (is_www_of(a, b) || is_www_of(b, a))
        return BILLING_BASIC;
    if ((is_wildcard(a) && strcmp(a + 2, b) == 0) || (is_wildcard(b) && strcmp(b + 2, a) == 0))
        return BILLING_WILDCARD;
    return BILLING_MULTI;
}

enum billing_class billing_of(const json_t *names)
{
    size_t count = json_array_size(names);
    if (count <= 1)
        return is_wildcard(name_at(names, 0)) ? BILLING_WILDCARD : BILLING_BASIC;
    if (count == 2) {
        enum billing_class two = class_of_two(name_at(names, 0), name_at(names, 1));
        if (two != BILLING_MULTI)
            return two;
    }
    for (size_t i = 0; i < count; i++)
        if (is_premium(names, name_at(names, i)))
            return BILLING_PREMIUM;
    return BILLING_MULTI;
}

const char *billing_text(enum billing_class billing)
{
    static const char *const texts[] = {"Basic", "Wildcard", "Premium", "Multi-domain UCC/SAN"};
    return texts[billing];
}
