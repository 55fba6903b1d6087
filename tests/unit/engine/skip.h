/*
 * Time that nobody waits for: while nothing happens, the clocks of this program run ahead to what
 * is due next.  Pauses of seconds (a poll, the key agent's absence) take milliseconds, and what
 * would wait for ever fails as soon.  For tests whose peers are all in the same loop.
 */
#pragma once

#include <stdbool.h>

void skip_waits(bool wanted);
/* How often a descriptor has become ready so far. */
unsigned skip_wakes(void);
