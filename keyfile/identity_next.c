/* Pending and former keys.  See identity_next.h. */
#include "keyfile/identity_next.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/step.h"

#define FILE_MAX 16384

/* identity.json is the last to be written and the first to go: a directory without it is no
 * identity. */
static const char *const files[] = {"seal.key", "sign.key", "seal.crt", "identity.json"};
#define FILES (sizeof(files) / sizeof(files[0]))

static char *in(const char *dir, const char *name)
{
    return cm_asprintf("%s/%s", dir, name);
}

static bool is_complete(const char *dir)
{
    CM_AUTO_STR head = in(dir, files[FILES - 1]);
    return cm_path_exists(head);
}

static int copy(const char *from_dir, const char *to_dir, const char *name, struct cm_err *err)
{
    CM_AUTO_STR from = in(from_dir, name);
    CM_AUTO_STR to = in(to_dir, name);
    char *text;
    size_t len;
    int rc = cm_file_read(from, FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    rc = cm_file_write(to, text, len, strcmp(name, "seal.crt") == 0 ? 0644 : 0600, err);
    cm_free_secret(text, len);
    return rc;
}

static int copy_all(const char *from, const char *to, struct cm_err *err)
{
    int rc = cm_dir_make(to, 0700, err);
    for (size_t i = 0; rc == 0 && i < FILES; i++) {
        rc = copy(from, to, files[i], err);
        if (i == 0)
            cm_step("identity.half");
    }
    return rc;
}

/* Overwritten first: on most disks that is all that can be done against who reads them later. */
static int destroy_file(const char *path, struct cm_err *err)
{
    static const char zeros[4096];
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : cm_fail_errno(err, errno, "cannot open %s", path);
    bool ok = fstat(fd, &st) == 0;
    for (off_t at = 0; ok && at < st.st_size;) {
        size_t left = (size_t)(st.st_size - at);
        ssize_t n = write(fd, zeros, left < sizeof(zeros) ? left : sizeof(zeros));
        ok = n > 0;
        at += n;
    }
    ok = ok && fdatasync(fd) == 0;
    int why = errno;
    close(fd);
    if (!ok)
        return cm_fail_errno(err, why, "cannot overwrite %s", path);
    return unlink(path) == 0 ? 0 : cm_fail_errno(err, errno, "cannot remove %s", path);
}

static int destroy(const char *dir, struct cm_err *err)
{
    struct stat st;
    int rc = 0;
    if (lstat(dir, &st) < 0)
        return errno == ENOENT ? 0 : cm_fail_errno(err, errno, "cannot examine %s", dir);
    for (size_t i = FILES; rc == 0 && i-- > 0;) {
        CM_AUTO_STR path = in(dir, files[i]);
        rc = destroy_file(path, err);
        if (rc == 0 && i == FILES - 1)
            rc = cm_dir_sync(dir, err);
        cm_step("identity.destroying");
    }
    if (rc == 0 && rmdir(dir) < 0)
        rc = cm_fail_errno(err, errno, "cannot remove %s", dir);
    return rc;
}

/* From the point of no return on: may be done again and again. */
static int finish_exchange(const char *dir, const char *next, struct cm_err *err)
{
    int rc = copy_all(next, dir, err);
    cm_step("identity.exchanged");
    return rc < 0 ? rc : destroy(next, err);
}

static int recover(const char *dir, struct cm_err *err)
{
    CM_AUTO_STR next = in(dir, "next");
    CM_AUTO_STR old = in(dir, "old");
    int rc = 0;
    if (is_complete(old) && is_complete(next))
        return finish_exchange(dir, next, err);
    if (!is_complete(old))
        rc = destroy(old, err);
    if (rc == 0 && !is_complete(next))
        rc = destroy(next, err);
    return rc;
}

static int load_beside(const char *dir, const char *name, struct kf_identity **ret,
                       struct cm_err *err)
{
    CM_AUTO_STR path = in(dir, name);
    if (!is_complete(path))
        return 0;
    *ret = cm_calloc(1, sizeof(**ret));
    int rc = kf_identity_load(path, *ret, err);
    if (rc < 0) {
        cm_free(*ret);
        *ret = NULL;
    }
    return rc;
}

int kf_identity_load_all(const char *dir, struct kf_identity *ret, struct cm_err *err)
{
    *ret = (struct kf_identity){0};
    int rc = is_complete(dir) ? recover(dir, err) : 0;
    if (rc == 0)
        rc = kf_identity_load(dir, ret, err);
    if (rc == 0)
        rc = load_beside(dir, "old", &ret->former, err);
    if (rc == 0)
        rc = load_beside(dir, "next", &ret->pending, err);
    if (rc < 0)
        kf_identity_fini(ret);
    return rc;
}

int kf_identity_prepare(const char *dir, struct kf_identity *identity, struct cm_err *err)
{
    CM_AUTO_STR next = in(dir, "next");
    if (identity->pending)
        return 0;
    if (identity->former) {
        cm_fail(err, CM_EBUSY, "the keys of server %s are being replaced already", identity->name);
        cm_err_hint(err, "Wait until the former keys are gone: certmgr server rotate --status.");
        return CM_EBUSY;
    }
    struct kf_identity *made = cm_calloc(1, sizeof(*made));
    int rc = kf_identity_create(next, identity->name, made, err);
    if (rc < 0)
        cm_free(made);
    else
        identity->pending = made;
    cm_step("identity.prepared");
    return rc;
}

static int reload(const char *dir, struct kf_identity *identity, struct cm_err *err)
{
    struct kf_identity again;
    int rc = kf_identity_load_all(dir, &again, err);
    if (rc < 0)
        return rc;
    kf_identity_fini(identity);
    *identity = again;
    return 0;
}

int kf_identity_exchange(const char *dir, struct kf_identity *identity, struct cm_err *err)
{
    CM_AUTO_STR next = in(dir, "next");
    CM_AUTO_STR old = in(dir, "old");
    CM_BUG_ON(!identity->pending);
    int rc = copy_all(dir, old, err);
    cm_step("identity.kept");
    if (rc == 0)
        rc = finish_exchange(dir, next, err);
    return rc < 0 ? rc : reload(dir, identity, err);
}

int kf_identity_drop_former(const char *dir, struct kf_identity *identity, struct cm_err *err)
{
    CM_AUTO_STR old = in(dir, "old");
    int rc = destroy(old, err);
    return rc < 0 ? rc : reload(dir, identity, err);
}

int kf_identity_drop_pending(const char *dir, struct kf_identity *identity, struct cm_err *err)
{
    CM_AUTO_STR next = in(dir, "next");
    int rc = destroy(next, err);
    return rc < 0 ? rc : reload(dir, identity, err);
}
