/*
 * Inside of the replication server: what its routes share.
 *
 * serve.c finds the route; serve_db.c, serve_docs.c, serve_local.c, serve_edit.c, serve_bulk.c,
 * serve_bulk_get.c, serve_changes.c, serve_all_docs.c and serve_admin.c are the routes; posted.c
 * takes the many documents of one _bulk_docs; reply.c writes answers; stream.h carries long answers
 * and parked feeds.
 */
#pragma once

#include "replicator/replicator.h"
#include "replicator/route.h"
#include "replicator/stream.h"

#define RP_PEER_NAME_MAX 255
#define RP_SEEN_MAX      4096 /* peers remembered for status pages */
#define RP_LOCALS_MAX    64   /* _local documents of one peer */
/* Bytes of one of them.  CouchDB keeps the last 50 sessions of a job, each with three sequences of
 * its source: 400 and more bytes in a cluster of eight shards. */
#define RP_LOCAL_SIZE (128u << 10)
#define RP_DIFF_MAX   20000       /* revisions in one _revs_diff */
#define RP_OUT_MAX    (16u << 20) /* bytes one step of a stream may add */

struct rp_server {
    struct cm_loop *loop;
    struct cs_store *store;
    char *db;
    bool lab;
    bool (*peer)(void *arg, const struct http_request *req, struct rp_peer *ret);
    void *arg;
    bool (*wants_back)(void *arg, const char *peer);
    void (*gave_back)(void *arg, const char *peer);
    void (*take_back)(void *arg, const char *peer);
    void (*brought)(void *arg, const char *peer, const json_t *body);
    cs_prove_fn prove;
    void *prove_arg;
    json_t *seen;              /* peer name -> {since, at: ms since the boot: clocks are set} */
    struct rp_stream *streams; /* all running or parked */
    size_t stream_count;
    struct cm_timer *kick, *beat; /* pumps ready streams; next heartbeat or timeout */
    struct cm_timer *compact;     /* next page of a compaction */
    bool compacting;
    char compact_from[CS_ID_MAX + 2];
};

/* One request while its handler runs. */
struct rp_req {
    struct rp_server *server;
    struct http_exchange *ex;
    const struct http_request *http;
    struct rp_route route;
    char peer[RP_PEER_NAME_MAX + 1]; /* "" in the lab */
    bool manager;                    /* always true in the lab */
};

/* ---- reply.c: each of these ends the exchange ---- */
void rp_reply(struct rp_req *req, int status, json_t *take);
/* {"error", "reason"} as CouchDB's. */
void rp_error(struct rp_req *req, int status, const char *error, const char *reason);
void rp_bad_request(struct rp_req *req, const char *reason);
void rp_not_found(struct rp_req *req, const char *reason);
void rp_method_not_allowed(struct rp_req *req, const char *allowed);
/* The store failed: 500, which makes every client try again later. */
void rp_store_failed(struct rp_req *req, const struct cm_err *err);
/* Answers once everything put so far is durable; 500 when the commit failed. */
void rp_reply_durable(struct rp_req *req, int status, json_t *take);
/* The body as a JSON object (fractions allowed: lab documents have them).  NULL = answered. */
json_t *rp_body(struct rp_req *req);
/* The same, with what salvage.h can take of a body that holds a value which is not read. */
typedef json_t *(*rp_salvage_fn)(const char *text, size_t len, json_t **ret_rest);
json_t *rp_body_or(struct rp_req *req, rp_salvage_fn salvage, json_t **ret_rest);
/* The same where the body is a document. */
json_t *rp_doc_body(struct rp_req *req);
/* 400: what cm_json_parse_lax() said; in the lab what CouchDB says, which names no place. */
#define RP_NO_JSON "invalid UTF-8 JSON"
void rp_bad_json(struct rp_req *req, const struct cm_err *err);
/* Adds the header Location of a document that was written (lab). */
void rp_location(struct rp_req *req, const char *id);
/* A stream's or reply's content type and headers. */
#define RP_JSON "application/json"
void rp_common_headers(struct http_exchange *ex);
/* Appends text as a JSON string. */
void rp_json_str(struct cm_buf *out, const char *text);

/* ---- the routes ---- */
void rp_serve_root(struct rp_req *req);
void rp_serve_db(struct rp_req *req);
void rp_serve_up(struct rp_req *req);
void rp_serve_all_dbs(struct rp_req *req);
void rp_serve_uuids(struct rp_req *req);
void rp_serve_full_commit(struct rp_req *req);
void rp_serve_gave_back(struct rp_req *req);
void rp_serve_take_back(struct rp_req *req);
void rp_serve_local(struct rp_req *req);
void rp_serve_doc(struct rp_req *req);
void rp_serve_edit(struct rp_req *req);    /* PUT, DELETE /db/ID (lab) */
void rp_serve_new_doc(struct rp_req *req); /* POST /db (lab) */
void rp_serve_changes(struct rp_req *req);
void rp_serve_revs_diff(struct rp_req *req);
void rp_serve_missing_revs(struct rp_req *req);
void rp_serve_bulk_docs(struct rp_req *req);
void rp_serve_bulk_get(struct rp_req *req);
void rp_serve_all_docs(struct rp_req *req);
void rp_serve_revs_limit(struct rp_req *req); /* this and the next: PUT in the lab only */
void rp_serve_security(struct rp_req *req);
void rp_serve_purge(struct rp_req *req);   /* lab */
void rp_serve_compact(struct rp_req *req); /* lab */

/* ---- shared by routes ---- */
/* After a restore: is the client to give back everything it holds? */
bool rp_wants_back(const struct rp_req *req);
/* Answer of /_uuids?count=N (owned); NULL when N is wrong, *ret_why says why. */
json_t *rp_make_uuids(const struct rp_route *route, const char **ret_why);
/* Purges so far. */
int64_t rp_purge_seq(struct cs_store *store);
void rp_compact_turn(void *server); /* callback of the timer `compact` */
/* May the client read this document? (direction policy; false also for ids no store can hold) */
bool rp_readable(const struct rp_server *server, bool manager, const char *id);
/* Asks the host again whether the client of ex is still a peer (trust:root may have changed). */
bool rp_still_peer(struct rp_server *server, struct http_exchange *ex);
/* Goes on with a request that waited (without its route).  False when its client is no peer any
 * more: answered. */
bool rp_resume(struct rp_server *server, struct http_exchange *ex, struct rp_req *ret);
/* Remembers when a peer was last heard and from where it reads (since NULL = unchanged). */
void rp_seen(struct rp_server *server, const char *peer, const char *since);
/* Is there a document that lives, and may the client read it?  False when answered: 404. */
bool rp_doc_lives(struct rp_req *req);
/* Takes the revision a client names in the URL, in If-Match or in the body into doc; false when
 * answered: they differ. */
bool rp_take_rev(struct rp_req *req, json_t *doc);
/* `_conflicts` and `_deleted_conflicts` of a document read as the winner. */
void rp_add_conflicts(struct cs_store *store, const char *id, json_t *doc, bool live, bool deleted);
/* Outcome of one refused write as _bulk_docs lists it (owned). */
json_t *rp_refusal(const char *id, const char *rev, const char *error, const char *reason);
#define RP_CONFLICT "Document update conflict."
#define RP_NO_LOCAL "Invalid _local document id."
/* Why a replicated document without a revision is refused. */
#define RP_NO_REV "When `new_edits: false`, the document needs `_rev` or `_revisions` specified"
/* A document of a _bulk_docs without edits. */
struct rp_posted_doc {
    const json_t *body;
    const char *id, *rev;   /* id never NULL; rev NULL = there is none */
    struct cs_ready *ready; /* it was read ahead, and body was taken apart; or NULL */
};
struct rp_posted_doc rp_posted_doc(const json_t *doc);
/* Puts it; a refusal is appended to rows.  Negative only when the store failed. */
int rp_put_posted(struct rp_req *req, const struct rp_posted_doc *doc, json_t *rows,
                  struct cm_err *err);
/* A document whose text was not read: refused with row (rp_salvage_row()), and listed when the
 * client may write it at all.  Negative only when the store failed. */
int rp_put_unread(struct rp_req *req, bool edit, json_t *row, json_t *rows, struct cm_err *err);
/* Without a revision there is nothing to merge: the client is broken, not the document. */
bool rp_has_rev(const json_t *doc);
void rp_lacks_rev(struct rp_req *req);
/* posted.c: takes the request when it brings many documents whose signatures are to be checked,
 * from its text or (written in an unusual way) from what was read of it. */
bool rp_posted_start(struct rp_req *req);
bool rp_posted_start_parsed(struct rp_req *req, const json_t *docs);
/* Are the members of a document that is to be edited well-formed?  False when answered. */
bool rp_edit_ok(struct rp_req *req, const json_t *doc);
/* Edits one document interactively; *ret_row (owned) = {ok,id,rev} or a refusal; returns the HTTP
 * status of it, or a negative code when the store failed. */
int rp_edit(struct rp_server *server, const json_t *doc, json_t **ret_row, struct cm_err *err);
