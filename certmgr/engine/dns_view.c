/* DNS accounts as UI, API and CLI show them: secrets by name only. */
#include "certmgr/engine/dns.h"

#include <string.h>

#include "certmgr/engine/job.h"

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
    if (strcmp(key, "dns-account") == 0)
        json_array_append_new(arg, json_string(eng_id_name(id, "dns-account:")));
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
