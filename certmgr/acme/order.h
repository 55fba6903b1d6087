/*
 * One ACME order from newOrder to the chain (RFC 8555 7.4), as a step machine over ports.
 *
 * 1 directory  2 account  3 newOrder  4 authorizations  5 challenges published (and self-checked)
 * 6 challenges answered  7 order polled until ready  8 finalize with the CSR  9 polled until valid
 * 10 chain downloaded.  The state is saved before every remote step; a job may be dropped at any
 * moment and started again from the saved state: it finishes the same order.
 *
 * No sockets here: everything outside is a port, so the whole flow runs in a unit test.
 */
#pragma once

#include "base/core/err.h"
#include <jansson.h>
#include <stdbool.h>

#define ACME_NAMES_MAX   30
#define ACME_TOKEN_MAX   255 /* base64url characters (reference/acme.md 3.1) */
#define ACME_NONCE_RETRY 128 /* of one request; with nine of ten refused, 1 in 800,000 ends so */
#define ACME_POLL_MAX_MS 10000

struct acme_http_req {
    const char *method; /* "GET", "HEAD", "POST" */
    const char *url;
    const char *body;   /* NULL, or the JWS text */
    const char *accept; /* or NULL */
};
struct acme_http_res {
    int status;
    const char *headers; /* raw block */
    const char *body;
    size_t body_len;
    const struct cm_err *err; /* code != 0: no reply */
};
typedef void (*acme_http_fn)(void *arg, const struct acme_http_res *res);
typedef void (*acme_json_fn)(void *arg, const json_t *value, const struct cm_err *err);
typedef void (*acme_done_fn)(void *arg, const struct cm_err *err); /* err NULL = fine */
typedef void (*acme_tick_fn)(void *arg);

/* Everything is asynchronous: done is called exactly once, never from inside the port, unless the
 * job was freed before. */
struct acme_ports {
    void *arg;
    void (*send)(void *arg, const struct acme_http_req *req, acme_http_fn done, void *done_arg);
    /* Signs a request of the account; the reply is the flattened JWS. kid NULL = embed the jwk. */
    void (*sign)(void *arg, const char *url, const char *nonce, const char *payload,
                 const char *kid, acme_json_fn done, void *done_arg);
    /* Makes the state durable before the next remote step. */
    void (*save)(void *arg, const json_t *state, acme_done_fn done, void *done_arg);
    /* The account was registered or found: kid = its URL. Made durable in the account document. */
    void (*save_account)(void *arg, const char *kid, acme_done_fn done, void *done_arg);
    /* Publishes key authorizations [{host,type,token,key_authorization,expires_at}], each by its
     * type (proof.h makes the TXT value and the digest from the key authorization), and returns
     * when they are live and self-checked (or when the self-check is switched off). */
    void (*publish)(void *arg, const json_t *tokens, acme_done_fn done, void *done_arg);
    /* The CSR as base64url DER (made with the key on first need). */
    void (*csr)(void *arg, acme_json_fn done, void *done_arg); /* value: {"csr": text} */
    void (*wait)(void *arg, int64_t ms, acme_tick_fn done, void *done_arg);
    /* Which challenge proves this name of the order: "http-01", "dns-01" or "tls-alpn-01" (text
     * that outlives the order).  Asked at once, more than once.  NULL = http-01 for all. */
    const char *(*challenge_type)(void *arg, const char *name);
    /* Is this downloaded chain (strict PEM) the one that is wished for?  When not, the CA's
     * alternate ones are tried: index 0 = the default one, 1 = the first alternate, in the CA's
     * order.  NULL = the default chain is fine. */
    bool (*wanted)(void *arg, const char *chain_pem, size_t index);
    /* May this token be published beside those chosen already ([token…], not yet published)?  Those
     * that may not come in a later round, when the names of this one are proved.  NULL = all at
     * once.  The first one asked about always may. */
    bool (*at_once)(void *arg, const json_t *chosen, const json_t *token);
    /* May an order of these names be made now, by the account with this URL (NULL = it is not
     * registered yet)?  Asked before every newOrder when the directory is read, never about an
     * order that exists; err ends the run before the CA hears of the names.  NULL = always. */
    void (*may_order)(void *arg, const char *kid, acme_done_fn done, void *done_arg);
    /* One line of the step log shown to people. */
    void (*log)(void *arg, int level, const char *text);
};

struct acme_account {
    const char *directory;   /* URL */
    const char *kid;         /* account URL, or NULL = register first */
    const char *thumbprint;  /* of the account key (RFC 7638) */
    const json_t *contacts;  /* ["mailto:…"] or NULL */
    bool terms_agreed;       /* a person agreed to the terms at `directory` */
    const json_t *eab;       /* JWS for externalAccountBinding (RFC 8555 7.3.4), or NULL */
    const json_t *eab_other; /* sent once when the CA does not take that one, or NULL */
};

/* Shared per CA account: directory cache, nonce pool, Retry-After floor.  Outlives its orders. */
struct acme_ca;
struct acme_ca *acme_ca_new(const char *directory);
void acme_ca_free(struct acme_ca *ca);

/* Does an order of this process work with this authorization?  (A CA may give one to two orders.)
 */
bool acme_authz_in_use(const char *url);

struct acme_order;
/* chain: {"chain": PEM, "alternates": [URL…]}, NULL with err.  err carries CA problem, retry class
 * and next_attempt_ms floor.  The saved state is up to date when this is called. */
typedef void (*acme_order_fn)(void *arg, const json_t *chain, const struct cm_err *err);

/* names_ascii: 1..30.  state: what save() got last, or NULL for a new order.  lab_http: plain http
 * URLs are accepted (loopback only).  Never calls back from inside. */
struct acme_order *acme_order_new(struct acme_ca *ca, const struct acme_account *account,
                                  const json_t *names_ascii, const json_t *state, bool lab_http,
                                  const struct acme_ports *ports, acme_order_fn done, void *arg,
                                  struct cm_err *err);
/* What an order may ask for besides names; copied.  Called right after acme_order_new(). */
struct acme_order_wish {
    const char
        *profile; /* of the CA's directory, or NULL; one that it does not list is never sent */
    bool profile_required; /* not listed: the run fails before it orders; else it is left out */
    const char *replaces;  /* certID (RFC 9773 4.1) of the certificate being renewed, or NULL; sent
                            * only to a CA with renewalInfo, and left out when the CA refuses it */
};
void acme_order_wish(struct acme_order *order, const struct acme_order_wish *wish);
/* Drops the job; pending port callbacks are ignored; done is not called. */
void acme_order_free(struct acme_order *order);
/* "newOrder", "answer challenges", … for people. */
const char *acme_order_step(const struct acme_order *order);
