/* One keyring's place: the generations, each a directory that is written once. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/place.h"
#include "keyfile/place_impl.h"

#define META_FILE   "meta.json"
#define META_MAX    4096
#define NUMBER_SIZE 24
#define ENTRIES_MAX 64 /* files of one generation; ours has at most 6 */

static int open_generation(const struct kf_place *place, int64_t generation)
{
    char name[NUMBER_SIZE];
    snprintf(name, sizeof(name), "%lld", (long long)generation);
    return openat(place->base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* A regular file of at most max bytes (cm_free_secret); NULL when it is anything else. */
static char *read_regular(int dir, const char *name, size_t max, size_t *ret_len, struct stat *st)
{
    KF_AUTO_FD fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_size < 0 ||
        (size_t)st->st_size > max)
        return NULL;
    size_t size = (size_t)st->st_size, at = 0;
    char *data = cm_malloc(size + 1);
    while (at < size) {
        ssize_t n = read(fd, data + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    data[at] = '\0';
    *ret_len = at;
    return data;
}

int kf_place_meta(const struct kf_place *place, int64_t generation, json_t **ret,
                  struct cm_err *err)
{
    KF_AUTO_FD dir = open_generation(place, generation);
    struct stat st;
    size_t len = 0;
    *ret = NULL;
    CM_AUTO_STR text = dir < 0 ? NULL : read_regular(dir, META_FILE, META_MAX, &len, &st);
    if (!text)
        return cm_fail(err, CM_ENOENT, "generation %lld of %s has no " META_FILE,
                       (long long)generation, place->keyring_file);
    return cm_json_parse(text, len, ret, err);
}

static mode_t mode_of(const struct kf_place *place, const struct kf_file *file)
{
    return file->secret ? place->rights.key_mode : KF_MODE_CERT;
}

static bool file_intact(const struct kf_place *place, int dir, const struct kf_file *file)
{
    struct stat st;
    size_t len = 0;
    char *data = read_regular(dir, file->name, kf_file_size(file), &len, &st);
    if (!data)
        return false;
    bool same = kf_file_equals(file, data, len);
    cm_free_secret(data, len);
    uid_t uid = place->rights.uid == KF_KEEP ? geteuid() : place->rights.uid;
    return same && (st.st_mode & 07777) == mode_of(place, file) && st.st_uid == uid &&
           (place->rights.gid == (gid_t)KF_KEEP || st.st_gid == place->rights.gid);
}

bool kf_place_intact(const struct kf_place *place, int64_t generation, const struct kf_file *files,
                     size_t count)
{
    KF_AUTO_FD dir = open_generation(place, generation);
    if (dir < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!file_intact(place, dir, &files[i]))
            return false;
    }
    struct kf_link link[KF_LINKS];
    kf_place_links(place, link);
    for (size_t i = 0; i < KF_LINKS; i++) {
        int there = kf_place_link(place, link[i].name, link[i].content, NULL);
        if ((there == 1) != link[i].wanted)
            return false;
    }
    return true;
}

static int write_parts(int fd, const struct kf_file *file)
{
    for (int i = 0; i < file->parts; i++) {
        const char *at = file->part[i].iov_base;
        size_t left = file->part[i].iov_len;
        while (left > 0) {
            ssize_t n = write(fd, at, left);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return -1;
            at += n;
            left -= (size_t)n;
        }
    }
    return 0;
}

/* The mode opens the file to its group only after owner and group are right. */
static int write_file(const struct kf_place *place, int dir, const struct kf_file *file,
                      struct cm_err *err)
{
    KF_AUTO_FD fd = openat(dir, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           S_IRUSR | S_IWUSR);
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot create %s", file->name);
    if (write_parts(fd, file) < 0)
        return cm_fail_errno(err, errno, "cannot write %s", file->name);
    const struct kf_target_rights *rights = &place->rights;
    if ((rights->uid != KF_KEEP || rights->gid != (gid_t)KF_KEEP) &&
        fchown(fd, rights->uid, rights->gid) < 0) {
        cm_fail_errno(err, errno, "cannot give %s to owner \"%s\" and group \"%s\"", file->name,
                      place->target->owner, place->target->group);
        cm_err_hint(err, "Run the key agent as root, or leave owner and group out of target %s.",
                    place->target->name);
        return CM_EIO;
    }
    if (fchmod(fd, mode_of(place, file)) < 0 || fsync(fd) < 0)
        return cm_fail_errno(err, errno, "cannot finish %s", file->name);
    return 0;
}

static int write_meta(int dir, const json_t *meta, struct cm_err *err)
{
    size_t len;
    CM_AUTO_STR text = cm_json_dump(meta, &len);
    KF_AUTO_FD fd = openat(dir, META_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           S_IRUSR | S_IWUSR);
    struct kf_file file = {.parts = 1, .part = {{.iov_base = text, .iov_len = len}}};
    if (fd < 0 || write_parts(fd, &file) < 0 || fsync(fd) < 0)
        return cm_fail_errno(err, errno, "cannot write " META_FILE);
    return 0;
}

/* The generations there are, ascending; returns their number. */
static size_t list(const struct kf_place *place, int64_t out[KF_GENERATIONS_MAX])
{
    int fd = openat(place->base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t n = 0;
    if (!dir) {
        kf_close_fd(&fd);
        return 0;
    }
    for (struct dirent *e = readdir(dir); e && n < KF_GENERATIONS_MAX; e = readdir(dir)) {
        int64_t number = kf_generation_number(e->d_name);
        if (number == 0)
            continue;
        size_t at = n++;
        for (; at > 0 && out[at - 1] > number; at--)
            out[at] = out[at - 1];
        out[at] = number;
    }
    closedir(dir);
    return n;
}

static int fill(const struct kf_place *place, int dir, const struct kf_file *files, size_t count,
                const json_t *meta, struct cm_err *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = write_file(place, dir, &files[i], err);
        if (rc < 0)
            return rc;
    }
    int rc = write_meta(dir, meta, err);
    if (rc == 0 && (fchmod(dir, 0755) < 0 || fsync(dir) < 0 || fsync(place->base) < 0))
        rc = cm_fail_errno(err, errno, "cannot finish the new generation of %s",
                           place->keyring_file);
    return rc;
}

int kf_place_write(const struct kf_place *place, const struct kf_file *files, size_t count,
                   const json_t *meta, int64_t *ret_generation, struct cm_err *err)
{
    int64_t found[KF_GENERATIONS_MAX];
    size_t n = list(place, found);
    if (n == KF_GENERATIONS_MAX)
        return cm_fail(err, CM_ELIMIT, "%s has more than %d generations in %s/.certmgr",
                       place->keyring_file, KF_GENERATIONS_MAX, place->target->directory);
    int64_t generation = n > 0 ? found[n - 1] + 1 : 1;
    char name[NUMBER_SIZE];
    snprintf(name, sizeof(name), "%lld", (long long)generation);
    if (mkdirat(place->base, name, S_IRWXU) < 0)
        return cm_fail_errno(err, errno, "cannot make generation %s of %s", name,
                             place->keyring_file);
    KF_AUTO_FD dir = open_generation(place, generation);
    int rc = dir < 0 ? cm_fail_errno(err, errno, "cannot open generation %s", name)
                     : fill(place, dir, files, count, meta, err);
    if (rc < 0) {
        kf_place_remove(place, generation, NULL);
        return rc;
    }
    *ret_generation = generation;
    return 0;
}

int kf_place_remove(const struct kf_place *place, int64_t generation, struct cm_err *err)
{
    char name[NUMBER_SIZE];
    snprintf(name, sizeof(name), "%lld", (long long)generation);
    int fd = open_generation(place, generation);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int failed = errno;
        kf_close_fd(&fd);
        return failed == ENOENT ? 0 : cm_fail_errno(err, failed, "cannot open generation %s", name);
    }
    int n = 0;
    for (struct dirent *e = readdir(dir); e && n < ENTRIES_MAX; e = readdir(dir), n++) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(fd, e->d_name, 0);
    }
    closedir(dir);
    if (unlinkat(place->base, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return cm_fail_errno(err, errno, "cannot remove generation %s of %s", name,
                             place->keyring_file);
    return 0;
}

int kf_place_prune(const struct kf_place *place, struct cm_err *err)
{
    int64_t found[KF_GENERATIONS_MAX], current;
    int rc = kf_place_current(place, &current, err);
    size_t n = rc < 0 ? 0 : list(place, found);
    int kept = 0;
    for (size_t i = n; rc == 0 && i > 0; i--) {
        /* Newer than the current one: a stage that a killed process left behind. */
        if (found[i - 1] <= current && kept < KF_GENERATIONS_KEPT)
            kept++;
        else
            rc = kf_place_remove(place, found[i - 1], err);
    }
    return rc;
}
