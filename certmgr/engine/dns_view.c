/* DNS accounts and recipes as UI, API and CLI show them: secrets by name only. */
#include "certmgr/engine/dns.h"

#include <string.h>

#include "certmgr/dns/shipped.h"
#include "certmgr/engine/job.h"

json_t *eng_dns_recipe(struct engine *engine, const char *name)
{
    if (!name)
        return NULL;
    CM_AUTO_STR id = cm_asprintf("dns-provider:%.64s", name);
    CM_AUTO_JSON document = cs_get_body(engine->env.store, id);
    const json_t *recipe = cm_json_obj(document, "recipe");
    return recipe ? json_incref((json_t *)(uintptr_t)recipe) : dnsp_shipped_recipe(name);
}

/* From the document itself: the accounts in use are read again only after the commit was told. */
static json_t *view_of(struct engine *engine, const char *name, const json_t *body)
{
    static const char *const members[] = {"kind",      "provider",      "options", "secret_names",
                                          "domains",   "domains_ascii", "enabled", "propagation",
                                          "resolvers", "serial"};
    json_t *view = json_object();
    CM_AUTO_JSON recipe = eng_dns_recipe(engine, cm_json_str(body, "provider"));
    struct dnsp_account account = {.name = name,
                                   .kind = cm_json_str_or(body, "kind", ""),
                                   .options = cm_json_obj(body, "options"),
                                   .recipe = recipe};
    cm_json_set_str(view, "name", name);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_set(view, members[i], json_object_get(body, members[i]));
    cm_json_set_bool(view, "one_value", dnsp_one_value(&account));
    int64_t measured = eng_dns_measure(engine, name);
    if (measured > 0)
        cm_json_set_int(view, "measured_ms", measured);
    cm_json_set_bool(view, "unverified", dnsp_unverified(&account));
    return view;
}

json_t *eng_dns_account_view(struct engine *engine, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("dns-account:%.64s", name);
    CM_AUTO_JSON body = cs_get_body(engine->env.store, id);
    return body ? view_of(engine, name, body) : NULL;
}

static int collect(void *arg, const char *key, const char *id)
{
    const char *name = strcmp(key, "dns-account") == 0    ? eng_id_name(id, "dns-account:")
                       : strcmp(key, "dns-provider") == 0 ? eng_id_name(id, "dns-provider:")
                                                          : NULL;
    if (name)
        json_array_append_new(arg, json_string(name));
    return json_array_size(arg) >= DNS_ACCOUNTS_MAX;
}

json_t *eng_dns_accounts(struct engine *engine)
{
    CM_AUTO_JSON names = json_array();
    json_t *out = json_array();
    size_t i;
    json_t *item;
    cs_each(engine->env.store, CS_BY_TYPE, "dns-account", NULL, NULL, collect, names);
    json_array_foreach(names, i, item)
    {
        json_t *view = eng_dns_account_view(engine, json_string_value(item));
        if (view)
            json_array_append_new(out, view);
    }
    return out;
}

static json_t *recipe_view(const char *name, const json_t *recipe)
{
    static const char *const members[] = {"title", "docs", "credentials", "options"};
    json_t *view = json_object();
    cm_json_set_str(view, "name", name);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_set(view, members[i], json_object_get(recipe, members[i]));
    cm_json_set_bool(view, "unverified", cm_json_bool(recipe, "unverified", false));
    return view;
}

/* Stored ones, and those of the program that no stored one of the same name replaces. */
json_t *eng_dns_recipes(struct engine *engine)
{
    CM_AUTO_JSON names = json_array();
    json_t *out = json_array();
    size_t i;
    json_t *item;
    cs_each(engine->env.store, CS_BY_TYPE, "dns-provider", NULL, NULL, collect, names);
    for (i = 0; i < dnsp_shipped_count; i++) {
        if (!cm_json_has_str(names, dnsp_shipped_all[i].name))
            json_array_append_new(names, json_string(dnsp_shipped_all[i].name));
    }
    json_array_foreach(names, i, item)
    {
        CM_AUTO_JSON recipe = eng_dns_recipe(engine, json_string_value(item));
        if (recipe)
            json_array_append_new(out, recipe_view(json_string_value(item), recipe));
    }
    return out;
}

int eng_dns_go_on(struct engine *engine, const char *credential, const struct eng_actor *actor,
                  struct cm_err *err)
{
    struct job *job = engine->env.manager ? sched_job(engine, credential) : NULL;
    if (!job)
        return cm_fail(err, CM_ECONFLICT,
                       engine->env.manager
                           ? "This credential waits for nobody to write a TXT record"
                           : "Only the manager waits for TXT records");
    return job_dns_go_on(job, actor->who, err);
}
