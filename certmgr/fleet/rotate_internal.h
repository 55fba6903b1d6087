/* Shared by rotate*.c only. */
#pragma once

#include "certmgr/fleet/fleet_internal.h"
#include "certmgr/fleet/rotate.h"

struct rotate {
    struct rotate_opts opts;
    char *secret_table, *secret_key;
    struct cm_timer *timer;
    json_t *journal;   /* as kept in table "state", key "rotation"; NULL = never */
    bool asking;       /* the agent, or the store, for the step that is under way */
    bool passing;      /* a pass over the store (rotate_seal.c) is under way */
    int64_t looked_at; /* version of the trust root */
    bool copy;         /* our keys were replaced: this is a copy from before */
    bool ended;        /* the front is about to begin anew */
    char *after;       /* … the document it looked at last */
    bool looked;       /* … at all of them */
    bool worked;       /* … and found something to do */
    size_t open;       /* answers that it waits for: of the agent, of commits */
    size_t left, failed;
    int64_t begun_at; /* sequence of the store at the beginning of this pass … */
    int64_t passed; /* … and of the last one that left nothing: the next looks at what came later */
    int64_t since;       /* … and how far it is there */
    uint8_t old_ski[20]; /* KF_SKI_SIZE: of the former seal key */
};

/* This server in the present trust root (never NULL: fleet_new() asked). */
const struct kf_server *rotate_self(const struct rotate *rotate);
/* What hinders it, for people; kept in the journal. */
void rotate_error(struct rotate *rotate, const struct cm_err *err);

/* ---- rotate_seal.c ---- */
/* Goes on with the pass: seals and signs anew what the former keys sealed and signed.  At its end
 * rotate_passed() is called. */
void rotate_pass(struct rotate *rotate);
/* left: documents that still need the former keys. */
void rotate_passed(struct rotate *rotate, size_t left);
/* The same with what came after a pass that left nothing: as long as the former keys are there. */
void rotate_pass_late(struct rotate *rotate);

/* ---- rotate_tls.c ---- */
/* Makes the new TLS key beside the present one unless it is there; its public key (cm_free). */
int rotate_make_tls(const struct config *config, char **ret_tls, struct cm_err *err);
/* The new TLS key's proof (kf_rotation_prove()). */
int rotate_prove_tls(const struct config *config, const json_t *keys, char **ret,
                     struct cm_err *err);
/* Does a new TLS key wait to be taken into use? */
bool rotate_tls_waits(const struct config *config);
int rotate_drop_tls(const struct config *config, struct cm_err *err);

/* ---- rotate_wait.c: may the manager forget the former keys? ---- */
struct rotate_wait;
/* Documents (and orders at a CA) sealed for the former key of a server and not for its new one. */
struct rotate_found {
    size_t count;
    char first[CS_ID_MAX + 1]; /* a document's id; "" = none */
};
typedef void (*rotate_found_fn)(void *arg, const char *server, const struct rotate_found *found);
/* done is called at the end of each look, in a turn of its own; with NULL when the store could not
 * keep what was looked at. */
struct rotate_wait *rotate_wait_new(struct cm_loop *loop, struct cs_store *store,
                                    rotate_found_fn done, void *arg);
/* Between two looks (tests; the manager's ends with its process). */
void rotate_wait_free(struct rotate_wait *wait);
/* Begins to look for a server that has former keys, a slice of the store in each turn; false: not
 * now, another look is under way. */
bool rotate_wait_look(struct rotate_wait *wait, const struct kf_server *server);
/* Keeps what a look found for this server's rotation.  True: its former keys stay for now.  False:
 * nothing needs them, or it was waited for ROTATE_WAIT_MS. */
bool rotate_wait_note(struct cs_store *store, const struct kf_server *server,
                      const struct rotate_found *found);
/* {documents, first, since, until} of what is waited for (owned), or NULL. */
json_t *rotate_wait_of(struct cs_store *store, const struct kf_server *server);
/* Ends what is kept when the former keys are gone; raises the notice when they went all the same.
 */
void rotate_wait_watch(struct cs_store *store, const struct kf_server *server);
