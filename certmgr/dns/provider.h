/*
 * What a DNS provider can do for DNS-01 (RFC 8555 8.4): add one TXT value at a name, take one away.
 *
 * A kind is a way to talk to providers: "rfc2136", "recipe" (declarative JSON, reference/acme.md
 * 6.3), "route53", "webhook", "exec", "manual".  The caller journals before each call, follows
 * CNAMEs first, and runs one call at a time for an account and name, so that a kind which replaces
 * whole sets can read, merge and write.  Values of others are never touched.  A kind that can sends
 * several changes of one zone together.
 */
#pragma once

#include "base/net/dns.h"
#include "base/net/http_client.h"

#define DNSP_REQUESTS_MAX 20           /* of one call */
#define DNSP_REPLY_MAX    (256u << 10) /* bytes of one reply */
/* Changes that go together.  An UPDATE of so many bytes of records is, with zone and signature, one
 * datagram (DNS_UDP_MAX): TCP to port 53 is often filtered, and must not be what many values need.
 */
#define DNSP_TOGETHER_MAX   16
#define DNSP_TOGETHER_BYTES 900

/* Runs a program that the local configuration names ([dns_exec NAME]) with these arguments: no
 * shell, clean environment, time limit.  env: {"CERTMGR_CRED_…": text} or NULL.  status: as exit().
 */
typedef void (*dnsp_exec_fn)(void *arg, int status, const char *output, const struct cm_err *err);

/* Surroundings; outlive every call. */
struct dnsp_env {
    struct cm_loop *loop;
    struct http_client *http;
    struct dns_client *dns;
    bool lab_http; /* plain http:// to loopback addresses is accepted (tests) */
    void (*exec)(void *arg, const char *name, const char *const *argv, size_t argc,
                 const json_t *env, dnsp_exec_fn done, void *done_arg);
    void *exec_arg;
};

/* An account ready for use.  Everything lives as long as the call. */
struct dnsp_account {
    const char *name;      /* of the dns-account: document */
    const char *kind;      /* of the table in provider.c */
    const json_t *options; /* {name: text or integer}, not secret */
    const json_t *secrets; /* {name: text} in the clear; never logged */
    const json_t *recipe;  /* kind "recipe": body of the dns-provider: document, else NULL */
};

/* A line for people per request made; secrets are masked by construction.  May be NULL. */
typedef void (*dnsp_trace_fn)(void *arg, const char *line);
/* record: what delete will want again (ids), or NULL; err NULL = done.  Once, never from inside. */
typedef void (*dnsp_done_fn)(void *arg, const json_t *record, const struct cm_err *err);

struct dnsp_call;
/* fqdn: ASCII, lower case, no dot at the end ("_acme-challenge.www.example.com"); value: the TXT's
 * text.  Adding what is there already, and deleting what is gone, is success. */
struct dnsp_call *dnsp_add(const struct dnsp_env *env, const struct dnsp_account *account,
                           const char *fqdn, const char *value, dnsp_trace_fn trace,
                           dnsp_done_fn done, void *arg);
struct dnsp_call *dnsp_delete(const struct dnsp_env *env, const struct dnsp_account *account,
                              const char *fqdn, const char *value, const json_t *record,
                              dnsp_trace_fn trace, dnsp_done_fn done, void *arg);

/* One TXT value that is added, or taken away. */
struct dnsp_change {
    const char *fqdn, *value;
    bool adding;
};
/* How many changes one call of this account takes: DNSP_TOGETHER_MAX, or 1. */
size_t dnsp_together(const struct dnsp_account *account);
/* Bytes that it takes of DNSP_TOGETHER_BYTES, at most. */
size_t dnsp_change_size(const char *fqdn, const char *value);
/* All of them, in this order, or none; they are of one zone.  count: 1 to dnsp_together().  Only
 * CM_ENET and CM_ETIMEOUT leave it open whether they were made; done gets no record. */
struct dnsp_call *dnsp_change(const struct dnsp_env *env, const struct dnsp_account *account,
                              const struct dnsp_change *changes, size_t count, dnsp_trace_fn trace,
                              dnsp_done_fn done, void *arg);
void dnsp_cancel(struct dnsp_call *call); /* done is not called */

/* Are these options and secrets fit for the kind?  CM_EINVAL names the member and what is wanted.
 */
int dnsp_check(const struct dnsp_account *account, struct cm_err *err);
/* Can a name of this account hold one value only (name and wildcard one after the other)? */
bool dnsp_one_value(const struct dnsp_account *account);
/* Was it never run against the live service by us?  Shown with the account. */
bool dnsp_unverified(const struct dnsp_account *account);

/* ---- for the kinds ---- */
struct dnsp_kind {
    const char *name, *title;
    bool one_value;  /* a name can hold one value only: name and wildcard one after the other */
    bool unverified; /* never run against the live service by us */
    int (*check)(const struct dnsp_account *account, struct cm_err *err);
    /* Starts; the state is the kind's own and freed by cancel or before done. */
    void *(*add)(struct dnsp_call *call);
    void *(*del)(struct dnsp_call *call);
    /* In place of both, for kinds that take several changes together. */
    void *(*change)(struct dnsp_call *call);
    void (*cancel)(void *state);
};
struct dnsp_call {
    const struct dnsp_env *env;
    const struct dnsp_kind *kind;
    struct dnsp_account account; /* members are held by the call */
    const char *fqdn, *value;    /* of the first change */
    struct dnsp_change *changes;
    size_t count;
    json_t *record;
    dnsp_trace_fn trace;
    dnsp_done_fn done;
    void *arg;
    void *state;
};
void dnsp_trace(struct dnsp_call *call, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends the call from a kind, on a later turn of the loop: record is taken. */
void dnsp_finish(struct dnsp_call *call, json_t *take_record, const struct cm_err *err);
/* The table of kinds: by name (NULL = unknown) and by place (NULL = past the end). */
const struct dnsp_kind *dnsp_kind_find(const char *name);
const struct dnsp_kind *dnsp_kind_at(size_t index);
/* rfc2136.c, manual.c, exec.c, webhook.c, recipe_run.c, route53.c */
extern const struct dnsp_kind dnsp_rfc2136, dnsp_manual, dnsp_exec, dnsp_webhook, dnsp_recipe,
    dnsp_route53;
