/* Killing ourselves where a test asked for it.  See step.h. */
#include "base/core/step.h"

#ifdef CM_CRASH_POINTS
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/mem.h"

#define WORD_MAX 16

void cm_step(const char *name)
{
    const char *dir = getenv("CERTMGR_STEPS");
    char word[WORD_MAX] = "";
    if (dir == NULL)
        return;
    CM_AUTO_STR path = cm_asprintf("%s/%s", dir, name);
    CM_AUTO_STR hit = cm_asprintf("%s.hit", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, word, sizeof(word) - 1);
    close(fd);
    if (n < 0 || unlink(path) != 0)
        return; /* somebody else was faster: one kill for one file */
    fd = open(hit, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    if (strncmp(word, "all", 3) == 0 || strncmp(word, "parent", 6) == 0)
        (void)kill(getppid(), SIGKILL);
    if (strncmp(word, "parent", 6) != 0)
        (void)kill(getpid(), SIGKILL);
}
#else
typedef int cm_step_nothing; /* a translation unit is never empty (C17 6.9) */
#endif
