/*
 * Is the wall clock to be believed?  A clock that jumps makes every certificate due, or none.  It
 * is compared with the boot clock (which nobody sets) and with the Date of the CA's replies.  Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_JUMP_MS 3600000 /* a difference of more than this is a jump */

/* All zero to begin with. */
struct clock_guard {
    int64_t wall_ms, boot_ms; /* of the last look; boot_ms 0 = none yet */
    bool doubt;
    int64_t since_ms; /* wall clock when doubt began */
    int64_t off_ms;   /* how far it jumped, or is away from the CA's */
    bool by_ca;       /* the CA's Date disagrees (else: it jumped) */
};

/* True when doubt began with this look. */
bool clock_guard_look(struct clock_guard *guard, int64_t wall_ms, int64_t boot_ms);
/* A CA says what time it is.  True when doubt began or ended with that. */
bool clock_guard_date(struct clock_guard *guard, int64_t wall_ms, int64_t date_ms);
