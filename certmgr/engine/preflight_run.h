/* Inside of a pre-flight check: what its files share. */
#pragma once

#include "certmgr/acme/directory.h"
#include "certmgr/challenge/fetch.h"
#include "certmgr/dns/caa.h"
#include "certmgr/engine/dns.h"
#include "certmgr/engine/guard.h"
#include "certmgr/engine/preflight.h"

enum pf_result { PF_OK, PF_WARN, PF_FAIL };

/* A CA that may be asked: that of the account, then of those that it falls back to. */
struct pf_ca {
    struct eng_account *account; /* a reference */
    json_t *identities;          /* its CAA names */
};

/* One name on its way: place, CAA, addresses one after the other. */
struct pf_name {
    struct preflight *pf;
    const char *name;      /* ASCII */
    const char *host;      /* without "*." */
    const char *challenge; /* static text, NULL = none can be used */
    char account[64];      /* of dns-01 */
    json_t *rows;
    bool started, over;
    struct dns_find *find;
    struct caa_check *caa;
    size_t ca; /* that is being looked at */
    struct dns_query *query;
    struct ch_fetch *fetch;
    char address[PREFLIGHT_ADDRESSES][64];
    size_t address_count, at;
    char token[40];
    char *answer;
};

struct preflight {
    struct preflight *next;
    struct engine *engine;       /* a reference */
    json_t *fields, *rows;       /* normalised; of the whole request */
    struct eng_account *account; /* cas[0]'s */
    struct pf_ca cas[1 + ENG_FALLBACK_MAX];
    size_t ca_count;
    struct http_call *directory;
    struct pf_name *names;
    size_t name_count;
    json_t *probes;                   /* {account: true} whose probe runs */
    struct cm_timer *deadline, *tick; /* tick: goes on, and looks whether the person is there */
    enum { PF_BEGIN, PF_DIRECTORY, PF_NAMES, PF_PROBES } step;
    bool probe_dns;
    struct cm_err err;
    json_t *errors;
    int64_t begun_ms;
    char credential[CM_ULID_TEXT];
    char who[256];
    bool (*gone)(void *arg);
    eng_preflight_fn done;
    void *arg;
};

/* Adds a row; fix NULL = the usual one of that id. */
void pf_row(json_t *rows, const char *name, const char *id, enum pf_result result, const char *fix,
            const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* preflight_facts.c: what needs no network. */
void pf_facts(struct preflight *pf);
void pf_directory_facts(struct preflight *pf, const struct acme_directory *directory);
/* preflight_name.c */
void pf_name_start(struct pf_name *name);
void pf_name_stop(struct pf_name *name); /* nothing comes any more */
/* preflight.c: a name is done. */
void pf_name_over(struct pf_name *name);
