/*
 * What the tests of the replicator share: a loop, nodes (store + server on loopback) and clients,
 * all in one process, and blocking requests that turn the loop until the reply is there.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/core/json.h"
#include "replicator/replicator.h"

#define WAIT_MS 60000 /* a slow machine, counters, sanitizers */

/* What a hostile peer answers to the paths that contain this text. */
struct lie {
    const char *path;
    const char *query; /* … with such a query; NULL = with any */
    int status;
    const char *text;
    unsigned times; /* so often; 0 = always */
    unsigned told;
};

struct node {
    struct rig *rig;
    const char *name;
    char dir[256];
    char address[64]; /* stays the same over a restart */
    char url[128];    /* of the database "db" */
    bool lab;
    struct tls_server *tls;   /* set before node_listen(): https, peers by their key */
    const char *spki_allowed; /* with tls: the only client key that is a peer */
    const char *cert_file, *key_file, *pin; /* of the client that works for this node */
    struct cs_store *store;
    struct rp_server *server;
    struct http_listener *listener;
    struct cm_timer *commit;
    unsigned requests, bulk_gets, bulk_docs, puts; /* seen by the server */
    size_t docs_sent;       /* asked for by _bulk_get or brought by _bulk_docs */
    size_t largest_request; /* documents of one of them */
    bool unread;        /* megabytes that come and go are neither counted nor parsed by the rig */
    unsigned from_zero; /* _changes requests that began at 0 */
    bool no_bulk_get;   /* answers 404, as a peer without it */
    const char *poison; /* a _bulk_get that names this id gets broken JSON */
    const char *fail_path; /* paths that contain it get 500 */
    struct lie *lie;       /* replies of its own; NULL = it is honest */
    size_t body_max;       /* larger bodies get 504, as after a time limit; 0 = none do */
    /* In place of the server (may be NULL): true = it has answered. */
    bool (*answer)(void *arg, const struct http_request *req, struct http_exchange *ex);
    void *answer_arg;
    size_t die_after; /* closes the listener once so many documents were sent; 0 = never */
    bool dead;
    bool held;         /* nothing is committed by itself */
    bool frail;        /* its commits may fail */
    cs_prove_fn prove; /* of its server */
    void *prove_arg;
    char first_diff[64]; /* the beginning of the first _revs_diff that came */
    bool restored;       /* its peers are to give back what they hold */
    unsigned gave_back;  /* … and have done so */
    unsigned take_back;  /* they said that it is an older copy; they are asked, too */
    unsigned brought;    /* … and brought so many versions that it did not have */
};

struct rig {
    struct cm_loop *loop;
    struct http_client *http;
    struct cm_timer *timeout;
    bool expired;
    const char *peer; /* name the servers take the client for; NULL = unknown */
    bool peer_manager;
};

void rig_open(struct rig *rig);
void rig_close(struct rig *rig);
/* Turns the loop until *flag or fails the test after WAIT_MS. */
void rig_until(struct rig *rig, const bool *flag);
/* Turns the loop until check(arg) or fails the test. */
void rig_wait(struct rig *rig, bool (*check)(void *arg), void *arg);
void rig_sleep(struct rig *rig, int64_t ms);

/* A fresh store and its server.  lab: without policy. */
void node_start(struct rig *rig, struct node *node, const char *name, bool lab);
void node_restart(struct node *node);               /* store and server again, on the same port */
void node_listen(struct node *node);                /* again, after node_stop() */
void node_stop(struct node *node);                  /* listener only: the server "dies" */
void node_purge(struct node *node, const char *id); /* its winner is gone, as if never there */
void node_close(struct node *node);                 /* everything; the directory is removed */
/* Closes the store: clients of it may be freed then. */
void node_close_store(struct node *node);

struct answer {
    int status;
    json_t *body; /* NULL of an unread node when it is longer than 4 MiB */
    char headers[2048];
    char text[4096]; /* the beginning of the body */
    size_t len;      /* of all of it */
};
/* One request; path is behind the origin ("/db/x").  body may be NULL.  The answer's members are
 * valid until the next call with the same answer; answer_fini() in the end. */
void ask(struct node *node, struct answer *answer, const char *method, const char *path,
         const char *body);
void ask_as(struct node *node, struct answer *answer, const char *method, const char *path,
            const char *header, const char *body);
void answer_fini(struct answer *answer);

/* A feed that is read in the background. */
struct feed_reader {
    struct http_call *call;
    char text[8192];
    size_t len;
    bool done;
    int status;
};
void feed_start(struct node *node, struct feed_reader *feed, const char *path);
/* The same for any request: text is its answer. */
void feed_start_as(struct node *node, struct feed_reader *feed, const char *method,
                   const char *path, const char *body);
void feed_stop(struct feed_reader *feed);

/* A client of node `to` working for node `from`. */
struct rp_client *client_start(struct node *from, struct node *to);
struct rp_client *client_start_with(struct node *from, struct node *to, bool pull, bool push);
/* Waits until the wanted directions of the client are caught up with what both stores have now. */
void client_settle(struct node *from, struct rp_client *client);
/* "pull" or "push" of its status (owned). */
json_t *client_part(struct rp_client *client, const char *direction);

/* Documents.  Policy documents carry the toy signature that the nodes' verify port accepts. */
#define ULID(n) "01J000000000000000000000" n
#define REV_A   "1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
json_t *doc_settings(const char *name, int64_t serial, int64_t renew_days);
json_t *doc_receipt(const char *server, const char *ulid, int64_t serial, const char *state);
void doc_forge(json_t *doc);
/* Puts a document (cs_put in a node with policy, cs_put_edit in the lab) and commits. */
void put_doc(struct node *node, json_t *take, char *ret_rev);
/* Same leaves with the same histories and bodies in both stores. */
bool same_leaves(struct node *a, struct node *b, const char *id);
