/* A limit for lines in the log.  See told.h. */
#include "base/core/told.h"

#include "base/core/clock.h"

bool cm_told_more(struct cm_told *told, int64_t *ret_left_out)
{
    int64_t now = cm_mono_ms();
    *ret_left_out = 0;
    if (told->count == 0 || now - told->since_ms >= CM_TOLD_MS) {
        *ret_left_out = told->count > CM_TOLD_MAX ? told->count - CM_TOLD_MAX : 0;
        *told = (struct cm_told){.since_ms = now};
    }
    return ++told->count <= CM_TOLD_MAX;
}
