/* The system calls.  See shim.h. */
#include "tests/fault/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ENTRIES_MAX 200000

static struct {
    enum shim_call call;
    int64_t k;
    int error;
    bool armed, sticky, hit;
    int64_t count[SHIM_CALLS];
} fault;

static struct {
    char name_end[64];
    struct shim_entry *entry;
    size_t count;
} trace;

/* ---- control ----------------------------------------------------------------------------------
 */

void shim_fail(enum shim_call call, int64_t k, int error, bool sticky)
{
    memset(&fault, 0, sizeof(fault));
    fault.call = call;
    fault.k = k;
    fault.error = error;
    fault.sticky = sticky;
    fault.armed = true;
}

void shim_off(void)
{
    fault.armed = false;
}

bool shim_hit(void)
{
    return fault.hit;
}

/* Is this the call that fails? */
static bool fails(enum shim_call call)
{
    if (!fault.armed)
        return false;
    int64_t n = ++fault.count[call];
    if (call != fault.call || n < fault.k || (n > fault.k && !fault.sticky))
        return false;
    fault.hit = true;
    errno = fault.error;
    return true;
}

/* ---- log --------------------------------------------------------------------------------------
 */

void shim_log(const char *name_end)
{
    snprintf(trace.name_end, sizeof(trace.name_end), "%s", name_end);
    if (!trace.entry)
        trace.entry = calloc(ENTRIES_MAX, sizeof(*trace.entry));
}

const struct shim_entry *shim_entries(size_t *ret_count)
{
    *ret_count = trace.count;
    return trace.entry;
}

static void add(enum shim_kind kind, off_t at, const void *data, size_t len)
{
    if (trace.count == ENTRIES_MAX)
        abort();
    struct shim_entry *e = &trace.entry[trace.count++];
    *e = (struct shim_entry){.kind = kind, .at = at, .len = len};
    if (len > 0) {
        e->data = malloc(len);
        memcpy(e->data, data, len);
    }
}

void shim_mark(int64_t number)
{
    if (trace.entry)
        add(SHIM_LOG_MARK, number, NULL, 0);
}

static bool is_logged(int fd)
{
    char link[64], path[PATH_MAX];
    if (!trace.entry)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    size_t len = strlen(trace.name_end);
    return n >= (ssize_t)len && memcmp(path + n - len, trace.name_end, len) == 0;
}

static void log_write(int fd, const void *data, size_t len, off_t at)
{
    if (!is_logged(fd))
        return;
    int flags = fcntl(fd, F_GETFL);
    add((flags & O_DSYNC) ? SHIM_LOG_DSYNC_WRITE : SHIM_LOG_WRITE, at, data, len);
}

/* ---- the calls --------------------------------------------------------------------------------
 */

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    bool fail = fails(SHIM_WRITE);
    if (fail && fault.error != SHIM_SHORT)
        return -1;
    if (fail)
        len /= 2;
    ssize_t n = syscall(SYS_pwrite64, fd, data, len, at);
    if (n > 0)
        log_write(fd, data, (size_t)n, at);
    return n;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    return pwrite(fd, data, len, at);
}

ssize_t write(int fd, const void *data, size_t len)
{
    /* Pipes and the terminal are the test's own. */
    off_t at = fd > 2 ? lseek(fd, 0, SEEK_CUR) : -1;
    bool fail = at >= 0 && fails(SHIM_WRITE);
    if (fail && fault.error != SHIM_SHORT)
        return -1;
    if (fail)
        len /= 2;
    ssize_t n = syscall(SYS_write, fd, data, len);
    if (n > 0 && at >= 0)
        log_write(fd, data, (size_t)n, at);
    return n;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    off_t at = fd > 2 ? lseek(fd, 0, SEEK_CUR) : -1;
    bool fail = at >= 0 && fails(SHIM_WRITE);
    if (fail && fault.error != SHIM_SHORT)
        return -1;
    if (fail && count > 1)
        count /= 2;
    ssize_t n = syscall(SYS_writev, fd, iov, count);
    ssize_t left = n;
    for (int i = 0; i < count && left > 0 && at >= 0; i++) {
        size_t part = iov[i].iov_len < (size_t)left ? iov[i].iov_len : (size_t)left;
        log_write(fd, iov[i].iov_base, part, at);
        at += (off_t)part;
        left -= (ssize_t)part;
    }
    return n;
}

static int sync_with(long number, int fd)
{
    if (fails(SHIM_SYNC))
        return -1;
    int rc = (int)syscall(number, fd);
    if (rc == 0 && is_logged(fd))
        add(SHIM_LOG_SYNC, 0, NULL, 0);
    return rc;
}

int fdatasync(int fd)
{
    return sync_with(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_with(SYS_fsync, fd);
}

int ftruncate(int fd, off_t len)
{
    if (fails(SHIM_TRUNCATE))
        return -1;
    int rc = (int)syscall(SYS_ftruncate, fd, len);
    if (rc == 0 && is_logged(fd))
        add(SHIM_LOG_TRUNCATE, len, NULL, 0);
    return rc;
}

int ftruncate64(int fd, off64_t len)
{
    return ftruncate(fd, len);
}

static int open_with(const char *path, int flags, va_list ap)
{
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? (mode_t)va_arg(ap, unsigned) : 0;
    if (strncmp(path, "/proc/", 6) != 0 && fails(SHIM_OPEN))
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int fd = open_with(path, flags, ap);
    va_end(ap);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int fd = open_with(path, flags, ap);
    va_end(ap);
    return fd;
}

int rename(const char *from, const char *to)
{
    return fails(SHIM_RENAME) ? -1 : (int)syscall(SYS_rename, from, to);
}
