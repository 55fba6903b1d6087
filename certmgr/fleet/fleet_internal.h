/* Shared by the files of certmgr/fleet only. */
#pragma once

#include "certmgr/fleet/fleet.h"

struct fleet {
    struct cm_loop *loop;
    struct kf_agent agent;
    char self[KF_NAME_MAX];
    struct kf_trust *trust;     /* current; replaced as a whole */
    struct cs_store *store;     /* NULL until attached */
    const json_t *fresh;        /* signature that the agent gave for the document being stored */
    struct fleet_proof *proofs; /* signatures being checked by worker threads (prove.c) */
    struct fleet_proof *proven; /* whose documents are being put right now */
    struct cm_timer *renewal;   /* hourly: the agent's version; manager: is the root a day old? */
    struct cm_timer *hunger;    /* has the root expired, does it count again? (starved.c) */
    bool expired;               /* … at the last look */
    bool starved;               /* documents were refused that may count now */
    bool starved_noted;         /* … and the store knows */
    cm_fn on_fed;
    void *fed_arg;
    int64_t copy_noted_ms;      /* monotonic: a copy with replaced keys connected (exchange.c) */
    struct cm_timer *rejudging; /* verdicts decided anew (rejudge.c) */
    bool again;                 /* … one of them, right now */
    bool held;                  /* restored from a backup: nothing of ours is signed */
    cm_fn on_change;
    void *change_arg;
};

/* Makes a newer trust root current (keeps it in kv "state"/"trust"), tells the agent of a server
 * that is no manager, tries the quarantine again and calls on_change.  An older or equal one
 * changes nothing.  Returns 0 or the refusal. */
int fleet_adopt(struct fleet *fleet, const json_t *document, struct cm_err *err);
/* Is this server the manager by that trust root?  Only then the document is its own to store: from
 * everybody else's store it would come with another revision than from the manager's. */
bool fleet_leads(const struct fleet *fleet, const json_t *document);
/* Puts a trust root that the agent has just signed into the store; done after the commit. */
void fleet_store_trust(struct fleet *fleet, const json_t *document, fleet_done_fn done, void *arg);

/* ---- starved.c ---- */
#define FLEET_EXPIRED "the trust root has expired" /* so a refusal begins that is not for ever */
/* Begins to look; the store is attached. */
void fleet_starved_open(struct fleet *fleet);
/* One look, every 5 s. */
void fleet_starved_look(void *fleet);
/* The trust root is another one: if the list of refused documents is full, everything is compared
 * anew at the next look. */
void fleet_starved_root(struct fleet *fleet);

/* ---- rejudge.c ---- */
/* May somebody whose signature counted under `before` sign no more under `next`, or again?  A
 * server that is merely new, or a key that comes in addition, is no reason. */
bool fleet_signers_changed(const struct kf_trust *before, const struct kf_trust *next);
/* Goes on with a pass that a restart interrupted; the store is attached. */
void fleet_rejudge_open(struct fleet *fleet);
/* The store was told cs_rejudge_begin(). */
void fleet_rejudge_go(struct fleet *fleet);

/* Refuses while held; err says why. */
bool fleet_refuses_held(const struct fleet *fleet, struct cm_err *err);
/* Is it a reply with a proposal?  Then it is kept, and err says what to do. */
bool fleet_keep_proposal(struct fleet *fleet, const char *what, const json_t *reply,
                         struct cm_err *err);
/* done with `open` (copied), once the proposal that was kept is durable. */
void fleet_say_proposed(struct fleet *fleet, const struct cm_err *open, fleet_done_fn done,
                        void *arg);

/* ---- exchange.c ---- */
/* Remembers a trust root whose signers are others than those before it, so that who missed it can
 * still follow step by step. */
int fleet_chain_note(struct fleet *fleet, const struct kf_trust *next, struct cm_err *err);
/* {documents: [trust roots above version `from`, in order], proposal?} (owned). */
json_t *fleet_chain(const struct fleet *fleet, int64_t from);
/* The agent, which has pinned version `from`, takes one root after the other up to ours: what the
 * newest one says may be signed by somebody of whom it has never heard.  done gets the fleet. */
void fleet_tell_agent(struct fleet *fleet, int64_t from, fleet_done_fn done);

/* ---- prove.c ---- */
/* Was this very signature, of a document that is being put right now, found good? */
bool fleet_is_proven(const struct fleet *fleet, const json_t *body, bool deleted);
/* … by a trust root before this one: its signer may be gone by now. */
bool fleet_proof_is_old(const struct fleet *fleet);
/* The checks that run go on without the fleet. */
void fleet_proofs_close(struct fleet *fleet);
