/* c-ares on the loop's watches and timers. */
#include "base/net/dns_client.h"

#include <string.h>
#include <sys/time.h>

#include "base/core/mem.h"

#define DNS_TRY_MS   2000 /* doubled by c-ares with each round */
#define DNS_TRIES    3
#define DNS_TRIES_AT 2 /* at one authoritative server: the caller looks again anyway */

struct dns_socket {
    struct dns_socket *next;
    struct dns_channel *channel;
    ares_socket_t fd;
    struct cm_watch *watch;
};

void dns_channel_rearm(struct dns_channel *channel)
{
    struct timeval tv;
    if (!ares_timeout(channel->ares, NULL, &tv))
        cm_timer_stop(channel->timer);
    else
        cm_timer_start(channel->timer, (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}

static void on_timer(void *arg)
{
    struct dns_channel *channel = arg;
    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    dns_channel_rearm(channel);
}

static void on_ready(void *arg, int events)
{
    struct dns_socket *s = arg; /* may be gone after ares_process_fd() */
    struct dns_channel *channel = s->channel;
    ares_process_fd(channel->ares, events & CM_WATCH_READ ? s->fd : ARES_SOCKET_BAD,
                    events & CM_WATCH_WRITE ? s->fd : ARES_SOCKET_BAD);
    dns_channel_rearm(channel);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_channel *channel = arg;
    struct dns_socket **at = &channel->sockets;
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
        *s = (struct dns_socket){.next = channel->sockets, .channel = channel, .fd = fd};
        s->watch = cm_watch_new(channel->client->loop, fd, on_ready, s);
        channel->sockets = s;
    }
    cm_watch_set(s->watch, (readable ? CM_WATCH_READ : 0) | (writable ? CM_WATCH_WRITE : 0));
}

static bool has_several(ares_channel ares)
{
    struct ares_addr_port_node *servers = NULL;
    if (ares_get_servers_ports(ares, &servers) != ARES_SUCCESS)
        return false;
    bool several = servers && servers->next;
    ares_free_data(servers);
    return several;
}

int dns_channel_new(struct dns_client *client, const char *servers, int flags,
                    struct dns_channel **ret, struct cm_err *err)
{
    *ret = NULL;
    struct dns_channel *channel = cm_calloc(1, sizeof(*channel));
    channel->client = client;
    channel->flags = flags;
    struct ares_options options = {
        .flags = flags,
        .timeout = DNS_TRY_MS,
        .tries = flags & ARES_FLAG_NORECURSE ? DNS_TRIES_AT : DNS_TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = channel,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    char only_dns[] = "b"; /* a configured resolver has the only word: no hosts file */
    const char *csv = servers ? servers : client->resolver;
    if (csv) {
        options.lookups = only_dns;
        mask |= ARES_OPT_LOOKUPS;
    }
    int rc = ares_init_options(&channel->ares, &options, mask);
    if (rc != ARES_SUCCESS) {
        cm_free(channel);
        return cm_fail(err, CM_EIO, "cannot prepare DNS look-ups: %s", ares_strerror(rc));
    }
    if (csv && ares_set_servers_ports_csv(channel->ares, csv) != ARES_SUCCESS) {
        ares_destroy(channel->ares);
        cm_free(channel);
        return cm_fail(err, CM_EINVAL,
                       "resolver \"%.100s\" is not a list of address:port separated by commas",
                       csv);
    }
    channel->servers = servers ? cm_strdup(servers) : NULL;
    channel->several = has_several(channel->ares);
    channel->timer = cm_timer_new(client->loop, on_timer, channel);
    *ret = channel;
    return 0;
}

void dns_channel_free(struct dns_channel *channel)
{
    if (!channel)
        return;
    ares_destroy(channel->ares);
    CM_BUG_ON(channel->sockets);
    cm_timer_free(channel->timer);
    cm_free(channel->servers);
    cm_free(channel);
}
