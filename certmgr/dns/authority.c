/* The place of a name, then AAAA and A of its servers, all at once. */
#include "certmgr/dns/authority.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/net/dns_exchange.h"

#define ADDRESS_KEEP_S 60

struct host {
    struct dns_authority *owner;
    char *name;
    struct dns_query *query[2]; /* AAAA, A */
    bool found;
    struct cm_err err;
};

struct dns_authority {
    struct dns_client *dns;
    struct dns_find *find;
    dns_authority_fn done;
    void *arg;
    struct dns_place place; /* copies */
    struct host *host;      /* not inside: each has room for an error, and a zone has two */
    size_t host_count, pending;
    struct dns_authority_server server[DNS_ADDRESSES_MAX];
    size_t server_count;
};

static void authority_free(struct dns_authority *a)
{
    for (size_t i = 0; i < a->host_count; i++) {
        cm_free(a->host[i].name);
        cm_err_fini(&a->host[i].err);
    }
    for (size_t i = 0; i < a->server_count; i++) {
        cm_free((void *)(uintptr_t)a->server[i].address);
        cm_free((void *)(uintptr_t)a->server[i].asked);
    }
    cm_free((void *)(uintptr_t)a->place.name);
    cm_free((void *)(uintptr_t)a->place.zone);
    cm_free((void *)(uintptr_t)a->place.primary);
    cm_free((void *)(uintptr_t)a->place.servers);
    cm_free(a->host);
    cm_free(a);
}

void dns_authority_cancel(struct dns_authority *a)
{
    if (!a)
        return;
    dns_place_cancel(a->find);
    for (size_t i = 0; i < a->host_count; i++)
        for (unsigned k = 0; k < 2; k++)
            dns_cancel(a->host[i].query[k]);
    authority_free(a);
}

static void add_server(struct dns_authority *a, const char *host, const char *address)
{
    if (a->server_count == DNS_ADDRESSES_MAX)
        return;
    unsigned port = dns_client_port(a->dns);
    struct dns_authority_server *server = &a->server[a->server_count++];
    *server = (struct dns_authority_server){.host = host};
    if (!address)
        return;
    server->address = cm_strdup(address);
    server->asked = strchr(address, ':') ? cm_asprintf("[%s]:%u", address, port)
                                         : cm_asprintf("%s:%u", address, port);
    server->routable = dns_routable(address);
}

static void on_addresses(void *arg, const struct dns_reply *reply)
{
    struct host *host = arg;
    struct dns_authority *a = host->owner;
    host->query[reply->type == DNS_A] = NULL;
    for (size_t i = 0; i < reply->count; i++)
        if (reply->records[i].type == reply->type) {
            add_server(a, host->name, reply->records[i].text);
            host->found = true;
        }
    if (host->err.code == 0)
        dns_reply_fail(reply, &host->err);
    if (--a->pending > 0)
        return;
    const struct cm_err *err = NULL; /* no address is an answer, a failed look-up is none */
    for (size_t i = 0; i < a->host_count; i++) {
        if (!a->host[i].found)
            add_server(a, a->host[i].name, NULL);
        if (!a->host[i].found && a->host[i].err.code != 0)
            err = &a->host[i].err;
    }
    a->done(a->arg, err ? NULL : &a->place, a->server, err ? 0 : a->server_count, err);
    authority_free(a);
}

static void on_place(void *arg, const struct dns_place *place, const struct cm_err *err)
{
    struct dns_authority *a = arg;
    static const enum dns_type types[2] = {DNS_AAAA, DNS_A};
    a->find = NULL;
    if (err) {
        a->done(a->arg, NULL, NULL, 0, err);
        authority_free(a);
        return;
    }
    const char **names = cm_calloc(place->server_count, sizeof(*names));
    a->place = *place;
    a->place.name = cm_strdup(place->name);
    a->place.zone = cm_strdup(place->zone);
    a->place.primary = cm_strdup(place->primary);
    a->place.servers = names;
    a->host_count = place->server_count;
    a->host = cm_calloc(a->host_count, sizeof(*a->host));
    a->pending = 2 * a->host_count;
    for (size_t i = 0; i < a->host_count; i++) {
        struct host *host = &a->host[i];
        *host = (struct host){.owner = a, .name = cm_strdup(place->servers[i])};
        names[i] = host->name;
        for (unsigned k = 0; k < 2; k++)
            host->query[k] = dns_ask(a->dns,
                                     &(struct dns_question){.name = host->name,
                                                            .type = types[k],
                                                            .keep_s = ADDRESS_KEEP_S,
                                                            .keep_no = true},
                                     on_addresses, host);
    }
}

struct dns_authority *dns_authority_find(struct cm_loop *loop, struct dns_client *dns,
                                         const char *name, dns_authority_fn done, void *arg)
{
    struct dns_authority *a = cm_calloc(1, sizeof(*a));
    a->dns = dns;
    a->done = done;
    a->arg = arg;
    a->find = dns_place_find(loop, dns, name, on_place, a);
    return a;
}
