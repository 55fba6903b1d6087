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

json_t *dnsp_shipped_list(void)
{
    static const char *const shown[] = {"id",         "title",       "docs",
                                        "unverified", "credentials", "options"};
    json_t *list = json_array();
    for (size_t i = 0; i < dnsp_shipped_count; i++) {
        CM_AUTO_JSON recipe = dnsp_shipped_recipe(dnsp_shipped_all[i].name);
        json_t *one = json_object();
        for (size_t k = 0; k < sizeof(shown) / sizeof(shown[0]); k++) {
            json_t *v = json_object_get(recipe, shown[k]);
            if (v)
                json_object_set(one, shown[k], v);
        }
        json_array_append_new(list, one);
    }
    return list;
}
