/*
 * DNS-01 inside the engine: DNS accounts, the choice per name, and the only hands that write to
 * DNS providers.
 *
 * Every value is journalled (kv "dns_journal") before its first provider call and stays there until
 * the provider said that it is gone; so nothing is forgotten, whoever dies in between.
 */
#pragma once

#include "certmgr/dns/propagate.h"
#include "certmgr/dns/provider.h"
#include "certmgr/engine/internal.h"

#define DNS_ACCOUNTS_MAX 200     /* enabled ones that are looked at */
#define DNS_PARALLEL     4       /* provider calls at a time for an account */
#define DNS_GATHER_MS    1000    /* values of a zone wait no longer for a call of it to end */
#define DNS_SWEEP_MS     3600000 /* the journal is looked through so often */
#define DNS_RETRY_MS     60000   /* first pause after a failed removal, doubled … */
#define DNS_RETRY_MAX_MS 3600000 /* … up to this */
#define DNS_SECRETS_MS   60000   /* opened secrets are kept so long after their last use */
#define DNS_KEEP_MS      600000  /* a failed order tried again within this keeps its values */
#define DNS_SECONDS_MAX  7200    /* of the waits of an account, or of its recipe */

/* One enabled DNS account as it was read. */
struct eng_dns_account {
    unsigned refs;
    struct eng_dns_account *next;
    struct engine *engine;
    char *name;
    json_t *body;    /* dns-account: document */
    json_t *recipe;  /* dns-provider: document or NULL */
    json_t *secrets; /* opened, or NULL */
    bool opening, dropped;
    struct dns_client *dns;   /* with its own resolvers, or NULL = the engine's */
    struct cm_timer *timer;   /* forgets the secrets */
    unsigned active;          /* calls under way */
    struct dnsp_env provider; /* of the calls */
};

struct dns_op;   /* dns_work.h */
struct dns_test; /* dns_test.c */

/* The engine's part of it. */
struct eng_dns {
    bool read;
    struct eng_dns_account *accounts; /* enabled ones */
    struct dns_op *ops, **last;       /* in order of arrival */
    struct cm_timer *turn, *sweep;
    json_t *tests;            /* {account: report} of tests (dns_test.c) */
    struct dns_test *running; /* the tests themselves */
    json_t *journal;          /* in memory, or NULL = to be read */
};

/* ---- dns_account.c ---- */
void eng_dns_start(struct engine *engine);
void eng_dns_stop(struct engine *engine);
/* The recipe of that name: the stored one, else the program's own; NULL = neither (owned;
 * recipe_view.c). */
json_t *eng_dns_recipe(struct engine *engine, const char *name);
/* Names of the accounts that use it, enabled or not: [name…] (owned; recipe_view.c). */
#define DNS_USERS_MAX 10000 /* accounts that are looked at */
json_t *eng_dns_recipe_users(struct engine *engine, const char *name);
/* A dns-account: or dns-provider: document changed. */
void eng_dns_changed(struct engine *engine);
bool eng_dns_any(struct engine *engine); /* is any account enabled? */
/* By name, enabled ones only; a reference, or NULL. */
struct eng_dns_account *eng_dns_account(struct engine *engine, const char *name);
/* The account that covers this owner name: the longest of all their domains; NULL = none
 * (borrowed). */
struct eng_dns_account *eng_dns_cover(struct engine *engine, const char *fqdn);
void eng_dns_unref(struct eng_dns_account *account);
bool eng_dns_by_hand(const struct eng_dns_account *account); /* people write its records */
/* The view for calls; secrets must be open. */
struct dnsp_account eng_dns_view(const struct eng_dns_account *account);
struct dns_client *eng_dns_resolver(const struct eng_dns_account *account);
/* Values were seen everywhere so long after they were set: the next wait for this account's begins
 * to look at four fifths of that (DNS_START_MAX_MS at the latest). */
#define DNS_START_MIN_MS 2000
#define DNS_START_MAX_MS 300000
void eng_dns_measured(struct engine *engine, const char *account, int64_t ms);
int64_t eng_dns_measure(struct engine *engine, const char *account); /* 0 = never measured */
struct dns_wait_options eng_dns_wait_options(const struct eng_dns_account *account);

/* "*.example.com" -> "_acme-challenge.example.com" (RFC 8555 8.4).  out: HOSTNAME_MAX + 20. */
#define DNS_OWNER_TEXT 280
void eng_dns_owner(const char *name, char out[DNS_OWNER_TEXT]);

/* choose.c: {account, fqdn, zone} when dns-01 proves this name, else NULL.  place: where its
 * challenge has to be written, NULL = could not be found. */
json_t *eng_choose_dns(struct engine *engine, const char *name, const struct dns_place *place);

/* ---- dns_work.c ---- */
/* One TXT value of a credential (or of a test, owner "test-<account>"). */
struct eng_dns_value {
    const char *owner; /* ULID of the credential */
    const char *account, *zone, *fqdn, *value;
};
/* Sets it: journal, then the provider.  done once, never from inside; CM_ECLOSED when the engine
 * stops.  trace may be NULL and is not called after done. */
void eng_dns_add(struct engine *engine, const struct eng_dns_value *value, dnsp_trace_fn trace,
                 eng_done_fn done, void *arg);
/* Takes one away and tells; whatever happens, it is tried until it is gone. */
void eng_dns_remove(struct engine *engine, const struct eng_dns_value *value, dnsp_trace_fn trace,
                    eng_done_fn done, void *arg);
/* Takes all values of an owner away, now or later, until they are gone. */
void eng_dns_release(struct engine *engine, const char *owner);
/* Takes those away that an account of kind "one value" holds for this owner, but `keep`. */
void eng_dns_release_others(struct engine *engine, const char *owner, const char *account,
                            const char *keep);
void eng_dns_work_start(struct engine *engine);
void eng_dns_work_stop(struct engine *engine);
/* Accounts were read again: what waited for one goes on. */
void eng_dns_work_turn(struct engine *engine);

/* ---- dns_test.c ---- */
void eng_dns_tests_stop(struct engine *engine);

/* ---- dns_journal.c ---- */
#define DNS_KEY_MAX 80
void dns_journal_key(const struct eng_dns_value *value, char out[DNS_KEY_MAX]);
bool dns_journal_is(const json_t *entry, const char *state);
void dns_journal_put(struct engine *engine, const char *key, const json_t *entry);
void dns_journal_forget(struct engine *engine, const char *key);
json_t *dns_journal_get(struct engine *engine, const char *key); /* NULL = absent (owned) */
/* {key: entry} of an owner, NULL = of all (owned). */
json_t *dns_journal(struct engine *engine, const char *owner);
/* Does another order want the same value to stay?  A CA may hand out the same token twice. */
bool dns_journal_shared(struct engine *engine, const char *own_key);
/* Is another value of this account in the DNS, at whatever name?  (Duck DNS has one for a domain
 * and all names below it.) */
bool dns_journal_occupied(struct engine *engine, const char *own_key, const char *account);
/* How many values of this account are in the DNS, as far as anybody knows. */
size_t eng_dns_journal_count(struct engine *engine, const char *account);
/* Gives up what is in the journal of an account: [fqdn…] that stay (owned). */
json_t *eng_dns_journal_drop(struct engine *engine, const char *account);
