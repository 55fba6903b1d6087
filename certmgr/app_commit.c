/*
 * A sync costs more than a step.  After one, the next waits three times as long as it took, and a
 * millisecond for each who waited for it: under load many steps share one, the more the slower the
 * disk; who is alone hardly waits.
 */
#include "certmgr/app_commit.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define PAUSE_FACTOR 3
#define PAUSE_MIN_MS 2
#define PAUSE_MAX_MS 12

struct app_commit {
    struct cm_loop *loop;
    struct cs_store *store;
    struct cm_timer *timer;
    int64_t ended_ms, pause_ms; /* when the last one ended, monotonic; what follows it */
    void (*lost)(void *arg);
    void *arg;
};

int64_t app_commit_pause(int64_t took_ms, size_t waiting)
{
    int64_t pause = took_ms < PAUSE_MAX_MS ? took_ms * PAUSE_FACTOR : PAUSE_MAX_MS;
    if (waiting > PAUSE_MAX_MS)
        pause = PAUSE_MAX_MS;
    else if (pause < (int64_t)waiting)
        pause = (int64_t)waiting;
    pause = pause < PAUSE_MIN_MS ? PAUSE_MIN_MS : pause;
    return pause > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause;
}

/* A store that cannot be written ends the process; the supervisor starts it again from the durable
 * state (trust-and-tests A6). */
static void run(void *arg)
{
    struct app_commit *commit = arg;
    struct cm_err err = CM_ERR_INIT;
    int64_t begun = cm_mono_ms();
    size_t waiting = cs_waiting(commit->store);
    commit->ended_ms = begun; /* for what callbacks of the commit write */
    int rv = cs_commit(commit->store, &err);
    commit->ended_ms = cm_mono_ms();
    commit->pause_ms = app_commit_pause(commit->ended_ms - begun, waiting);
    if (rv != 0)
        cm_log_err(CM_LOG_ERROR, "store", &err);
    cm_err_fini(&err);
    if (rv == CM_EIO)
        commit->lost(commit->arg);
}

struct app_commit *app_commit_new(struct cm_loop *loop, void (*lost)(void *arg), void *arg)
{
    struct app_commit *commit = cm_calloc(1, sizeof(*commit));
    *commit = (struct app_commit){.loop = loop, .pause_ms = PAUSE_MIN_MS, .lost = lost, .arg = arg};
    commit->timer = cm_timer_new(loop, run, commit);
    return commit;
}

void app_commit_free(struct app_commit *commit)
{
    if (!commit)
        return;
    cm_timer_free(commit->timer);
    cm_free(commit);
}

void app_commit_store(struct app_commit *commit, struct cs_store *store)
{
    commit->store = store;
}

void app_commit_arm(void *arg)
{
    struct app_commit *commit = arg;
    int64_t wait = commit->ended_ms + commit->pause_ms - cm_mono_ms();
    if (wait <= 0)
        cm_loop_defer(commit->loop, run, commit);
    else
        cm_timer_start(commit->timer, wait);
}

void app_commit_now(struct app_commit *commit)
{
    run(commit);
}
