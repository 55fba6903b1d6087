/* View models of accounts, servers and status.  See view.h. */
#include "web-ui/view.h"

#include <string.h>

#include "base/core/mem.h"
#include "certmgr/acme/presets.h"
#include "certmgr/engine/engine.h"
#include "certmgr/fleet/fleet.h"

struct collect {
    json_t *ids;
    const char *type;
    size_t max;
};

static int collect_id(void *arg, const char *key, const char *id)
{
    struct collect *collect = arg;

    if (strcmp(key, collect->type) == 0)
        json_array_append_new(collect->ids, json_string(id));
    return json_array_size(collect->ids) >= collect->max ? 1 : 0;
}

/* An account as shown: its name instead of document id and signature, no sealed key, no binding
 * that waits to be sent. */
/* Former keys: whose they were, not themselves. */
static void without_keys(json_t *view)
{
    json_t *list = json_array();
    size_t i;
    json_t *former;

    json_array_foreach(cm_json_arr(view, "former"), i, former)
    {
        json_t *copy = json_copy(former);

        json_object_del(copy, "sealed_key");
        json_array_append_new(list, copy);
    }
    if (json_array_size(list) > 0)
        cm_json_set(view, "former", list);
    else
        json_decref(list);
}

static json_t *account_view(json_t *take_body)
{
    const char *id = cm_json_str_or(take_body, "_id", "account:");
    json_t *view = json_object();

    cm_json_set_str(view, "name", id + strcspn(id, ":") + 1);
    json_object_update(view, take_body);
    json_object_del(view, "_id");
    json_object_del(view, "type");
    const json_t *rollover = cm_json_obj(view, "rollover");

    if (rollover) /* that another key waits, and since when */
        cm_json_set(view, "rollover", json_pack("{s:O?}", "at", json_object_get(rollover, "at")));
    json_object_del(view, "sealed_key");
    json_object_del(view, "signature");
    without_keys(view);
    if (cm_json_obj(view, "eab")) {
        json_t *eab = json_copy(json_object_get(view, "eab"));

        int64_t end = acme_binding_end(cm_json_str(view, "directory"), cm_json_time(eab, "at", 0));

        if (end && !cm_json_str(view, "kid")) /* once registered, it has served its purpose */
            cm_json_set_time(eab, "ends_at", end);
        if (cm_json_obj(eab, "jws_other"))
            cm_json_set_bool(eab, "two_readings", true);
        json_object_del(eab, "jws");
        json_object_del(eab, "jws_other");
        cm_json_set(view, "eab", eab);
    }
    json_decref(take_body);
    return view;
}

json_t *web_account(struct cs_store *store, const char *name)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", name);
    json_t *body = strlen(id) <= CS_ID_MAX ? cs_get_body(store, id) : NULL;

    return body ? account_view(body) : NULL;
}

json_t *web_accounts(struct cs_store *store)
{
    struct collect collect = {.ids = json_array(), .type = "account", .max = VIEW_ACCOUNTS};
    json_t *accounts = json_array();
    size_t i;
    json_t *id;

    cs_each(store, CS_BY_TYPE, "account", NULL, NULL, collect_id, &collect);
    json_array_foreach(collect.ids, i, id)
    {
        json_t *body = cs_get_body(store, json_string_value(id));

        if (body)
            json_array_append_new(accounts, account_view(body));
    }
    json_decref(collect.ids);
    return accounts;
}

static const char *state_name(enum kf_server_state state)
{
    static const char *const names[] = {
        [KF_ACTIVE] = "active", [KF_RETIRING] = "retiring", [KF_REMOVED] = "removed"};

    return names[state];
}

static json_t *server_view(const struct web *web, const struct kf_server *server)
{
    json_t *view = json_object();
    json_t *roles = json_array();

    if (server->manager)
        json_array_append_new(roles, json_string("manager"));
    if (server->standby)
        json_array_append_new(roles, json_string("standby"));
    json_array_append_new(roles, json_string("server"));
    cm_json_set_str(view, "name", server->name);
    cm_json_set(view, "roles", roles);
    cm_json_set_str(view, "state", state_name(server->state));
    cm_json_set_str(view, "url", server->url);
    cm_json_set_str(view, "ui_url", server->ui_url);
    cm_json_set_bool(view, "self", strcmp(server->name, web->env.self) == 0);
    if (web->env.power.rotation && server->state != KF_REMOVED)
        cm_json_set(view, "rotation", web->env.power.rotation(web->env.power.arg, server->name));
    return view;
}

json_t *web_servers(const struct web *web)
{
    const struct kf_trust *trust = fleet_trust(web->env.fleet);
    size_t count = kf_trust_count(trust);
    json_t *servers = json_array();

    for (size_t i = 0; i < count && i < VIEW_SERVERS; i++)
        json_array_append_new(servers, server_view(web, kf_trust_at(trust, i)));
    return servers;
}

json_t *web_server(const struct web *web, const char *name)
{
    const struct kf_trust *trust = fleet_trust(web->env.fleet);
    size_t count = kf_trust_count(trust);

    for (size_t i = 0; i < count && i < VIEW_SERVERS; i++) {
        if (strcmp(kf_trust_at(trust, i)->name, name) == 0)
            return server_view(web, kf_trust_at(trust, i));
    }
    return NULL;
}

static int count_status(void *arg, const char *key, const char *id)
{
    json_t *counts = arg;

    (void)id;
    cm_json_set_int(counts, key, cm_json_int(counts, key, 0) + 1);
    return 0;
}

json_t *web_status_counts(struct cs_store *store)
{
    json_t *counts = json_object();

    cs_each(store, CS_BY_STATUS, "", NULL, NULL, count_status, counts);
    return counts;
}

static json_t *trust_view(const struct web *web)
{
    const struct kf_trust *trust = fleet_trust(web->env.fleet);
    const struct kf_server *manager = kf_trust_manager(trust);
    json_t *view = json_object(), *standbys = json_array();
    int64_t count = 0;

    for (size_t i = 0; i < kf_trust_count(trust); i++) {
        const struct kf_server *server = kf_trust_at(trust, i);

        count += server->state != KF_REMOVED;
        if (strcmp(server->name, web->env.self) == 0)
            cm_json_set_str(view, "state", state_name(server->state));
        if (server->standby && server->state == KF_ACTIVE)
            json_array_append_new(standbys, json_string(server->name));
    }
    cm_json_set_int(view, "version", kf_trust_version(trust));
    cm_json_set_time(view, "expires_at", kf_trust_expires_ms(trust));
    cm_json_set_int(view, "servers", count);
    cm_json_set_str(view, "manager", manager ? manager->name : NULL);
    cm_json_set(view, "standbys", standbys);
    return view;
}

static json_t *store_view(struct cs_store *store)
{
    json_t *view = json_object();

    cm_json_set_str(view, "uuid", cs_uuid(store));
    cm_json_set_int(view, "sequence", cs_seq(store));
    cm_json_set_int(view, "documents", cs_doc_count(store));
    cm_json_set_int(view, "deleted", cs_deleted_count(store));
    CM_AUTO_JSON stat = cs_stat_json(store);
    json_object_update(view, stat);
    cm_json_set(view, "scrub", cs_scrub_status(store));
    cm_json_set(view, "verdicts", cs_rejudge_status(store));
    return view;
}

json_t *web_services(const struct web *web)
{
    return web->env.status ? web->env.status(web->env.status_arg) : NULL;
}

json_t *web_restore_hold(const struct web *web)
{
    const struct web_care *care = &web->env.care;

    return care->hold ? care->hold(care->arg) : NULL;
}

json_t *web_status(const struct web *web)
{
    json_t *view = json_object();
    CM_AUTO_JSON quarantine = cs_quarantine(web->env.store);
    CM_AUTO_JSON services = web_services(web);

    cm_json_set_str(view, "server", web->env.self);
    cm_json_set_str(view, "version", CM_VERSION);
    cm_json_set_bool(view, "manager", fleet_is_manager(web->env.fleet));
    cm_json_set(view, "trust", trust_view(web));
    cm_json_set(view, "store", store_view(web->env.store));
    cm_json_set(view, "credentials", web_status_counts(web->env.store));
    if (web->env.engine)
        cm_json_set(view, "task", eng_status(web->env.engine));
    cm_json_set(view, "hold", web_restore_hold(web));
    json_object_update_missing(view, services);
    cm_json_set_int(view, "quarantined", (int64_t)json_array_size(quarantine));
    return view;
}

bool web_is_standby(const struct web *web)
{
    const struct kf_trust *trust = fleet_trust(web->env.fleet);

    for (size_t i = 0; i < kf_trust_count(trust); i++) {
        const struct kf_server *server = kf_trust_at(trust, i);

        if (strcmp(server->name, web->env.self) == 0)
            return server->standby && !server->manager && server->state == KF_ACTIVE;
    }
    return false;
}
