/*
 * Inside of the replication client: one job per direction.
 *
 * client.c owns both jobs, their requests, errors and back-off; pull.c (with bulk.c, gets.c) and
 * push.c are the two loops; save.c keeps their checkpoints.  A job has one request or timer at a
 * time, and at most one commit beside it; whatever fails goes through rp_job_fail() and begins
 * again from the start.  The jobs do not know each other: one failing direction never stops the
 * other.
 */
#pragma once

#include "replicator/checkpoint.h"
#include "replicator/patience.h"
#include "replicator/replicator.h"

#define RP_CALL_MS       300000 /* one request, feeds excepted */
#define RP_CHECKPOINT_MS 2000   /* at most so often */
#define RP_SEQ_MAX       4096   /* bytes of a foreign sequence token */
#define RP_UUID_MAX      128

enum rp_state { RP_STOPPED, RP_CONNECTING, RP_REPLICATING, RP_LIVE, RP_WAITING };

/* Documents of the last minute, by tens of seconds. */
#define RP_PACE_SLOTS 6
#define RP_PACE_MS    10000
struct rp_pace {
    int64_t slot[RP_PACE_SLOTS]; /* which ten seconds */
    int64_t count[RP_PACE_SLOTS];
};

struct rp_audit;
struct rp_heal;
struct rp_job;
struct rp_pull;
struct rp_push;
typedef void (*rp_job_fn)(struct rp_job *job);
/* The reply of a request: any status; requests without a reply have gone to rp_job_fail(). */
typedef void (*rp_reply_fn)(struct rp_job *job, const struct http_result *res);

/* A callback that the store will make; outlives a job that is gone. */
struct rp_ticket {
    struct rp_job *job; /* NULL: nobody waits any more */
    rp_job_fn fn;
};

/* Where the job's checkpoint stands. */
struct rp_save {
    json_t *history; /* older sessions */
    size_t history_from;
    json_t *local, *remote; /* the documents as found when opening */
    char remote_rev[64];
    struct rp_session session;
    json_t *seq;      /* newest to record */
    json_t *acked;    /* pull: {session_id, seq} that the peer has confirmed to remember */
    json_t *stored;   /* newest that the peer has stored */
    int conflicts;    /* with the peer's copy, in a row */
    bool dirty, off;  /* seq is not saved yet; the peer takes no checkpoints */
    int64_t saved_at; /* monotonic ms */
    struct cm_timer *timer;
    struct http_call *call;
    struct rp_ticket *ticket;
    json_t *doc; /* being saved */
};

struct rp_job {
    struct rp_client *client;
    bool push;
    enum rp_state state;
    struct http_call *call;
    rp_reply_fn on_reply;
    bool limit_ok;
    struct rp_ticket *ticket;
    struct rp_ticket *put; /* something was put, and its commit is still to come */
    struct cm_timer *timer;
    rp_job_fn on_timer;
    int64_t backoff_ms;
    int64_t opened_ms; /* monotonic: when this attempt began */
    struct cm_err err;
    int64_t success_ms; /* wall clock; last sign of life of this direction */
    int64_t documents, refused;
    int64_t told_minute;
    unsigned told; /* refusals in the log in that minute */
    struct rp_pace pace;
    int64_t live_ms;  /* wall clock: when it was live last; 0 = never */
    int64_t peer_seq; /* number of the peer's newest change when it was opened; -1 = not known */
    int64_t behind;   /* changes that the peer has and we have not asked for; -1 = not known */
    struct cm_err last_err;
    int64_t last_err_ms;
    char id[RP_JOB_ID];
    char peer_uuid[RP_UUID_MAX];
    char epoch[16]; /* incarnation of the peer that was opened; "" = it has none */
    bool again;     /* pull: from the beginning, until it was caught up once */
    bool give_back; /* push: the upstream was restored and is to get everything we hold */
    struct rp_save save;
    struct rp_pull *pull;   /* of the pulling job */
    struct rp_push *pusher; /* of the pushing job */
};

struct rp_client {
    struct cm_loop *loop;
    struct cs_store *store;
    struct http_client *http;
    char *url;       /* without a trailing slash; NULL = no upstream */
    char *root;      /* "https://host:port/" */
    char *db, *peer; /* last part of the path; host and port, for the quarantine */
    char *cert_file, *key_file, *pin_spki;
    char *authorization, *cert_pem, *key_pem, *ca_pem; /* of a hub; secrets are wiped */
    bool allow_http, lab, hub, manager;
    struct rp_heal *heal; /* the manager's, with a hub */
    struct rp_audit *audit;
    void (*on_batch)(void *arg, size_t documents);
    void (*on_foreign)(void *arg, const char *id);
    void *arg;
    cs_prove_fn prove;
    void *prove_arg;
    struct rp_job *job[2]; /* pull, push; NULL when not wanted */
};

/* ---- client.c ---- */

struct rp_call_spec {
    const char *method;
    const char *path; /* behind the database URL ("" or "/…"); NULL = the server's root */
    const json_t *body;
    bool feed;     /* no deadline, only silence */
    bool limit_ok; /* the reply function handles CM_ELIMIT and CM_ECLOSED (on_data's refusal) */
    http_data_fn on_data;
    size_t reply_max; /* 0 = RP_BODY_MAX */
};
/* Starts the job's request. */
void rp_job_call(struct rp_job *job, const struct rp_call_spec *spec, rp_reply_fn fn);
/* The same for a call of its own; NULL + err when it cannot start. */
struct http_call *rp_start_call(struct rp_client *client, const struct rp_call_spec *spec,
                                http_done_fn done, void *arg, struct cm_err *err);
/* Ends what runs, remembers the error (copied), tries again after the back-off. */
void rp_job_fail(struct rp_job *job, const struct cm_err *err);
/* Shows the error (copied), and calls fn after so many ms; the job stays open. */
void rp_job_pause(struct rp_job *job, const struct cm_err *err, int64_t ms, rp_job_fn fn);
/* The same as rp_job_fail() for a reply with an unwelcome status. */
void rp_job_fail_status(struct rp_job *job, const struct http_result *res, const char *what);
/* A batch went through: the error and the back-off are history. */
void rp_job_success(struct rp_job *job);
/* Calls fn once everything put so far is durable; fails the job when the commit fails. */
void rp_job_after_commit(struct rp_job *job, rp_job_fn fn);
/* Something was put: the job fails when its commit does, however much else is put (and
 * committed) before the batch is over. */
void rp_job_put(struct rp_job *job);
void rp_job_after(struct rp_job *job, int64_t ms, rp_job_fn fn);
struct rp_ticket *rp_ticket_new(struct rp_job *job, rp_job_fn fn);
void rp_ticket_drop(struct rp_ticket **ticket);
/* The reply's body as JSON (owned), or NULL. */
json_t *rp_reply_json(const struct http_result *res);
/* Does a 404 say that the database itself is not there (or none of its copies just now)? */
bool rp_reply_no_database(const struct http_result *res);

/* Begins the push anew: everything is given back when the peer asks for it. */
void rp_push_anew(struct rp_client *client);

/* ---- status.c ---- */
void rp_job_state(struct rp_job *job, enum rp_state state);
void rp_job_count(struct rp_job *job, size_t documents);
/* The number at the beginning of a peer's sequence token: good for showing, no more; -1 = none. */
int64_t rp_seq_number(const json_t *seq);

/* ---- heal.c: the manager puts the documents of a hub right ---- */
void rp_heal_new(struct rp_client *client);
void rp_heal_free(struct rp_client *client);
/* The hub shows something of this document that does not count: look at it. */
void rp_heal_note(struct rp_client *client, const char *id);
int64_t rp_heal_count(const struct rp_client *client);
/* How many documents wait to be looked at. */
size_t rp_heal_waits(const struct rp_client *client);

/* ---- audit.c: has the hub, under the names of our versions, their texts? ---- */
void rp_audit_new(struct rp_client *client); /* goes on with one that a restart interrupted */
void rp_audit_free(struct rp_client *client);
/* All documents are compared, in the background; once more if one is under way.  Nothing without
 * heal. */
void rp_audit_begin(struct rp_client *client);

/* ---- pull.c, push.c ---- */
int64_t rp_push_behind(const struct rp_job *job); /* changes of ours that were not looked at */
void rp_pull_start(struct rp_job *job, const json_t *since); /* since NULL = everything */
void rp_pull_halt(struct rp_job *job);                       /* ends what runs beside job->call */
void rp_pull_free(struct rp_job *job);
void rp_push_start(struct rp_job *job, const json_t *since);
void rp_push_wake(struct rp_job *job, const char *id); /* a document changed here */
void rp_push_free(struct rp_job *job);

/* ---- upstream.c ---- */
/* Notes the incarnation of an upstream (database information `db`).  A new one is followed (1); one
 * that was followed by another is a copy of the past: CM_ECONFLICT, nothing is taken from it. */
int rp_upstream_check(struct rp_job *job, const json_t *db, struct cm_err *err);

/* Has this upstream of ours forgotten what it had confirmed (job->save.acked)?  Then it runs from
 * an older copy, and err (if not NULL) says so.  remote: the checkpoint that it shows, NULL = none.
 */
bool rp_upstream_forgot(const struct rp_job *job, const json_t *remote, struct cm_err *err);

/* Is this sequence of another incarnation than the one that was opened?  Then it is opened anew. */
bool rp_upstream_moved(const struct rp_job *job, const json_t *seq);

/* Is the pull to begin at the beginning (rp_again_note())?  Over: it did, and was caught up. */
bool rp_again_noted(struct cs_store *store);
void rp_again_over(struct cs_store *store);

/* ---- save.c ---- */
/* Reads both sides' checkpoints, compares, then calls rp_pull_start or rp_push_start. */
void rp_save_open(struct rp_job *job);
/* Everything up to seq is durable on the target. */
void rp_save_note(struct rp_job *job, json_t *take_seq);
/* Is everything noted saved on both sides (as far as the peer takes checkpoints)? */
bool rp_save_clean(const struct rp_job *job);
void rp_save_stop(struct rp_job *job); /* ends requests and timers; keeps nothing */
void rp_save_free(struct rp_job *job);
