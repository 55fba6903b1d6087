/* Deployment targets of the local configuration. */
#include "keyfile/target.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/core/num.h"

#define NSS_BUFFER 16384
#define ID_MAX     0xfffffffell

const struct kf_target *kf_target_find(const struct kf_agent_config *config, const char *name,
                                       struct cm_err *err)
{
    for (size_t i = 0; i < config->target_count; i++) {
        if (strcmp(config->target[i].name, name) == 0)
            return &config->target[i];
    }
    cm_fail(err, CM_EDENIED, "target \"%.63s\" is not configured on this server", name);
    cm_err_hint(err, "Add a section [target %.63s] to certmgr.conf, or choose another target.",
                name);
    return NULL;
}

static int find_user(const char *name, uid_t *ret, struct cm_err *err)
{
    struct passwd entry, *found = NULL;
    char buffer[NSS_BUFFER];
    int64_t number;
    if (cm_num_i64(name, 0, ID_MAX, &number) == 0) {
        *ret = (uid_t)number;
        return 0;
    }
    if (getpwnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
        return cm_fail(err, CM_EINVAL, "owner \"%.63s\" is not a user of this system", name);
    *ret = found->pw_uid;
    return 0;
}

static int find_group(const char *name, gid_t *ret, struct cm_err *err)
{
    struct group entry, *found = NULL;
    char buffer[NSS_BUFFER];
    int64_t number;
    if (cm_num_i64(name, 0, ID_MAX, &number) == 0) {
        *ret = (gid_t)number;
        return 0;
    }
    if (getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
        return cm_fail(err, CM_EINVAL, "group \"%.63s\" is not a group of this system", name);
    *ret = found->gr_gid;
    return 0;
}

int kf_target_rights(const struct kf_target *target, struct kf_target_rights *ret,
                     struct cm_err *err)
{
    *ret = (struct kf_target_rights){.key_mode = target->mode ? target->mode : KF_MODE_KEY_DEFAULT,
                                     .uid = KF_KEEP,
                                     .gid = (gid_t)KF_KEEP};
    if (target->mode & ~0770u)
        return cm_fail(err, CM_EINVAL,
                       "mode %04o of target %s would let others read private keys; use 0600 or "
                       "0640",
                       target->mode, target->name);
    if (!target->kyr && !target->pem)
        return cm_fail(err, CM_EINVAL, "target %s has no format; use kyr, pem or both",
                       target->name);
    int rc = target->owner[0] ? find_user(target->owner, &ret->uid, err) : 0;
    if (rc == 0 && target->group[0])
        rc = find_group(target->group, &ret->gid, err);
    return rc < 0 ? cm_wrap(err, rc, "target %s cannot be used", target->name) : 0;
}
