/*
 * The order of a recipe's steps: what follows a phase that went well.
 *
 * A set is read back after it was written: another writer may have come between, and a provider may
 * show the change only a little later.
 */
#include <string.h>

#include "base/core/mem.h"
#include "certmgr/dns/recipe_machine.h"

#define ROUNDS_MAX  3 /* read, merge, write; once more when another writer came between */
#define REREADS_MAX 3

static const char *mode_of(const struct rcp_machine *m)
{
    return cm_json_str_or(cm_json_obj(m->job.recipe, "txt"), "mode", "sep");
}

static bool is_set(const struct rcp_machine *m)
{
    return strcmp(mode_of(m), "set") == 0;
}

struct wants {
    const json_t *record;
    size_t named, missing;
};

static int want(void *arg, const struct rcp_hole *hole, struct cm_err *err)
{
    struct wants *w = arg;
    (void)err;
    if (strcmp(hole->root, "record") == 0) {
        w->named++;
        if (!json_object_get(w->record, hole->name))
            w->missing++;
    }
    return 0;
}

/* The add's record holds every {{record.x}} that the delete names: no need to look again. */
static bool delete_ready(struct rcp_machine *m)
{
    struct wants w = {.record = rcpm_sub(m, "record")};
    if (m->job.adding || is_set(m))
        return false;
    (void)rcp_holes_in(rcpm_step(m, "delete"), want, &w, NULL);
    return w.named > 0 && w.missing == 0;
}

void rcpm_after_zone(struct rcp_machine *m)
{
    if (delete_ready(m)) {
        json_decref(m->targets);
        m->targets = json_pack("[O]", json_object_get(m->vars.values, "record"));
        rcpm_go(m, P_DELETE);
    } else if (rcpm_step(m, "find")) {
        json_array_clear(m->found);
        rcpm_go(m, P_FIND);
    } else {
        rcpm_go(m, m->job.adding ? P_ADD : P_DELETE);
    }
}

static void begin_put(struct rcp_machine *m)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *items = m->job.adding ? rcp_set_with(m->found, &m->vars, &err)
                                  : rcp_set_without(m->found, m->job.value);
    if (!items) {
        rcpm_fail(m, &err);
        return;
    }
    bool empty = json_array_size(items) == 0;
    json_object_set_new(m->vars.values, "values", items);
    json_decref(m->before);
    m->before = json_deep_copy(m->found);
    rcpm_go(m, empty && rcpm_step(m, "clear") ? P_CLEAR : P_PUT);
}

/* Everything with our value goes: a repeated add may have left two. */
static void collect_targets(struct rcp_machine *m)
{
    json_decref(m->targets);
    m->targets = json_array();
    for (size_t i = 0; i < json_array_size(m->found); i++) {
        const json_t *one = json_array_get(m->found, i);
        if (strcmp(cm_json_str_or(one, "value", ""), m->job.value) == 0)
            json_array_append_new(m->targets,
                                  json_pack("{s:O*}", "id", json_object_get(one, "id")));
    }
}

void rcpm_after_find(struct rcp_machine *m)
{
    bool there = rcp_set_has(m->found, m->job.value);
    if (there == m->job.adding) {
        rcpm_trace(m, "find", there ? "the value is there already" : "the value is gone already");
        collect_targets(m);
        if (there)
            json_object_update(rcpm_sub(m, "record"), json_array_get(m->targets, 0));
        rcpm_end(m);
    } else if (is_set(m)) {
        begin_put(m);
    } else if (m->job.adding) {
        rcpm_go(m, P_ADD);
    } else {
        collect_targets(m);
        json_object_update(rcpm_sub(m, "record"), json_array_get(m->targets, 0));
        rcpm_go(m, P_DELETE);
    }
}

static bool reads_back(const struct rcp_machine *m)
{
    return is_set(m) && cm_json_bool(cm_json_obj(m->job.recipe, "txt"), "read_back", true);
}

void rcpm_after_write(struct rcp_machine *m, enum rcp_phase done)
{
    if (done < P_COMMIT && rcpm_step(m, "commit")) {
        rcpm_go(m, P_COMMIT);
    } else if (done < P_WAIT && rcpm_step(m, "wait")) {
        m->waited_ms = 0;
        rcpm_go(m, P_WAIT);
    } else if (done < P_CHECK && reads_back(m)) {
        json_array_clear(m->found);
        rcpm_go(m, P_CHECK);
    } else {
        rcpm_end(m);
    }
}

void rcpm_after_delete(struct rcp_machine *m)
{
    json_array_remove(m->targets, 0);
    if (json_array_size(m->targets) > 0) {
        json_object_update(rcpm_sub(m, "record"), json_array_get(m->targets, 0));
        rcpm_go(m, P_DELETE);
    } else {
        rcpm_after_write(m, P_DELETE);
    }
}

/* Another writer may have replaced the set between our reading and writing; a provider may also
 * show the change only a little later. */
void rcpm_after_check(struct rcp_machine *m)
{
    struct cm_err err = CM_ERR_INIT;
    bool ours = rcp_set_has(m->found, m->job.value) == m->job.adding;
    if (ours && rcp_set_kept(m->before, m->found, m->job.value)) {
        rcpm_end(m);
    } else if (++m->rereads <= REREADS_MAX) {
        rcpm_trace(m, "read back", "the set is not yet as written; looking again");
        json_array_clear(m->found);
        rcpm_go(m, P_CHECK);
        m->pause_ms = 1000 * (int64_t)m->rereads;
    } else if (!ours && ++m->rounds < ROUNDS_MAX) {
        m->rereads = 0;
        begin_put(m);
    } else {
        cm_fail(&err, CM_EPEER, "%s: the provider took the TXT set but shows another one",
                m->job.fqdn);
        err.retry = CM_RETRY_TRANSIENT;
        rcpm_fail(m, &err);
    }
}
