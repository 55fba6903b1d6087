/* See crash.h. */
#include "certstore/crash.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/file.h"
#include "base/core/mem.h"

#define MARKER   "/damaged"
#define PATH_LEN 4096

_Thread_local unsigned cs_reading;

static const int watched[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE};
#define WATCHED (sizeof(watched) / sizeof(watched[0]))

static struct sigaction before[WATCHED];
static char marker[PATH_LEN];

/* Only what is allowed within a signal handler. */
static void tell(const char *text, size_t len)
{
    if (write(STDERR_FILENO, text, len) < 0)
        return;
}

/* A data file that was cut off, or whose disk fails, is found out by reading it through the map:
 * SIGBUS, whoever reads. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    static const char cut[] = "certmgr: the data file of the certificate store (data.mdb) cannot "
                              "be read to its end: it was cut off, or its disk fails. Look at the "
                              "disk, and restore the newest backup.\n";
    static const char damaged[] =
        "certmgr: reading the certificate store ended this process: its data are damaged. Stop "
        "certmgr and run \"certmgr store check\"; then restore the newest backup, or on a server "
        "that is not the manager join again (man certmgr, WHEN A SERVER IS LOST).\n";
    (void)context;
    if (number == SIGBUS)
        tell(cut, sizeof(cut) - 1);
    else if (cs_reading > 0)
        tell(damaged, sizeof(damaged) - 1);
    if (number == SIGBUS || cs_reading > 0) {
        int fd = open(marker, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            close(fd);
    }
    /* What would have happened without us happens now: reading again, abort() or who sent it. */
    struct sigaction former = {.sa_handler = SIG_DFL};
    for (size_t i = 0; i < WATCHED && number != SIGBUS; i++)
        if (watched[i] == number)
            former = before[i];
    (void)sigaction(number, &former, NULL);
    if (info->si_code <= 0)
        (void)raise(number);
}

void cs_crash_watch(const char *dir)
{
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO};
    if (snprintf(marker, sizeof(marker), "%s" MARKER, dir) >= (int)sizeof(marker))
        marker[0] = '\0';
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < WATCHED; i++) {
        struct sigaction old;
        if (sigaction(watched[i], &action, &old) == 0 && old.sa_sigaction != on_crash)
            before[i] = old;
    }
}

bool cs_crash_noted(const char *dir)
{
    CM_AUTO_STR path = cm_asprintf("%s" MARKER, dir);
    return cm_path_exists(path);
}

void cs_crash_forget(const char *dir)
{
    CM_AUTO_STR path = cm_asprintf("%s" MARKER, dir);
    (void)unlink(path); /* there again at the next crash */
}

int cs_crash_refuse(struct cm_err *err)
{
    cm_fail(err, CM_EIO, CS_CRASH_PROBLEM);
    cm_err_hint(err,
                "Stop certmgr and run \"certmgr store check\"; then restore the newest backup, "
                "or on a server that is not the manager join again.");
    return CM_EIO;
}
