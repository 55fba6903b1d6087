/* Which options and secrets the form of a DNS account has: of a kind, or of a recipe. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "web-ui/text.h"

#define DNS_FIELDS_MAX 32

struct dns_field {
    const char *name;           /* borrowed from kind or recipe */
    const char *title, *help;   /* of a recipe, in its own language; or NULL */
    enum web_msg label, advice; /* of a kind; or MSG_NONE */
    const json_t *usual;        /* what is taken when it is left out, or NULL */
    bool secret, required;
};

/* recipe: a row of eng_dns_recipes() for kind "recipe", else NULL.  Returns how many. */
size_t dns_fields(const char *kind, const json_t *recipe, struct dns_field out[DNS_FIELDS_MAX]);
