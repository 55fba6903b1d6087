/*
 * A request is complete when the credential has been at rest since it was answered.  Nobody writes
 * that moment down, so the sweep that first sees it does (kv "state" "over/<ulid>" = {at}), and 30
 * days later the server where the request was made buries it; the tombstone goes up to the manager.
 * The marks ("over/…", intake's "request/…") go when the document has gone.
 */
#include "certmgr/engine/over.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/engine/life.h"

struct eng_over {
    struct cm_timer *timer;
    struct eng_walk at; /* how far this sweep is */
};

/* ---- is it complete? --------------------------------------------------------------------------
 */

static bool is_at_work(const json_t *credential)
{
    static const char *const working[] = {"draft", "pending",        "waiting",
                                          "renew", "revoke_pending", "update_servers"};
    const char *status = cm_json_str_or(credential, "status", "");
    for (size_t i = 0; i < sizeof(working) / sizeof(working[0]); i++)
        if (strcmp(working[i], status) == 0)
            return true;
    return strcmp(status, "error") == 0 && json_object_get(credential, "next_action_at");
}

/* The credential names this request, or one made later, or was written after it (a serial is the
 * wall clock's): so it was answered. */
static bool is_complete(struct engine *engine, const char *ulid, const json_t *request)
{
    const char *name = cm_json_str_or(request, "credential", "");
    CM_AUTO_STR id = cm_asprintf("credential:%s", name);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    if (!body)
        return eng_is_gone(engine, name);
    int64_t at = cm_json_time(request, "at", 0);
    return !is_at_work(body) &&
           (strcmp(cm_json_str_or(body, "request", ""), ulid) == 0 ||
            cm_json_time(body, "requested_at", 0) > at || cm_json_int(body, "serial", 0) > at);
}

/* ---- one request ------------------------------------------------------------------------------
 */

static void note(struct engine *engine, const char *key)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_JSON value = json_object();
    cm_json_set_time(value, "at", cm_now_ms());
    if (cs_kv_put(engine->env.store, "state", key, value, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* the next sweep does it */
    cm_err_fini(&err);
}

static void on_gone(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)arg;
    (void)doc;
    if (err && err->code != CM_ENOENT) /* the next sweep finds it again */
        cm_log_err(CM_LOG_WARN, "engine", err);
}

static void look_at(struct engine *engine, const char *id)
{
    const char *ulid = eng_id_name(id, "request:");
    CM_AUTO_JSON request = ulid ? cs_peek_body(engine->env.store, id) : NULL;
    if (!request || !is_complete(engine, ulid, request))
        return;
    const char *made = cm_json_str_or(cm_json_obj(request, "by"), "server", "");
    bool own = strcmp(made, engine->env.self) == 0;
    if (!own && !engine->env.manager)
        return;
    CM_AUTO_STR key = cm_asprintf("over/%s", ulid);
    CM_AUTO_JSON mark = cs_kv_get(engine->env.store, "state", key);
    if (!mark) {
        note(engine, key);
        return;
    }
    int64_t days = own ? OVER_DAYS : OVER_OTHERS_DAYS;
    if (cm_json_time(mark, "at", 0) + days * OVER_SWEEP_MS < cm_now_ms())
        eng_edit(engine, id, "request", eng_edit_gone, on_gone, NULL);
}

/* ---- marks ------------------------------------------------------------------------------------
 */

struct marks {
    struct engine *engine;
    json_t *keys;
};

static int on_mark(void *arg, const char *key, const json_t *value)
{
    struct marks *marks = arg;
    CM_AUTO_STR id = cm_asprintf("request:%s", strchr(key, '/') + 1);
    CM_AUTO_JSON body = cs_peek_body(marks->engine->env.store, id);
    if (!body && cm_json_time(value, "at", 0) + OVER_DAYS * OVER_SWEEP_MS < cm_now_ms())
        json_array_append_new(marks->keys, json_string(key));
    return 0;
}

static void sweep_marks(struct engine *engine)
{
    struct marks marks = {.engine = engine, .keys = json_array()};
    struct cm_err err = CM_ERR_INIT;
    int rc = cs_kv_each(engine->env.store, "state", "over/", on_mark, &marks);
    if (rc == 0)
        rc = cs_kv_each(engine->env.store, "state", "request/", on_mark, &marks);
    size_t i;
    json_t *key;
    json_array_foreach(marks.keys, i, key)
    {
        if (rc == 0)
            rc = cs_kv_del(engine->env.store, "state", json_string_value(key), &err);
    }
    if (err.code != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
    json_decref(marks.keys);
}

/* ---- the sweep --------------------------------------------------------------------------------
 */

struct slice {
    struct eng_over *over;
    json_t *ids;
};

static int on_id(void *arg, const char *key, const char *id)
{
    struct slice *slice = arg;
    if (json_array_size(slice->ids) == OVER_SLICE)
        return 1;
    (void)cm_strcpy(slice->over->at.key, sizeof(slice->over->at.key), key);
    (void)cm_strcpy(slice->over->at.id, sizeof(slice->over->at.id), id);
    json_array_append_new(slice->ids, json_string(id));
    return 0;
}

static void on_sweep(void *arg)
{
    struct engine *engine = arg;
    struct eng_over *over = engine->over;
    struct slice slice = {.over = over, .ids = json_array()};
    bool begun = over->at.id[0] != '\0';
    int more = cs_each(engine->env.store, CS_BY_TYPE, "request", begun ? over->at.key : NULL,
                       begun ? over->at.id : NULL, on_id, &slice);
    size_t i;
    json_t *id;
    json_array_foreach(slice.ids, i, id)
    {
        look_at(engine, json_string_value(id));
    }
    json_decref(slice.ids);
    if (more > 0) {
        cm_timer_start(over->timer, OVER_PAUSE_MS);
        return;
    }
    sweep_marks(engine);
    over->at = (struct eng_walk){.key = ""};
    cm_timer_start(over->timer, OVER_SWEEP_MS);
}

void eng_over_start(struct engine *engine)
{
    engine->over = cm_calloc(1, sizeof(*engine->over));
    engine->over->timer = cm_timer_new(engine->env.loop, on_sweep, engine);
    cm_timer_start(engine->over->timer, 0);
}

void eng_over_stop(struct engine *engine)
{
    if (!engine->over)
        return;
    cm_timer_free(engine->over->timer);
    cm_free(engine->over);
    engine->over = NULL;
}
