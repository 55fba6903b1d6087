/*
 * The fleet: this server's view of trust:root, joining, inviting, renewing; and the store's verify
 * and sign ports.
 */
#pragma once

#include "base/net/http_server.h"
#include "base/net/loop.h"
#include "certstore/proof.h"
#include "certstore/store.h"
#include "keyfile/port.h"
#include "keyfile/trust.h"

#define FLEET_INVITE_S 3600

struct fleet;
struct fleet_opts {
    struct cm_loop *loop;
    struct kf_agent agent;
    const char *self;
    const json_t *trust; /* trust:root as kept by init or join (kv "state"/"trust") */
};
int fleet_new(const struct fleet_opts *opts, struct fleet **ret, struct cm_err *err);
/* Calls to the agent must have ended before, and the store is not used any more after. */
void fleet_free(struct fleet *fleet);

/* Ports of the store (arg = struct fleet *). */
void fleet_verify(void *fleet, const json_t *body, bool deleted, struct cs_verdict *ret);
void fleet_sign(void *fleet, json_t *take_body, bool deleted, cs_signed_fn done, void *done_arg);
/* cs_prove_fn on worker threads, by the trust root of this moment.  Inside of done fleet_verify()
 * knows the verdicts and judges only the rest (signer, role, expiry) by the one of then.  done is
 * called also after fleet_free(). */
void fleet_prove(void *fleet, const struct cs_proof *proof);
/* Joins fleet and store: follows trust:root changes (agent trust.update, quarantine retry,
 * verdicts decided anew when a signer is gone or back), renews the trust root daily on the manager.
 * on_change(arg) after each new trust root. */
void fleet_attach(struct fleet *fleet, struct cs_store *store, cm_fn on_change, void *arg);

/* on_fed(arg) when the trust root counts again after documents were refused because it had expired:
 * whatever a peer has may have been refused, so everything is to be compared anew. */
void fleet_on_fed(struct fleet *fleet, cm_fn on_fed, void *arg);

const struct kf_trust *fleet_trust(void *fleet); /* never NULL */
bool fleet_is_manager(const struct fleet *fleet);

/* Invitation: the join token as one line of text for `certmgr join` (base64url JSON: url, spki,
 * name, secret, expires_at). */
typedef void (*fleet_invite_fn)(void *arg, const char *token, const char *expires_at,
                                const struct cm_err *err);
void fleet_invite(struct fleet *fleet, const char *name, fleet_invite_fn done, void *arg);
/* What a server is, or is to be: url and ui_url are where it listens as a manager (NULL = as they
 * are, or nowhere). */
struct fleet_role {
    const char *name;
    bool standby;
    const char *url, *ui_url;
};
void fleet_invite_as(struct fleet *fleet, const struct fleet_role *role, fleet_invite_fn done,
                     void *arg);

/* Changes of the trust root.  Where several root signers have to sign, err is CM_EBUSY with
 * CM_RETRY_CONFIGURATION: the change is a proposal now (fleet_proposal()). */
typedef void (*fleet_done_fn)(void *arg, const struct cm_err *err);
void fleet_remove(struct fleet *fleet, const char *name, fleet_done_fn done, void *arg);
void fleet_set_role(struct fleet *fleet, const struct fleet_role *role, fleet_done_fn done,
                    void *arg);
/* This standby becomes the manager. */
void fleet_promote(struct fleet *fleet, bool lost, const char *url, const char *ui_url,
                   fleet_done_fn done, void *arg);
void fleet_threshold(struct fleet *fleet, int64_t threshold, const json_t *signers,
                     fleet_done_fn done, void *arg);
/* Signs a proposal, and follows it when it is complete then.  renewal: only one that changes
 * nothing else (no person has to agree). */
void fleet_cosign(struct fleet *fleet, const json_t *document, bool renewal, fleet_done_fn done,
                  void *arg);
/* Follows a trust root that came from anywhere; an older one is no error. */
void fleet_take(struct fleet *fleet, const json_t *document, fleet_done_fn done, void *arg);
/* {what, at, have, need, document} of the change that waits for signatures (owned), or NULL. */
json_t *fleet_proposal(const struct fleet *fleet);

/* Another recovery key (SPKI, base64). */
void fleet_recovery(struct fleet *fleet, const char *spki, fleet_done_fn done, void *arg);
/* While held (hold.h) the trust root is neither renewed nor changed here, and what was signed under
 * a later one is taken although ours has expired. */
void fleet_set_hold(struct fleet *fleet, bool held);

/* GET and POST /trust of the replication listener: who is in the fleet, also for those who were
 * removed and for a manager that does not know yet that it is none any more (exchange.c). */
void fleet_handle_trust(void *fleet, struct http_exchange *ex);
/* POST /join of the replication listener (http_handler_fn, arg = struct fleet *). */
void fleet_handle_join(void *fleet, struct http_exchange *ex);
