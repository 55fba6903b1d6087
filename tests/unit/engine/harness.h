/*
 * One server of a fleet in a test: loop, store with schema, trust root of three servers, a key
 * agent in memory and a small CA on loopback that issues real certificates.
 *
 * Signatures of documents are not made (the store's verify port takes everything); everything else
 * runs as in the front.
 */
#pragma once

#include "tests/unit/keyfile/support.h"

#include "base/net/http_server.h"
#include "certmgr/engine/internal.h"

#define H_SECONDS   20 /* no single wait of a test is longer */
#define H_QUIET     20 /* turns without news: nothing is under way */
#define H_TURNS_MAX 20000

/* A small CA (RFC 8555) with real chains; JWS are decoded, not verified. */
#define H_TWICE "dHdpY2U"

struct h_ca {
    struct cm_loop *loop;
    struct http_listener *listener;
    struct test_ca keys;
    char base[64];
    json_t *orders; /* [{names, status, valid: bool, csr}] */
    unsigned accounts, new_orders, finalized, downloads, answered;
    /* knobs */
    bool fail_validation;
    bool fail_one;     /* … of the name answered first alone; the others stay pending */
    unsigned given_up; /* authorizations deactivated */
    const char *refuse_giving_up; /* with this problem */
    unsigned refuse_orders;       /* newOrder is refused so often */
    const char *refuse_type;      /* with this problem */
    const char *retry_after;
    bool wrong_key;     /* leaf for another key */
    bool hold_finalize; /* finalize never answers */
    bool forgets;       /* an order is dropped when its chain has been read */
    long life_s;
    long shift_s;               /* leaves are made so much later than it is */
    const char *ocsp;           /* URL of the responder that leaves name, or NULL */
    const char *account_status; /* of accounts; NULL = valid */
    const char *caa;            /* its name in CAA records, in its directory; NULL = none there */
    bool eab_required;          /* by accounts; an HMAC key H_TWICE can be read in two ways */
    const char *terms;          /* URL of its terms of service; NULL = the usual ones */
    json_t *eab;                /* the binding of the last registration (owned), or NULL */
    unsigned revocations;       /* asked for */
    const char *refuse_account; /* revocation by account: this problem */
    const char *refuse_revoke;  /* any revocation: this problem */
    bool revoked_by_key;        /* the last one had a jwk */
    json_t *revoked;            /* its payload (owned), or NULL */
    json_t *ari;                /* renewalInfo is offered and answers this (owned), or NULL */
    int ari_status;             /* … with this status; 0 = 200 */
    unsigned ari_asks;          /* how often */
    char ari_id[256];           /* asked last */
    json_t *replaces;           /* of the last newOrder (owned), or NULL */
    struct http_exchange *held;
    const char *hold_path;        /* what is asked there waits for h_ca_go_on() */
    void (*on_answer)(void *arg); /* a challenge is to be checked now */
    void *on_answer_arg;
};
void h_ca_start(struct h_ca *ca, struct cm_loop *loop);
void h_ca_stop(struct h_ca *ca);
/* Answers what is held, as the other knobs stand now. */
void h_ca_go_on(struct h_ca *ca);

struct h {
    char *dir;
    struct cm_loop *loop;
    struct cs_store *store;
    struct http_client *http;
    struct kf_identity identity[3]; /* alpha (manager), bravo, charlie */
    struct kf_trust *trust;
    struct eng_env env;
    struct engine *engine;
    bool commits_held; /* what is written is not durable yet */
    bool on_hold;      /* the next h_restart() is one after a restore */
    struct h_ca ca;
    /* agent */
    json_t *ops;         /* every request, in order */
    unsigned away;       /* so many calls are answered "busy" */
    const char *away_op; /* only calls of this verb; NULL = all */
    const char *fail_op; /* this verb fails */
    int fail_code;
    json_t *import_reply;       /* of key.import (owned), or NULL */
    bool stage_unchanged;       /* deploy.stage: nothing to do */
    unsigned sign_away;         /* document signatures that fail with "busy" … */
    int sign_code;              /* … or with this code … */
    unsigned sign_skip;         /* … after so many that are made */
    unsigned spoil_credentials; /* documents that then hold a member which no schema knows */
    /* last callback */
    bool called;
    struct cm_err err;
    char credential[CM_ULID_TEXT];
    json_t *errors, *notes;
};

/* setup/teardown for cmocka; *state = struct h *.  A manager named "alpha". */
int h_setup(void **state);
int h_teardown(void **state);
/* Drops engine and store (as a kill between two commits does) and opens them again. */
void h_restart(struct h *h);

/* Runs the loop until what() is true; fails the test after H_SECONDS. */
void h_until(struct h *h, bool (*what)(struct h *h), const char *name);
/* Until the CA has given so many certificates, and all orders are through. */
void h_until_downloads(struct h *h, unsigned downloads);
void h_turns(struct h *h, int ms); /* runs for a while */
unsigned h_op_count(const struct h *h, const char *op);

/* Account "ca" at the small CA, agreed, without self-check. */
void h_account(struct h *h);
json_t *h_fields(const char *names); /* names, servers alpha bravo, account ca */
/* Submits and waits for the answer; returns the code of the error (0 = fine). */
int h_submit(struct h *h, json_t *take_fields);
json_t *h_body(struct h *h, const char *type, const char *name); /* document, owned; may be NULL */
/* Waits until credential h->credential has this status; returns its body (owned). */
json_t *h_status(struct h *h, const char *status);
/* A whole issuance; returns the credential's body (owned). */
json_t *h_issue(struct h *h, const char *names);
/* Publishes any document as it stands and waits. */
void h_put(struct h *h, json_t *take_doc);
/* eng_done_fn and friends: remember the outcome; h_done() waits for it and returns its code. */
void h_on_done(void *arg, const struct cm_err *err);
int h_done(struct h *h);
const char *h_line(const struct h *h); /* the error as one line (static) */

#define H_TEST(fn) cmocka_unit_test_setup_teardown(fn, h_setup, h_teardown)
