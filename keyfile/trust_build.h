/* Making trust roots: version 1, and every next version as a signed change of the one before. */
#pragma once

#include "keyfile/identity.h"
#include "keyfile/trust.h"

/* A server to be listed; keys are SPKI DER in base64, url and ui_url may be NULL. */
struct kf_new_server {
    const char *name;
    const char *seal, *sign, *tls;
    const char *url, *ui_url;
    bool manager;
};

/* All of these give a signed document (owned by the caller) that kf_trust_accept() takes after
 * `current`; valid KF_TRUST_DAYS from now_ms. */
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
