/* Inside of the DNS client: channels of c-ares on the loop, and how answers are delivered. */
#pragma once

#include <ares.h>

#include "base/net/dns.h"
#include "base/net/dns_kept.h"

#define DNS_QUERIES_MAX  1024
#define DNS_CHANNELS_MAX 64 /* that idle ones may fill; each holds memory only */

struct dns_socket;

/* One set of servers, asked in one way. */
struct dns_channel {
    struct dns_channel *next;
    struct dns_client *client;
    ares_channel ares;
    struct cm_timer *timer; /* c-ares' next time-out */
    struct dns_socket *sockets;
    char *servers; /* NULL: the client's resolver */
    int flags;
    size_t pending;
    bool several; /* more than one server */
};

/* Head of every look-up.  c-ares may answer inside the call that asks and must not be destroyed
 * inside its callbacks, so answers are only stored there and delivered on the next turn. */
struct dns_query {
    struct dns_query *next;
    struct dns_client *client;
    void (*deliver)(struct dns_query *query);
    void (*free)(struct dns_query *query);
    bool cancelled;
};

struct dns_client {
    struct cm_loop *loop;
    char *resolver; /* NULL: the system's */
    unsigned port;
    struct dns_channel *addrs;    /* addresses: c-ares sees to families and the hosts file */
    struct dns_channel *channels; /* records; used last comes first */
    struct cm_timer *kick;        /* answers wait for delivery */
    struct dns_query *answered, **answered_end;
    struct dns_keeper keeper;
    size_t pending;
    bool delivering, ending;
};

/* servers NULL: the client's resolver.  Returns 0, CM_EINVAL or CM_EIO. */
int dns_channel_new(struct dns_client *client, const char *servers, int flags,
                    struct dns_channel **ret, struct cm_err *err);
/* Answers what is pending with ARES_EDESTRUCTION. */
void dns_channel_free(struct dns_channel *channel);
/* After every question: c-ares' time-outs onto the loop's timer. */
void dns_channel_rearm(struct dns_channel *channel);

void dns_query_begin(struct dns_client *client, struct dns_query *query);
/* The answer is there: deliver it on the next turn. */
void dns_query_answered(struct dns_query *query);
