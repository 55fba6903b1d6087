/*
 * The shortest reply of a minute or two tells the distance: while orders queue up, here or at a
 * busy CA, the others only tell of the queue, which more orders would make longer.
 */
#include "certmgr/engine/pace.h"

#include "certmgr/engine/engine.h"

#define JOBS_PER_MS 2
#define CONNS_NEAR  7 /* and one for each millisecond */

void eng_pace_reply(struct eng_pace *pace, int64_t now_ms, int64_t took_ms)
{
    if (took_ms < 1)
        took_ms = 1;
    if (now_ms - pace->window_ms >= PACE_WINDOW_MS) {
        pace->last_best_ms = pace->best_ms;
        pace->best_ms = 0;
        pace->window_ms = now_ms;
    }
    if (pace->best_ms == 0 || took_ms < pace->best_ms)
        pace->best_ms = took_ms;
}

size_t eng_pace_jobs(const struct eng_pace *pace)
{
    int64_t ms = pace->best_ms;
    if (ms == 0 || (pace->last_best_ms != 0 && pace->last_best_ms < ms))
        ms = pace->last_best_ms;
    if (ms >= (ENG_JOBS_MAX - ENG_JOBS_NEAR) / JOBS_PER_MS)
        return ENG_JOBS_MAX;
    return ENG_JOBS_NEAR + JOBS_PER_MS * (size_t)ms;
}

size_t eng_pace_conns(const struct eng_pace *pace)
{
    size_t jobs = eng_pace_jobs(pace);
    if (jobs > 2 * ENG_JOBS_NEAR)
        return jobs;
    size_t conns = CONNS_NEAR + (jobs - ENG_JOBS_NEAR) / JOBS_PER_MS;
    return conns < HTTP_HOST_CONNS_USUAL ? conns : HTTP_HOST_CONNS_USUAL;
}
