/* One keyring's place inside a data directory: opening, links, the swap. */
#include "keyfile/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "keyfile/place_impl.h"

#define STORE_DIR   ".certmgr"
#define LINK_TEMP   ".current.new"
#define DIR_MODE    0755 /* services walk through; the key files have their own modes */
#define NUMBER_SIZE 24

void kf_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int64_t kf_generation_number(const char *name)
{
    int64_t number;
    return name[0] != '0' && cm_num_i64(name, 1, INT64_MAX - 1, &number) == 0 ? number : 0;
}

/* Makes (if missing) and opens a directory of ours; one that is a link, belongs to somebody else or
 * can be written by others is no place for keys. */
static int open_own_dir(int parent, const char *name, int *ret, struct cm_err *err)
{
    struct stat st;
    CM_BUG_ON(parent < 0);
    bool made = mkdirat(parent, name, DIR_MODE) == 0;
    if (!made && errno != EEXIST)
        return cm_fail_errno(err, errno, "cannot make directory %s", name);
    *ret = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret < 0)
        return cm_fail_errno(err, errno, "%s is not a directory", name);
    if (made && (fchmod(*ret, DIR_MODE) < 0 || fsync(parent) < 0))
        return cm_fail_errno(err, errno, "cannot make directory %s", name);
    if (fstat(*ret, &st) < 0)
        return cm_fail_errno(err, errno, "cannot examine directory %s", name);
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return cm_fail(err, CM_EDENIED,
                       "%s does not belong to the key agent alone (owner %u, mode %04o)", name,
                       (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
    return 0;
}

void kf_place_links(const struct kf_place *place, struct kf_link out[KF_LINKS])
{
    out[0].wanted = place->target->kyr;
    cm_strcpy(out[0].name, sizeof(out[0].name), place->keyring_file);
    snprintf(out[0].content, sizeof(out[0].content), STORE_DIR "/%s/" KF_CURRENT "/%s", place->name,
             place->keyring_file);
    out[1].wanted = place->target->pem;
    cm_strcpy(out[1].name, sizeof(out[1].name), place->name);
    snprintf(out[1].content, sizeof(out[1].content), STORE_DIR "/%s/" KF_CURRENT, place->name);
}

int kf_place_link(const struct kf_place *place, const char *name, const char *want,
                  struct cm_err *err)
{
    char content[4 * KF_KEYRING_NAME_MAX];
    ssize_t len = readlinkat(place->data, name, content, sizeof(content) - 1);
    if (len < 0 && errno == ENOENT)
        return 0;
    if (len >= 0) {
        content[len] = '\0';
        if (strcmp(content, want) == 0)
            return 1;
    }
    cm_fail(err, CM_ECONFLICT, "%s/%s exists and was not made by CertMgr; it is left as it is",
            place->target->directory, name);
    cm_err_hint(err, "Move %s/%s away, or choose another keyring file name.",
                place->target->directory, name);
    return CM_ECONFLICT;
}

static int check_links(const struct kf_place *place, struct cm_err *err)
{
    struct kf_link link[KF_LINKS];
    kf_place_links(place, link);
    for (size_t i = 0; i < KF_LINKS; i++) {
        if (link[i].wanted && kf_place_link(place, link[i].name, link[i].content, err) < 0)
            return CM_ECONFLICT;
    }
    return 0;
}

static int open_dirs(struct kf_place *place, struct cm_err *err)
{
    const char *dir = place->target->directory;
    place->data = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->data < 0) {
        int rc = cm_fail_errno(err, errno, "data directory %s cannot be opened", dir);
        cm_err_hint(err, "Make it (it is never made by CertMgr), writable for the key agent.");
        return rc;
    }
    int rc = check_links(place, err);
    if (rc == 0)
        rc = open_own_dir(place->data, STORE_DIR, &place->store, err);
    if (rc == 0)
        rc = open_own_dir(place->store, place->name, &place->base, err);
    return rc;
}

int kf_place_open(const struct kf_target *target, const char *keyring_file, struct kf_place *ret,
                  struct cm_err *err)
{
    *ret = (struct kf_place){.data = -1, .store = -1, .base = -1, .target = target};
    if (!kf_keyring_name_ok(keyring_file))
        return cm_fail(err, CM_EINVAL,
                       "keyring file name \"%.80s\" is not 1 to %d of a-z 0-9 . _ - ending in .kyr",
                       keyring_file, KF_KEYRING_NAME_MAX);
    cm_strcpy(ret->keyring_file, sizeof(ret->keyring_file), keyring_file);
    kf_keyring_base(keyring_file, ret->name);
    int rc = kf_target_rights(target, &ret->rights, err);
    if (rc == 0)
        rc = open_dirs(ret, err);
    if (rc < 0) {
        kf_place_close(ret);
        return cm_wrap(err, rc, "cannot deploy %s to target %s", keyring_file, target->name);
    }
    return 0;
}

void kf_place_close(struct kf_place *place)
{
    kf_close_fd(&place->base);
    kf_close_fd(&place->store);
    kf_close_fd(&place->data);
}

int kf_place_current(const struct kf_place *place, int64_t *ret, struct cm_err *err)
{
    char content[NUMBER_SIZE];
    *ret = 0;
    ssize_t len = readlinkat(place->base, KF_CURRENT, content, sizeof(content) - 1);
    if (len < 0 && errno == ENOENT)
        return 0;
    content[len > 0 ? len : 0] = '\0';
    *ret = kf_generation_number(content);
    if (*ret == 0)
        return cm_fail(err, CM_EIO,
                       "%s/" STORE_DIR "/%s/" KF_CURRENT " does not name a generation; remove it",
                       place->target->directory, place->name);
    return 0;
}

/* Makes the links that are missing; one of a format that was switched off goes. */
static int make_links(const struct kf_place *place, struct cm_err *err)
{
    struct kf_link link[KF_LINKS];
    bool changed = false;
    kf_place_links(place, link);
    for (size_t i = 0; i < KF_LINKS; i++) {
        int there =
            kf_place_link(place, link[i].name, link[i].content, link[i].wanted ? err : NULL);
        if (there < 0 && link[i].wanted)
            return there;
        if (there == (link[i].wanted ? 1 : 0) || there < 0)
            continue;
        int rc = link[i].wanted ? symlinkat(link[i].content, place->data, link[i].name)
                                : unlinkat(place->data, link[i].name, 0);
        if (rc < 0)
            return cm_fail_errno(err, errno, "cannot change link %s/%s", place->target->directory,
                                 link[i].name);
        changed = true;
    }
    if (changed && fsync(place->data) < 0)
        return cm_fail_errno(err, errno, "cannot flush %s", place->target->directory);
    return 0;
}

/* Back to "nothing deployed": links first, so that none ever points nowhere. */
static int clear(const struct kf_place *place, struct cm_err *err)
{
    struct kf_link link[KF_LINKS];
    kf_place_links(place, link);
    for (size_t i = 0; i < KF_LINKS; i++) {
        if (kf_place_link(place, link[i].name, link[i].content, NULL) == 1)
            unlinkat(place->data, link[i].name, 0);
    }
    if (unlinkat(place->base, KF_CURRENT, 0) < 0 && errno != ENOENT)
        return cm_fail_errno(err, errno, "cannot undo the deployment of %s", place->keyring_file);
    if (fsync(place->base) < 0 || fsync(place->data) < 0)
        return cm_fail_errno(err, errno, "cannot flush %s", place->target->directory);
    return 0;
}

int kf_place_swap(const struct kf_place *place, int64_t generation, struct cm_err *err)
{
    char number[NUMBER_SIZE];
    if (generation == 0)
        return clear(place, err);
    snprintf(number, sizeof(number), "%lld", (long long)generation);
    if (unlinkat(place->base, LINK_TEMP, 0) < 0 && errno != ENOENT)
        return cm_fail_errno(err, errno, "cannot prepare the swap of %s", place->keyring_file);
    if (symlinkat(number, place->base, LINK_TEMP) < 0 ||
        renameat(place->base, LINK_TEMP, place->base, KF_CURRENT) < 0 || fsync(place->base) < 0)
        return cm_fail_errno(err, errno, "cannot swap %s to generation %s", place->keyring_file,
                             number);
    return make_links(place, err);
}
