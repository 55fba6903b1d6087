/*
 * DNS look-ups: c-ares on the loop's watches and timers.
 *
 * c-ares may answer inside the call that asks, and must not be destroyed inside its callbacks, so
 * answers are only stored there and delivered by `kick` in the next turn.
 */
#include "base/net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/time.h>

#include "base/core/mem.h"

#define DNS_TRY_MS      2000 /* doubled by c-ares with each round */
#define DNS_TRIES       3
#define DNS_QUERIES_MAX 1024

struct dns_socket {
    struct dns_socket *next;
    struct dns_client *client;
    ares_socket_t fd;
    struct cm_watch *watch;
};

struct dns_client {
    struct cm_loop *loop;
    ares_channel channel;
    struct cm_timer *timer; /* c-ares' next time-out */
    struct cm_timer *kick;  /* answers wait for delivery */
    struct dns_socket *sockets;
    struct dns_query *answered, **answered_end;
    size_t pending;
    bool delivering;
};

struct dns_query {
    struct dns_query *next;
    struct dns_client *client;
    char *host;
    dns_addrs_fn fn;
    void *arg;
    char text[DNS_ADDRS_MAX][INET6_ADDRSTRLEN];
    size_t count;
    struct cm_err err;
};

/* ---- c-ares on the loop ------------------------------------------------------------------- */

static void rearm(struct dns_client *client)
{
    struct timeval tv;
    if (!ares_timeout(client->channel, NULL, &tv))
        cm_timer_stop(client->timer);
    else
        cm_timer_start(client->timer, (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}

static void on_timer(void *arg)
{
    struct dns_client *client = arg;
    ares_process_fd(client->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(client);
}

static void on_ready(void *arg, int events)
{
    struct dns_socket *s = arg; /* may be gone after ares_process_fd() */
    struct dns_client *client = s->client;
    ares_process_fd(client->channel, events & CM_WATCH_READ ? s->fd : ARES_SOCKET_BAD,
                    events & CM_WATCH_WRITE ? s->fd : ARES_SOCKET_BAD);
    rearm(client);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_client *client = arg;
    struct dns_socket **at = &client->sockets;
    while (*at && (*at)->fd != fd)
        at = &(*at)->next;
    struct dns_socket *s = *at;
    if (!readable && !writable) {
        if (s) {
            *at = s->next;
            cm_watch_free(s->watch);
            cm_free(s);
        }
        return;
    }
    if (!s) {
        s = cm_calloc(1, sizeof(*s));
        *s = (struct dns_socket){.next = client->sockets, .client = client, .fd = fd};
        s->watch = cm_watch_new(client->loop, fd, on_ready, s);
        client->sockets = s;
    }
    cm_watch_set(s->watch, (readable ? CM_WATCH_READ : 0) | (writable ? CM_WATCH_WRITE : 0));
}

/* ---- answers ------------------------------------------------------------------------------ */

static void explain(struct dns_query *query, int status)
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

static void take_family(struct dns_query *query, const struct ares_addrinfo *info, int family)
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
    struct dns_query *query = arg;
    struct dns_client *client = query->client;
    (void)timeouts;
    if (status == ARES_SUCCESS && info) {
        take_family(query, info, AF_INET6);
        take_family(query, info, AF_INET);
    }
    if (query->count == 0)
        explain(query, status == ARES_SUCCESS ? ARES_ENODATA : status);
    ares_freeaddrinfo(info);
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
        const char *addrs[DNS_ADDRS_MAX];
        for (size_t i = 0; i < query->count; i++)
            addrs[i] = query->text[i];
        query->fn(query->arg, addrs, query->count, &query->err);
        cm_err_fini(&query->err);
        cm_free(query->host);
        cm_free(query);
    }
    client->delivering = outer;
}

static void on_kick(void *arg)
{
    deliver(arg);
}

/* ---- public ------------------------------------------------------------------------------- */

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
    client->answered_end = &client->answered;
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH, /* names are complete: no search domains */
        .timeout = DNS_TRY_MS,
        .tries = DNS_TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = client,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    char only_dns[] = "b"; /* a configured resolver has the only word: no hosts file */
    if (resolver) {
        options.lookups = only_dns;
        mask |= ARES_OPT_LOOKUPS;
    }
    int rc = ares_init_options(&client->channel, &options, mask);
    if (rc != ARES_SUCCESS) {
        cm_free(client);
        return cm_fail(err, CM_EIO, "cannot prepare DNS look-ups: %s", ares_strerror(rc));
    }
    if (resolver && ares_set_servers_ports_csv(client->channel, resolver) != ARES_SUCCESS) {
        ares_destroy(client->channel);
        cm_free(client);
        return cm_fail(err, CM_EINVAL,
                       "resolver \"%.100s\" is not a list of address:port separated by commas",
                       resolver);
    }
    client->timer = cm_timer_new(loop, on_timer, client);
    client->kick = cm_timer_new(loop, on_kick, client);
    *ret = client;
    return 0;
}

void dns_client_free(struct dns_client *client)
{
    if (!client)
        return;
    CM_BUG_ON(client->delivering);
    ares_destroy(client->channel); /* answers what is pending with ARES_EDESTRUCTION */
    client->channel = NULL;
    deliver(client);
    CM_BUG_ON(client->sockets || client->pending > 0);
    cm_timer_free(client->timer);
    cm_timer_free(client->kick);
    cm_free(client);
}

void dns_addrs(struct dns_client *client, const char *host, dns_addrs_fn fn, void *arg)
{
    static const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT,
                                                     .ai_family = AF_UNSPEC};
    struct dns_query *query = cm_calloc(1, sizeof(*query));
    *query = (struct dns_query){.client = client, .fn = fn, .arg = arg};
    query->host = cm_strdup(host);
    client->pending++;
    struct in6_addr address;
    int family = inet_pton(AF_INET6, host, &address) == 1  ? AF_INET6
                 : inet_pton(AF_INET, host, &address) == 1 ? AF_INET
                                                           : AF_UNSPEC;
    if (family != AF_UNSPEC) { /* c-ares 1.18 would ask the resolver for the literal as well */
        inet_ntop(family, &address, query->text[0], INET6_ADDRSTRLEN);
        query->count = 1;
        on_answer(query, ARES_SUCCESS, 0, NULL);
    } else if (!client->channel) {
        on_answer(query, ARES_EDESTRUCTION, 0, NULL);
    } else if (client->pending > DNS_QUERIES_MAX) {
        on_answer(query, ARES_EREFUSED, 0, NULL);
    } else {
        ares_getaddrinfo(client->channel, query->host, NULL, &hints, on_answer, query);
        rearm(client);
    }
}
