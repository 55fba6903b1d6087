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

/* ---- rotate_tls.c ---- */
/* Makes the new TLS key beside the present one unless it is there; its public key (cm_free). */
int rotate_make_tls(const struct config *config, char **ret_tls, struct cm_err *err);
/* The new TLS key's proof (kf_rotation_prove()). */
int rotate_prove_tls(const struct config *config, const json_t *keys, char **ret,
                     struct cm_err *err);
/* Does a new TLS key wait to be taken into use? */
bool rotate_tls_waits(const struct config *config);
int rotate_drop_tls(const struct config *config, struct cm_err *err);
