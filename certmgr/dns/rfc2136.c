/*
 * Kind "rfc2136": dynamic updates signed with TSIG, for BIND, Knot, PowerDNS, Windows and others.
 *
 * Zone and server are found by the SOA record unless the options name them; the server's addresses
 * are tried one after the other while they are silent.  An update adds and takes away single
 * records, so that the values of others stay and a repeat does no harm.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/net/dns_exchange.h"
#include "certmgr/dns/provider.h"
#include "certmgr/dns/rfc2136_packet.h"
#include "certmgr/dns/zone.h"

#define TTL         60
#define TTL_MAX     86400
#define HOST_MAX    256
#define SERVER_MAX  320
#define ADDRESS_MAX 4 /* of one server that are tried */

struct update {
    struct dnsp_call *call;
    struct dns_find *find;
    struct dns_query *query;
    struct dns_exchange *exchange;
    char *zone;
    char host[HOST_MAX], server[SERVER_MAX];
    unsigned port;
    char *address[ADDRESS_MAX];
    size_t address_count, at;
    struct rfc2136_packet packet;
};

static struct rfc2136_key key_of(const struct dnsp_account *account)
{
    return (struct rfc2136_key){
        .name = cm_json_str_or(account->options, "key_name", ""),
        .algorithm = cm_json_str_or(account->options, "algorithm", "hmac-sha256"),
        .secret = cm_json_str_or(account->secrets, "tsig_secret", ""),
    };
}

/* "host", "host:port", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53". */
static bool split_server(const char *text, unsigned fallback, char host[HOST_MAX], unsigned *port)
{
    const char *start = text, *colon = strrchr(text, ':');
    size_t len = strlen(text);
    int64_t number = fallback;
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return false;
        start = text + 1;
        len = (size_t)(end - start);
        colon = end[1] == ':' ? end + 1 : NULL;
    } else if (colon && strchr(text, ':') == colon) {
        len = (size_t)(colon - text);
    } else {
        colon = NULL;
    }
    if (colon && cm_num_i64(colon + 1, 1, UINT16_MAX, &number) < 0)
        return false;
    *port = (unsigned)number;
    return len > 0 && len < HOST_MAX && snprintf(host, HOST_MAX, "%.*s", (int)len, start) > 0;
}

static int check(const struct dnsp_account *account, struct cm_err *err)
{
    char host[HOST_MAX];
    unsigned port;
    struct rfc2136_key key = key_of(account);
    const char *server = cm_json_str(account->options, "server");
    int64_t ttl = cm_json_int(account->options, "ttl", TTL);
    if (server && server[0] && !split_server(server, DNS_PORT, host, &port))
        return cm_fail(err, CM_EINVAL, "server: \"%.100s\" is not host or host:port", server);
    if (ttl < 1 || ttl > TTL_MAX)
        return cm_fail(err, CM_EINVAL, "ttl: 1 to %d seconds", TTL_MAX);
    if (key.name[0] == '\0')
        return cm_fail(err, CM_EINVAL, "key_name: the name of the TSIG key is missing");
    if (key.secret[0] == '\0')
        return cm_fail(err, CM_EINVAL, "tsig_secret: the secret of the TSIG key is missing");
    return rfc2136_key_check(&key, err);
}

/* ---- one update --------------------------------------------------------------------------- */

static void update_free(struct update *update)
{
    for (size_t i = 0; i < update->address_count; i++)
        cm_free(update->address[i]);
    rfc2136_packet_free(&update->packet);
    cm_free(update->zone);
    cm_free(update);
}

static void cancel(void *state)
{
    struct update *update = state;
    dns_place_cancel(update->find);
    dns_cancel(update->query);
    dns_exchange_cancel(update->exchange);
    update_free(update);
}

static void finish(struct update *update, const struct cm_err *err)
{
    struct dnsp_call *call = update->call;
    update_free(update);
    dnsp_finish(call, NULL, err);
}

static struct rfc2136_update message_of(const struct update *update)
{
    const struct dnsp_call *call = update->call;
    return (struct rfc2136_update){
        .zone = update->zone,
        .ttl = (uint32_t)cm_json_int(call->account.options, "ttl", TTL),
        .changes = call->changes,
        .count = call->count,
    };
}

static void send_update(struct update *update);

static void on_answer(void *arg, const uint8_t *answer, size_t len, const struct cm_err *failed)
{
    struct update *update = arg;
    struct rfc2136_key key = key_of(&update->call->account);
    struct rfc2136_update message = message_of(update);
    struct cm_err err = CM_ERR_INIT;
    update->exchange = NULL;
    if (failed) {
        dnsp_trace(update->call, "%s: %s", update->server, failed->what);
        if (++update->at < update->address_count) {
            send_update(update);
            return;
        }
        cm_err_copy(&err, failed);
        cm_wrap(&err, CM_ENET, "name server %s of zone %s did not take the update", update->server,
                update->zone);
        cm_err_hint(&err, "name a server that can be reached in the option server");
    } else {
        rfc2136_judge(&message, &key, &update->packet, update->server, answer, len, &err);
        dnsp_trace(update->call, "%s: %s", update->server, err.code ? err.what : "done");
    }
    finish(update, err.code != 0 ? &err : NULL);
    cm_err_fini(&err);
}

static void send_update(struct update *update)
{
    const char *address = update->address[update->at];
    for (size_t i = 0; i < update->call->count; i++) {
        const struct dnsp_change *change = &update->call->changes[i];
        dnsp_trace(update->call, "UPDATE %s: %s %s TXT \"%s\" at %s (%s) port %u", update->zone,
                   change->adding ? "add" : "delete", change->fqdn, change->value, update->host,
                   address, update->port);
    }
    update->exchange = dns_exchange(update->call->env->loop, address, update->port,
                                    update->packet.wire, update->packet.len, on_answer, update);
}

static void on_addrs(void *arg, const char *const *addrs, size_t count, const struct cm_err *failed)
{
    struct update *update = arg;
    struct rfc2136_key key = key_of(&update->call->account);
    struct rfc2136_update message = message_of(update);
    struct cm_err err = CM_ERR_INIT;
    update->query = NULL;
    for (size_t i = 0; i < count && update->address_count < ADDRESS_MAX; i++)
        if (dns_routable(addrs[i]))
            update->address[update->address_count++] = cm_strdup(addrs[i]);
    if (count == 0) {
        cm_err_copy(&err, failed);
        cm_wrap(&err, CM_ENET, "cannot find name server %s of zone %s", update->host, update->zone);
    } else if (update->address_count == 0) {
        cm_fail(&err, CM_ENET, "this host has no way to name server %s (%s)", update->host,
                addrs[0]);
    } else {
        rfc2136_build(&message, &key, &update->packet, &err);
    }
    if (err.code != 0)
        finish(update, &err);
    else
        send_update(update);
    cm_err_fini(&err);
}

/* The host is known: its addresses, unless it is one. */
static void look_up(struct update *update)
{
    snprintf(update->server, sizeof(update->server), "%s:%u", update->host, update->port);
    update->query = dns_addrs(update->call->env->dns, update->host, on_addrs, update);
}

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *failed)
{
    struct update *update = arg;
    update->find = NULL;
    if (failed) {
        finish(update, failed);
        return;
    }
    if (!update->zone)
        update->zone = cm_strdup(place->zone);
    if (update->host[0] == '\0')
        snprintf(update->host, sizeof(update->host), "%s", place->primary);
    look_up(update);
}

static void *change(struct dnsp_call *call)
{
    const char *server = cm_json_str_or(call->account.options, "server", "");
    const char *zone = cm_json_str_or(call->account.options, "zone", "");
    struct update *update = cm_calloc(1, sizeof(*update));
    *update = (struct update){.call = call};
    update->port = dns_client_port(call->env->dns);
    if (server[0] != '\0')
        split_server(server, update->port, update->host, &update->port);
    if (zone[0] != '\0')
        update->zone = cm_strdup(zone);
    if (update->host[0] != '\0' && update->zone)
        look_up(update);
    else
        update->find = dns_place_find(call->env->loop, call->env->dns,
                                      update->zone ? update->zone : call->fqdn, on_place, update);
    return update;
}

const struct dnsp_kind dnsp_rfc2136 = {
    .name = "rfc2136",
    .title = "Dynamic update (RFC 2136) with TSIG",
    .check = check,
    .change = change,
    .cancel = cancel,
};
