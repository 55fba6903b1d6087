/*
 * The CertMgr task on the manager and its use-cases: submit, process, retry.
 *
 * Flows are data: plan() says what a document needs next and when; drive runs one idempotent step
 * machine per credential whose state is saved after every step.  UI, API, CLI and replicated
 * requests all go through the functions here.
 */
#pragma once

#include "base/net/dns.h"
#include "base/net/http_client.h"
#include "base/net/loop.h"
#include "certmgr/dns/provider.h"
#include "certstore/store.h"
#include "keyfile/port.h"
#include "keyfile/trust.h"

#define ENG_NAMES_MAX        30
#define ENG_RENEW_DAYS_MAX   365
#define ENG_ACTIVATION_MAX_S 86400 /* longest wait until a new certificate is served */
#define ENG_JOBS_NEAR        48    /* orders open at a time; more, the farther away the CA is … */
#define ENG_JOBS_MAX         128   /* … up to so many (pace.h) */
#define ENG_STEPS_SHOWN      500   /* newest step-log lines kept per credential */

typedef void (*eng_hook_fn)(void *arg, const char *output, const struct cm_err *err);

/* Everything the engine needs from its surroundings; pointers outlive the engine. */
struct eng_env {
    struct cm_loop *loop;
    struct cs_store *store;
    struct http_client *http;
    struct dns_client *dns;
    struct kf_agent agent;
    const char *self;                           /* this server's name */
    bool manager;                               /* process requests here */
    bool held;                                  /* … but not now: restored from a backup */
    bool lab_http;                              /* accept http:// ACME URLs on loopback (tests) */
    const struct kf_trust *(*trust)(void *arg); /* current trust root, never NULL */
    void *trust_arg;
    /* Programs of [dns_exec NAME] (struct dnsp_env); NULL = none. */
    void (*dns_exec)(void *arg, const char *name, const char *const *argv, size_t argc,
                     const json_t *env, dnsp_exec_fn done, void *done_arg);
    void *dns_exec_arg;
    int orders_max; /* orders under way at a time, 1 to ENG_JOBS_MAX; 0 = that */
    /* Commands of [orders] around the task's work (task_hooks.c): which there are, and how one is
     * run (step "before" or "after"; done once, never from inside). */
    bool has_before, has_after;
    void (*task_hook)(void *arg, const char *step, eng_hook_fn done, void *done_arg);
    void *task_hook_arg;
};

struct engine;
struct engine *eng_new(const struct eng_env *env);
void eng_free(struct engine *engine);

/* Who asks: written into the request. */
struct eng_actor {
    const char *who; /* user name, or "root" over the Unix socket */
    const char *via; /* "form", "api", "cli" */
};

/* Checks the form's fields without writing.  fields: {host_names: [typed…] or one text separated by
 * blanks, commas or lines, provider, account, key_type, servers: [..], keyring_file, target,
 * renew_days, key_rollover, alternate_chain (CN or "sha256:HEX" of the root that the chain is to
 * lead to, or "#1"; optional), challenge ("http-01" or "tls-alpn-01"; optional, else the
 * account's), profile (of the CA; optional), profile_required (bool; optional), paused (optional),
 * add_base (bool: the base of wildcards and names without or with www, too; optional)};
 * missing ones take the defaults of settings:global. *ret_fields (owned): normalised, with
 * host_names_ascii; *ret_errors (owned): [{"field","value"?,"message"}], empty when fine;
 * *ret_notes (owned): [text] such as "duplicate folded: www.example.com".  Never fails. */
void eng_check(struct engine *engine, const json_t *fields, json_t **ret_fields,
               json_t **ret_errors, json_t **ret_notes);

/* What people should read before they submit these fields (for a new credential, or a change of
 * one): rows as of eng_preflight(), from advice.h; NULL when the fields have errors (owned). */
json_t *eng_advise(struct engine *engine, const char *credential, const json_t *fields);
/* Of those, what a credential's own fields contradict each other in (owned, maybe empty). */
json_t *eng_contradictions(struct engine *engine, const char *ulid, const json_t *credential);

/* Submit Request: eng_check(), then a signed request: document.  credential = new ULID.  On field
 * errors done gets them and err (CM_EINVAL). */
typedef void (*eng_submit_fn)(void *arg, const char *credential, const json_t *field_errors,
                              const json_t *notes, const struct cm_err *err);
void eng_submit(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                eng_submit_fn done, void *arg);

/* Changes an existing credential: fields as above; members that are
 * not given stay as they are, "" takes an optional one away.  base_serial: the version that was
 * looked at; when another change came between, the request is refused as an edit conflict (0 = the
 * present version).  Names, key type and servers take a new key and certificate, account and chain
 * a new certificate; the rest changes at once.  done as for eng_submit(). */
void eng_change(struct engine *engine, const char *credential, const json_t *fields,
                int64_t base_serial, const struct eng_actor *actor, eng_submit_fn done, void *arg);

/* A certificate that a person brings for a credential of provider "manual": PEM or PKCS #7 with
 * anything around it, any order.  Checked here and by the manager.  done as for eng_submit(), the
 * notes say what was done to the text. */
void eng_certificate_put(struct engine *engine, const char *credential, const char *text,
                         size_t len, const struct eng_actor *actor, eng_submit_fn done, void *arg);

/* A certificate with its private key (manager): sealed is what certmgr import handed over for the
 * agent (keyfile/handover.h).  credential: an imported one that gets another certificate, or NULL;
 * fields: of eng_check(), of which names, provider and key type come from the file.  done as for
 * eng_submit(); errors of the file itself are those of the field "file". */
void eng_import(struct engine *engine, const char *credential, const json_t *fields,
                const char *sealed, const struct eng_actor *actor, eng_submit_fn done, void *arg);

typedef void (*eng_done_fn)(void *arg, const struct cm_err *err);
/* Retry now: a request: document with action "retry" for an existing credential. */
void eng_retry(struct engine *engine, const char *credential, const struct eng_actor *actor,
               eng_done_fn done, void *arg);
/* Renew now, whatever the date: a request: document with action "renew", or "roll_over" for a new
 * key.  The present certificate serves until the new one is proven. */
void eng_renew(struct engine *engine, const char *credential, bool new_key,
               const struct eng_actor *actor, eng_done_fn done, void *arg);
/* The same with a new key; then, as soon as the new certificate serves everywhere, the CA is asked
 * to revoke those that it replaces and all that are archived of the credential, ended ones too.
 * reason: 4 superseded, 1 key compromise (CM_EINVAL: another, or one that the CA does not take). */
void eng_roll_over(struct engine *engine, const char *credential, int reason,
                   const struct eng_actor *actor, eng_done_fn done, void *arg);
/* Runs the whole order at the staging of the credential's CA; nothing of it is kept but the outcome
 * (`trial`).  CM_ECONFLICT: the CA has no staging.  eng_submit() with the field dry_run (bool) does
 * so with fields that are new: the credential stays a draft until eng_retry() submits it. */
void eng_dry_run(struct engine *engine, const char *credential, const struct eng_actor *actor,
                 eng_done_fn done, void *arg);
/* Asks the CA to revoke the present certificate (status revoke_pending, then revoked). */
struct eng_revocation {
    int reason;        /* RFC 5280 5.3.1; what the CA accepts (acme/presets.h) */
    bool key;          /* signed by the certificate's key, not by the account's */
    const char *after; /* "keep", "archive" or "delete": what becomes of the credential */
};
void eng_revoke(struct engine *engine, const char *credential, const struct eng_revocation *wish,
                const struct eng_actor *actor, eng_done_fn done, void *arg);
/* Nothing is done for the credential any more.  remove: it goes, too; else it is shown until 30
 * days after its certificate's end.  Servers keep the files that they have. */
void eng_put_away(struct engine *engine, const char *credential, bool remove,
                  const struct eng_actor *actor, eng_done_fn done, void *arg);
/* ACME account document (manager): fields {name, directory, contacts: [mail…], terms_agreed: bool,
 * ca_pem, self_check, http_port, tls_port, challenge ("http-01" or "tls-alpn-01"), activation and
 * activation_s (activation.h), eab_kid, eab_hmac and eab_alg (as of struct eng_binding),
 * staging (account for dry runs at a CA whose staging is not in the table of known CAs; optional)};
 * the key is made by the agent; registration happens at first use. An existing account of that name
 * keeps its key when the directory is the same. */
void eng_account_put(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                     eng_done_fn done, void *arg);
/* An account that another program has registered: fields as for eng_account_put() (no eab), key:
 * PEM, encrypted or not, or a private JWK; passphrase: of an encrypted PEM, or NULL.  Stored only
 * when the CA says by that key that it knows the account.  CM_ECONFLICT: the name is taken. */
void eng_account_import(struct engine *engine, const json_t *fields, const char *key,
                        const char *passphrase, const struct eng_actor *actor, eng_done_fn done,
                        void *arg);
typedef void (*eng_json_fn)(void *arg, const json_t *value, const struct cm_err *err);
/* {format, version, name, directory, contacts, kid, eab_kid, terms_agreed, ca_pem, jwk, thumbprint,
 * exported_at} with key_pem (encrypted by the passphrase: 12 characters at least), or without a
 * passphrase with sealed_key (CMS, base64), which the recovery key opens. */
void eng_account_export(struct engine *engine, const char *name, const char *passphrase,
                        const struct eng_actor *actor, eng_json_fn done, void *arg);
/* {pkcs12 (base64)} of a credential's key, under the password in sealed (as for eng_import()); on
 * any server that can open it.  CM_EDENIED: not exportable, or not a recipient. */
void eng_export(struct engine *engine, const char *credential, const char *sealed,
                const struct eng_actor *actor, eng_json_fn done, void *arg);
/* What can be done with an account at its CA (manager). */
enum eng_account_act {
    ACCOUNT_UPDATE,     /* tell the CA its contacts */
    ACCOUNT_FIND,       /* look it up by its key, without registering it, and keep its URL */
    ACCOUNT_ROLL_OVER,  /* another key; goes on where it was when it was begun before */
    ACCOUNT_DEACTIVATE, /* for good: the CA refuses it from then on */
    ACCOUNT_DELETE,     /* only here; refused while a credential uses it */
    ACCOUNT_AGREE,      /* to the new terms that the CA has asked for (new_terms) */
};
/* done when the CA has answered and the account says so. */
void eng_account_act(struct engine *engine, const char *name, enum eng_account_act act,
                     const struct eng_actor *actor, eng_done_fn done, void *arg);
/* "update", "find", "roll-over", "deactivate", "delete", "agree"; -1 = another word. */
int eng_account_act_parse(const char *word);
/* Binds the account to another account at the CA: another key, which is registered with this
 * binding at next use.  Former key and URL are kept in the document (former, sealed). */
struct eng_binding {
    const char *kid;  /* the CA's key identifier */
    const char *hmac; /* its HMAC key as the CA shows it; used at once and not kept */
    const char *alg;  /* "HS256" (also NULL and ""), "HS384", "HS512" */
};
void eng_account_rebind(struct engine *engine, const char *name, const struct eng_binding *binding,
                        const struct eng_actor *actor, eng_done_fn done, void *arg);
/* DNS account document (manager): fields {name, kind, provider (kind recipe), options {name: text
 * or integer}, secrets {name: text; "" keeps what is there}, domains [typed…] or text, enabled,
 * propagation {authoritative, resolvers, fixed_s, limit_s}, resolvers}.  Members that are not given
 * stay as they are; options, propagation and domains are replaced as a whole. */
void eng_dns_account_put(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                         eng_done_fn done, void *arg);
/* Refused (CM_ECONFLICT) while TXT values of it wait to be taken away, unless forced. */
void eng_dns_account_delete(struct engine *engine, const char *name, bool force,
                            const struct eng_actor *actor, eng_done_fn done, void *arg);
/* {name, kind, …} without secrets but with their names (owned; NULL = absent), and all of them. */
json_t *eng_dns_account_view(struct engine *engine, const char *name);
json_t *eng_dns_accounts(struct engine *engine);
/* Recipes, stored ones and those of the program that no stored one replaces: [{name, title, docs,
 * unverified, stored, shipped, credentials, options, used_by: [{name, lacks: [credential…]}]}]. */
json_t *eng_dns_recipes(struct engine *engine);
/* One of them, with recipe (itself), reach: [host…] of the recipe, serial (stored ones), and lint
 * as below (owned; NULL = absent). */
json_t *eng_dns_recipe_view(struct engine *engine, const char *name);
/* Form and recorded tests of any value: {ok, tests, lines: [text…], pointer?, error?} (owned). */
json_t *eng_dns_recipe_lint(const json_t *recipe);
/* Hosts that would get the secrets of accounts which use this name, and do not get them so far:
 * [{account, hosts: [host…]}], empty = none (owned). */
json_t *eng_dns_recipe_widens(struct engine *engine, const char *name, const json_t *recipe);
#define ENG_RECIPE_BYTES_MAX (128u << 10) /* of one recipe's text */
/* Stores a recipe after its lint.  confirmed: [host…] that may get secrets of present accounts, or
 * NULL = none new; CM_ECONFLICT names the others. */
void eng_dns_recipe_put(struct engine *engine, const char *name, const json_t *recipe,
                        const json_t *confirmed, const struct eng_actor *actor, eng_done_fn done,
                        void *arg);
/* Removes a stored one.  CM_ECONFLICT while an account uses it, CM_ENOENT when none is stored. */
void eng_dns_recipe_delete(struct engine *engine, const char *name, const struct eng_actor *actor,
                           eng_done_fn done, void *arg);
/* Starts a test: a probe TXT value is written at _acme-challenge of probe (NULL or "" = the
 * account's first domain) and removed.  Its report: {running, ok, at, by, fqdn, zone, seen_ms,
 * steps: [{ms, text}], error} (owned; NULL = never tested). */
int eng_dns_test(struct engine *engine, const char *name, const char *probe,
                 const struct eng_actor *actor, struct cm_err *err);
json_t *eng_dns_test_view(struct engine *engine, const char *name);
/* People say that the TXT records of a credential are written (view: "manual"). CM_ECONFLICT when
 * nobody waits. */
int eng_dns_go_on(struct engine *engine, const char *credential, const struct eng_actor *actor,
                  struct cm_err *err);
/* What is left of the CA's limits: {known: bool, ca?, limits: [{limit: orders|domain|set|failed,
 * subject, of, left, refill_s, next_at?, full_at?}]} of an account; without known limits an empty
 * list (owned; NULL = no such account). */
json_t *eng_budget_view(struct engine *engine, const char *account);
/* Trusted root (manager): one PEM certificate. */
void eng_root_put(struct engine *engine, const char *pem, eng_done_fn done, void *arg);
/* Form defaults (manager): members of settings:global. */
void eng_settings_put(struct engine *engine, const json_t *fields, eng_done_fn done, void *arg);
/* Defaults of the form: settings:global over built-in ones (owned). */
json_t *eng_defaults(struct engine *engine);

/* One credential as UI, API and CLI show it (owned; NULL = neither credential nor request exists):
 * {credential: {…without sealed_key}, request: {…}, receipts: [..], steps: [..],
 *  challenge: [tokens' hosts], manual: [{fqdn, value}] while TXT records have to be written by hand
 *  (manual_problem: why it did not go on), contradictions: as of eng_contradictions(), next:
 * "sentence: what comes next and when", next_told: as eng_next_told()}.
 */
json_t *eng_view(struct engine *engine, const char *credential);
/* Its health as views and lists show it: {color, causes: [text…], told: [as eng_told()…]} with the
 * servers where the deployment failed (owned; NULL = it has none yet). */
json_t *eng_health(struct cs_store *store, const char *ulid, const json_t *credential);
/* Adds a line to the step log of a credential (also used by deploy). */
void eng_step(struct engine *engine, const char *credential, int level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* {jobs, waiting, next_due_at, alarms?, hook?: {step, at, error?} that ran last} for status pages.
 */
json_t *eng_status(struct engine *engine);
