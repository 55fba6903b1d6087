/*
 * The scrub: the whole store is read again, some records per call, with the checks of check.c.
 *
 * Each slice has a snapshot of its own, so nothing is held between them.  Totals cannot be compared
 * this way (the store moves on); damage that nobody would meet until it is needed is what it finds.
 * Place and result lie in the local table "state": a pass goes on after a restart.
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/mem.h"
#include "certstore/crash.h"
#include "certstore/internal.h"

#define TABLE        "state"
#define KEY          "scrub"
#define PROBLEMS_MAX 100
#define SAVE_EVERY   50 /* slices between two saves of the place */

json_t *cs_scrub_status(struct cs_store *store)
{
    json_t *v = store->scrub ? json_deep_copy(store->scrub) : cs_kv_get(store, TABLE, KEY);
    if (!v)
        v = json_object();
    cm_json_set_str(v, "state", json_object_get(v, "place") ? "running" : "idle");
    json_object_del(v, "place");
    json_object_del(v, "slices");
    if (!json_object_get(v, "problems"))
        cm_json_set(v, "problems", json_array());
    if (store->damaged)
        json_array_insert_new(cm_json_arr(v, "problems"), 0, json_string(CS_CRASH_PROBLEM));
    return v;
}

static bool due(const json_t *state)
{
    int64_t finished = cm_json_time(state, "finished_at", 0), now = cm_now_ms();
    /* A date in the future is a clock that was set back: better once too often. */
    return finished == 0 || finished > now || now - finished >= CS_SCRUB_EVERY_S * INT64_C(1000);
}

static void begin(json_t *state)
{
    json_object_clear(state);
    cm_json_set_time(state, "started_at", cm_now_ms());
    cm_json_set_int(state, "records", 0);
    cm_json_set_str(state, "place", "");
    cm_json_set(state, "problems", json_array());
}

/* Reads up to CS_SCRUB_SLICE records from *place on; CM_ENOENT at the end. */
static int read_slice(struct cs_check *c, struct cs_key *place, int64_t *ret_read,
                      struct cm_err *err)
{
    struct cs_cursor cursor = {0};
    struct cs_slice key, value;
    *ret_read = 0;
    int rc = cs_cursor_open(c->txn, &cursor, err);
    if (rc == 0)
        rc = cs_cursor_seek(&cursor, place, &key, &value, err);
    if (rc == 0 && place->len > 1 && key.len == place->len &&
        memcmp(key.data, place->data, key.len) == 0)
        rc = cs_cursor_next(&cursor, &key, &value, err); /* it was read last time */
    while (rc == 0 && *ret_read < CS_SCRUB_SLICE) {
        cs_check_record(c, &key, &value);
        ++*ret_read;
        place->len = 0;
        cs_key_bytes(place, key.data, key.len);
        rc = cs_cursor_next(&cursor, &key, &value, err);
    }
    cs_cursor_close(&cursor);
    return rc;
}

static void add_problems(json_t *state, const json_t *found)
{
    json_t *problems = cm_json_arr(state, "problems");
    for (size_t i = 0; i < json_array_size(found); i++) {
        const char *text = json_string_value(json_array_get(found, i));
        cm_log(CM_LOG_ERROR, "certstore", "scrub", "%s", text ? text : "");
        if (json_array_size(problems) < PROBLEMS_MAX)
            json_array_append(problems, json_array_get(found, i));
    }
}

static void finish(json_t *state)
{
    size_t problems = json_array_size(cm_json_arr(state, "problems"));
    json_object_del(state, "place");
    json_object_del(state, "slices");
    cm_json_set_time(state, "finished_at", cm_now_ms());
    cm_log(problems > 0 ? CM_LOG_ERROR : CM_LOG_INFO, "certstore", "scrub",
           "the whole store was read again: %lld records, %zu problems",
           (long long)cm_json_int(state, "records", 0), problems);
}

/* Returns 1 in the middle of the pass, 0 at its end. */
static int slice(struct cs_store *store, json_t *state, struct cm_err *err)
{
    struct cs_view view;
    struct cs_key place;
    int64_t read = 0;
    const char *hex = cm_json_str_or(state, "place", "");
    size_t len = strlen(hex) / 2;
    cs_key_begin(&place, CS_T_BEGIN);
    if (len > 0 && len <= CS_KEY_MAX && cm_hex_decode(hex, place.data, len) == 0)
        place.len = len;
    int rc = cs_view_begin(store, true, &view, err);
    if (rc < 0)
        return rc;
    struct cs_check c = {.store = store, .txn = view.txn, .problems = json_array()};
    rc = read_slice(&c, &place, &read, err);
    cs_view_end(store, &view);
    add_problems(state, c.problems);
    json_decref(c.problems);
    if (rc < 0 && rc != CM_ENOENT)
        return rc;
    cm_json_set_int(state, "records", cm_json_int(state, "records", 0) + read);
    if (rc == CM_ENOENT) {
        finish(state);
        return 0;
    }
    char text[2 * CS_KEY_MAX + 1];
    cm_hex(place.data, place.len, text);
    cm_json_set_str(state, "place", text);
    return 1;
}

int cs_scrub(struct cs_store *store, bool now, struct cm_err *err)
{
    if (store->damaged) /* it would end us again, at each start */
        return now ? cs_crash_refuse(err) : 0;
    if (store->open)
        return 1; /* what is not durable yet cannot be compared; next turn */
    if (!store->scrub)
        store->scrub = cs_kv_get(store, TABLE, KEY);
    if (!store->scrub)
        store->scrub = json_object();
    if (!json_object_get(store->scrub, "place")) {
        if (!now && !due(store->scrub))
            return 0;
        begin(store->scrub);
    }
    int64_t slices = cm_json_int(store->scrub, "slices", 0);
    int rc = slice(store, store->scrub, err);
    if (rc == 1)
        cm_json_set_int(store->scrub, "slices", slices + 1);
    if (rc == 0 || (rc == 1 && slices % SAVE_EVERY == 0)) {
        CM_AUTO_JSON copy = json_deep_copy(store->scrub);
        int saved = cs_kv_put(store, TABLE, KEY, copy, err);
        if (saved < 0)
            return saved;
    }
    return rc;
}
