/* Killing ourselves where a test asked for it.  See step.h. */
#include "base/core/step.h"

#ifdef CM_CRASH_POINTS
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/core/mem.h"
#include "base/core/num.h"

#define WORD_MAX 16
#define TIMES    "session " /* and how often the step is passed until then */

static void note(const char *dir, const char *name)
{
    CM_AUTO_STR path = cm_asprintf("%s/trace", dir);
    CM_AUTO_STR line = cm_asprintf("%s\n", name);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, line, strlen(line)); /* a test that reads it misses the line */
    close(fd);
}

static bool is_certmgr(const char *pid)
{
    char name[8] = "";
    CM_AUTO_STR path = cm_asprintf("/proc/%s/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, name, 7) == 7 && memcmp(name, "certmgr", 7) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

/* Twice: the supervisor may have started somebody between the look and its end. */
static void kill_session(void)
{
    pid_t self = getpid(), session = getsid(0);
    for (int pass = 0; pass < 2; pass++) {
        DIR *list = opendir("/proc");
        for (struct dirent *e = list ? readdir(list) : NULL; e; e = readdir(list)) {
            int64_t pid = 0;
            if (cm_num_i64(e->d_name, 2, INT32_MAX, &pid) == 0 && pid != self &&
                getsid((pid_t)pid) == session && is_certmgr(e->d_name))
                (void)kill((pid_t)pid, SIGKILL); /* one that has ended needs none */
        }
        if (list)
            closedir(list);
    }
    (void)kill(self, SIGKILL);
}

/* "session 3" becomes "session 2". */
static bool is_for_later(const char *path, const char *word)
{
    int64_t times = 1;
    if (strncmp(word, TIMES, strlen(TIMES)) != 0 ||
        cm_num_i64(word + strlen(TIMES), 1, 9, &times) != 0 || times == 1)
        return false;
    CM_AUTO_STR rest = cm_asprintf(TIMES "%d", (int)times - 1);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    bool later = fd >= 0 && write(fd, rest, strlen(rest)) > 0;
    if (fd >= 0)
        close(fd);
    return later;
}

void cm_step(const char *name)
{
    const char *dir = getenv("CERTMGR_STEPS");
    char word[WORD_MAX] = "";
    if (dir == NULL)
        return;
    note(dir, name);
    CM_AUTO_STR path = cm_asprintf("%s/%s", dir, name);
    CM_AUTO_STR hit = cm_asprintf("%s.hit", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, word, sizeof(word) - 1);
    close(fd);
    if (n < 0 || is_for_later(path, word) || unlink(path) != 0)
        return; /* somebody else was faster: one kill for one file */
    fd = open(hit, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    if (strncmp(word, "session", 7) == 0)
        kill_session();
    if (strncmp(word, "all", 3) == 0 || strncmp(word, "parent", 6) == 0)
        (void)kill(getppid(), SIGKILL);
    if (strncmp(word, "parent", 6) != 0)
        (void)kill(getpid(), SIGKILL);
}

void cm_step_file(const char *path, const char *point)
{
    const char *slash = strrchr(path, '/');
    if (getenv("CERTMGR_STEPS") == NULL)
        return;
    CM_AUTO_STR name = cm_asprintf("%s.%s", slash ? slash + 1 : path, point);
    cm_step(name);
}
#else
typedef int cm_step_nothing; /* a translation unit is never empty (C17 6.9) */
#endif
