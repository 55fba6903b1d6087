/* What the tests of the program share: turning a loop until something happened, with an end. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/loop.h"

#define WAIT_TURNS 5000 /* of 2 ms */

static inline void nap_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&ts, NULL);
}

/* Turns the loop until the condition holds; fails the test after some seconds. */
#define TURN_UNTIL(loop, condition)                                                                \
    do {                                                                                           \
        int turn_left = WAIT_TURNS;                                                                \
        while (!(condition) && turn_left-- > 0) {                                                  \
            cm_loop_turn(loop, false);                                                             \
            if (!(condition))                                                                      \
                nap_ms(2);                                                                         \
        }                                                                                          \
        if (!(condition))                                                                          \
            fail_msg("waited in vain for %s", #condition);                                         \
    } while (0)

static inline void turn_some(struct cm_loop *loop)
{
    for (int i = 0; i < 20; i++)
        cm_loop_turn(loop, false);
}

static inline bool fd_is_open(int fd)
{
    char path[64], target[256];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target)) >= 0;
}

static inline size_t open_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fd_is_open(fd);
    return n;
}
