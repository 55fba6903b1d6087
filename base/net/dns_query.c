/*
 * Records: one question to one set of servers.
 *
 * The flag NOCHECKRESP lets SERVFAIL and REFUSED through as the answers they are; without it c-ares
 * goes on to the next server and calls the end of that "connection refused".  So a list of servers
 * is asked plainly first, and once more with that walk when the first one could not help.
 */
#include "base/net/dns_client.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/net/dns_parse.h"

#define CLASS_IN 1

struct ask_query {
    struct dns_query head;
    struct dns_channel *channel;
    dns_reply_fn fn;
    void *arg;
    char *name, *servers;
    unsigned type, keep_s;
    bool authoritative, walking, keep_no;
    struct dns_reply reply;
};

/* ---- answers that may serve again --------------------------------------------------------- */

static struct dns_asked asked(const struct ask_query *query)
{
    return (struct dns_asked){.name = query->name, .servers = query->servers, .type = query->type};
}

static void keep(struct ask_query *query, const uint8_t *wire, size_t len)
{
    uint32_t ttl = query->keep_s;
    for (size_t i = 0; i < query->reply.count; i++)
        if (query->reply.records[i].ttl < ttl)
            ttl = query->reply.records[i].ttl;
    for (size_t i = 0; i < query->reply.authority_count; i++) { /* RFC 2308 5 */
        const struct dns_record *soa = &query->reply.authority[i];
        uint32_t no = soa->ttl < soa->minimum ? soa->ttl : soa->minimum;
        if (soa->type == DNS_SOA && no < ttl)
            ttl = no;
    }
    bool good = query->reply.status == DNS_OK ||
                (query->keep_no && query->reply.authority_count > 0 &&
                 (query->reply.status == DNS_NODATA || query->reply.status == DNS_NXDOMAIN));
    const struct dns_asked what = asked(query);
    if (good)
        dns_keep(&query->head.client->keeper, &what, ttl, wire, len);
}

/* ---- channels ----------------------------------------------------------------------------- */

static bool same_servers(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Idle channels beyond the limit go, the one used longest ago first. */
static void trim(struct dns_client *client)
{
    size_t count = 0;
    for (struct dns_channel **at = &client->channels; *at;) {
        struct dns_channel *channel = *at;
        if (++count > DNS_CHANNELS_MAX && channel->pending == 0) {
            *at = channel->next;
            dns_channel_free(channel);
        } else {
            at = &channel->next;
        }
    }
}

static struct dns_channel *channel_for(struct dns_client *client, const char *servers, int flags)
{
    struct dns_channel **at = &client->channels;
    while (*at && ((*at)->flags != flags || !same_servers((*at)->servers, servers)))
        at = &(*at)->next;
    struct dns_channel *channel = *at;
    if (channel)
        *at = channel->next;
    else if (dns_channel_new(client, servers, flags, &channel, NULL) < 0)
        return NULL;
    channel->next = client->channels;
    client->channels = channel;
    trim(client);
    return channel;
}

/* ---- questions ---------------------------------------------------------------------------- */

static void send_question(struct ask_query *query);

static enum dns_status status_of(int ares)
{
    switch (ares) {
    case ARES_ENOTFOUND: /* c-ares does not ask for .onion (RFC 7686) */
        return DNS_NXDOMAIN;
    case ARES_ETIMEOUT:
        return DNS_TIMEOUT;
    case ARES_ECONNREFUSED:
        return DNS_UNREACHABLE;
    case ARES_EBADNAME:
    case ARES_EBADQUERY:
        return DNS_INVALID;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return DNS_ENDED;
    default:
        return DNS_BROKEN;
    }
}

static bool worth_a_walk(const struct ask_query *query)
{
    enum dns_status status = query->reply.status;
    return query->channel->several && !query->walking && !query->head.cancelled &&
           (status == DNS_SERVFAIL || status == DNS_REFUSED || status == DNS_BROKEN);
}

static void end(struct ask_query *query)
{
    dns_query_answered(&query->head);
}

static void on_reply(void *arg, int status, int timeouts, unsigned char *wire, int len)
{
    struct ask_query *query = arg;
    struct dns_channel *channel = query->channel;
    struct dns_reply reply = {.status = status_of(status)};
    (void)timeouts;
    if (wire && len > 0) {
        struct cm_err err = CM_ERR_INIT;
        dns_parse(wire, (size_t)len, query->type, &reply, &err);
        cm_err_fini(&err);
    }
    if (query->walking && reply.status != DNS_OK && reply.status != DNS_NODATA &&
        reply.status != DNS_NXDOMAIN) {
        dns_parse_free(&reply); /* the first server's word says more */
        channel->pending--;
        end(query);
        return;
    }
    dns_parse_free(&query->reply);
    query->reply = reply;
    if (status != ARES_EDESTRUCTION && worth_a_walk(query)) {
        query->walking = true;
        send_question(query); /* this channel still counts as busy, so it is not trimmed */
        channel->pending--;
        return;
    }
    channel->pending--;
    if (query->keep_s > 0 && wire && len > 0)
        keep(query, wire, (size_t)len);
    end(query);
}

static void send_question(struct ask_query *query)
{
    int flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS;
    if (!query->walking)
        flags |= ARES_FLAG_NOCHECKRESP;
    if (query->authoritative)
        flags |= ARES_FLAG_NORECURSE;
    query->channel = channel_for(query->head.client, query->servers, flags);
    if (!query->channel) {
        query->reply.status = DNS_INVALID;
        end(query);
        return;
    }
    query->channel->pending++;
    struct dns_channel *channel = query->channel;
    ares_query(channel->ares, query->name, CLASS_IN, (int)query->type, on_reply, query);
    dns_channel_rearm(channel);
}

static void ask_deliver(struct dns_query *head)
{
    struct ask_query *query = (struct ask_query *)head;
    query->reply.name = query->name;
    query->reply.type = query->type;
    query->reply.servers = query->servers ? query->servers : "the resolver";
    query->fn(query->arg, &query->reply);
}

static void ask_free(struct dns_query *head)
{
    struct ask_query *query = (struct ask_query *)head;
    dns_parse_free(&query->reply);
    cm_free(query->name);
    cm_free(query->servers);
    cm_free(query);
}

struct dns_query *dns_ask(struct dns_client *client, const struct dns_question *question,
                          dns_reply_fn fn, void *arg)
{
    struct ask_query *query = cm_calloc(1, sizeof(*query));
    *query = (struct ask_query){
        .head = {.deliver = ask_deliver, .free = ask_free},
        .fn = fn,
        .arg = arg,
        .name = cm_strdup(question->name),
        .servers = question->servers ? cm_strdup(question->servers) : NULL,
        .type = question->type,
        .keep_s = question->keep_s,
        .keep_no = question->keep_no,
        .authoritative = question->authoritative,
    };
    dns_query_begin(client, &query->head);
    const struct dns_asked what = asked(query);
    size_t len = 0;
    const uint8_t *kept =
        query->keep_s > 0 ? dns_kept(&client->keeper, &what, query->keep_s, &len) : NULL;
    if (client->ending || client->pending > DNS_QUERIES_MAX) {
        query->reply.status = DNS_ENDED;
        end(query);
    } else if (kept) {
        dns_parse(kept, len, query->type, &query->reply, NULL);
        end(query);
    } else {
        send_question(query);
    }
    return &query->head;
}
