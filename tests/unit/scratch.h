/*
 * Directories for tests.  Stores are durable after each commit; on a disk, waiting for that is nine
 * tenths of many a test's time.  So they are in memory where the system has room for that.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SCRATCH_FREE (UINT64_C(1) << 30) /* bytes that /dev/shm must have free */

/* $TMPDIR, else memory, else /tmp. */
static inline const char *scratch_base(void)
{
    const char *wanted = getenv("TMPDIR");
    struct statvfs fs;
    if (wanted && wanted[0] == '/' && strlen(wanted) < 64)
        return wanted;
    if (statvfs("/dev/shm", &fs) == 0 && access("/dev/shm", R_OK | W_OK | X_OK) == 0 &&
        !(fs.f_flag & ST_RDONLY) && (uint64_t)fs.f_bavail * fs.f_frsize >= SCRATCH_FREE)
        return "/dev/shm";
    return "/tmp";
}

/* Makes a new directory of mode 0700 whose name begins with what; its path is in dir, which has
 * room for 96 bytes at least.  The test removes it. */
static inline char *scratch_dir(char *dir, size_t size, const char *what)
{
    int len = snprintf(dir, size, "%s/%s-XXXXXX", scratch_base(), what);
    return len > 0 && (size_t)len < size ? mkdtemp(dir) : NULL;
}
