/*
 * Deploying a keyfile document: verify, open, stage, swap, roll back, commit.
 *
 * Everything that a document decides is checked here against the pinned trust root, whatever the
 * front says; everything about places comes from the local configuration.
 */
#pragma once

#include <jansson.h>

#include "keyfile/identity.h"
#include "keyfile/keyring.h"
#include "keyfile/secret.h"
#include "keyfile/serials.h"
#include "keyfile/target.h"
#include "keyfile/trust.h"

#define KF_STAGES_MAX      128 /* deployments between stage and commit at one time */
#define KF_STAGE_TEXT      24
#define KF_STAGE_UNCHANGED "unchanged"

struct kf_deployer; /* the stages of one agent */

/* Who deploys: all borrowed, valid while the deployer is used. */
struct kf_deploy_env {
    const struct kf_agent_config *config;
    const struct kf_identity *identity;
    const struct kf_trust *trust;
};

/* A verified document, ready to be written. */
struct kf_keyfile {
    char credential[CM_ULID_TEXT];
    struct kf_serial serial;
    const char *keyring_file, *fingerprint, *public_key; /* borrowed from the document */
    struct kf_secret key;                                /* PKCS#8 PEM */
    const char *leaf, *intermediates, *root;             /* borrowed */
};

/* Every check of the table in docs/agent-protocol.md that needs no file of the target. */
int kf_keyfile_verify(const struct kf_deploy_env *env, const json_t *document, const char *target,
                      int64_t now_ms, struct kf_keyfile *ret, struct cm_err *err);
void kf_keyfile_fini(struct kf_keyfile *keyfile);

struct kf_deployer *kf_deployer_new(void);
void kf_deployer_free(struct kf_deployer *d);

/* Fills reply with stage, changed, fingerprint, files. */
int kf_deploy_stage(struct kf_deployer *d, const struct kf_deploy_env *env, const json_t *document,
                    const char *target, json_t *reply, struct cm_err *err);
/* Fills reply with previous (generation number, 0 = none). */
int kf_deploy_swap(struct kf_deployer *d, const struct kf_deploy_env *env, const char *stage,
                   json_t *reply, struct cm_err *err);
int kf_deploy_rollback(struct kf_deployer *d, const struct kf_deploy_env *env, const char *stage,
                       struct cm_err *err);
int kf_deploy_commit(struct kf_deployer *d, const struct kf_deploy_env *env, const char *stage,
                     struct cm_err *err);
