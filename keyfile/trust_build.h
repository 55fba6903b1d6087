/* Making trust roots: version 1, and every next version as a signed change of the one before. */
#pragma once

#include "keyfile/identity.h"
#include "keyfile/trust.h"

/* A server to be listed; keys are SPKI DER in base64, url and ui_url may be NULL. */
struct kf_new_server {
    const char *name;
    const char *seal, *sign, *tls;
    const char *url, *ui_url;
    bool manager, standby; /* a standby's sign key becomes a root signer */
};

/* 0 of all of these: a signed document (owned by the caller) that kf_trust_accept() takes after
 * `current`; valid KF_TRUST_DAYS from now_ms.  KF_TRUST_OPEN: the document is a proposal, which
 * bears our signature and needs those of other root signers (kf_trust_cosign()). */
#define KF_TRUST_OPEN 1
/* recovery: SPKI of the recovery key in base64, or NULL. */
int kf_trust_found(const struct kf_identity *identity, const struct kf_new_server *self,
                   const char *recovery, int64_t now_ms, json_t **ret, struct cm_err *err);
/* Lists a server with role "server"; one of that name which was removed is replaced. */
int kf_trust_add(const struct kf_identity *identity, const struct kf_trust *current,
                 const struct kf_new_server *server, int64_t now_ms, json_t **ret,
                 struct cm_err *err);
int kf_trust_mark_removed(const struct kf_identity *identity, const struct kf_trust *current,
                          const char *name, int64_t now_ms, json_t **ret, struct cm_err *err);
/* The same content under the next version and a later expiry. */
int kf_trust_renew(const struct kf_identity *identity, const struct kf_trust *current,
                   int64_t now_ms, json_t **ret, struct cm_err *err);
/* Another recovery key (SPKI, base64). */
int kf_trust_set_recovery(const struct kf_identity *identity, const struct kf_trust *current,
                          const char *recovery, int64_t now_ms, json_t **ret, struct cm_err *err);
/* Is this identity's sign key one of the root signers? */
bool kf_trust_is_signer(const struct kf_identity *identity, const struct kf_trust *current);

/* ---- what the changes of trust_change.c are made with ---- */

/* A copy of the current root under the next version and serial, unsigned; without the store's
 * members (owned). */
json_t *kf_trust_next_body(const struct kf_trust *current, int64_t now_ms);
/* A server's object inside (borrowed), or NULL. */
json_t *kf_trust_entry(json_t *body, const char *name);
void kf_trust_add_signer(json_t *body, const char *sign_id);
/* CM_ECONFLICT when fewer would be left than have to sign. */
int kf_trust_drop_signer(json_t *body, const char *sign_id, struct cm_err *err);
/* Signs, and proves the result by parsing it as everybody else will. */
int kf_trust_finish(const struct kf_identity *identity, const struct kf_trust *current,
                    json_t *body, json_t **ret, struct cm_err *err);
