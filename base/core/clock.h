/* The one clock.  Everything that needs the time asks here; tests set it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CM_TIME_TEXT 25 /* "2026-11-22T02:16:42.123Z" + NUL */

/* Wall clock, milliseconds since 1970-01-01 UTC. */
int64_t cm_now_ms(void);
/* Monotonic clock, milliseconds, for intervals. */
int64_t cm_mono_ms(void);
/* As cm_mono_ms(), but it goes on while the machine sleeps: to tell a clock that was set from one
 * that went on. */
int64_t cm_boot_ms(void);
/* Tests: wall and monotonic clock stand still at these values until moved; ms < 0 = real again. */
void cm_clock_fake(int64_t wall_ms, int64_t mono_ms);

/* RFC 3339 UTC.  Written with milliseconds; a fraction of any length (or none) is read. */
void cm_time_format(int64_t ms, char out[CM_TIME_TEXT]);
/* Strict: "YYYY-MM-DDTHH:MM:SS[.fff]Z"; returns 0 or CM_EMALF. */
int cm_time_parse(const char *text, int64_t *ret_ms);
