/*
 * The program's own clock_gettime() and epoll_wait() come before those of the C library, for libuv
 * too.  See skip.h.
 */
#include "tests/unit/engine/skip.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL_MS 1  /* what may be on its way over loopback gets so much real time, … */
#define SKIP_MS 50 /* … again and again: no more is skipped at once */
#define NS_S    INT64_C(1000000000)

static bool on;
static int64_t skipped_ns;
static unsigned wakes;

void skip_waits(bool wanted)
{
    on = wanted; /* what was skipped stays: time never goes back */
}

unsigned skip_wakes(void)
{
    return wakes;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    long rc = syscall(SYS_clock_gettime, clock, ret);
    if (rc != 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
        return (int)rc;
    int64_t ns = ret->tv_nsec + skipped_ns % NS_S;
    ret->tv_sec += (time_t)(skipped_ns / NS_S + ns / NS_S);
    ret->tv_nsec = (long)(ns % NS_S);
    return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    bool skips = on && timeout > REAL_MS;
    int ms = skips ? REAL_MS : timeout;
    long ready = syscall(SYS_epoll_pwait, fd, events, max, ms, NULL, (size_t)0);
    wakes += ready > 0;
    if (ready != 0 || !skips)
        return (int)ready;
    int skip = timeout - REAL_MS < SKIP_MS ? timeout - REAL_MS : SKIP_MS;
    skipped_ns += skip * INT64_C(1000000);
    return 0; /* libuv looks at its timers, and waits again when none is due */
}
