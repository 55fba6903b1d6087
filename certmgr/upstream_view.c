/*
 * What is shown of replication, and who was heard of behind a hub.
 *
 * Through a hub nobody's parked feed can be seen: a server was last seen when it wrote its newest
 * document (serials are the writer's clock).  That is no sign of life, and is not treated as one.
 */
#include <string.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "certmgr/upstream_internal.h"

/* ---- who wrote ---------------------------------------------------------------------------- */

void upstream_hear(void *arg, const char *id)
{
    struct upstream *u = arg;
    if (!u->doc || (strncmp(id, "receipt:", 8) != 0 && strncmp(id, "request:", 8) != 0))
        return;
    CM_AUTO_JSON body = cs_peek_body(u->opts.store, id);
    const char *by = cm_json_str(cm_json_obj(body, "signature"), "by");
    int64_t at = cm_json_int(body, "serial", 0);
    if (by && at > cm_json_int(u->heard, by, 0) && kf_trust_server(fleet_trust(u->opts.fleet), by))
        cm_json_set_int(u->heard, by, at);
}

static int hear_one(void *arg, const char *key, const char *id)
{
    (void)key;
    upstream_hear(arg, id);
    return 0;
}

void upstream_hear_all(struct upstream *u)
{
    json_object_clear(u->heard);
    if (!u->doc || !fleet_is_manager(u->opts.fleet))
        return;
    (void)cs_each(u->opts.store, CS_BY_TYPE, "receipt", NULL, NULL, hear_one, u);
    (void)cs_each(u->opts.store, CS_BY_TYPE, "request", NULL, NULL, hear_one, u);
}

/* Behind a hub a server that once came here itself says little: only its feed would count. */
static bool is_among(const json_t *peers, const char *name, bool hub)
{
    for (size_t i = 0; i < json_array_size(peers); i++)
        if (strcmp(cm_json_str_or(json_array_get(peers, i), "peer", ""), name) == 0 &&
            (!hub || cm_json_bool(json_array_get(peers, i), "feed", false)))
            return true;
    return false;
}

/* Everybody who ever came is remembered until the restart: a server that was removed since, and
 * this one itself, when a person looked at its own routes with its own TLS identity.  Neither is
 * missed. */
static json_t *others_that_came(const struct upstream *u)
{
    const struct kf_trust *trust = fleet_trust(u->opts.fleet);
    CM_AUTO_JSON came = u->server ? rp_server_peers(u->server) : json_array();
    json_t *peers = json_array(), *row;
    size_t i;
    json_array_foreach(came, i, row)
    {
        const char *name = cm_json_str_or(row, "peer", "");
        const struct kf_server *server = kf_trust_server(trust, name);
        if (server && server->state != KF_REMOVED && strcmp(name, u->opts.config->name) != 0)
            json_array_append(peers, row);
    }
    return peers;
}

/* Who has not come since this process began is on the list, too: it is the one that is missed. */
json_t *upstream_peers(struct upstream *u)
{
    const struct kf_trust *trust = fleet_trust(u->opts.fleet);
    json_t *peers = others_that_came(u);
    if (!fleet_is_manager(u->opts.fleet))
        return peers;
    for (size_t i = 0; i < kf_trust_count(trust); i++) {
        const struct kf_server *server = kf_trust_at(trust, i);
        if (server->state == KF_REMOVED || strcmp(server->name, u->opts.config->name) == 0 ||
            is_among(peers, server->name, u->doc != NULL))
            continue;
        json_t *row = json_object();
        cm_json_set_str(row, "peer", server->name);
        cm_json_set_bool(row, "feed", false);
        if (u->doc) {
            int64_t at = cm_json_int(u->heard, server->name, 0), now = cm_now_ms();
            cm_json_set_str(row, "through", "hub");
            cm_json_set_time(row, "last_seen_at", at < now ? at : now); /* its clock, its word */
        }
        json_array_append_new(peers, row);
    }
    return peers;
}

/* ---- views -------------------------------------------------------------------------------- */

json_t *upstream_status(struct upstream *u)
{
    if (!u->client && !u->doc)
        return NULL;
    json_t *status = u->client ? rp_client_status(u->client) : json_object();
    cm_json_set_str(status, "kind", u->doc ? "hub" : "manager");
    if (!u->client && u->doc)
        cm_json_set_str(status, "url", cm_json_str(u->doc, "url"));
    if (u->err.code != 0)
        cm_json_set(status, "error", cm_err_to_json(&u->err));
    return status;
}

static void add_direction(json_t *list, const json_t *status, const char *name, const char *peer)
{
    json_t *of = cm_json_obj(status, name);
    if (!of)
        return;
    json_t *row = json_object();
    cm_json_set_str(row, "peer", peer);
    cm_json_set_str(row, "direction", name);
    json_object_update(row, of);
    json_array_append_new(list, row);
}

static json_t *refused(struct upstream *u)
{
    CM_AUTO_JSON list = cs_quarantine(u->opts.store);
    json_t *view = json_object(), *by_peer = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *peer = cm_json_str_or(json_array_get(list, i), "peer", "");
        cm_json_set_int(by_peer, peer, cm_json_int(by_peer, peer, 0) + 1);
    }
    cm_json_set_int(view, "count", (int64_t)json_array_size(list));
    cm_json_set(view, "by_peer", by_peer);
    return view;
}

json_t *upstream_replication(void *arg)
{
    struct upstream *u = arg;
    struct web_upstream port = upstream_port(u);
    CM_AUTO_JSON status = upstream_status(u);
    CM_AUTO_JSON peers = upstream_peers(u);
    json_t *view = json_object(), *directions = json_array();
    json_t *upstream = port.show(u);
    const char *peer = cm_json_str_or(upstream, "url", "");
    if (json_object_get(status, "healed"))
        json_object_set(upstream, "healed", json_object_get(status, "healed"));
    if (json_object_get(status, "error"))
        json_object_set(upstream, "error", json_object_get(status, "error"));
    add_direction(directions, status, "pull", peer);
    add_direction(directions, status, "push", peer);
    cm_json_set_str(view, "server", u->opts.config->name);
    cm_json_set(view, "upstream", upstream);
    cm_json_set(view, "directions", directions);
    cm_json_set(view, "peers", json_incref(peers));
    cm_json_set(view, "refused", refused(u));
    cm_json_set(view, "second_manager", cs_kv_get(u->opts.store, UPSTREAM_TABLE, UPSTREAM_FOREIGN));
    return view;
}
