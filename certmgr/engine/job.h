/*
 * One job drives one credential from its plan to the end of one attempt.
 *
 *   begin    credential, saved order, account            (job.c)
 *   key      staged key and CSR: saved, kept, or made     (job_key.c)
 *   choose   which challenge proves which name            (choose.c)
 *   order    acme_order over the ports                    (job_ports.c, job_publish.c, job_dns.c;
 *            CAA before each newOrder:                     job_caa.c)
 *   finish   chain checked, documents written             (job_finish.c)
 *   fail     error and next attempt written               (job_fail.c)
 *   trial    the same at the CA's staging, for nothing    (job_trial.c)
 *
 * The saved order (kv "order") is {key_generation, sealed_key, public_key_sha256, csr, names,
 * key_type, servers, challenges: {name: {account, fqdn, zone}} of those that take dns-01, acme:
 * state of the ACME order}; a dry run's has the key "trial/<ulid>".  A job may be dropped at any
 * moment; the next one goes on from there.
 */
#pragma once

#include "certmgr/challenge/challenge.h"
#include "certmgr/engine/internal.h"

struct kf_chain;

/* A call to agent, store, network or timer that is under way for a job.  The job detaches it when
 * it ends first: then the answer only frees the call. */
struct job_call {
    struct job *job; /* NULL = detached */
    struct job_call *next;
    struct http_call *http; /* cancelled with the job */
    struct cm_timer *timer; /* freed with the job */
    struct ch_check *check; /* cancelled with the job */
    struct dns_find *find;  /* likewise */
    json_t *value;
    int64_t begun_ms;   /* of a request to the CA, monotonic */
    struct cm_err *err; /* kept for later (cm_err_dup()), or NULL */
    union {
        acme_http_fn http;
        acme_json_fn json;
        acme_done_fn done;
        acme_tick_fn tick;
        void (*job)(struct job *job, const struct cm_err *err);
    } fn;
    void *arg;
};

struct job {
    struct engine *engine;
    char ulid[CM_ULID_TEXT];
    char id[CM_ULID_TEXT + 12]; /* credential:<ulid> */
    json_t *credential;         /* as it was at the beginning */
    json_t *order;              /* kv "order" */
    struct eng_account *account;
    struct acme_order *acme;
    struct eng_op *op; /* a request that is no order (revoke.c) */
    json_t *sign_with; /* the agent's verb instead of jws.sign, or NULL (ca_op.h) */
    struct job_call *calls;
    struct job_dns *dns; /* TXT values being published, or NULL */
    struct job_caa *caa; /* job_caa.c: look-ups under way, or NULL */
    json_t *places;      /* choose.c: {name: what was found} */
    json_t *held;        /* of the CA's limits (guard.h), or NULL */
    bool renewal;
    bool trial;      /* a dry run at the CA's staging (job_trial.c) */
    bool only_end;   /* the renewal is held back; that the certificate ended is told */
    bool ending;     /* the outcome is being written */
    unsigned writes; /* documents of the end still on their way */
    struct cm_err err;
    int64_t floor_ms; /* the CA's Retry-After */
    bool former_kept; /* the certificate to be revoked is in the archive */
};

/* job.c */
struct job *job_new(struct engine *engine, const char *ulid);
void job_free(struct job *job);
void job_begin(struct job *job);
void job_over(struct job *job); /* leaves the table; the job is gone afterwards */
void job_order_start(struct job *job);
const char *job_step(const struct job *job);
/* The agent is away: not an attempt; goes on in a moment. */
bool job_wait_for_agent(struct job *job, const struct cm_err *err);
struct job_call *job_call_new(struct job *job);
void job_call_free(struct job_call *call);
/* Runs fn(job, err) on the loop when the job still lives. */
void job_later(struct job *job, int64_t ms, void (*fn)(struct job *job, const struct cm_err *err));
/* The credential (as it is now) wants a new key, and the order is for its present one. */
bool job_has_old_key(const struct job *job, const json_t *body);
/* The order does not bring what the credential (as it is now) asks for: it changed on the way. */
bool job_is_outdated(const struct job *job, const json_t *body);
/* Somebody has asked for a new attempt while this one ran, so its failure is not the answer. */
bool job_is_asked_again(const struct job *job, const json_t *body);
int job_save(struct job *job, struct cm_err *err); /* kv "order" */

void job_key(struct job *job);    /* job_key.c */
void job_rewrap(struct job *job); /* rewrap.c: an imported key, for other servers */
void job_revoke(struct job *job); /* revoke.c */
/* job_trial.c: a dry run begins; it ended with a good chain; it failed (false: as other failures,
 * the next attempt is another dry run). */
void job_trial(struct job *job);
void job_trial_passed(struct job *job, const struct kf_chain *chain);
bool job_trial_failed(struct job *job, const struct cm_err *why);
struct acme_ports job_ports(struct job *job); /* job_ports.c */
/* Ends a call of fn.done; frees it. */
void job_call_answer(struct job_call *call, const struct cm_err *err);
/* job_publish.c */
void job_publish(void *arg, const json_t *tokens, acme_done_fn done, void *done_arg);
/* job_dns.c: sets the TXT values of these tokens and waits until they are seen; the call is
 * answered on a later turn. */
void job_dns_publish(struct job *job, const json_t *tokens, struct job_call *call);
/* A port of the order: may this token be published beside the chosen ones?  Of all accounts that
 * hold one value only, one token at a time: who holds one never waits for another (no deadlock
 * between two orders). */
bool job_dns_at_once(void *arg, const json_t *chosen, const json_t *token);
/* Nothing more is published for this job; what was set stays until eng_dns_release(). */
void job_dns_drop(struct job *job);
/* What people have to write themselves: [{"fqdn","value"}] while the job waits for them, or NULL
 * (borrowed); *ret_problem: why it did not go on, or NULL. */
const json_t *job_dns_people(const struct job *job, const char **ret_problem);
int job_dns_go_on(struct job *job, const char *who, struct cm_err *err);
/* job_budget.c: may this order begin, or go on?  False: the job ends here, and its credential
 * waits or has failed. */
bool job_budget(struct job *job);
/* The CA has issued the certificate. */
void job_budget_issued(struct job *job);
/* The run ended; good: with a certificate (why NULL). */
void job_budget_over(struct job *job, const struct cm_err *why);
/* choose.c: decides on the challenges, then job_order_start(). */
void job_choose(struct job *job);
/* job_caa.c: before a new order by the account with this URL (or NULL); true: the call is answered
 * on a later turn, false: there is nothing to look at. */
bool job_caa_first(struct job *job, const char *kid, struct job_call *call);
/* After a CA's refusal for CAA (job->err): true: job_fail_write() follows, with what was seen. */
bool job_caa_explain(struct job *job);
void job_caa_drop(struct job *job);
/* choose.c: which challenge proves this name ("http-01", "dns-01", "tls-alpn-01"; static text). */
const char *eng_challenge_type(struct job *job, const char *name);
void job_finish(struct job *job, const json_t *chain);    /* job_finish.c */
void job_fail(struct job *job, const struct cm_err *err); /* job_fail.c */
void job_fail_write(struct job *job);                     /* … writes job->err */
void job_challenge_empty(struct job *job, cs_published_fn done, void *arg);
