/*
 * Recipes of DNS providers as UI, API and CLI show them: the program's and the stored ones, who
 * uses them, whether they prove themselves, and which hosts a change would let in.
 */
#include <string.h>

#include "certmgr/dns/recipe.h"
#include "certmgr/dns/shipped.h"
#include "certmgr/engine/dns.h"

#define RECIPES_MAX 500  /* stored ones that are listed */
#define LINES_MAX   1000 /* of one lint */

json_t *eng_dns_recipe(struct engine *engine, const char *name)
{
    if (!name)
        return NULL;
    CM_AUTO_STR id = cm_asprintf("dns-provider:%.64s", name);
    CM_AUTO_JSON document = cs_get_body(engine->env.store, id);
    const json_t *recipe = cm_json_obj(document, "recipe");
    return recipe ? json_incref((json_t *)(uintptr_t)recipe) : dnsp_shipped_recipe(name);
}

/* ---- who uses them ----------------------------------------------------------------------------
 */

struct ids {
    const char *type;
    json_t *ids;
    size_t max;
};

static int collect(void *arg, const char *key, const char *id)
{
    struct ids *found = arg;
    if (strcmp(key, found->type) == 0)
        json_array_append_new(found->ids, json_string(id));
    return json_array_size(found->ids) >= found->max;
}

/* Accounts of kind recipe: {recipe: [{name, options, secret_names}…]}. */
static json_t *read_users(struct engine *engine)
{
    struct ids found = {.type = "dns-account", .ids = json_array(), .max = DNS_USERS_MAX};
    json_t *users = json_object();
    cs_each(engine->env.store, CS_BY_TYPE, found.type, NULL, NULL, collect, &found);
    for (size_t i = 0; i < json_array_size(found.ids); i++) {
        const char *id = json_string_value(json_array_get(found.ids, i));
        CM_AUTO_JSON body = cs_get_body(engine->env.store, id);
        const char *provider = cm_json_str(body, "provider");
        if (!provider || strcmp(cm_json_str_or(body, "kind", ""), "recipe") != 0)
            continue;
        json_t *one = json_object();
        cm_json_set_str(one, "name", eng_id_name(id, "dns-account:"));
        json_object_set(one, "options", json_object_get(body, "options"));
        json_object_set(one, "secret_names", json_object_get(body, "secret_names"));
        if (!json_object_get(users, provider))
            cm_json_set(users, provider, json_array());
        json_array_append_new(json_object_get(users, provider), one);
    }
    json_decref(found.ids);
    return users;
}

json_t *eng_dns_recipe_users(struct engine *engine, const char *name)
{
    CM_AUTO_JSON users = read_users(engine);
    const json_t *own = cm_json_arr(users, name);
    json_t *names = json_array();
    for (size_t i = 0; i < json_array_size(own); i++)
        json_array_append(names, json_object_get(json_array_get(own, i), "name"));
    return names;
}

/* Credentials that this recipe needs and the account has none of: [name…]. */
static json_t *lacking(const json_t *recipe, const json_t *account)
{
    const json_t *wanted = cm_json_arr(recipe, "credentials");
    json_t *lacks = json_array();
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        const json_t *one = json_array_get(wanted, i);
        const char *name = cm_json_str_or(one, "name", "");
        if (cm_json_bool(one, "required", true) &&
            !cm_json_has_str(cm_json_arr(account, "secret_names"), name))
            json_array_append_new(lacks, json_string(name));
    }
    return lacks;
}

static json_t *used_by(const json_t *users, const char *name, const json_t *recipe)
{
    const json_t *own = cm_json_arr(users, name);
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(own); i++) {
        const json_t *account = json_array_get(own, i);
        json_t *one = json_object();
        json_object_set(one, "name", json_object_get(account, "name"));
        cm_json_set(one, "lacks", lacking(recipe, account));
        json_array_append_new(out, one);
    }
    return out;
}

json_t *eng_dns_recipe_widens(struct engine *engine, const char *name, const json_t *recipe)
{
    CM_AUTO_JSON users = read_users(engine);
    CM_AUTO_JSON present = eng_dns_recipe(engine, name);
    const json_t *own = cm_json_arr(users, name);
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(own); i++) {
        const json_t *account = json_array_get(own, i), *options = cm_json_obj(account, "options");
        CM_AUTO_JSON before = rcp_reach(present, options);
        CM_AUTO_JSON after = rcp_reach(recipe, options);
        json_t *hosts = json_array(), *host;
        size_t k;
        json_array_foreach(after, k, host)
        {
            if (!cm_json_has_str(before, json_string_value(host)))
                json_array_append(hosts, host);
        }
        if (json_array_size(hosts) > 0) {
            json_t *one = json_object();
            json_object_set(one, "account", json_object_get(account, "name"));
            cm_json_set(one, "hosts", json_incref(hosts));
            json_array_append_new(out, one);
        }
        json_decref(hosts);
    }
    return out;
}

/* ---- views ------------------------------------------------------------------------------------
 */

static void add_line(void *arg, const char *line)
{
    if (json_array_size(arg) < LINES_MAX)
        json_array_append_new(arg, json_string(line));
}

json_t *eng_dns_recipe_lint(const json_t *recipe)
{
    json_t *out = json_object(), *lines = json_array();
    struct cm_err err = CM_ERR_INIT;
    bool ok = dnsp_lint(recipe, add_line, lines, &err) == 0;
    cm_json_set_bool(out, "ok", ok);
    cm_json_set_int(out, "tests", (int64_t)json_array_size(cm_json_arr(recipe, "tests")));
    cm_json_set(out, "lines", lines);
    if (!ok) {
        /* Of the whole: RFC 6901 section 5 has "" for it, people read "/". */
        if (err.object[0] == '/')
            cm_json_set_str(out, "pointer", strcmp(err.object, "/") == 0 ? "" : err.object);
        cm_json_set(out, "error", cm_err_to_json(&err));
    }
    cm_err_fini(&err);
    return out;
}

static json_t *view_of(const char *name, const json_t *recipe, bool stored, const json_t *users)
{
    static const char *const members[] = {"title", "docs", "credentials", "options"};
    CM_AUTO_JSON shipped = dnsp_shipped_recipe(name);
    json_t *view = json_object();
    cm_json_set_str(view, "name", name);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_set(view, members[i], json_object_get(recipe, members[i]));
    cm_json_set_bool(view, "unverified", cm_json_bool(recipe, "unverified", false));
    cm_json_set_bool(view, "stored", stored);
    cm_json_set_bool(view, "shipped", shipped != NULL);
    cm_json_set(view, "used_by", used_by(users, name, recipe));
    return view;
}

json_t *eng_dns_recipe_view(struct engine *engine, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("dns-provider:%.64s", name);
    CM_AUTO_JSON document = cs_get_body(engine->env.store, id);
    CM_AUTO_JSON recipe = eng_dns_recipe(engine, name);
    CM_AUTO_JSON users = read_users(engine);
    if (!recipe)
        return NULL;
    json_t *view = view_of(name, recipe, cm_json_obj(document, "recipe") != NULL, users);
    json_object_set(view, "serial", json_object_get(document, "serial"));
    cm_json_set(view, "reach", rcp_reach(recipe, NULL));
    cm_json_set(view, "lint", eng_dns_recipe_lint(recipe));
    json_object_set(view, "recipe", recipe);
    return view;
}

json_t *eng_dns_recipes(struct engine *engine)
{
    struct ids found = {.type = "dns-provider", .ids = json_array(), .max = RECIPES_MAX};
    CM_AUTO_JSON users = read_users(engine);
    CM_AUTO_JSON names = json_array();
    json_t *out = json_array();
    cs_each(engine->env.store, CS_BY_TYPE, found.type, NULL, NULL, collect, &found);
    for (size_t i = 0; i < json_array_size(found.ids); i++) {
        const char *id = json_string_value(json_array_get(found.ids, i));
        json_array_append_new(names, json_string(eng_id_name(id, "dns-provider:")));
    }
    size_t stored = json_array_size(names);
    for (size_t i = 0; i < dnsp_shipped_count; i++) {
        if (!cm_json_has_str(names, dnsp_shipped_all[i].name))
            json_array_append_new(names, json_string(dnsp_shipped_all[i].name));
    }
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        CM_AUTO_JSON recipe = eng_dns_recipe(engine, name);
        if (recipe)
            json_array_append_new(out, view_of(name, recipe, i < stored, users));
    }
    json_decref(found.ids);
    return out;
}
