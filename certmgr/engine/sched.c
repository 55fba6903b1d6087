/*
 * Which credential runs when: one timer for the earliest due time, one queue in order of arrival,
 * and as many jobs as the distance of the CAs deserves (pace.h).
 *
 * The indexes of due times and of expiry are walked forward from where the last walk ended;
 * whatever changes behind that place comes through sched_touch().  The plan is asked only when a
 * credential leaves the queue, so a storm of due documents costs one index step each.
 */
#include "certmgr/engine/guard.h"
#include "certmgr/engine/job.h"

#include <string.h>

#include "base/core/num.h"

#define PUMP_BATCH     64    /* documents looked at per loop turn */
#define TIMER_LONG_MS  60000 /* the wall clock may be set: look at least so often */
#define TIMER_SHORT_MS 100

static void pump_soon(struct engine *engine);

/* ---- table of running jobs ----------------------------------------------------------------------
 */

struct job *sched_job(struct engine *engine, const char *ulid)
{
    for (size_t i = 0; i < engine->job_count; i++)
        if (strcmp(engine->job[i]->ulid, ulid) == 0)
            return engine->job[i];
    return NULL;
}

static void take_out(struct engine *engine, const struct job *job)
{
    for (size_t i = 0; i < engine->job_count; i++) {
        if (engine->job[i] == job) {
            engine->job[i] = engine->job[--engine->job_count];
            return;
        }
    }
}

void sched_drop(struct engine *engine, const char *ulid)
{
    struct job *job = sched_job(engine, ulid);
    if (!job)
        return;
    take_out(engine, job);
    job_free(job);
    if (engine->queue)
        pump_soon(engine);
}

void sched_job_over(struct engine *engine, struct job *job)
{
    take_out(engine, job);
    char ulid[CM_ULID_TEXT];
    (void)cm_strcpy(ulid, sizeof(ulid), job->ulid);
    job_free(job);
    sched_touch(engine, ulid); /* what comes next for it, and whose turn it is */
}

/* ---- timer and index
 * ------------------------------------------------------------------------------ */

static void arm(struct engine *engine, int64_t when_ms)
{
    if (engine->armed_ms != 0 && engine->armed_ms <= when_ms && cm_timer_active(engine->timer))
        return;
    engine->armed_ms = when_ms;
    int64_t pause = when_ms - cm_now_ms();
    if (pause > TIMER_LONG_MS)
        pause = TIMER_LONG_MS;
    cm_timer_start(engine->timer, pause > TIMER_SHORT_MS ? pause : TIMER_SHORT_MS);
}

struct walk {
    struct engine *engine;
    struct eng_walk *place;
    int64_t now_ms, next_ms;
};

static int on_time(void *arg, const char *key, const char *id)
{
    struct walk *walk = arg;
    struct engine *engine = walk->engine;
    int64_t when = 0;
    if (cm_time_parse(key, &when) == 0 && when > walk->now_ms) {
        walk->next_ms = walk->next_ms && walk->next_ms < when ? walk->next_ms : when;
        return 1;
    }
    if (cm_strcpy(walk->place->key, sizeof(walk->place->key), key) == 0)
        (void)cm_strcpy(walk->place->id, sizeof(walk->place->id), id);
    const char *ulid = eng_id_name(id, "credential:");
    if (ulid && !sched_job(engine, ulid))
        json_object_set_new(engine->queue, ulid, json_true());
    return 0;
}

static void walk_index(struct walk *walk, enum cs_index index, struct eng_walk *place)
{
    bool begun = place->id[0] != '\0';
    walk->place = place;
    cs_each(walk->engine->env.store, index, "", begun ? place->key : NULL, begun ? place->id : NULL,
            on_time, walk);
}

static int on_far(void *arg, const char *key, const char *id)
{
    struct engine *engine = arg;
    const char *ulid = eng_id_name(id, "credential:");
    (void)key;
    if (ulid && !sched_job(engine, ulid))
        json_object_set_new(engine->queue, ulid, json_true());
    return 0;
}

/* Attempts that a clock that stood wrong has put years ahead: the plan knows them (eng_plan()), but
 * nobody would look before. */
static void walk_far(struct engine *engine, int64_t now_ms)
{
    char far[CM_TIME_TEXT];
    cm_time_format(cm_add_sat(now_ms, PLAN_AHEAD_MS), far);
    cs_each(engine->env.store, CS_BY_DUE, "", far, "", on_far, engine);
}

static void walk_times(struct engine *engine)
{
    struct walk walk = {.engine = engine, .now_ms = cm_now_ms()};
    if (walk.now_ms < engine->walked_ms) /* the clock was set back: times passed come again */
        engine->due = engine->expiry = (struct eng_walk){.key = ""};
    if (walk.now_ms < engine->walked_ms || engine->walked_ms == 0)
        walk_far(engine, walk.now_ms);
    engine->walked_ms = walk.now_ms;
    walk_index(&walk, CS_BY_DUE, &engine->due);
    walk_index(&walk, CS_BY_EXPIRY, &engine->expiry);
    engine->armed_ms = 0;
    if (walk.next_ms)
        arm(engine, walk.next_ms);
    if (json_object_size(engine->queue) > 0)
        pump_soon(engine);
}

static void on_timer(void *arg)
{
    walk_times(arg);
}

void sched_again(struct engine *engine)
{
    engine->due = engine->expiry = (struct eng_walk){.key = ""};
    engine->walked_ms = 0; /* what is far ahead may have been held back, too */
    if (engine->queue)
        walk_times(engine);
}

/* ---- queue
 * ------------------------------------------------------------------------------------------- */

static void look_at(struct engine *engine, const char *ulid)
{
    if (sched_job(engine, ulid))
        return; /* looked at again when its end is written */
    CM_AUTO_STR id = cm_asprintf("credential:%s", ulid);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    CM_AUTO_JSON order = body ? cs_kv_get(engine->env.store, "order", ulid) : NULL;
    if (!body)
        return;
    int64_t now = cm_now_ms();
    struct plan plan = eng_plan(body, order, now);
    if (now > engine->walked_ms)
        engine->walked_ms = now; /* the latest by which anything was planned */
    if (plan.action == PLAN_NOTHING)
        return;
    if (plan.when_ms > now) {
        arm(engine, plan.when_ms);
        return;
    }
    bool held = !eng_guard_may(engine, body, &plan); /* sched_again() finds it */
    if (held) {
        plan = eng_plan_held(body);
        if (plan.action == PLAN_NOTHING || plan.when_ms > cm_now_ms() ||
            !eng_guard_may(engine, body, &plan))
            return;
    }
    if (!eng_task_begin(engine)) {
        json_object_set_new(engine->queue, ulid, json_true());
        return;
    }
    struct job *job = job_new(engine, ulid);
    job->only_end = held;
    engine->job[engine->job_count++] = job;
    job_begin(job);
}

/* The administrator's number is the last word; those that wait for people do not count. */
static size_t places(const struct engine *engine)
{
    size_t most = eng_pace_jobs(&engine->pace), limit = (size_t)engine->env.orders_max;
    return limit > 0 && limit < most ? limit : most;
}

static bool has_room(const struct engine *engine)
{
    return !eng_task_waits(engine) && engine->job_count < ENG_JOBS_MAX &&
           engine->job_count - engine->asking < places(engine);
}

static void pump(void *arg)
{
    struct engine *engine = arg;
    engine->pump_armed = false;
    for (size_t i = 0; i < PUMP_BATCH && has_room(engine); i++) {
        void *first = json_object_iter(engine->queue);
        if (!first)
            break;
        char ulid[CM_ULID_TEXT];
        (void)cm_strcpy(ulid, sizeof(ulid), json_object_iter_key(first));
        json_object_del(engine->queue, ulid);
        look_at(engine, ulid);
    }
    if (json_object_size(engine->queue) > 0 && has_room(engine))
        pump_soon(engine);
    eng_task_rest(engine);
}

static void pump_soon(struct engine *engine)
{
    if (engine->pump_armed || !engine->pump)
        return;
    engine->pump_armed = true;
    cm_timer_start(engine->pump, 0);
}

void sched_room(struct engine *engine)
{
    if (engine->queue && json_object_size(engine->queue) > 0)
        pump_soon(engine);
}

void sched_touch(struct engine *engine, const char *ulid)
{
    if (!cm_ulid_ok(ulid) || sched_job(engine, ulid))
        return; /* a running job is looked at when it is over */
    json_object_set_new(engine->queue, ulid, json_true());
    pump_soon(engine);
}

void sched_reply(struct engine *engine, int64_t ms)
{
    bool had_room = has_room(engine);
    eng_pace_reply(&engine->pace, cm_mono_ms(), ms);
    http_client_set_conns(engine->env.http, eng_pace_conns(&engine->pace));
    if (!had_room && has_room(engine) && json_object_size(engine->queue) > 0)
        pump_soon(engine);
}

/* ---- start and stop
 * ----------------------------------------------------------------------------------- */

static int on_order(void *arg, const char *key, const json_t *value)
{
    struct engine *engine = arg;
    const char *trial = eng_id_name(key, ENG_TRIAL_PREFIX);
    if ((trial || eng_order_open(value)) && cm_ulid_ok(trial ? trial : key))
        json_object_set_new(engine->queue, trial ? trial : key, json_true());
    return 0;
}

void sched_start(struct engine *engine)
{
    engine->queue = json_object();
    eng_task_start(engine);
    eng_guard_start(engine);
    engine->timer = cm_timer_new(engine->env.loop, on_timer, engine);
    engine->pump = cm_timer_new(engine->env.loop, pump, engine);
    /* What was under way goes first. */
    cs_kv_each(engine->env.store, "order", "", on_order, engine);
    walk_times(engine);
}

void sched_stop(struct engine *engine)
{
    while (engine->job_count > 0)
        job_free(engine->job[--engine->job_count]);
    eng_guard_stop(engine);
    eng_task_stop(engine);
    cm_timer_free(engine->timer);
    cm_timer_free(engine->pump);
    json_decref(engine->queue);
    engine->timer = engine->pump = NULL;
    engine->queue = NULL;
}
