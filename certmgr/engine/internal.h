/*
 * What the files of the engine share: the engine itself, its accounts, edits, steps and jobs.
 *
 * Everything runs on one loop.  Calls to agent and store cannot be cancelled, so whoever waits for
 * one either holds a reference to the engine (edit.c) or a job_call that the job detaches (job.c).
 */
#pragma once

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/err_dup.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certmgr/acme/order.h"
#include "certmgr/engine/engine.h"
#include "certmgr/engine/pace.h"
#include "certmgr/engine/plan.h"
#include "keyfile/roots.h"

#define ENG_SERVERS_MAX     200        /* servers with access: the envelope must fit a document */
#define ENG_CHECK_ERRORS    50         /* field errors reported at once */
#define ENG_NAMES_TYPED_MAX 1000       /* names looked at before a request is refused as a whole */
#define ENG_FILE_NAME_MAX   64         /* bytes of a keyring file name */
#define ENG_ROOTS_MAX       (4u << 20) /* bytes of all root: documents' PEM */
#define ENG_FALLBACK_MAX    3          /* accounts besides the first */
#define ENG_SELF_CHECK_MS   60000
#define ENG_CAA_MS          5000      /* an order waits no longer to see its CAA records */
#define ENG_INTAKES_MAX     64        /* requests being answered at a time */
#define ENG_RUNNING_MS      1000      /* a job that lasts longer says so in its credential */
#define ENG_CHAIN_SHA256    "sha256:" /* alternate_chain: what follows is a root's fingerprint */
#define ENG_CHAIN_LAST      8         /* alternate_chain: "#8" at most (ACME_ALTERNATES_MAX) */
#define ENG_LEFTS_MAX       8         /* failed orders whose rest is given up at a time */
#define ENG_AGENT_AWAY_MS   2000      /* pause before work goes on when the agent is away */

struct job;
struct caa_memory;
struct eng_dns;
struct eng_guard;
struct preflight;
struct eng_archiver;
struct eng_ari;
struct eng_act;
struct eng_waits;
struct eng_left;
struct eng_former;
struct eng_import;
struct eng_holder;
struct eng_over;
struct eng_rejoin;
struct eng_task;
struct eng_resume;

/* The CA side shared by an account's orders (directory cache, nonces); lives as long as the
 * engine. */
struct eng_ca {
    struct eng_ca *next;
    char *key; /* "account\ndirectory\nthumbprint" */
    struct acme_ca *ca;
};

/* One account document as jobs use it, parsed once. */
struct eng_account {
    unsigned refs;
    struct eng_account *next;
    char *name;
    json_t *body;
    struct acme_ca *ca;
};

/* cs_listen() has no opposite: the ear stays, what it calls can go. */
struct eng_ear;

/* A place in an index of times. */
struct eng_walk {
    char key[64], id[CS_ID_MAX + 1];
};

struct engine {
    unsigned refs; /* 1 + edits under way */
    bool dead;     /* eng_free() was called */
    struct eng_env env;
    struct eng_ear *ear;
    /* sched.c */
    struct cm_timer *timer; /* next due time */
    struct cm_timer *pump;  /* next turn: look at the queue */
    bool pump_armed;
    int64_t armed_ms; /* wall clock the timer stands for; 0 = none */
    json_t *queue;    /* {ulid: true} in order of arrival */
    struct job *job[ENG_JOBS_MAX];
    size_t job_count;
    size_t asking; /* of them, those that wait for people */
    struct eng_pace pace;
    struct eng_walk due, expiry; /* how far these indexes were walked */
    int64_t walked_ms;           /* latest wall clock of a walk or plan */
    struct eng_task *task;       /* task_hooks.c; NULL = no commands around the work */
    /* intake.c */
    json_t *requests;      /* {request ulid: true} waiting to be answered, in order */
    json_t *busy_requests; /* {request ulid: true} being answered */
    struct cm_timer *intake_timer;
    int64_t term_ms; /* 0 = without a predecessor (term.h) */
    /* check_files.c */
    json_t *files;  /* {"server/target/file": ulid} or NULL */
    json_t *claims; /* {ulid: fields} accepted, on their way into the store */
    /* account.c, roots.c */
    struct eng_account *accounts;
    struct eng_ca *cas;
    struct kf_roots *roots; /* NULL = to be read */
    /* steps.c */
    int64_t last_step;
    struct eng_dns *dns;           /* dns.h */
    struct caa_memory *caa;        /* job_caa.c; NULL = nothing was looked up yet */
    struct eng_guard *guard;       /* guard.h; NULL when this server does no work */
    struct preflight *preflights;  /* under way */
    struct eng_archiver *archiver; /* archive.c; likewise */
    struct eng_ari *ari;           /* ari.c; likewise */
    struct eng_waits *waits;       /* activation_ask.c: responders being asked */
    struct eng_act *acts;          /* account_act.c: under way */
    struct eng_left *lefts;        /* left.c: under way */
    struct eng_former *former;     /* former.c; NULL when this server does no work */
    struct eng_import *imports;    /* account_move.c */
    struct eng_resume *resume;     /* account_resume.c; NULL when this server does no work */
    struct eng_holder *holders;    /* holder.c */
    struct eng_rejoin *rejoin;     /* rejoin.c; NULL when this server does no work */
    struct eng_over *over;         /* over.c; NULL when this server is held */
};

/* ---- engine.c, edit.c ---- */
void eng_unref(struct engine *engine);
/* fn(arg, id) for every changed document until eng_ear_off(). */
struct eng_ear *eng_ear_new(struct cs_store *store, cs_listener_fn fn, void *arg);
void eng_ear_off(struct eng_ear *ear);
/* "01J…" of "credential:01J…", or NULL when id is not of that type (type with its colon). */
const char *eng_id_name(const char *id, const char *type);

/* Changes body: sets and deletes its members, whose values are shared with other readers and stay
 * as they are (a new one has only _id and type; `serial` is the present one's).  0 = publish, 1 =
 * leave it as it is, negative = give up.  May be called again when another write came between. */
typedef int (*eng_edit_fn)(void *arg, json_t *body, struct cm_err *err);
/* Read, change, publish; repeated while others are faster.  doc NULL and err NULL = left as it
 * was.  done may be NULL; it is never called from inside. */
void eng_edit(struct engine *engine, const char *id, const char *type, eng_edit_fn fn,
              cs_published_fn done, void *arg);

/* ---- steps.c ---- */
/* As eng_step(), told by a server. */
void eng_step_from(struct engine *engine, const char *credential, const char *server, int level,
                   const char *text);
json_t *eng_steps(struct engine *engine, const char *credential); /* newest ENG_STEPS_SHOWN */
void eng_steps_trim(struct engine *engine, const char *credential);

/* ---- check*.c ---- */
struct eng_check {
    struct engine *engine;
    const char *credential; /* the one being checked (its own names do not clash), or NULL */
    const json_t *in;       /* fields as they came */
    json_t *defaults;       /* of missing ones */
    json_t *out;            /* normalised */
    json_t *errors, *notes;
    bool importing; /* the fields are those of a certificate that comes with its key */
};
void eng_check_for(struct engine *engine, const char *credential, const json_t *fields,
                   json_t **ret_fields, json_t **ret_errors, json_t **ret_notes);
/* The same for the fields of an import, which are made from the certificate (import.c). */
void eng_check_import(struct engine *engine, const char *credential, const json_t *fields,
                      json_t **ret_fields, json_t **ret_errors, json_t **ret_notes);
void eng_check_error(struct eng_check *check, const char *field, const char *value, const char *fmt,
                     ...) __attribute__((format(printf, 4, 5)));
void eng_check_names(struct eng_check *check);
void eng_check_servers(struct eng_check *check);
void eng_check_file(struct eng_check *check);
/* Splits "a b,c" typed by people; arrays are copied.  NULL = neither text nor array of texts. */
json_t *eng_split(const json_t *value);
/* Text member: given, or default; "" when neither. */
const char *eng_check_text(const struct eng_check *check, const char *field, bool *ret_given);
bool eng_file_name_ok(const char *name);  /* as the key agent will want it */
bool eng_short_name_ok(const char *name); /* account, target, server: 1-63 of a-z A-Z 0-9 . _ - */
/* Keeps the table of used keyring files up to date (check_files.c). */
void eng_files_note(struct engine *engine, const char *ulid);
/* Between acceptance and the durable credential, a request holds its file names by a claim. */
void eng_files_claim(struct engine *engine, const char *ulid, const json_t *fields);
void eng_files_unclaim(struct engine *engine, const char *ulid);
void eng_files_free(struct engine *engine);

/* ---- fields.c ---- */
/* The asked-for members of fields into body; optional ones that are not asked for go. */
void eng_fields_take(json_t *body, const json_t *fields);
bool eng_key_differs(const json_t *a, const json_t *b);   /* takes another key */
bool eng_order_differs(const json_t *a, const json_t *b); /* takes another certificate */
bool eng_place_differs(const json_t *a, const json_t *b); /* takes another keyring file */
/* What a person saw at version `base` (its serial) is not what counts now: fields, or a revocation
 * or archiving, were decided after it.  What the task writes by itself makes nobody's edit stale.
 */
bool eng_is_stale(const json_t *body, int64_t base);
/* Puts down in body, which replaces `before` (NULL = is new), that something of this was decided.
 */
void eng_note_decision(const json_t *before, json_t *body);
void eng_place_take(json_t *keyfile, const json_t *credential);

/* ---- service_request.c ---- */
/* A request: document that says who asks for what (owned, not yet published). */
json_t *eng_request_new(const struct engine *engine, const char *action, const char *credential,
                        int64_t base_serial, const struct eng_actor *actor);

/* ---- fallback.c ---- */
/* The account that the next attempt is made by: `account`, or one of `fallback_accounts`. */
const char *eng_turn_account(const json_t *credential);
/* The account that the present certificate was issued to: revocation and renewal information. */
const char *eng_issuer_account(const json_t *credential);
/* A run has failed: true = the next one is at another CA, which need not wait for this one. */
bool eng_turn_failed(json_t *credential, enum cm_retry class);

/* ---- staging.c: dry runs, and accounts at the staging of a CA ---- */
#define ENG_TRIAL_PREFIX "trial/" /* of keys in the table "order" */
#define ENG_TRIAL_KEY    (CM_ULID_TEXT + 8)
#define ENG_TRIAL_AFTER  2 /* failures in a row at the live CA: its staging is tried first */
#define ENG_ACCOUNT_TEXT 64
struct acme_preset;
void eng_trial_key(const char *ulid, char out[ENG_TRIAL_KEY]);
/* The account for dry runs of this one: named by it, or at the staging that the table of known CAs
 * has for it.  *ret_make: it has to be made (eng_staging_make()), else NULL.  CM_ECONFLICT: the CA
 * has no staging. */
int eng_staging_find(struct engine *engine, const char *account, char name[ENG_ACCOUNT_TEXT],
                     const struct acme_preset **ret_make, struct cm_err *err);
/* With the contacts of `account`; the agreement to its terms counts when the staging has the same
 * terms, else CM_EHUMAN. */
void eng_staging_make(struct engine *engine, const char *account, const struct acme_preset *make,
                      eng_done_fn done, void *arg);
/* After a failed attempt: is the next one made at the staging first? */
void eng_staging_first(struct engine *engine, json_t *credential, const struct cm_err *why);
/* Marks the credential for a dry run that somebody asked for, durable before it is published. */
int eng_trial_want(struct engine *engine, const char *ulid, json_t *credential, const char *who,
                   struct cm_err *err);
void eng_trial_forget(struct engine *engine, const char *ulid);

/* ---- account.c, roots.c ---- */
int eng_account_get(struct engine *engine, const char *name, struct eng_account **ret,
                    struct cm_err *err);
void eng_account_unref(struct eng_account *account);
/* One that is in no document (yet): body is copied; a reference. */
struct eng_account *eng_account_of(struct engine *engine, const char *name, const json_t *body);
/* As eng_account_put(), with a key {sealed_key, jwk, thumbprint, kid} that the CA knows. */
void eng_account_put_key(struct engine *engine, const json_t *fields, const json_t *key,
                         const struct eng_actor *actor, eng_done_fn done, void *arg);
/* The names of its CA in CAA records: of the directory when it was read, else known ones (owned,
 * may be empty; job_caa.c). */
json_t *eng_caa_identities(const struct eng_account *account);
/* As orders and other requests take it; its texts are the account's. */
struct acme_account eng_account_acme(const struct eng_account *account);
/* userActionRequired: no order is made by the account until its new terms are agreed to. */
void eng_account_new_terms(struct engine *engine, const char *name, const json_t *problem);
/* A run failed: what the CA says against the account itself (contacts, binding, terms, kind of key)
 * is kept in it, until it is saved or registered. */
void eng_account_refused(struct engine *engine, const struct eng_account *account,
                         const struct cm_err *why);
void eng_account_changed(struct engine *engine, const char *name);
void eng_accounts_free(struct engine *engine);
struct kf_roots *eng_roots(struct engine *engine); /* all root: documents */

/* ---- intake.c (manager) ---- */
void intake_start(struct engine *engine);
void intake_stop(struct engine *engine);
void intake_request(struct engine *engine, const char *ulid);

/* ---- over.c ---- */
/* Sweeps now and then daily, in slices. */
void eng_over_start(struct engine *engine);
void eng_over_stop(struct engine *engine);

/* ---- rejoin.c (manager) ---- */
void eng_rejoin_start(struct engine *engine);
void eng_rejoin_stop(struct engine *engine);
/* The trust root may be another one. */
void eng_rejoin_look(struct engine *engine);

/* ---- sched.c (manager) ---- */
void sched_start(struct engine *engine);
void sched_stop(struct engine *engine);
/* Something about this credential changed: look at it soon. */
void sched_touch(struct engine *engine, const char *ulid);
/* What was due and not begun is looked at again. */
void sched_again(struct engine *engine);
/* A CA's reply took ms: there may be room for more jobs. */
void sched_reply(struct engine *engine, int64_t ms);
/* A job waits for people: another may begin. */
void sched_room(struct engine *engine);
void sched_job_over(struct engine *engine, struct job *job);
struct job *sched_job(struct engine *engine, const char *ulid);
/* Ends the job of this credential where it is; what it saved stays. */
void sched_drop(struct engine *engine, const char *ulid);

/* ---- task_hooks.c ---- */
void eng_task_start(struct engine *engine);
void eng_task_stop(struct engine *engine);
/* A job wants to begin.  False: a command runs, or was just started; sched_room() follows. */
bool eng_task_begin(struct engine *engine);
bool eng_task_waits(const struct engine *engine); /* … such a command runs now */
/* Nothing is under way and nothing waits: what belongs after the work is run. */
void eng_task_rest(struct engine *engine);
json_t *eng_task_view(const struct engine *engine); /* of the last command (owned), or NULL */

/* ---- view.c ---- */
/* Seed of back-off jitter of an object. */
uint64_t eng_seed(const char *text);
