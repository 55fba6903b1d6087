/* The recipes of packaging/dns, which are part of the program. */
#include "certmgr/dns/shipped.h"

#include <string.h>

#include "base/core/json.h"

json_t *dnsp_shipped_recipe(const char *name)
{
    json_t *recipe = NULL;
    for (size_t i = 0; i < dnsp_shipped_count; i++) {
        const struct dnsp_shipped *one = &dnsp_shipped_all[i];
        if (name && strcmp(one->name, name) == 0)
            (void)cm_json_parse((const char *)one->text, strlen((const char *)one->text), &recipe,
                                NULL);
    }
    return recipe;
}
