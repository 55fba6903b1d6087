/* The recipes of packaging/dns, which are part of the program. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct dnsp_shipped {
    const char *name;          /* the recipe's id */
    const unsigned char *text; /* JSON, ends in NUL */
};
extern const struct dnsp_shipped dnsp_shipped_all[];
extern const size_t dnsp_shipped_count;

/* The recipe of that id, parsed (json_decref), or NULL when none is shipped. */
json_t *dnsp_shipped_recipe(const char *name);
