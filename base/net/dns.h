/*
 * Asynchronous DNS look-ups (c-ares) against the system's or the configured resolver, or against
 * chosen servers.
 */
#pragma once

#include <stddef.h>

#include "base/net/loop.h"

struct dns_client;
struct dns_query;
#define DNS_ADDRS_MAX   16
#define DNS_RECORDS_MAX 512 /* of one section; an answer with more is DNS_BROKEN */
#define DNS_PORT        53

/* resolver: "address:port" list separated by commas (then the hosts file does not count), or NULL
 * for the system's.  Returns 0, CM_EINVAL or CM_EIO. */
int dns_client_new(struct cm_loop *loop, const char *resolver, struct dns_client **ret,
                   struct cm_err *err);
/* Ends what is pending (fn is called with CM_ECLOSED or DNS_ENDED); not allowed inside fn. */
void dns_client_free(struct dns_client *client);
/* The port where authoritative servers listen: 53, but for the lab setting dns_port. */
void dns_client_set_port(struct dns_client *client, unsigned port);
unsigned dns_client_port(const struct dns_client *client);

/* ---- addresses ---------------------------------------------------------------------------- */

/* addrs: textual addresses, IPv6 first then IPv4 in the order received; err set when none. */
typedef void (*dns_addrs_fn)(void *arg, const char *const *addrs, size_t count,
                             const struct cm_err *err);
/* Looks up AAAA and A (an address literal answers itself).  fn is called exactly once, never from
 * inside this call.  The result is for dns_cancel() and valid until fn is called. */
struct dns_query *dns_addrs(struct dns_client *client, const char *host, dns_addrs_fn fn,
                            void *arg);

/* ---- records ------------------------------------------------------------------------------ */

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_DNAME = 39,
    DNS_CAA = 257,
};

/* Names are lower case without dot at the end ("" is the root); what is not printable in a name or
 * text stands as \DDD. */
struct dns_record {
    char *name;
    unsigned type; /* enum dns_type, or any other number: then only name and ttl count */
    uint32_t ttl;
    char *text;       /* address; target of CNAME, DNAME and NS; MNAME; whole TXT; value of CAA */
    char *tag;        /* CAA, lower case */
    unsigned flags;   /* CAA: 128 = critical */
    uint32_t minimum; /* SOA: how long "no such name" is kept */
};

enum dns_status {
    DNS_OK,          /* records of the type (or a CNAME in front of nothing) */
    DNS_NODATA,      /* the name exists without records of that type */
    DNS_NXDOMAIN,    /* no such name */
    DNS_SERVFAIL,    /* the server could not find out */
    DNS_REFUSED,     /* the server does not answer us for that name */
    DNS_TIMEOUT,     /* silence */
    DNS_UNREACHABLE, /* no server takes the question */
    DNS_BROKEN,      /* the answer does not parse, or carries another error */
    DNS_INVALID,     /* name or server list is not valid */
    DNS_ENDED,       /* ended from this side, or too many questions at once */
};

struct dns_reply {
    enum dns_status status;
    unsigned rcode;     /* of the header when there was an answer */
    bool authoritative; /* AA */
    struct dns_record *records;
    size_t count; /* answer section in the order received: CNAMEs too */
    struct dns_record *authority;
    size_t authority_count;
    const char *name;    /* that was asked */
    const char *servers; /* "address:port,…" asked, or "the resolver" */
    unsigned type;
};

struct dns_question {
    const char *name; /* ASCII without dot at the end */
    enum dns_type type;
    const char *servers; /* "address:port,…" or NULL: the client's resolver */
    bool authoritative;  /* not recursive (RD off), given up sooner */
    unsigned keep_s;     /* a good answer may be this old; 0 = always ask (TTLs count too) */
    bool keep_no;        /* so may a "no" that comes with the zone's SOA */
};

/* reply is valid inside fn only. */
typedef void (*dns_reply_fn)(void *arg, const struct dns_reply *reply);
/* fn is called exactly once, never from inside; EDNS, TCP after truncation and the next server
 * after SERVFAIL or REFUSED are seen to.  The result is for dns_cancel(). */
struct dns_query *dns_ask(struct dns_client *client, const struct dns_question *question,
                          dns_reply_fn fn, void *arg);
/* fn will not be called; NULL allowed.  Not after fn was called. */
void dns_cancel(struct dns_query *query);

/* 0 for DNS_OK, DNS_NODATA and DNS_NXDOMAIN; else the failure in words: CM_ETIMEOUT, CM_ENET,
 * CM_EPEER, CM_EINVAL or CM_ECLOSED. */
int dns_reply_fail(const struct dns_reply *reply, struct cm_err *err);
const char *dns_status_text(enum dns_status status);
const char *dns_type_text(unsigned type);
/* RFC 1035, 2136 and 8945 response codes: "REFUSED"; "code 99" is never needed: "unknown code". */
const char *dns_rcode_text(unsigned rcode);
