/* Deployment targets of the local configuration: look-up, owner and mode. */
#pragma once

#include <sys/types.h>

#include "keyfile/agent.h"

#define KF_MODE_KEY_DEFAULT 0600
#define KF_MODE_CERT        0644
#define KF_KEEP             ((uid_t)-1) /* leave owner or group as they are */

struct kf_target_rights {
    mode_t key_mode;
    uid_t uid; /* KF_KEEP = the agent's own */
    gid_t gid;
};

/* The target of that name, or NULL with CM_EDENIED: documents choose among configured places only.
 */
const struct kf_target *kf_target_find(const struct kf_agent_config *config, const char *name,
                                       struct cm_err *err);
/* Resolves owner and group (names or numbers); refuses key files that everybody could read. */
int kf_target_rights(const struct kf_target *target, struct kf_target_rights *ret,
                     struct cm_err *err);
