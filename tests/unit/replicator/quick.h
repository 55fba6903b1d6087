/*
 * Pauses of seconds (back-off, throttles) are a twentieth here; time limits are what they are.  For
 * the source file of a test program that is linked with --wrap=cm_timer_start (CMakeLists.txt).
 */
#pragma once

#include "base/net/loop.h"

static bool unhurried; /* a test wants all pauses as they are */

void __real_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms);
void __wrap_cm_timer_start(struct cm_timer *timer, int64_t ms)
{
    __real_cm_timer_start(timer, !unhurried && ms >= 100 && ms <= 8000 ? ms / 20 : ms);
}
