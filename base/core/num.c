/* Strict decimal numbers and saturating arithmetic. */
#include "base/core/num.h"

#include "base/core/err.h"

int cm_num_i64(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    if (!text)
        return CM_EMALF;
    int64_t sign = 1;
    if (*text == '-' && min < 0) {
        sign = -1;
        text++;
    }
    if (*text == '\0')
        return CM_EMALF;
    int64_t value = 0;
    int overflow = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return CM_EMALF;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, sign * (*text - '0'), &value))
            overflow = 1; /* go on: a later byte may make it no number at all */
        if (overflow)
            value = 0;
    }
    if (overflow || value < min || value > max)
        return CM_ELIMIT;
    *ret = value;
    return 0;
}

int64_t cm_add_sat(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

int64_t cm_mul_sat(int64_t a, int64_t b)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
    return product;
}
