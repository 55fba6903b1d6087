/* Strict numbers from outside: decimal digits only, no sign unless min < 0, no blanks. */
#pragma once

#include <stdint.h>

/* Returns 0, CM_EMALF (not a number) or CM_ELIMIT (outside [min, max]). */
int cm_num_i64(const char *text, int64_t min, int64_t max, int64_t *ret);
/* a + b, a * b capped at INT64_MAX / INT64_MIN (back-off arithmetic never wraps). */
int64_t cm_add_sat(int64_t a, int64_t b);
int64_t cm_mul_sat(int64_t a, int64_t b);
