/*
 * Inside of one order job: what the step files (account, lookup, validate, issue) share.
 *
 * A job waits for at most one port call at a time.  What the port carries for us is not a pointer
 * but a ticket, a number used once: a reply that comes after acme_order_free(), twice or never does
 * no harm.
 *
 * The saved state (a JSON object, see order.c) is the only memory that matters; the rest of this
 * struct can be rebuilt from it and from the CA.
 */
#pragma once

#include "base/core/json.h"
#include "certmgr/acme/ca.h"
#include "certmgr/acme/order.h"
#include "certmgr/acme/problem.h"
#include "certmgr/acme/resource.h"

#define ACME_REQUESTS_MAX   1500 /* requests of one run; then it ends and the next run goes on */
#define ACME_REPLY_MAX      (1u << 20)
#define ACME_QUICK_TRIES    5    /* of one request in a run, when the CA or the network is shaky */
#define ACME_WAIT_SHORT_MS  5000 /* a Retry-After of up to this is waited for inside the run */
#define ACME_FINALIZE_MAX   10   /* finalize requests of one run */
#define ACME_ALTERNATES_MAX 8    /* chains looked at besides the default one */
#define ACME_WAIT_OTHER_MS  20   /* look again whether another order has read the directory */

enum acme_step {
    STEP_START,
    STEP_DIRECTORY,
    STEP_ACCOUNT_NEW,
    STEP_ACCOUNT_FIND,
    STEP_ACCOUNT_SAVE,
    STEP_CHOOSE,
    STEP_READ_ORDER,
    STEP_LOOKUP_ACCOUNT,
    STEP_LOOKUP_LIST,
    STEP_LOOKUP_ORDER,
    STEP_ALLOW,
    STEP_NEW_ORDER,
    STEP_AUTHZ,
    STEP_PUBLISH,
    STEP_ANSWER,
    STEP_POLL_READY,
    STEP_DIAGNOSE,
    STEP_CSR,
    STEP_FINALIZE,
    STEP_POLL_VALID,
    STEP_DOWNLOAD,
    STEP_OP,
    STEP_COUNT
};

struct acme_step_row {
    const char *id;                      /* in the saved state */
    const char *name;                    /* for people */
    void (*enter)(struct acme_order *o); /* makes one port call, or goes to another step */
    void (*react)(struct acme_order *o); /* its result is in o->reply or o->err */
};
extern const struct acme_step_row acme_steps[STEP_COUNT];

struct acme_reply {
    int status;    /* 0 = none came: err says why */
    char *headers; /* never NULL once there is a reply */
    char *body;
    size_t body_len;
    json_t *json; /* the body, when it is a JSON object */
    struct cm_err err;
    bool unknown; /* a request that must not be sent twice may or may not have been done */
};

enum acme_phase { PHASE_IDLE, PHASE_NONCE, PHASE_SIGN, PHASE_SEND, PHASE_PAUSE };

/* The request under way (request.c). */
struct acme_request {
    enum acme_phase phase;
    char *url;
    char *payload;      /* NULL = plain GET */
    const char *accept; /* static text or NULL */
    bool embed_jwk;     /* sign with jwk instead of kid */
    bool once;          /* never sent again after an unclear end */
    char nonce[ACME_NONCE_TEXT];
    unsigned tries, nonce_tries;
};

struct acme_order {
    struct acme_order *next_live;
    uintptr_t ticket; /* of the port call under way; 0 = none */
    struct acme_ca *ca;
    struct acme_ports ports;
    acme_order_fn done;
    void *done_arg;

    char *thumbprint;
    char *kid; /* account URL, or NULL */
    json_t *contacts;
    json_t *eab, *eab_other; /* or NULL */
    json_t *names;
    bool terms_agreed, lab_http;
    char *profile, *replaces; /* wishes, or NULL */
    bool profile_required;
    struct acme_op_request *op; /* a job that is no order (op.c), else NULL */

    json_t *state; /* what save() gets */
    bool dirty;    /* state differs from what was saved */
    enum acme_step step;
    bool have_result, failing, finished;
    int64_t pause_ms; /* before the next step is entered */
    struct cm_err err;
    json_t *value; /* result of csr(); later the result of the job while alternates are looked at */
    json_t *chain; /* result of the job */

    struct acme_request request;
    struct acme_reply reply;
    unsigned request_count;
    int64_t sent_ms, took_ms; /* of the last request, monotonic; how long its reply took */

    char *stale_url; /* the directory is being read again because this URL failed */
    bool directory_reread, account_repaired, authz_reread; /* repairs, each once a run */
    bool kid_changed;  /* the saved order was made under another account URL */
    bool no_replace;   /* this run works on its order: a failure of it is a failure of the run */
    bool order_dead;   /* diagnose: the order has failed, not only an authorization maybe */
    unsigned unknowns; /* unclear ends of requests in this run */
    unsigned polls, finalizes;
    size_t index;        /* authorization, challenge or alternate chain being worked on */
    json_t *tokens;      /* being gathered */
    json_t *urls;        /* of the challenges of tokens, in the same order */
    json_t *to_answer;   /* challenge URLs */
    size_t put_off;      /* names that are proved in a later round */
    json_t *order_error; /* problem of the failed order, or NULL */
    json_t *open;        /* authorizations seen to be pending by what looks at a failed order */
    json_t *lookup;      /* order URLs of the account */
    char *lookup_url;
    unsigned lookup_pages, lookup_reads;
};

/* ---- job.c: the drive loop and port calls ---- */
void acme_go(struct acme_order *o, enum acme_step step);
/* A job without names and state, whose first step runs from the loop.  NULL with err. */
struct acme_order *acme_job_new(struct acme_ca *ca, const struct acme_account *account,
                                bool lab_http, const struct acme_ports *ports, acme_order_fn done,
                                void *arg, struct cm_err *err);
/* Ends the run with o->err (which must be set): fills object and retry class. */
void acme_give_up(struct acme_order *o);
/* Ends the run with the chain. */
void acme_finish(struct acme_order *o, json_t *take_chain);
void acme_job_link(struct acme_order *o);
void acme_job_unlink(struct acme_order *o);
void acme_log(struct acme_order *o, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Is there another live job that works on this order? */
bool acme_order_in_use(const struct acme_order *o, const char *order_url);
/* Waits ms, then enters the current step again (request.c: tries the request again). */
void acme_call_wait(struct acme_order *o, int64_t ms);
void acme_call_send(struct acme_order *o, const char *method, const char *url, const char *body,
                    const char *accept);
void acme_call_sign(struct acme_order *o);
void acme_call_save_account(struct acme_order *o);
void acme_call_publish(struct acme_order *o);
void acme_call_csr(struct acme_order *o);
void acme_call_may_order(struct acme_order *o);

/* ---- request.c ---- */
/* payload: NULL = plain GET of the directory, "" = POST-as-GET, else JSON text. */
void acme_request(struct acme_order *o, const char *url, const char *payload);
void acme_request_once(struct acme_order *o, const char *url, const char *payload);
void acme_request_jwk(struct acme_order *o, const char *url, const char *payload);
void acme_request_accept(struct acme_order *o, const char *url, const char *accept);
void acme_request_reply(struct acme_order *o, const struct acme_http_res *res);
void acme_request_signed(struct acme_order *o, const json_t *jws, const struct cm_err *err);
void acme_request_tick(struct acme_order *o);
void acme_request_fini(struct acme_request *request);
void acme_reply_fini(struct acme_reply *reply);
/* True: the CA did it.  False: the job was sent to a repairing step or ends; what: "the new order".
 */
bool acme_reply_ok(struct acme_order *o, enum acme_about about, const char *what);
/* As above, and the body is a JSON object. */
bool acme_reply_object(struct acme_order *o, enum acme_about about, const char *what);
/* The CA looked at the request and says no: 4xx, but not for the time (408), a limit, the nonce or
 * an account that it does not know.  Only that tells something about what was asked for. */
bool acme_reply_refused(const struct acme_reply *reply);
int64_t acme_quick_pause(unsigned tries);

/* ---- order.c: the saved state ---- */
const char *acme_state_str(const struct acme_order *o, const char *key);
void acme_state_set(struct acme_order *o, const char *key, json_t *take); /* marks it dirty */
/* Forgets the order: it is proven dead, or not ours. */
void acme_state_drop_order(struct acme_order *o);

/* ---- steps ---- */
void acme_start_enter(struct acme_order *o); /* account.c */
void acme_directory_enter(struct acme_order *o);
void acme_directory_react(struct acme_order *o);
void acme_account_new_enter(struct acme_order *o);
void acme_account_new_react(struct acme_order *o);
void acme_account_find_enter(struct acme_order *o);
void acme_account_find_react(struct acme_order *o);
void acme_account_save_enter(struct acme_order *o);
void acme_account_save_react(struct acme_order *o);
void acme_lookup_account_enter(struct acme_order *o); /* lookup.c */
void acme_lookup_account_react(struct acme_order *o);
void acme_lookup_list_enter(struct acme_order *o);
void acme_lookup_list_react(struct acme_order *o);
void acme_lookup_order_enter(struct acme_order *o);
void acme_lookup_order_react(struct acme_order *o);
void acme_lookup_start(struct acme_order *o);
void acme_choose_enter(struct acme_order *o); /* flow.c */
void acme_read_order_enter(struct acme_order *o);
void acme_read_order_react(struct acme_order *o);
void acme_new_order_begin(struct acme_order *o);
void acme_allow_enter(struct acme_order *o);
void acme_allow_react(struct acme_order *o);
void acme_new_order_enter(struct acme_order *o);
void acme_new_order_react(struct acme_order *o);
void acme_authz_enter(struct acme_order *o); /* validate.c */
void acme_authz_react(struct acme_order *o);
void acme_publish_enter(struct acme_order *o);
void acme_publish_react(struct acme_order *o);
void acme_answer_enter(struct acme_order *o);
void acme_answer_react(struct acme_order *o);
void acme_diagnose_enter(struct acme_order *o);
void acme_diagnose_react(struct acme_order *o);
void acme_poll_enter(struct acme_order *o); /* poll.c */
void acme_poll_react(struct acme_order *o);
void acme_csr_enter(struct acme_order *o); /* finalize.c */
void acme_csr_react(struct acme_order *o);
void acme_finalize_enter(struct acme_order *o);
void acme_finalize_react(struct acme_order *o);
void acme_download_enter(struct acme_order *o);
void acme_download_react(struct acme_order *o);
void acme_op_begin(struct acme_order *o); /* op.c: directory and account are known */
void acme_op_enter(struct acme_order *o);
void acme_op_react(struct acme_order *o);
/* Takes an order object just read (in o->reply) and goes where its status leads (poll.c). */
void acme_order_act(struct acme_order *o, const struct acme_order_object *object);
/* Begins to poll: soon when polls is 0, later the higher it is; Retry-After of the last reply
 * counts. */
void acme_poll_start(struct acme_order *o, enum acme_step step, unsigned polls);
/* What is left of a Retry-After of the saved order that an earlier life was told; 0 = nothing. */
int64_t acme_poll_left(const struct acme_order *o);
