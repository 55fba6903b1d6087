/* The memory of what was told. */
#include "certmgr/notify/notice.h"

#include "base/core/json.h"

static void tell(json_t *events, const char *event, const char *key, const json_t *row,
                 int64_t now_ms)
{
    json_t *out = json_deep_copy(row);
    cm_json_set_str(out, "event", event);
    cm_json_set_str(out, "key", key);
    json_object_del(out, "told_at");
    json_object_del(out, "hold");
    if (!json_object_get(out, "since"))
        json_object_set(out, "since", json_object_get(out, "opened_at"));
    if (event[0] == 'r') {
        cm_json_set_time(out, "resolved_at", now_ms);
        json_object_del(out, "next_at");
        json_object_del(out, "hint");
    }
    json_array_append_new(events, out);
}

/* The condition with the row's own members. */
static json_t *row_of(const json_t *condition, int64_t opened_ms, int64_t told_ms)
{
    json_t *row = json_deep_copy(condition);
    json_object_del(row, "hold");
    cm_json_set_time(row, "opened_at", opened_ms);
    cm_json_set_time(row, "told_at", told_ms);
    return row;
}

static void look_at_open(json_t *rows, const char *key, const json_t *condition, int64_t now_ms,
                         int64_t remind_ms, json_t *events, json_t *changed)
{
    const json_t *row = json_object_get(rows, key);
    bool hold = cm_json_bool(condition, "hold", false);
    if (!row && hold)
        return;
    int64_t told = cm_json_time(row, "told_at", 0);
    int64_t opened = cm_json_time(row, "opened_at", 0);
    bool worse = row && cm_json_int(condition, "level", 0) > cm_json_int(row, "level", 0);
    const char *event = !row                         ? "open"
                        : hold                       ? NULL
                        : worse                      ? "worse"
                        : now_ms - told >= remind_ms ? "still"
                                                     : NULL;
    /* The clock was set back: the next reminder comes a full interval from now. */
    bool ahead = told > now_ms;
    if (hold && !ahead)
        return; /* the text stays the one that was told */
    json_t *next = row_of(condition, row ? opened : now_ms, event || ahead ? now_ms : told);
    if (event)
        tell(events, event, key, next, now_ms);
    if (event || ahead)
        json_object_set(changed, key, next);
    json_object_set_new(rows, key, next);
}

json_t *notice_update(json_t *rows, const json_t *open, int64_t now_ms, int64_t remind_ms,
                      json_t *changed)
{
    json_t *events = json_array();
    CM_AUTO_JSON before = json_copy(rows);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)open, key, value)
    {
        look_at_open(rows, key, value, now_ms, remind_ms, events, changed);
    }
    json_object_foreach(before, key, value)
    {
        if (json_object_get(open, key))
            continue;
        tell(events, "resolved", key, value, now_ms);
        json_object_set_new(changed, key, json_null());
        json_object_del(rows, key);
    }
    return events;
}
