/* Alarms of the fleet.  See alarm.h. */
#include "certmgr/fleet/alarm.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/log.h"

#define TABLE "state"

void fleet_alarm_raise(struct cs_store *store, const struct fleet_alarm *alarm)
{
    CM_AUTO_JSON before = cs_kv_get(store, TABLE, alarm->key);
    struct cm_err err = CM_ERR_INIT;
    int level = alarm->level > 0 ? alarm->level : 1;
    if (before && strcmp(cm_json_str_or(before, "what", ""), alarm->what) == 0 &&
        cm_json_int(before, "level", 1) == level)
        return;
    CM_AUTO_JSON row = json_object();
    cm_json_set_str(row, "kind", alarm->kind);
    cm_json_set_int(row, "level", level);
    cm_json_set_str(row, "title", alarm->title);
    cm_json_set_str(row, "where", alarm->where);
    cm_json_set_str(row, "what", alarm->what);
    cm_json_set_str(row, "hint", alarm->hint);
    cm_json_set_time(row, "since", cm_json_time(before, "since", cm_now_ms()));
    cm_log(CM_LOG_WARN, "fleet", NULL, "%s: %s", alarm->title, alarm->what);
    if (cs_kv_put(store, TABLE, alarm->key, row, &err) < 0)
        cm_log_err(CM_LOG_WARN, "fleet", &err);
    cm_err_fini(&err);
}

void fleet_alarm_clear(struct cs_store *store, const char *key)
{
    CM_AUTO_JSON row = cs_kv_get(store, TABLE, key);
    struct cm_err err = CM_ERR_INIT;
    if (row && cs_kv_del(store, TABLE, key, &err) < 0)
        cm_log_err(CM_LOG_WARN, "fleet", &err);
    cm_err_fini(&err);
}

static int collect(void *arg, const char *key, const json_t *value)
{
    (void)key;
    json_array_append_new(arg, json_deep_copy(value));
    return 0;
}

json_t *fleet_alarms(struct cs_store *store)
{
    json_t *all = json_array();
    cs_kv_each(store, TABLE, FLEET_ALARMS, collect, all);
    return all;
}
