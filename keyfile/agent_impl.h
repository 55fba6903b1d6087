/*
 * Inside the key agent: its state and how a verb is written.
 *
 * A verb is one row of a table (members, what it needs) and one function; groups of verbs have a
 * file each.  Verbs run one after the other in the loop; only key generation goes to the worker.
 */
#pragma once

#include <openssl/x509.h>

#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/agent.h"
#include "keyfile/deploy.h"
#include "keyfile/envelope.h"
#include "keyfile/identity.h"
#include "keyfile/trust.h"

#define KFA_LATER 1 /* the reply comes from the worker */

struct kfa_accounts; /* account_cache.h */
struct kfa_work;     /* agent_work.h */

struct kfa {
    const struct kf_agent_config *config;
    bool has_identity;
    struct kf_identity identity;
    struct kf_trust *trust;   /* pinned, or NULL */
    X509 **recipient;         /* seal recipients by index in trust, made at first use */
    X509 *recovery_recipient; /* likewise */
    struct cm_err locked;     /* code != 0: what is on disk cannot be used; every verb says why */
    struct kf_deployer *deployer;
    struct kfa_accounts *accounts;
    struct kfa_work *work;
    uint64_t channel; /* number of the present channel: late answers of an older one are dropped */
};

/* What must be there before a verb runs; checked in this order. */
enum kfa_need { KFA_NOTHING, KFA_IDENTITY, KFA_TRUST, KFA_MEMBER, KFA_MANAGER };

struct kfa_verb {
    const char *name;
    enum kfa_need need;
    /* Members besides id and op, "<type>:<name>": s text, S text or null or absent, i integer,
     * b boolean, B boolean or null or absent, o object, a array.  NULL-terminated. */
    const char *members[12];
    /* Fills reply; 0, negative, or KFA_LATER. */
    int (*run)(struct kfa *a, int64_t id, const json_t *request, json_t *reply, struct cm_err *err);
};

/* Each group's table, ended by a row without a name. */
extern const struct kfa_verb kfa_verbs_identity[], kfa_verbs_trust[], kfa_verbs_root[],
    kfa_verbs_doc[], kfa_verbs_key[], kfa_verbs_acme[], kfa_verbs_deploy[], kfa_verbs_backup[],
    kfa_verbs_secret[], kfa_verbs_revoke[], kfa_verbs_rotate[], kfa_verbs_move[];

/* Loads identity and trust root from config->dir; what is damaged goes to a->locked. */
void kfa_init(struct kfa *a, const struct kf_agent_config *config);
void kfa_fini(struct kfa *a);
/* Our own entry when the trust root lists our keys as active or retiring, else NULL. */
const struct kf_server *kfa_self(const struct kfa *a);
/* Writes the document to trust.json and makes it the pinned root. */
int kfa_pin(struct kfa *a, const json_t *document, struct cm_err *err);
/* Takes the keys into use that the pinned root lists as ours, destroys those that it does not list
 * any more (agent_verbs_rotate.c); once the front says that it follows this root, too. */
int kfa_follow_rotation(struct kfa *a, struct cm_err *err);
/* Has it something to do? */
bool kfa_keys_wait(const struct kfa *a);
/* Pins a trust root that we made (made = 0) and answers with it as "document"; one that needs more
 * signatures (KF_TRUST_OPEN) goes back as "proposal" with how many it has and needs.  A negative
 * made is returned. */
int kfa_publish(struct kfa *a, int made, json_t *take_document, json_t *reply, struct cm_err *err);
/* CM_EDENIED when our sign key is no root signer. */
int kfa_check_signer(const struct kfa *a, struct cm_err *err);
/* The seal recipient of a server of the trust root (borrowed). */
int kfa_recipient(struct kfa *a, const struct kf_server *server, X509 **ret, struct cm_err *err);
int kfa_recovery_recipient(struct kfa *a, X509 **ret, struct cm_err *err);
/* Whom secrets of managers are sealed to: every active manager and standby, and the recovery key
 * (borrowed, into out[KF_RECIPIENTS_MAX]). */
int kfa_manager_recipients(struct kfa *a, X509 **out, size_t *ret_count, struct cm_err *err);

struct kfa_job;
/* Adds every server with access, each once; only active ones may hold a key (agent_verbs_key.c). */
int kfa_job_servers(struct kfa *a, const json_t *servers, struct kfa_job *job, struct cm_err *err);
/* A credential: document of a manager under the pinned root, which has not expired: the order for
 * what is done with its key (agent_verbs_move.c). */
int kfa_credential_check(const struct kfa *a, const json_t *document, struct cm_err *err);
/* Its key, when this server is a recipient and the envelope is bound to the document. */
int kfa_credential_key(const struct kfa *a, const json_t *document, EVP_PKEY **ret,
                       bool *ret_exportable, struct cm_err *err);

#define KFA_ORIGIN_TEXT 280 /* KF_ORIGIN_TEXT */
/* The origin of a CA's URL, if the configuration allows ACME requests to it (agent_verbs_acme.c).
 */
int kfa_check_ca(const struct kfa *a, const char *url, char out[KFA_ORIGIN_TEXT],
                 struct cm_err *err);
/* The protected header of RFC 8555 6.2; kid NULL = the key's jwk. */
int kfa_jws_head(const char *nonce, const char *url, const char *kid, const EVP_PKEY *key,
                 json_t **ret, struct cm_err *err);

/* Judges and runs one request.  1 = *ret_reply is the frame to send, 0 = it comes later, negative =
 * not even a request: close the channel. */
int kfa_dispatch(struct kfa *a, const json_t *request, json_t **ret_reply, struct cm_err *err);
/* The reply frame of a request's outcome; takes members. */
json_t *kfa_reply(int64_t id, json_t *take_members, int rc, const struct cm_err *err);
