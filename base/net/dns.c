/* The DNS client: delivery of answers, and addresses of hosts. */
#include "base/net/dns.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/dns_client.h"

struct addrs_query {
    struct dns_query head;
    char *host;
    dns_addrs_fn fn;
    void *arg;
    char text[DNS_ADDRS_MAX][INET6_ADDRSTRLEN];
    size_t count;
    struct cm_err err;
};

/* ---- delivery ----------------------------------------------------------------------------- */

void dns_query_begin(struct dns_client *client, struct dns_query *query)
{
    query->client = client;
    client->pending++;
}

void dns_query_answered(struct dns_query *query)
{
    struct dns_client *client = query->client;
    *client->answered_end = query;
    client->answered_end = &query->next;
    cm_timer_start(client->kick, 0);
}

static void deliver(struct dns_client *client)
{
    bool outer = client->delivering;
    client->delivering = true;
    while (client->answered) {
        struct dns_query *query = client->answered;
        client->answered = query->next;
        if (!client->answered)
            client->answered_end = &client->answered;
        client->pending--;
        if (!query->cancelled)
            query->deliver(query);
        query->free(query);
    }
    client->delivering = outer;
}

static void on_kick(void *arg)
{
    deliver(arg);
}

void dns_cancel(struct dns_query *query)
{
    if (query)
        query->cancelled = true;
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void explain(struct addrs_query *query, int status)
{
    struct cm_err *err = &query->err;
    const char *host = query->host;
    switch (status) {
    case ARES_ENOTFOUND:
        cm_fail(err, CM_ENOENT, "host %s does not exist in the DNS", host);
        cm_err_hint(err, "check the spelling, or create its address record");
        break;
    case ARES_ENODATA:
        cm_fail(err, CM_ENOENT, "host %s has no IPv4 or IPv6 address in the DNS", host);
        cm_err_hint(err, "create an A or AAAA record for it");
        break;
    case ARES_EBADNAME:
        cm_fail(err, CM_EINVAL, "host %s is not a valid DNS name", host);
        break;
    case ARES_ETIMEOUT:
        cm_fail(err, CM_ETIMEOUT, "the DNS gave no answer for host %s in time", host);
        cm_err_hint(err, "check that this server can reach its resolver");
        break;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        cm_fail(err, CM_ECLOSED, "the look-up of host %s was ended from this side", host);
        break;
    default:
        cm_fail(err, CM_ENET, "the look-up of host %s failed", host);
        cm_err_cause(err, "%s", ares_strerror(status));
        cm_err_hint(err, "check the resolver this server uses");
    }
    if (err->code == CM_ETIMEOUT || err->code == CM_ENET)
        err->retry = CM_RETRY_TRANSIENT;
    cm_err_object(err, "host %s", host);
}

static void take_family(struct addrs_query *query, const struct ares_addrinfo *info, int family)
{
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next) {
        const void *address =
            family == AF_INET6
                ? (const void *)&((const struct sockaddr_in6 *)(const void *)node->ai_addr)
                      ->sin6_addr
                : (const void *)&((const struct sockaddr_in *)(const void *)node->ai_addr)
                      ->sin_addr;
        if (node->ai_family == family && query->count < DNS_ADDRS_MAX &&
            inet_ntop(family, address, query->text[query->count], INET6_ADDRSTRLEN))
            query->count++;
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct addrs_query *query = arg;
    (void)timeouts;
    if (status == ARES_SUCCESS && info) {
        take_family(query, info, AF_INET6);
        take_family(query, info, AF_INET);
    }
    if (query->count == 0)
        explain(query, status == ARES_SUCCESS ? ARES_ENODATA : status);
    ares_freeaddrinfo(info);
    dns_query_answered(&query->head);
}

static void addrs_deliver(struct dns_query *head)
{
    struct addrs_query *query = (struct addrs_query *)head;
    const char *addrs[DNS_ADDRS_MAX];
    for (size_t i = 0; i < query->count; i++)
        addrs[i] = query->text[i];
    query->fn(query->arg, addrs, query->count, &query->err);
}

static void addrs_free(struct dns_query *head)
{
    struct addrs_query *query = (struct addrs_query *)head;
    cm_err_fini(&query->err);
    cm_free(query->host);
    cm_free(query);
}

struct dns_query *dns_addrs(struct dns_client *client, const char *host, dns_addrs_fn fn, void *arg)
{
    static const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT,
                                                     .ai_family = AF_UNSPEC};
    struct addrs_query *query = cm_calloc(1, sizeof(*query));
    *query = (struct addrs_query){
        .head = {.deliver = addrs_deliver, .free = addrs_free}, .fn = fn, .arg = arg};
    query->host = cm_strdup(host);
    dns_query_begin(client, &query->head);
    struct in6_addr address;
    int family = inet_pton(AF_INET6, host, &address) == 1  ? AF_INET6
                 : inet_pton(AF_INET, host, &address) == 1 ? AF_INET
                                                           : AF_UNSPEC;
    if (family != AF_UNSPEC) { /* c-ares 1.18 would ask the resolver for the literal as well */
        inet_ntop(family, &address, query->text[0], INET6_ADDRSTRLEN);
        query->count = 1;
        on_answer(query, ARES_SUCCESS, 0, NULL);
    } else if (client->ending) {
        on_answer(query, ARES_EDESTRUCTION, 0, NULL);
    } else if (client->pending > DNS_QUERIES_MAX) {
        on_answer(query, ARES_EREFUSED, 0, NULL);
    } else {
        ares_getaddrinfo(client->addrs->ares, query->host, NULL, &hints, on_answer, query);
        dns_channel_rearm(client->addrs);
    }
    return &query->head;
}

/* ---- client ------------------------------------------------------------------------------- */

int dns_client_new(struct cm_loop *loop, const char *resolver, struct dns_client **ret,
                   struct cm_err *err)
{
    static bool ready;
    *ret = NULL;
    if (!ready)
        CM_BUG_ON(ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS);
    ready = true;
    struct dns_client *client = cm_calloc(1, sizeof(*client));
    client->loop = loop;
    client->port = DNS_PORT;
    client->answered_end = &client->answered;
    client->resolver = resolver ? cm_strdup(resolver) : NULL;
    /* Names are complete: no search domains. */
    int rv = dns_channel_new(client, NULL, ARES_FLAG_NOSEARCH, &client->addrs, err);
    if (rv < 0) {
        cm_free(client->resolver);
        cm_free(client);
        return rv;
    }
    client->kick = cm_timer_new(loop, on_kick, client);
    *ret = client;
    return 0;
}

void dns_client_free(struct dns_client *client)
{
    if (!client)
        return;
    CM_BUG_ON(client->delivering);
    client->ending = true;
    dns_channel_free(client->addrs);
    while (client->channels) {
        struct dns_channel *channel = client->channels;
        client->channels = channel->next;
        dns_channel_free(channel);
    }
    deliver(client);
    CM_BUG_ON(client->pending > 0);
    dns_keeper_clear(&client->keeper);
    cm_timer_free(client->kick);
    cm_free(client->resolver);
    cm_free(client);
}

void dns_client_set_port(struct dns_client *client, unsigned port)
{
    client->port = port;
}

unsigned dns_client_port(const struct dns_client *client)
{
    return client->port;
}
