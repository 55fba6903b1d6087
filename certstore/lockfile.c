/* LMDB's lock file.  See lockfile.h. */
#include "certstore/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/mem.h"
#include "certstore/env.h"

#define BLOCK 512 /* of st_blocks, whatever the file system has */

int cs_lock_reserve(const char *dir, bool create, struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/lock.mdb", dir);
    CM_AUTO_STR data = cm_asprintf("%s/data.mdb", dir);
    struct cs_env env = {.dir = (char *)(uintptr_t)dir};
    struct stat st;
    if (stat(path, &st) == 0 && st.st_blocks * BLOCK >= CS_LOCK_BYTES)
        return 0;
    if (create ? cm_dir_make(dir, 0700, NULL) < 0 : !cm_path_exists(data))
        return 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return 0;
    int number = fallocate(fd, 0, 0, CS_LOCK_BYTES) == 0 ? 0 : errno;
    close(fd);
    return number == ENOSPC || number == EDQUOT
               ? cs_env_fail(&env, number, "cannot open the certificate store", err)
               : 0;
}
