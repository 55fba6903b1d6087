/*
 * Providers that replace a whole TXT set: ours is put into what was read, or taken out.
 *
 * Foreign items go back exactly as they came, members we do not know included.
 */
#include <string.h>

#include "certmgr/dns/recipe.h"

static bool is_value(const json_t *found, const char *value)
{
    const char *text = cm_json_str(found, "value");
    return text && strcmp(text, value) == 0;
}

bool rcp_set_has(const json_t *found, const char *value)
{
    for (size_t i = 0; i < json_array_size(found); i++)
        if (is_value(json_array_get(found, i), value))
            return true;
    return false;
}

json_t *rcp_set_without(const json_t *found, const char *value)
{
    json_t *items = json_array();
    for (size_t i = 0; i < json_array_size(found); i++) {
        const json_t *one = json_array_get(found, i);
        if (!is_value(one, value))
            json_array_append(items, json_object_get(one, "item"));
    }
    return items;
}

json_t *rcp_set_with(const json_t *found, const struct rcp_vars *vars, struct cm_err *err)
{
    const json_t *form = json_object_get(cm_json_obj(vars->recipe, "txt"), "item");
    json_t *plain = json_string("{{value}}"), *ours = NULL, *items = json_array();
    for (size_t i = 0; i < json_array_size(found); i++)
        json_array_append(items, json_object_get(json_array_get(found, i), "item"));
    if (rcp_value(form ? form : plain, vars, &ours, err) == 0)
        json_array_append_new(items, ours);
    else
        cm_json_free(&items);
    json_decref(plain);
    return items;
}

bool rcp_set_kept(const json_t *before, const json_t *after, const char *value)
{
    for (size_t i = 0; i < json_array_size(before); i++) {
        const json_t *one = json_array_get(before, i);
        const char *text = cm_json_str(one, "value");
        if (text && !is_value(one, value) && !rcp_set_has(after, text))
            return false;
    }
    return true;
}
