/* Alarms about former certificates.  See former_alarm.h. */
#include "certmgr/engine/former_alarm.h"

#include <string.h>

#include "base/net/hostname.h"

#define LEVEL_WARNING  1 /* certmgr/notify/rules.h */
#define LEVEL_CRITICAL 3

json_t *eng_former_alarm_new(const json_t *row, const json_t *error, bool compromised)
{
    json_t *alarm = json_object();
    const char *ulid = cm_json_str_or(row, "credential", "");
    const char *name = json_string_value(json_array_get(cm_json_arr(row, "san"), 0));
    char unicode[HOSTNAME_MAX] = "";
    hostname_to_unicode(name ? name : ulid, unicode, sizeof(unicode));
    CM_AUTO_STR title = cm_asprintf("Revocation of the former certificate of %s failed", unicode);
    CM_AUTO_STR where = cm_asprintf("credential %s", ulid);
    CM_AUTO_STR path = cm_asprintf("/credentials/%s", ulid);
    cm_json_set_str(alarm, "kind", "revocation_failed");
    cm_json_set_int(alarm, "level", compromised ? LEVEL_CRITICAL : LEVEL_WARNING);
    cm_json_set_str(alarm, "title", title);
    cm_json_set_str(alarm, "where", where);
    cm_json_set_str(alarm, "path", path);
    cm_json_set_str(alarm, "what", cm_json_str(error, "what"));
    json_object_set(alarm, "because", cm_json_arr(error, "causes"));
    cm_json_set_str(alarm, "hint", cm_json_str(error, "hint"));
    cm_json_set_time(alarm, "next_at", cm_json_time(error, "next_attempt_at", 0));
    return alarm;
}

void eng_former_alarm_keep(struct engine *engine, const char *ulid, const json_t *alarm)
{
    struct cm_err err = CM_ERR_INIT;
    CM_AUTO_STR key = cm_asprintf(FORMER_ALARM "%s", ulid);
    CM_AUTO_JSON before = cs_kv_get(engine->env.store, "state", key);
    int rc = 0;
    if (alarm) {
        CM_AUTO_JSON row = json_deep_copy(alarm);
        cm_json_set_time(row, "since", cm_json_time(before, "since", cm_now_ms()));
        rc = cs_kv_put(engine->env.store, "state", key, row, &err);
    } else if (before) {
        rc = cs_kv_del(engine->env.store, "state", key, &err);
    }
    if (rc < 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}

static int on_alarm(void *arg, const char *key, const json_t *value)
{
    json_object_set_new(arg, key + strlen(FORMER_ALARM), json_deep_copy(value));
    return 0;
}

json_t *eng_former_alarms(struct engine *engine)
{
    json_t *all = json_object();
    cs_kv_each(engine->env.store, "state", FORMER_ALARM, on_alarm, all);
    return all;
}
