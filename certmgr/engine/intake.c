/*
 * The manager answers request: documents.  A request comes from any server of the fleet, so it is
 * checked here again from the beginning; its outcome, a refusal too, is written to the credential
 * (intake_answer.c).
 *
 * Once per request: the credential names the last request that changed it, and the local table
 * "state" (key "request/<ulid>") remembers the ones answered, until the request is removed
 * (over.c).
 */
#include "certmgr/engine/intake_answer.h"

#include <stdio.h>
#include <string.h>

#include "certmgr/engine/import.h"
#include "certmgr/engine/life.h"
#include "certmgr/engine/manual.h"
#include "certmgr/engine/term.h"
#include "keyfile/maker.h"

static void answered_key(const char *ulid, char *out, size_t size)
{
    snprintf(out, size, "request/%s", ulid);
}

static void remember(struct engine *engine, const char *ulid, const char *outcome)
{
    char key[CS_KV_KEY_MAX + 1];
    answered_key(ulid, key, sizeof(key));
    CM_AUTO_JSON value = json_object();
    cm_json_set_time(value, "at", cm_now_ms());
    cm_json_set_str(value, "outcome", outcome);
    struct cm_err err = CM_ERR_INIT;
    if (cs_kv_put(engine->env.store, "state", key, value, &err) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &err); /* then the credential's own mark must do */
    cm_err_fini(&err);
}

static void intake_free(struct intake *intake)
{
    json_decref(intake->request);
    json_decref(intake->notes);
    json_decref(intake->former);
    cm_err_fini(&intake->unwritable);
    cm_free(intake);
}

/* Could the answer not be written, but may be later?  A request that was acknowledged is never
 * given up for an agent that is away or a disk that is full. */
static bool passes(const struct cm_err *err)
{
    return err->code == CM_EBUSY || err->code == CM_ECLOSED || err->code == CM_EFULL ||
           err->code == CM_EIO || err->code == CM_ECONFLICT || err->code == CM_ETIMEOUT;
}

static void tell(const struct intake *intake)
{
    struct engine *engine = intake->engine;
    const json_t *by = json_object_get(intake->request, "by");
    eng_step(engine, intake->credential, CM_LOG_INFO, "%s (by %s on %s)",
             intake->outcome ? intake->outcome : "Request answered",
             cm_json_str_or(by, "who", "unknown"), cm_json_str_or(by, "server", "unknown"));
    size_t i;
    json_t *note;
    json_array_foreach(intake->notes, i, note)
    {
        eng_step(engine, intake->credential, CM_LOG_INFO, "%s", json_string_value(note));
    }
}

static void pump(struct engine *engine);

/* ---- the keyring's place
 * -------------------------------------------------------------------------- */

static void on_answered(void *arg, const struct cs_doc *doc, const struct cm_err *err);

/* Another file name or target takes no other certificate: the servers write what they have there.
 */
static int edit_place(void *arg, json_t *body, struct cm_err *err)
{
    const struct intake *intake = arg;
    (void)err;
    if (intake->engine->dead || !cm_json_str(body, "leaf"))
        return 1;
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "credential:%s", intake->credential);
    CM_AUTO_JSON credential = cs_get_body(intake->engine->env.store, id);
    if (eng_is_refused(credential) || !eng_place_differs(body, credential))
        return 1;
    eng_place_take(body, credential);
    return 0;
}

/* What the credential has taken, the servers get; also when only that was left to do. */
static int edit_handed(void *arg, json_t *body, struct cm_err *err)
{
    const struct intake *intake = arg;
    (void)err;
    if (intake->engine->dead)
        return 1;
    CM_AUTO_STR id = cm_asprintf("credential:%s", intake->credential);
    CM_AUTO_JSON credential = cs_get_body(intake->engine->env.store, id);
    return eng_manual_keyfile(intake->credential, credential, body);
}

static void on_handed(struct intake *intake)
{
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", intake->credential);
    if (intake->former)
        eng_archive_former(intake->engine, intake->credential, intake->former, NULL, NULL);
    eng_edit(intake->engine, id, "keyfile", edit_handed, on_answered, intake);
}

static void on_edited(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct intake *intake = arg;
    bool brought = intake->action == ACTION_HANDED || intake->action == ACTION_IMPORT;
    if (!err && !intake->engine->dead && brought) {
        on_handed(intake);
        return;
    }
    if (err || intake->engine->dead || intake->action != ACTION_ISSUE) {
        on_answered(intake, doc, err);
        return;
    }
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "keyfile:%s", intake->credential);
    eng_edit(intake->engine, id, "keyfile", edit_place, on_answered, intake);
}

/* A document that is refused for good, by the schema or the agent, must not leave its request
 * "pending" for ever.  False: it was this answer that was refused, or there is nothing to write it
 * to. */
static bool answer_unwritable(struct intake *intake, const struct cm_err *err)
{
    if (intake->unwritable.code != 0 || err->code == CM_ENOENT)
        return false;
    cm_log_err(CM_LOG_ERROR, "engine", err);
    cm_err_copy(&intake->unwritable, err);
    json_decref(intake->notes); /* of the outcome that there is not */
    intake->notes = NULL;
    CM_AUTO_STR id = cm_asprintf("credential:%s", intake->credential);
    eng_edit(intake->engine, id, "credential", intake_answer_unwritable, on_answered, intake);
    return true;
}

/* Answered, or not: the end of one intake. */
static void on_answered(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct intake *intake = arg;
    struct engine *engine = intake->engine;
    (void)doc;
    if (engine->dead) {
        intake_free(intake);
        return;
    }
    if (err && !passes(err) && answer_unwritable(intake, err))
        return;
    json_object_del(engine->busy_requests, intake->ulid);
    eng_files_unclaim(engine, intake->credential);
    if (err && passes(err)) {
        json_object_set_new(engine->requests, intake->ulid, json_true());
        cm_timer_start(engine->intake_timer, ENG_AGENT_AWAY_MS);
        intake_free(intake);
        return;
    }
    if (err)
        cm_log_err(CM_LOG_ERROR, "engine", err);
    else
        tell(intake);
    remember(engine, intake->ulid, intake->outcome ? intake->outcome : "failed");
    intake_free(intake);
    pump(engine);
}

/* ---- finding requests
 * -------------------------------------------------------------------------------- */

static bool is_answered(struct engine *engine, const char *ulid)
{
    char key[CS_KV_KEY_MAX + 1];
    answered_key(ulid, key, sizeof(key));
    CM_AUTO_JSON value = cs_kv_get(engine->env.store, "state", key);
    return value || json_object_get(engine->busy_requests, ulid);
}

/* A manager that took over has no memory of its predecessor: what was asked before the request that
 * the credential shows, and from an older version of it, was answered then. */
static bool is_old(const struct engine *engine, const char *credential, const json_t *request)
{
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "credential:%s", credential);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    if (!body && eng_is_gone(engine, credential))
        return true;
    return eng_term_before(engine, request) &&
           cm_json_int(request, "base_serial", 0) < cm_json_int(body, "serial", 0) &&
           cm_json_time(request, "at", 0) < cm_json_time(body, "requested_at", 0);
}

/* The number of a credential that there is not yet is that of the server where it was made: nobody
 * who reads it on a hub gets in before. */
static bool is_taken(const struct engine *engine, const char *credential, const json_t *request)
{
    const struct kf_trust *trust = engine->env.trust(engine->env.trust_arg);
    const struct kf_server *maker = kf_maker_of(trust, credential);
    const char *by = cm_json_str(cm_json_obj(request, "signature"), "by");
    const struct kf_server *signer = by ? kf_trust_server(trust, by) : NULL;
    if (!maker || !by || strcmp(maker->name, by) == 0 || (signer && signer->manager))
        return false;
    CM_AUTO_STR id = cm_asprintf("credential:%s", credential);
    CM_AUTO_JSON body = cs_peek_body(engine->env.store, id);
    if (!body)
        cm_log(CM_LOG_WARN, "engine", cm_json_str(request, "_id"),
               "not answered: a credential with this number is made on server %s, not on %s",
               maker->name, by);
    return !body;
}

static void start(struct engine *engine, const char *ulid)
{
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "request:%s", ulid);
    json_t *request = cs_get_body(engine->env.store, id);
    enum intake_action action = intake_action_of(cm_json_str_or(request, "action", ""));
    const char *credential = cm_json_str(request, "credential");
    if (!request || !cm_ulid_ok(credential) || action == ACTION_COUNT ||
        is_old(engine, credential, request) || is_taken(engine, credential, request) ||
        (action == ACTION_IMPORT && !eng_import_ours(engine, request))) {
        if (request)
            remember(engine, ulid, "not answered");
        json_decref(request);
        return;
    }
    struct intake *intake = cm_calloc(1, sizeof(*intake));
    intake->engine = engine;
    intake->request = request;
    intake->action = action;
    (void)cm_strcpy(intake->ulid, sizeof(intake->ulid), ulid);
    (void)cm_strcpy(intake->credential, sizeof(intake->credential), credential);
    json_object_set_new(engine->busy_requests, ulid, json_true());
    snprintf(id, sizeof(id), "credential:%s", credential);
    eng_edit(engine, id, "credential", intake_answer, on_edited, intake);
}

static void pump(struct engine *engine)
{
    while (json_object_size(engine->busy_requests) < ENG_INTAKES_MAX) {
        void *first = json_object_iter(engine->requests);
        if (!first)
            return;
        char ulid[CM_ULID_TEXT];
        (void)cm_strcpy(ulid, sizeof(ulid), json_object_iter_key(first));
        json_object_del(engine->requests, ulid);
        start(engine, ulid);
    }
}

static void on_timer(void *arg)
{
    pump(arg);
}

static void enqueue(struct engine *engine, const char *ulid)
{
    if (cm_ulid_ok(ulid) && !is_answered(engine, ulid))
        json_object_set_new(engine->requests, ulid, json_true());
}

void intake_request(struct engine *engine, const char *ulid)
{
    enqueue(engine, ulid);
    pump(engine);
}

static int on_request(void *arg, const char *key, const char *id)
{
    (void)key;
    const char *ulid = eng_id_name(id, "request:");
    if (ulid)
        enqueue(arg, ulid);
    return 0;
}

void intake_start(struct engine *engine)
{
    engine->requests = json_object();
    engine->busy_requests = json_object();
    engine->intake_timer = cm_timer_new(engine->env.loop, on_timer, engine);
    cs_each(engine->env.store, CS_BY_TYPE, "request", NULL, NULL, on_request, engine);
    cm_timer_start(engine->intake_timer, 0);
}

void intake_stop(struct engine *engine)
{
    cm_timer_free(engine->intake_timer);
    json_decref(engine->requests);
    json_decref(engine->busy_requests);
    engine->intake_timer = NULL;
    engine->requests = engine->busy_requests = NULL;
}
