/*
 * Never a third identical certificate within a week without a person: kv "budget" "issued/<ulid>"
 * = {set, request, order, at: [time…]} of a credential.  A request of a person begins anew.  A
 * certificate that lives shorter than a week is counted within its life, so that planned renewals
 * (at two thirds of it) never come near.
 */
#include "certmgr/engine/guard.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX 64

static void again_key(const json_t *credential, char out[KEY_MAX])
{
    const char *ulid = eng_id_name(cm_json_str_or(credential, "_id", ""), "credential:");
    snprintf(out, KEY_MAX, "issued/%.40s", ulid ? ulid : "");
}

/* The issues of this set since the last request of a person, or NULL. */
static json_t *again_times(struct engine *engine, const json_t *credential, const json_t *names)
{
    char key[KEY_MAX], hex[CM_SHA256_HEX];
    again_key(credential, key);
    CM_AUTO_JSON row = cs_kv_get(engine->env.store, "budget", key);
    CM_AUTO_STR set = eng_names_sorted(names);
    cm_sha256_hex(set, strlen(set), hex);
    if (strcmp(cm_json_str_or(row, "set", ""), hex) != 0 ||
        strcmp(cm_json_str_or(row, "request", ""), cm_json_str_or(credential, "request", "")) != 0)
        return NULL;
    return json_incref(cm_json_arr(row, "at"));
}

bool eng_again_loops(struct engine *engine, const json_t *credential, const json_t *names)
{
    CM_AUTO_JSON times = again_times(engine, credential, names);
    int64_t from = cm_json_time(credential, "not_before", 0);
    int64_t to = cm_json_time(credential, "not_after", 0);
    int64_t window = to > from && to - from < GUARD_AGAIN_MS ? to - from : GUARD_AGAIN_MS;
    size_t count = 0, i;
    json_t *item;
    json_array_foreach(times, i, item)
    {
        int64_t at = 0;
        if (cm_time_parse(json_string_value(item), &at) == 0 && at <= cm_now_ms() &&
            cm_now_ms() - at < window)
            count++;
    }
    return count >= GUARD_AGAIN;
}

void eng_again_note(struct engine *engine, const json_t *credential, const json_t *names,
                    const char *order)
{
    char key[KEY_MAX], hex[CM_SHA256_HEX], now[CM_TIME_TEXT];
    struct cm_err err = CM_ERR_INIT;
    again_key(credential, key);
    CM_AUTO_JSON old = cs_kv_get(engine->env.store, "budget", key);
    if (order && strcmp(cm_json_str_or(old, "order", ""), order) == 0)
        return; /* the same certificate, downloaded again after a crash */
    CM_AUTO_JSON known = again_times(engine, credential, names);
    CM_AUTO_JSON times = known ? json_copy(known) : json_array();
    CM_AUTO_STR set = eng_names_sorted(names);
    cm_sha256_hex(set, strlen(set), hex);
    cm_time_format(cm_now_ms(), now);
    json_array_append_new(times, json_string(now));
    while (json_array_size(times) > GUARD_AGAIN)
        json_array_remove(times, 0);
    CM_AUTO_JSON row = json_object();
    cm_json_set_str(row, "set", hex);
    cm_json_set_str(row, "request", cm_json_str_or(credential, "request", ""));
    cm_json_set_str(row, "order", order);
    json_object_set(row, "at", times);
    if (cs_kv_put(engine->env.store, "budget", key, row, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err);
    cm_err_fini(&err);
}
