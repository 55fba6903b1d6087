/*
 * A CA in the test's own process: the ports of an order job, a model of RFC 8555 behind them, and a
 * clock that jumps to the next event.
 *
 * Every port call becomes an event; fake_run() handles events in the order of their time.
 * Signatures are not verified, but the shape of each signed request is (protected fields, nonce
 * used once, url, kid or jwk, POST-as-GET): a mistake is noted in `violation` and fails the test.
 */
#pragma once

#include "base/core/buf.h"
#include "base/core/json.h"
#include "certmgr/acme/order.h"

#define FAKE_BASE       "https://ca.test"
#define FAKE_DIR        FAKE_BASE "/dir"
#define FAKE_KID        FAKE_BASE "/acct/1"
#define FAKE_THUMB      "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
#define FAKE_START_MS   INT64_C(1794794400000) /* 2026-11-16T02:00:00Z */
#define FAKE_ORDERS_MAX 64
#define FAKE_AUTHZ_MAX  256

enum fake_kind {
    FAKE_DIRECTORY,
    FAKE_NEW_NONCE,
    FAKE_NEW_ACCOUNT,
    FAKE_ACCOUNT,
    FAKE_ORDERS,
    FAKE_NEW_ORDER,
    FAKE_ORDER,
    FAKE_AUTHZ,
    FAKE_CHALLENGE,
    FAKE_FINALIZE,
    FAKE_CERT,
    FAKE_OTHER, /* below /op/: only a hook answers */
    FAKE_UNKNOWN,
    FAKE_KINDS
};

struct fake_req {
    enum fake_kind kind;
    int id; /* of order, authorization */
    const char *method, *url;
    const char *payload; /* of a signed request, else NULL */
    const char *accept;
};

struct fake_reply {
    int status;
    struct cm_buf headers; /* lines ending in CRLF */
    struct cm_buf body;
    int error; /* CM_E* = no reply at all */
};

struct fake_authz {
    char name[256];
    bool wildcard;
    const char *status;
    const char *challenge;
};

struct fake_order {
    bool used;
    json_t *names;
    const char *status;
    int authz[40];
    int authz_count;
    int polls;
    int64_t expires;
};

struct fake;
/* Returns true when it has filled the reply; the model is not asked. */
typedef bool (*fake_before_fn)(struct fake *f, const struct fake_req *req, struct fake_reply *r);
/* May change what the model has answered. */
typedef void (*fake_after_fn)(struct fake *f, const struct fake_req *req, struct fake_reply *r);

struct fake {
    /* knobs */
    bool has_terms, terms_refused, no_orders_list, wildcard_only_dns, finalize_at_once, no_expires;
    unsigned bad_nonces;  /* so many signed requests are refused with badNonce */
    bool reuse;           /* authorizations of names proved before are valid at once */
    int polls_pending;    /* polls that still show pending after all answers */
    int polls_processing; /* polls that still show processing after finalize */
    int not_ready;        /* finalize is refused so often with orderNotReady */
    bool offer_all;       /* dns-01 and tls-alpn-01 can be answered as well */
    const char *(*choose)(void *arg, const char *name); /* port challenge_type */
    const struct acme_order_wish *wish;                 /* of the next order */
    const char *directory_more;                         /* further members, JSON object */
    const char *fail_name;                              /* validation of this name fails */
    const char *token;                                  /* instead of a good one */
    const char *cert_links;                             /* Link lines of the certificate */
    const char *cert_body;
    size_t shown;       /* number of the chain that the port saw last, in the CA's order */
    bool looks_first;   /* port may_order is there */
    const char *wanted; /* the chain that is wished for has this text; NULL = any */
    bool eab_required;
    json_t *eab;             /* borrowed: the account's binding */
    json_t *eab_other;       /* borrowed: its other one, or NULL */
    const char *eab_refusal; /* what the CA says to the first one, or NULL = it takes that */
    bool eab_never;          /* it takes neither */
    int64_t order_life_ms;
    int per_page;
    fake_before_fn before;
    fake_after_fn after;
    void *user;

    /* the model */
    bool account;
    int account_number; /* of the present account: 1, 2, … */
    struct fake_order order[FAKE_ORDERS_MAX];
    int order_count;
    struct fake_authz authz[FAKE_AUTHZ_MAX];
    int authz_count;
    json_t *valid_names;
    unsigned nonce_next;
    json_t *nonces; /* issued, not used */

    /* counters */
    unsigned count[FAKE_KINDS], requests, signs, saves, publishes, csrs, account_saves, calls;
    unsigned orders_made, finalized, accounts_made, answers;
    char violation[512];

    /* ports */
    json_t *saved; /* what a restart would read */
    char *saved_kid;
    json_t *published;
    struct cm_buf log;
    unsigned looks, looks_nameless; /* may_order was asked; … without an account URL */
    int fail_save, fail_publish, fail_csr, fail_sign, fail_look; /* CM_E*: the next one fails */
    const char *csr_text;
    struct fake_event *queue;
    unsigned long event_seq;
    int64_t wall_ms, mono_ms;
    /* the nth port call from now does its work, or not, and its reply never comes; 0 = off */
    unsigned crash_at;
    bool crash_before_effect, crashed;

    /* the job */
    struct acme_ca *ca;
    struct acme_order *job;
    bool done;
    json_t *chain;
    struct cm_err err;
};

void fake_init(struct fake *f);
void fake_fini(struct fake *f); /* fails the test on a violation */
/* Builds a job for "www1.example.com" … of that count; resumes from f->saved when there is one. */
void fake_start(struct fake *f, int names);
void fake_start_names(struct fake *f, const json_t *names);
struct acme_ports fake_port_table(struct fake *f);
struct acme_order *fake_job(struct fake *f, const json_t *names, acme_order_fn done, void *arg);
/* Drops the job and every event; a new CA object too, as after a restart of the process. */
void fake_restart(struct fake *f);
/* Handles events until the job is done, nothing is left, or a crash point is reached. */
void fake_run(struct fake *f);
/* One event; false when there is none. */
bool fake_turn(struct fake *f);
/* start + run + the job must have delivered a chain. */
void fake_issue(struct fake *f, int names);
json_t *fake_names(int count);

void fake_problem(struct fake_reply *r, int status, const char *type, const char *detail);
void fake_header(struct fake_reply *r, const char *line);
void fake_body(struct fake_reply *r, const char *text);
void fake_new_nonce(struct fake *f, struct fake_reply *r);
/* fake_ca.c, for fake_ports.c */
void fake_ca_handle(struct fake *f, const struct acme_http_req *req, struct fake_reply *r);
void fake_violation(struct fake *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
