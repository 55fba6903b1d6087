/*
 * LD_PRELOAD: the wall clock of one process family goes wrong by as many seconds as the eight bytes
 * of the file CERTMGR_SKEW_FILE say, from one moment to the next.  The file is mapped at the start,
 * so that it also works behind a sandbox; the monotonic clock stays right.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void)
{
    const char *path = getenv("CERTMGR_SKEW_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0);
    offset = map == MAP_FAILED ? NULL : map;
    close(fd);
}

static time_t skew(void)
{
    return offset ? (time_t)*offset : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, ts);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ts->tv_sec += skew();
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        return -1;
    *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = (suseconds_t)(ts.tv_nsec / 1000)};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        return (time_t)-1;
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
