/*
 * How much of what somebody else can cause without end is told in the log: ten lines a minute, and
 * then how many there were besides.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CM_TOLD_MAX 10
#define CM_TOLD_MS  60000

/* Zeroed at first. */
struct cm_told {
    int64_t since_ms; /* monotonic: of the first one … */
    int64_t count;    /* … and how many since then */
};

/* One more: is it to be told?  *ret_left_out: how many of the minute before were not (for a line of
 * their own), else 0. */
bool cm_told_more(struct cm_told *told, int64_t *ret_left_out);
