/* The report of a period.  See report.h. */
#include "certmgr/engine/report.h"

#include <string.h>

#include "certmgr/engine/internal.h"

struct report {
    struct engine *engine; /* a reference */
    int64_t since_ms, next_ms;
    json_t *out;
    struct eng_walk at;
    bool begun;
    eng_report_fn done;
    void *arg;
};

/* ---- lists --------------------------------------------------------------------------------------
 */

static json_t *list(struct report *report, const char *name)
{
    json_t *found = json_object_get(report->out, name);
    if (found)
        return found;
    found = json_object();
    cm_json_set_int(found, "count", 0);
    cm_json_set(report->out, name, found);
    return found;
}

/* One more of this kind; a row to fill, or NULL when the list is full. */
static json_t *count(struct report *report, const char *name, const json_t *body, bool with_row)
{
    json_t *in = list(report, name);
    json_t *rows = cm_json_arr(in, "rows");
    const char *ulid = eng_id_name(cm_json_str_or(body, "_id", ""), "credential:");
    cm_json_set_int(in, "count", cm_json_int(in, "count", 0) + 1);
    if (!with_row || json_array_size(rows) >= REPORT_ROWS)
        return NULL;
    if (!rows) {
        rows = json_array();
        cm_json_set(in, "rows", rows);
    }
    json_t *row = json_object();
    cm_json_set_str(row, "credential", ulid);
    json_object_set(row, "names", cm_json_arr(body, "host_names"));
    json_array_append_new(rows, row);
    return row;
}

/* ---- one credential -----------------------------------------------------------------------------
 */

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static void issued(struct report *report, const json_t *body)
{
    static const char *const told[] = {"servers",   "target",    "keyring_file",
                                       "not_after", "issued_at", NULL};
    json_t *row = count(report, "issued", body, true);
    for (size_t i = 0; row && told[i]; i++)
        json_object_set(row, told[i], json_object_get(body, told[i]));
}

static void failed(struct report *report, const json_t *body)
{
    const json_t *error = cm_json_obj(body, "error");
    json_t *row = count(report, "failed", body, true);
    if (!row)
        return;
    cm_json_set_str(row, "text", cm_json_str_or(error, "what", "the run failed"));
    cm_json_set_time(row, "next_at", cm_json_time(body, "next_action_at", 0));
}

static void skipped(struct report *report, const json_t *body)
{
    int64_t next = cm_json_time(body, "next_action_at", 0);
    (void)count(report, "skipped", body, false);
    if (next && (!report->next_ms || next < report->next_ms))
        report->next_ms = next;
}

/* id, fix: of a contradiction (pf_row()), or NULL. */
static void misconfigured(struct report *report, const json_t *body, const char *text,
                          const char *id, const char *fix)
{
    json_t *row = count(report, "misconfigured", body, true);
    cm_json_set_str(row, "text", text);
    cm_json_set_str(row, "fix", fix);
    cm_json_set_str(row, "id", id);
}

/* Settings that no run can work with: what a submit would refuse today, and contradictions. */
static void settings(struct report *report, const char *ulid, const json_t *body)
{
    CM_AUTO_JSON fields = json_object();
    CM_AUTO_JSON checked = NULL;
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    eng_fields_take(fields, body);
    eng_check_for(report->engine, ulid, fields, &checked, &errors, &notes);
    CM_AUTO_JSON rows = eng_contradictions(report->engine, ulid, body);
    const json_t *row = json_array_get(rows, 0);
    if (json_array_size(errors) > 0)
        misconfigured(report, body, cm_json_str(json_array_get(errors, 0), "message"), NULL, NULL);
    else if (row)
        misconfigured(report, body, cm_json_str(row, "text"), cm_json_str(row, "id"),
                      cm_json_str(row, "fix"));
}

static void look_at(struct report *report, const char *id)
{
    static const char *const ended[] = {"revoked", "archived", "expired", NULL};
    static const char *const moving[] = {"pending", "waiting", "renew", "revoke_pending", NULL};
    CM_AUTO_JSON body = cs_peek_body(report->engine->env.store, id);
    const char *status = cm_json_str_or(body, "status", ""), *ulid = eng_id_name(id, "credential:");
    int64_t at = cm_json_time(body, "issued_at", 0);
    if (!body || !ulid || strcmp(status, "draft") == 0)
        return;
    if (is_one_of(status, ended)) {
        (void)count(report, "ended", body, false);
        return;
    }
    if (strcmp(status, "error") == 0 || cm_json_obj(body, "error"))
        failed(report, body);
    else if (is_one_of(status, moving))
        (void)count(report, "under_way", body, false);
    else if (at >= report->since_ms)
        issued(report, body);
    else
        skipped(report, body);
    settings(report, ulid, body);
}

/* ---- the walk -----------------------------------------------------------------------------------
 */

struct slice {
    struct report *report;
    json_t *ids;
};

static int on_id(void *arg, const char *key, const char *id)
{
    struct slice *slice = arg;
    if (json_array_size(slice->ids) == REPORT_SLICE)
        return 1;
    (void)cm_strcpy(slice->report->at.key, sizeof(slice->report->at.key), key);
    (void)cm_strcpy(slice->report->at.id, sizeof(slice->report->at.id), id);
    json_array_append_new(slice->ids, json_string(id));
    return 0;
}

static void end(struct report *report)
{
    bool dead = report->engine->dead;
    if (report->next_ms)
        cm_json_set_time(list(report, "skipped"), "next_at", report->next_ms);
    report->done(report->arg, dead ? NULL : report->out);
    eng_unref(report->engine);
    json_decref(report->out);
    cm_free(report);
}

static void turn(void *arg)
{
    struct report *report = arg;
    struct slice slice = {.report = report, .ids = json_array()};
    size_t i;
    json_t *id;
    int more = report->engine->dead ? 0
                                    : cs_each(report->engine->env.store, CS_BY_TYPE, "credential",
                                              report->begun ? report->at.key : NULL,
                                              report->begun ? report->at.id : NULL, on_id, &slice);
    report->begun = true;
    json_array_foreach(slice.ids, i, id)
    {
        look_at(report, json_string_value(id));
    }
    json_decref(slice.ids);
    if (more > 0)
        cm_loop_defer(report->engine->env.loop, turn, report);
    else
        end(report);
}

void eng_report(struct engine *engine, int64_t since_ms, eng_report_fn done, void *arg)
{
    static const char *const lists[] = {"issued",        "skipped",   "failed",
                                        "misconfigured", "under_way", "ended"};
    struct report *report = cm_calloc(1, sizeof(*report));
    *report = (struct report){
        .engine = engine, .since_ms = since_ms, .out = json_object(), .done = done, .arg = arg};
    cm_json_set_time(report->out, "since", since_ms);
    cm_json_set_time(report->out, "at", cm_now_ms());
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        (void)list(report, lists[i]);
    engine->refs++;
    cm_loop_defer(engine->env.loop, turn, report);
}
