/*
 * Which keyfile: documents are deployed when: changed ones and, after a start, all that list this
 * server, sorted into one queue per configured target; failed ones again later.
 */
#include "certmgr/engine/deploy.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/engine/dep_hold.h"
#include "certmgr/engine/dep_run.h"

#define INBOX_BATCH   50    /* documents read per loop turn */
#define RETRY_LONG_MS 60000 /* the wall clock may be set: look at least so often */

static void arm_retry(struct deployer *deployer);

/* ---- queues -----------------------------------------------------------------------------------
 */

static struct dep_place *place_of(struct deployer *deployer, const char *target)
{
    for (size_t i = 0; i < deployer->place_count; i++)
        if (strcmp(deployer->place[i].name, target) == 0)
            return &deployer->place[i];
    return NULL;
}

static json_t *read_document(const struct deployer *deployer, const char *ulid)
{
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", ulid);
    json_t *document = cs_peek_body(deployer->env.store, id);
    if (cm_json_has_str(cm_json_arr(document, "servers"), deployer->env.self))
        return document;
    json_decref(document);
    return NULL; /* silence never undeploys: what is there stays */
}

/* Not in force yet: what is deployed stays, and this comes again at its time. */
static bool is_held(struct deployer *deployer, const char *ulid, const json_t *document)
{
    int64_t until = dep_hold(deployer->holds, ulid, document, cm_now_ms(), cm_mono_ms());
    if (until == 0)
        return false;
    json_object_set_new(deployer->retry, ulid, json_integer(until));
    arm_retry(deployer);
    return true;
}

static void pump(struct dep_place *place)
{
    struct deployer *deployer = place->deployer;
    while (!place->run) {
        void *first = json_object_iter(place->queue);
        if (!first)
            return;
        char ulid[CM_ULID_TEXT];
        (void)cm_strcpy(ulid, sizeof(ulid), json_object_iter_key(first));
        json_object_del(place->queue, ulid);
        json_t *document = read_document(deployer, ulid);
        if (!document || is_held(deployer, ulid, document)) {
            json_decref(document);
            continue;
        }
        CM_AUTO_STR id = cm_asprintf("receipt:%s:%s", deployer->env.self, ulid);
        dep_run_start(place, ulid, document, cs_get_body(deployer->env.store, id));
    }
}

void dep_run_over(struct dep_place *place, const char *ulid, int64_t retry_ms)
{
    struct deployer *deployer = place->deployer;
    if (retry_ms > 0) {
        json_object_set_new(deployer->retry, ulid, json_integer(retry_ms));
        arm_retry(deployer);
    }
    pump(place);
}

/* ---- documents for targets that do not exist here
 * ------------------------------------------------- */

static void on_reported(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)arg;
    (void)doc;
    if (err)
        cm_log_err(CM_LOG_ERROR, "deploy", err); /* told again at the next start */
}

static void report_no_target(struct deployer *deployer, const char *ulid, const json_t *document,
                             const char *target)
{
    CM_AUTO_STR id = cm_asprintf("receipt:%s:%s", deployer->env.self, ulid);
    CM_AUTO_JSON before = cs_get_body(deployer->env.store, id);
    const json_t *fingerprint = json_object_get(document, "fingerprint");
    if (strcmp(cm_json_str_or(before, "state", ""), "failed") == 0 &&
        json_equal(json_object_get(before, "fingerprint"), fingerprint) &&
        strcmp(cm_json_str_or(before, "target", ""), target) == 0)
        return; /* known */
    struct cm_err err = CM_ERR_INIT;
    cm_fail(&err, CM_EHUMAN, "The target \"%.63s\" is not configured on server %s", target,
            deployer->env.self);
    cm_err_object(&err, "keyfile:%s", ulid);
    cm_err_hint(&err,
                "Add a section [target %.63s] with its data directory to certmgr.conf there, "
                "and restart certmgr",
                target);
    struct dep_report report = {
        .state = "failed", .target = target, .document = document, .err = &err};
    dep_report(deployer, ulid, &report, on_reported, NULL);
    cm_err_fini(&err);
}

/* ---- inbox
 * ---------------------------------------------------------------------------------------- */

static void sort_in(struct deployer *deployer, const char *ulid)
{
    CM_AUTO_JSON document = read_document(deployer, ulid);
    if (!document)
        return;
    const char *target = cm_json_str_or(document, "target", "default");
    struct dep_place *place = place_of(deployer, target);
    if (!place) {
        report_no_target(deployer, ulid, document, target);
        return;
    }
    json_object_del(deployer->retry, ulid); /* now is sooner */
    json_object_set_new(place->queue, ulid, json_true());
    pump(place);
}

static void on_inbox(void *arg)
{
    struct deployer *deployer = arg;
    for (size_t i = 0; i < INBOX_BATCH; i++) {
        void *first = json_object_iter(deployer->inbox);
        if (!first)
            return;
        char ulid[CM_ULID_TEXT];
        (void)cm_strcpy(ulid, sizeof(ulid), json_object_iter_key(first));
        json_object_del(deployer->inbox, ulid);
        sort_in(deployer, ulid);
    }
    cm_timer_start(deployer->inbox_timer, 0);
}

static void put_in(struct deployer *deployer, const char *id)
{
    const char *ulid = eng_id_name(id, "keyfile:");
    if (!ulid || !cm_ulid_ok(ulid))
        return;
    json_object_set_new(deployer->inbox, ulid, json_true());
    if (!cm_timer_active(deployer->inbox_timer))
        cm_timer_start(deployer->inbox_timer, 0);
}

static void on_change(void *arg, const char *id)
{
    put_in(arg, id);
}

static int on_keyfile(void *arg, const char *key, const char *id)
{
    (void)key;
    put_in(arg, id);
    return 0;
}

/* ---- retries
 * ---------------------------------------------------------------------------------------- */

static void arm_retry(struct deployer *deployer)
{
    const char *ulid;
    json_t *when;
    int64_t first = 0;
    json_object_foreach(deployer->retry, ulid, when)
    {
        if (first == 0 || json_integer_value(when) < first)
            first = json_integer_value(when);
    }
    if (first == 0) {
        cm_timer_stop(deployer->retry_timer);
        return;
    }
    int64_t pause = first - cm_now_ms();
    if (pause > RETRY_LONG_MS)
        pause = RETRY_LONG_MS;
    cm_timer_start(deployer->retry_timer, pause > 100 ? pause : 100);
}

static void on_retry(void *arg)
{
    struct deployer *deployer = arg;
    const char *ulid;
    json_t *when;
    void *next;
    json_object_foreach_safe(deployer->retry, next, ulid, when)
    {
        if (json_integer_value(when) > cm_now_ms())
            continue;
        CM_AUTO_STR id = cm_asprintf("keyfile:%s", ulid);
        json_object_del(deployer->retry, ulid);
        put_in(deployer, id);
    }
    arm_retry(deployer);
}

/* ---- life
 * --------------------------------------------------------------------------------------------- */

struct deployer *dep_new(const struct eng_env *env, struct engine *engine,
                         const struct dep_target *targets, size_t target_count,
                         const struct dep_hooks *hooks, const struct dep_wire *wire)
{
    struct deployer *deployer = cm_calloc(1, sizeof(*deployer));
    deployer->env = *env;
    deployer->engine = engine;
    deployer->hooks = *hooks;
    deployer->wire = *wire;
    deployer->inbox = json_object();
    deployer->retry = json_object();
    deployer->holds = json_object();
    deployer->inbox_timer = cm_timer_new(env->loop, on_inbox, deployer);
    deployer->retry_timer = cm_timer_new(env->loop, on_retry, deployer);
    deployer->place = cm_calloc(target_count ? target_count : 1, sizeof(*deployer->place));
    deployer->place_count = target_count;
    for (size_t i = 0; i < target_count; i++) {
        const char *check = targets[i].check;
        deployer->place[i] = (struct dep_place){.deployer = deployer,
                                                .name = cm_strdup(targets[i].name),
                                                .check = check && *check ? cm_strdup(check) : NULL,
                                                .has_test = targets[i].has_test,
                                                .has_reload = targets[i].has_reload,
                                                .queue = json_object()};
    }
    deployer->ear = eng_ear_new(env->store, on_change, deployer);
    cs_each(env->store, CS_BY_TYPE, "keyfile", NULL, NULL, on_keyfile, deployer);
    return deployer;
}

void dep_free(struct deployer *deployer)
{
    if (!deployer)
        return;
    eng_ear_off(deployer->ear);
    for (size_t i = 0; i < deployer->place_count; i++) {
        struct dep_place *place = &deployer->place[i];
        if (place->run)
            dep_run_drop(place->run);
        json_decref(place->queue);
        cm_free(place->name);
        cm_free(place->check);
    }
    cm_free(deployer->place);
    cm_timer_free(deployer->inbox_timer);
    cm_timer_free(deployer->retry_timer);
    json_decref(deployer->inbox);
    json_decref(deployer->retry);
    json_decref(deployer->holds);
    cm_free(deployer);
}
