/* The parts of a condition.  See condition.h. */
#include "certmgr/notify/condition.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/notify/rules.h"

json_t *condition_open(json_t *open, const char *key, const char *kind, int level)
{
    if (json_object_size(open) >= NOTICE_OPEN_MAX || strlen(key) > NOTICE_KEY_MAX)
        return NULL;
    json_t *condition = json_object();
    cm_json_set_str(condition, "kind", kind);
    cm_json_set_int(condition, "level", level);
    cm_json_set_str(condition, "severity", level >= CONDITION_CRITICAL ? "critical" : "warning");
    cm_json_set(open, key, condition);
    return condition;
}

void condition_text(json_t *condition, const char *member, char *take)
{
    cm_json_set_str(condition, member, take);
    cm_free(take);
}

void condition_error(json_t *condition, const json_t *error)
{
    json_t *causes = cm_json_arr(error, "causes");
    cm_json_set_str(condition, "what", cm_json_str(error, "what"));
    if (json_array_size(causes) > 0)
        cm_json_set(condition, "because", json_deep_copy(causes));
    cm_json_set_str(condition, "hint", cm_json_str(error, "hint"));
    cm_json_set_time(condition, "next_at", cm_json_time(error, "next_attempt_at", 0));
}
