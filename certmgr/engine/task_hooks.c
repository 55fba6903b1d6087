/*
 * Commands around the task's work at CAs ([orders] of certmgr.conf): `before` is run when the first
 * job is about to begin, which waits for its end; `after` once when all of them have ended, and so
 * only if something was attempted.  What they do is theirs: a failure is told and nothing waits for
 * a person.
 */
#include <string.h>

#include "certmgr/engine/internal.h"

struct eng_task {
    enum { TASK_RESTS, TASK_BEFORE, TASK_WORKS, TASK_AFTER } state;
    json_t *last; /* {step, at, error?}, or NULL */
};

static void on_hook(void *arg, const char *output, const struct cm_err *err)
{
    struct engine *engine = arg;
    struct eng_task *task = engine->task;
    if (!engine->dead && task) {
        const char *step = task->state == TASK_BEFORE ? "before" : "after";
        json_decref(task->last);
        task->last = json_object();
        cm_json_set_str(task->last, "step", step);
        cm_json_set_time(task->last, "at", cm_now_ms());
        cm_json_set_str(task->last, "error", err ? err->what : NULL);
        if (err)
            cm_log(CM_LOG_ERROR, "engine", NULL, "%s%s%s", err->what, output[0] ? ": " : "",
                   output);
        task->state = task->state == TASK_BEFORE ? TASK_WORKS : TASK_RESTS;
        sched_room(engine);
    }
    eng_unref(engine);
}

static void run(struct engine *engine, const char *step)
{
    engine->refs++;
    engine->env.task_hook(engine->env.task_hook_arg, step, on_hook, engine);
}

bool eng_task_waits(const struct engine *engine)
{
    const struct eng_task *task = engine->task;
    return task && (task->state == TASK_BEFORE || task->state == TASK_AFTER);
}

bool eng_task_begin(struct engine *engine)
{
    struct eng_task *task = engine->task;
    if (!task || task->state == TASK_WORKS)
        return true;
    if (task->state != TASK_RESTS)
        return false;
    if (!engine->env.has_before) {
        task->state = TASK_WORKS;
        return true;
    }
    task->state = TASK_BEFORE;
    run(engine, "before");
    return false;
}

void eng_task_rest(struct engine *engine)
{
    struct eng_task *task = engine->task;
    if (!task || task->state != TASK_WORKS || engine->job_count > 0 ||
        json_object_size(engine->queue) > 0)
        return;
    task->state = engine->env.has_after ? TASK_AFTER : TASK_RESTS;
    if (engine->env.has_after)
        run(engine, "after");
}

json_t *eng_task_view(const struct engine *engine)
{
    return engine->task ? json_deep_copy(engine->task->last) : NULL;
}

void eng_task_start(struct engine *engine)
{
    if (engine->env.task_hook && (engine->env.has_before || engine->env.has_after))
        engine->task = cm_calloc(1, sizeof(*engine->task));
}

void eng_task_stop(struct engine *engine)
{
    if (!engine->task)
        return;
    json_decref(engine->task->last);
    cm_free(engine->task);
    engine->task = NULL;
}
