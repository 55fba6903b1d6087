/* Whole-file reads, atomic replacement, directories. */
#include "base/core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/core/step.h"

/* Temporaries are ".<name>.<16 hex digits>.tmp". */
#define TEMP_HEX 16
#define TEMP_END ".tmp"

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
#define AUTO_FD __attribute__((cleanup(close_fd))) int

int cm_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct cm_err *err)
{
    *ret = NULL;
    /* O_NONBLOCK: a FIFO in the place of the file must not hang us. */
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot open file %s", path);
    if (fstat(fd, &st) < 0)
        return cm_fail_errno(err, errno, "cannot examine file %s", path);
    if (!S_ISREG(st.st_mode))
        return cm_fail(err, CM_EINVAL, "%s is not a regular file", path);
    struct cm_buf buf;
    cm_buf_init(&buf, max);
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        int failed = errno;
        if (n > 0)
            cm_buf_add(&buf, chunk, (size_t)n);
        cm_wipe(chunk, n > 0 ? (size_t)n : 0); /* the file may be a private key */
        if (n == 0)
            break;
        if (n < 0 || buf.failed) {
            cm_wipe(buf.data, buf.len);
            cm_buf_fini(&buf);
            return n < 0 ? cm_fail_errno(err, failed, "cannot read file %s", path)
                         : cm_fail(err, CM_ELIMIT, "file %s is longer than %zu bytes", path, max);
        }
    }
    *ret = cm_buf_take(&buf, ret_len);
    return 0;
}

/* Directory part of path into out ("." when there is none). */
static int parent_of(const char *path, char out[PATH_MAX], struct cm_err *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return cm_strcpy(out, PATH_MAX, ".");
    if (slash == path)
        return cm_strcpy(out, PATH_MAX, "/");
    if ((size_t)(slash - path) >= PATH_MAX)
        return cm_fail(err, CM_ELIMIT, "path is longer than %d bytes: %.100s…", PATH_MAX, path);
    memcpy(out, path, (size_t)(slash - path));
    out[slash - path] = '\0';
    return 0;
}

static int write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Writes, sets the exact mode (the umask does not count) and makes the data durable. */
static int fill_file(int fd, const void *data, size_t len, mode_t mode)
{
    if (fchmod(fd, mode) < 0 || write_all(fd, data, len) < 0 || fsync(fd) < 0)
        return -1;
    return 0;
}

int cm_file_write(const char *path, const void *data, size_t len, mode_t mode, struct cm_err *err)
{
    char dir[PATH_MAX];
    int rc = parent_of(path, dir, err);
    if (rc < 0)
        return rc;
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    uint8_t random[TEMP_HEX / 2];
    char suffix[2 * sizeof(random) + 1];
    cm_random(random, sizeof(random));
    cm_hex(random, sizeof(random), suffix);
    CM_AUTO_STR temp = cm_asprintf("%s/.%s.%s" TEMP_END, dir, base, suffix);

    /* Narrow until filled: fill_file() widens to the mode asked for. */
    AUTO_FD fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0700);
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot create a temporary file for %s", path);
    if (fill_file(fd, data, len, mode) < 0) {
        int failed = errno;
        unlink(temp);
        return cm_fail_errno(err, failed, "cannot write file %s", path);
    }
    cm_step_file(path, "before");
    if (rename(temp, path) < 0) {
        int failed = errno;
        unlink(temp);
        return cm_fail_errno(err, failed, "cannot replace file %s", path);
    }
    rc = cm_dir_sync(dir, err);
    cm_step_file(path, "after");
    return rc;
}

int cm_dir_make(const char *path, mode_t mode, struct cm_err *err)
{
    char part[PATH_MAX];
    if (cm_strcpy(part, sizeof(part), path) < 0)
        return cm_fail(err, CM_ELIMIT, "path is longer than %d bytes: %.100s…", PATH_MAX, path);
    for (char *at = part + 1; part[0]; at++) {
        bool last = *at == '\0';
        if (!last && *at != '/')
            continue;
        *at = '\0';
        /* The umask of this process must not close a directory that others are to enter. */
        if (mkdir(part, mode) < 0 ? errno != EEXIST : chmod(part, mode) < 0)
            return cm_fail_errno(err, errno, "cannot make directory %s", part);
        if (last)
            break;
        *at = '/';
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return cm_fail_errno(err, errno, "cannot examine directory %s", path);
    if (!S_ISDIR(st.st_mode))
        return cm_fail(err, CM_EIO, "%s exists and is not a directory", path);
    return 0;
}

static bool is_temporary(const char *name)
{
    size_t len = strlen(name);
    if (name[0] != '.' || len < 2 + 1 + TEMP_HEX + sizeof(TEMP_END) - 1)
        return false;
    const char *hex = name + len - (sizeof(TEMP_END) - 1) - TEMP_HEX;
    return strcmp(hex + TEMP_HEX, TEMP_END) == 0 && hex[-1] == '.' &&
           strspn(hex, "0123456789abcdef") == TEMP_HEX;
}

void cm_dir_tidy(const char *path)
{
    DIR *list = opendir(path);
    int dir = list ? dirfd(list) : -1;
    for (struct dirent *e = dir >= 0 ? readdir(list) : NULL; e; e = readdir(list)) {
        if (is_temporary(e->d_name))
            (void)unlinkat(dir, e->d_name, 0); /* the next start tries again */
    }
    if (list)
        closedir(list);
}

int cm_dir_sync(const char *path, struct cm_err *err)
{
    AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cm_fail_errno(err, errno, "cannot open directory %s", path);
    if (fsync(fd) < 0)
        return cm_fail_errno(err, errno, "cannot flush directory %s", path);
    return 0;
}

bool cm_path_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}
