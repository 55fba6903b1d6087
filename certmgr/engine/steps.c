/*
 * The step log of a credential: kv table "log", key `<ulid>/<16 digits>`, oldest first.
 *
 * The number is the time in microseconds, made unique, so that lines sort and never collide after
 * a restart.
 */
#include "certmgr/engine/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/core/utf8.h"

#define STEP_TEXT_MAX 1024
#define STEP_KEY_MAX  (CM_ULID_TEXT + 1 + 20)

static const char *level_name(int level)
{
    switch (level) {
    case CM_LOG_DEBUG:
        return "debug";
    case CM_LOG_WARN:
        return "warn";
    case CM_LOG_ERROR:
        return "error";
    default:
        return "info";
    }
}

void eng_step_from(struct engine *engine, const char *credential, const char *server, int level,
                   const char *text)
{
    if (engine->dead || !cm_ulid_ok(credential))
        return;
    int64_t now = cm_now_ms(), number = now * 1000;
    if (number <= engine->last_step)
        number = engine->last_step + 1;
    engine->last_step = number;
    char key[STEP_KEY_MAX];
    snprintf(key, sizeof(key), "%s/%016" PRId64, credential, number);
    CM_AUTO_JSON line = json_object();
    cm_json_set_time(line, "at", now);
    cm_json_set_str(line, "level", level_name(level));
    cm_json_set_str(line, "text", text);
    cm_json_set_str(line, "server", server);
    struct cm_err err = CM_ERR_INIT;
    /* The log is for people: a full disk must not stop the work it tells about. */
    if (cs_kv_put(engine->env.store, "log", key, line, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}

void eng_step(struct engine *engine, const char *credential, int level, const char *fmt, ...)
{
    char text[STEP_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (len < 0)
        return;
    cm_utf8_trim(text);
    cm_utf8_fix(text);
    eng_step_from(engine, credential, NULL, level, text);
}

static int collect_line(void *arg, const char *key, const json_t *value)
{
    json_t *lines = arg;
    const char *slash = strchr(key, '/');
    json_t *line = json_object();
    if (json_array_size(lines) == ENG_STEPS_SHOWN)
        json_array_remove(lines, 0);
    cm_json_set_str(line, "id", slash ? slash + 1 : key);
    json_object_update(line, (json_t *)(uintptr_t)value);
    json_array_append_new(lines, line);
    return 0;
}

json_t *eng_steps(struct engine *engine, const char *credential)
{
    json_t *lines = json_array();
    char prefix[STEP_KEY_MAX];
    snprintf(prefix, sizeof(prefix), "%s/", credential);
    cs_kv_each(engine->env.store, "log", prefix, collect_line, lines);
    return lines;
}

static int collect_key(void *arg, const char *key, const json_t *value)
{
    (void)value;
    json_array_append_new(arg, json_string(key));
    return 0;
}

void eng_steps_trim(struct engine *engine, const char *credential)
{
    CM_AUTO_JSON keys = json_array();
    char prefix[STEP_KEY_MAX];
    snprintf(prefix, sizeof(prefix), "%s/", credential);
    cs_kv_each(engine->env.store, "log", prefix, collect_key, keys);
    size_t count = json_array_size(keys);
    for (size_t i = 0; i + ENG_STEPS_SHOWN < count; i++)
        (void)cs_kv_del(engine->env.store, "log", json_string_value(json_array_get(keys, i)),
                        NULL); /* a line too many harms nobody */
}
