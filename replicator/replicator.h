/*
 * Replication by Apache CouchDB's protocol, JSON-only profile (reference/replication.md 1, 2, 7).
 *
 * An upstream serves `/certstore` to its peers; every server runs one client: it pulls what is
 * marked down and pushes what is marked up (certstore/schema.h), over mutual TLS pinned by
 * trust:root.
 */
#pragma once

#include "base/net/http_client.h"
#include "base/net/http_server.h"
#include "certstore/proof.h"
#include "certstore/store.h"

#define RP_BATCH    500        /* documents asked for at a time */
#define RP_BODY_MAX (8u << 20) /* one _bulk_docs, _bulk_get, _revs_diff */
#define RP_FEED_MAX 4096       /* parked feeds */
/* When changes come thick, they are gathered for so long: fewer requests and commits, and what was
 * overwritten meanwhile does not travel at all.  The first change after a pause goes at once. */
#define RP_GATHER_PULL_MS 20
#define RP_GATHER_PUSH_MS 50
#define RP_TIMEOUT_MAX    60000

#define RP_PROVE_MIN 8 /* fewer documents are verified as they are put */

/* ---- server side ---- */

/* What a peer may do; from trust:root by its TLS key. NULL = unknown peer. */
struct rp_peer {
    const char *name;
    bool manager;
};
struct rp_server_opts {
    struct cm_loop *loop;
    struct cs_store *store;
    const char *db; /* "certstore" */
    bool lab;       /* certstore-lab: no peers, no policy, interactive edits */
    /* fills *ret and returns true when the client of this exchange is a peer */
    bool (*peer)(void *arg, const struct http_request *req, struct rp_peer *ret);
    void *arg;
    /* After a restore: is this peer to give back everything it holds (documents of every type are
     * taken from it then), and it has done so (in the open batch).  May be NULL. */
    bool (*wants_back)(void *arg, const char *peer);
    void (*gave_back)(void *arg, const char *peer);
    /* The peer says that it remembers what this store has forgotten: then this is an older copy,
     * and should want back what the peer holds (in the open batch).  May be NULL. */
    void (*take_back)(void *arg, const char *peer);
    /* A peer whom wants_back() asks brought this version (its text, or the members by which it was
     * verified), which is above what counted here.  May be NULL. */
    void (*brought)(void *arg, const char *peer, const json_t *body);
    cs_prove_fn prove; /* NULL: the store verifies each document as it is put */
    void *prove_arg;
};
struct rp_server;
struct rp_server *rp_server_new(const struct rp_server_opts *opts);
/* Free it after cs_close() (or when the store cannot commit any more): the store keeps it as a
 * listener and waits with its write replies.  Feeds that are still open are ended. */
void rp_server_free(struct rp_server *server);
int64_t rp_server_limit(void *server, const struct http_request *req); /* http_limit_fn */
void rp_server_handle(void *server, struct http_exchange *ex);         /* http_handler_fn */
/* too_large of struct http_listen_opts: 413 as CouchDB says it.  arg is not looked at. */
void rp_server_too_large(void *arg, struct http_exchange *ex);
/* Who is connected right now: [{peer, since, feed: bool, lag_documents?, last_seen_at}] (owned).
 * lag_documents: changes since what it asked for last, an upper bound. */
json_t *rp_server_peers(struct rp_server *server);

/* ---- client side ---- */

struct rp_client_opts {
    struct cm_loop *loop;
    struct cs_store *store;
    struct http_client *http;
    const char *url; /* "https://host:8444/certstore" */
    const char *cert_file, *key_file;
    const char *pin_spki; /* the upstream's TLS key, as base/net/http_client.h wants it */
    /* A hub: a CouchDB that knows nothing of fleets.  Its TLS certificate is checked as that of any
     * web server; what it says about restores does not count. */
    bool hub;
    bool manager;              /* with a hub: we push what is marked down and pull every type */
    bool heal;                 /* … and put right what others spoil there (not while held) */
    const char *authorization; /* value of that header (secret), or NULL */
    const char *cert_pem, *key_pem; /* client certificate in memory, or NULL */
    const char *ca_pem;             /* the hub's CAs, or NULL = the system's */
    bool allow_http;                /* tests */
    bool lab;                       /* certstore-lab: no direction policy, every document */
    bool pull_only, push_only;      /* lab: one direction; default both */
    /* After a pulled batch is durable (may be NULL). */
    void (*on_batch)(void *arg, size_t documents);
    /* With a hub, on the manager: a document that only a manager writes came from elsewhere,
     * validly signed and newer than ours.  May be NULL. */
    void (*on_foreign)(void *arg, const char *id);
    void *arg;
    cs_prove_fn prove; /* NULL: the store verifies each document as it is put */
    void *prove_arg;
};
struct rp_client;
/* Starts at once; the strings of opts are copied.  Failures to connect are no errors here: they are
 * retried (250 ms doubling to 15 s) and shown by rp_client_status().  CM_EINVAL: not a URL with a
 * database. */
int rp_client_new(const struct rp_client_opts *opts, struct rp_client **ret, struct cm_err *err);
/* Free it after cs_close() and before the http client: the store keeps it as a listener. */
void rp_client_free(struct rp_client *client);
/* The same while the store goes on. */
void rp_client_end(struct rp_client *client);
/* Other URL or pin (trust root changed): reconnects.  The same values only end a back-off. */
void rp_client_retarget(struct rp_client *client, const char *url, const char *pin_spki);
/* Pulls from the beginning: everything the upstream has is compared once more.  It is noted in the
 * open batch, and until the pull was caught up every client that begins does so. */
void rp_client_again(struct rp_client *client);
/* The same for the next client of this store, while there is none. */
void rp_again_note(struct cs_store *store);
/* {url, pull: {…}, push: {…}, healed?} (owned).  Each direction: {state, last_seq, saved,
 * last_success_at, documents, refused, rate, lag_documents?, lag_seconds?, last_error?,
 * last_error_at?, error}.
 * saved: both sides remember last_seq.  rate: documents per minute, of the last minute.
 * lag_documents: changes of the source that were not looked at; absent = not known.  lag_seconds:
 * since when it is not caught up; absent = it has never been since the start.
 * error: what is wrong now; last_error stays.  healed: documents put right on the hub.
 * state: connecting, replicating, live (caught up, listening), waiting (back-off), stopped. */
json_t *rp_client_status(struct rp_client *client);
