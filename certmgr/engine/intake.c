/*
 * The manager answers request: documents.  A request comes from any server of the fleet, so it is
 * checked here again from the beginning; its outcome, a refusal too, is written to the credential.
 *
 * Once per request: the credential names the last request that changed it, and the local table
 * "state" (key "request/<ulid>") remembers the ones answered, until the request is removed
 * (over.c).
 */
#include "certmgr/engine/former.h"
#include "certmgr/engine/import.h"
#include "certmgr/engine/life.h"
#include "certmgr/engine/manual.h"
#include "certmgr/engine/refusal.h"
#include "certmgr/engine/term.h"

#include <stdio.h>
#include <string.h>

/* What a request: document asks for (its `action`). */
enum intake_action {
    ACTION_ISSUE,     /* Submit Request: fields come along */
    ACTION_RETRY,     /* attempt now what failed or waits */
    ACTION_RENEW,     /* a new certificate now, whatever the date */
    ACTION_ROLL_OVER, /* the same with a new key */
    ACTION_DRY_RUN,   /* the order at the CA's staging; of new fields: they become a draft */
    ACTION_HANDED,    /* a person brings a certificate (manual.c) */
    ACTION_IMPORT,    /* … with its key (import.c) */
    ACTION_LIFE,      /* revoke, archive, delete and their like (life.c) */
    ACTION_COUNT
};

static const struct {
    const char *name;
    const char *outcome; /* for the step log */
} actions[ACTION_COUNT] = {
    [ACTION_ISSUE] = {"issue", "Request accepted"},
    [ACTION_RETRY] = {"retry", "A new attempt was asked for"},
    [ACTION_RENEW] = {"renew", "A renewal was asked for"},
    [ACTION_ROLL_OVER] = {"roll_over", "A renewal with a new key was asked for"},
    [ACTION_DRY_RUN] = {"dry_run", "A dry run was asked for"},
    [ACTION_HANDED] = {"certificate", "A certificate was handed in"},
    [ACTION_IMPORT] = {"import", "A certificate was imported with its key"},
    [ACTION_LIFE] = {"", ""},
};

struct intake {
    struct engine *engine;
    char ulid[CM_ULID_TEXT]; /* of the request */
    char credential[CM_ULID_TEXT];
    json_t *request;
    enum intake_action action;
    const char *outcome; /* for the step log; static text */
    json_t *notes;
    json_t *former;           /* the credential before the certificate was handed in, or NULL */
    struct cm_err unwritable; /* why its outcome could not be written; code 0: it could */
};

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

/* ---- outcomes, applied to the credential's body
 * --------------------------------------------------- */

static void take_origin(const struct intake *intake, json_t *body)
{
    cm_json_set_str(body, "request", intake->ulid);
    cm_json_set_str(body, "requested_by",
                    cm_json_str_or(json_object_get(intake->request, "by"), "who", "unknown"));
    json_object_set(body, "requested_at", json_object_get(intake->request, "at"));
}

/* New fields for a certificate that serves: does it take another one to fulfil them? */
static bool wants_order(const struct intake *intake, const json_t *body, const json_t *fields)
{
    return intake->action != ACTION_ISSUE ||
           strcmp(cm_json_str_or(body, "status", ""), "issued") != 0 ||
           eng_order_differs(body, fields);
}

static void accept(struct intake *intake, json_t *body, const json_t *fields)
{
    if (eng_is_import(body) && eng_is_import(fields)) {
        intake->outcome = eng_import_change(body, fields);
        take_origin(intake, body);
        return;
    }
    bool order = wants_order(intake, body, fields);
    if (eng_key_differs(body, fields)) {
        json_object_del(body, "csr");
        json_object_del(body, "csr_out");
    }
    eng_fields_take(body, fields);
    if (!eng_is_manual(body))
        json_object_del(body, "csr_out");
    take_origin(intake, body);
    json_object_del(body, "error");
    if (!eng_trial_asked(body))
        json_object_del(body, "trial"); /* of what was asked for before */
    if (!order) {
        bool paused = cm_json_bool(body, "paused", false);
        cm_json_set_time(body, "next_action_at",
                         paused ? cm_json_time(body, "not_after", 0) : eng_plan_renewal(body));
        intake->outcome = "The settings were changed; the certificate stays";
        return;
    }
    cm_json_set_str(body, "status",
                    cm_json_str(body, "chain") ? "renew"
                    : eng_csr_waits(body)      ? "waiting"
                                               : "pending");
    if (!json_object_get(body, "attempts") || intake->action != ACTION_RETRY)
        cm_json_set_int(body, "attempts", 0);
    cm_json_set_time(body, "next_action_at", cm_now_ms());
    intake->outcome = actions[intake->action].outcome;
}

static void refuse(struct intake *intake, json_t *body, const struct cm_err *why)
{
    bool fresh = !json_object_get(body, "attempts");
    take_origin(intake, body);
    cm_json_set(body, "error", cm_err_to_json(why));
    if (fresh) {
        /* Never accepted: nothing is planned, no names are held (eng_is_refused()). */
        cm_json_set_str(body, "status", "error");
        json_object_del(body, "next_action_at");
    }
    intake->outcome = "Request refused";
}

/* Checked once more, as what is handed in.  False: *ret_why says what is wrong. */
static bool take_import(struct intake *intake, json_t *body, const json_t *fields,
                        struct cm_err *ret_why)
{
    CM_AUTO_JSON former = json_copy(body);
    if (eng_import_take(intake->engine, intake->request, fields, body, intake->notes, ret_why) != 0)
        return false;
    take_origin(intake, body);
    json_decref(intake->former);
    intake->former = cm_json_str(former, "chain") ? json_incref(former) : NULL;
    intake->outcome = actions[ACTION_IMPORT].outcome;
    return true;
}

static int answer_issue(struct intake *intake, json_t *body, const json_t *wanted)
{
    struct cm_err why = CM_ERR_INIT;
    bool import = intake->action == ACTION_IMPORT;
    if ((import || intake->action == ACTION_ISSUE) &&
        cm_json_int(body, "serial", 0) != cm_json_int(intake->request, "base_serial", 0)) {
        eng_refusal_stale(body, &why);
        refuse(intake, body, &why);
        cm_err_fini(&why);
        return 0;
    }
    CM_AUTO_JSON fields = NULL;
    CM_AUTO_JSON errors = NULL;
    CM_AUTO_JSON notes = NULL;
    (import ? eng_check_import : eng_check_for)(intake->engine, intake->credential, wanted, &fields,
                                                &errors, &notes);
    bool good = json_array_size(errors) == 0;
    if (good) {
        json_decref(intake->notes);
        intake->notes = json_incref(notes);
    }
    if (good && !import)
        accept(intake, body, fields);
    if (good && (!import || take_import(intake, body, fields, &why))) {
        eng_files_claim(intake->engine, intake->credential, fields);
        return 0;
    }
    if (why.code == 0)
        eng_refusal(errors, &why);
    if (!json_object_get(body, "attempts"))
        eng_refusal_fields(body, fields, errors);
    refuse(intake, body, &why);
    cm_err_fini(&why);
    return 0;
}

/* May the task begin (again) from this status?  A valid certificate is replaced only when that was
 * asked for; it serves until the new one is proven. */
static bool may_begin(enum intake_action action, const char *status)
{
    static const char *const again[] = {"draft", "error", "pending", "waiting", "renew", "expired"};
    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++)
        if (strcmp(again[i], status) == 0)
            return true;
    return action != ACTION_RETRY &&
           (strcmp(status, "issued") == 0 || strcmp(status, "revoked") == 0);
}

/* retry, renew, roll_over: on the fields that the credential has. */
static int answer_again(struct intake *intake, json_t *body, struct cm_err *err)
{
    const char *status = cm_json_str(body, "status");
    if (!status)
        return cm_fail(err, CM_ENOENT, "credential:%s does not exist", intake->credential);
    if (eng_is_import(body)) {
        intake->outcome = "Nothing renews an imported certificate: import the next one";
        return 1;
    }
    if (eng_is_refused(body)) {
        CM_AUTO_JSON wanted = json_object();
        eng_fields_take(wanted, body);
        return answer_issue(intake, body, wanted);
    }
    if (intake->action == ACTION_RETRY && strcmp(status, "revoke_pending") == 0) {
        take_origin(intake, body);
        eng_revoke_again(body, cm_now_ms());
        return 0;
    }
    if (cm_json_bool(body, "paused", false)) {
        intake->outcome = "Nothing is done: the credential is paused";
        return 1;
    }
    if (!may_begin(intake->action, status)) {
        intake->outcome = "Nothing to try again";
        return 1;
    }
    if (eng_is_manual(body) && intake->action == ACTION_RENEW && eng_csr_waits(body) &&
        !cm_json_str(body, "csr")) {
        intake->outcome = "The CSR for this key is there already";
        return 1;
    }
    if (eng_is_manual(body) && intake->action != ACTION_RETRY)
        json_object_del(body, "csr_out");
    if (intake->action == ACTION_ROLL_OVER && eng_is_manual(body))
        cm_json_set(body, "csr_out", json_pack("{s:b}", "new_key", 1)); /* the present key stays */
    else if (intake->action == ACTION_ROLL_OVER)
        json_object_del(body, "csr"); /* no CSR, no key to keep (job_key.c) */
    accept(intake, body, body);
    if (intake->action == ACTION_ROLL_OVER)
        eng_former_wish(intake->engine, body, intake->request);
    if (intake->action == ACTION_ROLL_OVER && cm_json_obj(body, "rollover"))
        intake->outcome =
            "A renewal with a new key was asked for, then the revocation of what it replaces";
    return 0;
}

/* Fields that nobody has submitted yet: they hold their file names, and nothing else happens. */
static int take_draft(struct intake *intake, json_t *body)
{
    int rc = answer_issue(intake, body, cm_json_obj(intake->request, "fields"));
    if (rc != 0 || eng_is_refused(body))
        return rc;
    cm_json_set_str(body, "status", "draft");
    json_object_del(body, "next_action_at");
    return 0;
}

static int answer_dry_run(struct intake *intake, json_t *body, struct cm_err *err)
{
    const char *status = cm_json_str(body, "status");
    char name[ENG_ACCOUNT_TEXT];
    const struct acme_preset *make;
    if (!status && !cm_json_obj(intake->request, "fields"))
        return cm_fail(err, CM_ENOENT, "credential:%s does not exist", intake->credential);
    if (!status && take_draft(intake, body) != 0)
        return 1;
    struct cm_err why = CM_ERR_INIT;
    status = cm_json_str_or(body, "status", "");
    bool never = eng_is_refused(body) || strcmp(status, "archived") == 0 ||
                 strcmp(status, "revoke_pending") == 0 ||
                 strcmp(cm_json_str_or(body, "provider", ""), "acme") != 0;
    int rc =
        never ? 0 : eng_staging_find(intake->engine, eng_turn_account(body), name, &make, &why);
    take_origin(intake, body);
    if (rc != 0)
        refuse(intake, body, &why);
    else if (!never)
        rc = eng_trial_want(intake->engine, intake->credential, body,
                            cm_json_str_or(body, "requested_by", "unknown"), err);
    intake->outcome = never || rc != 0 ? "No dry run is made" : actions[ACTION_DRY_RUN].outcome;
    bool refused = why.code != 0;
    cm_err_fini(&why);
    return refused ? 0 : rc;
}

/* Looked at once more: the server where it was handed in may have had an older credential. */
static int answer_handed(struct intake *intake, json_t *body)
{
    struct cm_err why = CM_ERR_INIT;
    CM_AUTO_JSON former = json_copy(body);
    json_decref(intake->notes);
    intake->notes = json_array();
    json_decref(intake->former);
    intake->former = NULL;
    int rc = eng_manual_take(intake->engine, cm_json_str_or(intake->request, "certificate", ""),
                             body, intake->notes, &why);
    intake->outcome = actions[ACTION_HANDED].outcome;
    if (rc != 0) {
        intake->outcome = "The certificate that was handed in was refused";
        json_array_append_new(intake->notes, json_string(why.what));
        cm_err_fini(&why);
        return 1;
    }
    take_origin(intake, body);
    if (cm_json_str(former, "chain"))
        intake->former = json_incref(former);
    return 0;
}

static int edit(void *arg, json_t *body, struct cm_err *err)
{
    struct intake *intake = arg;
    if (intake->engine->dead)
        return 1;
    if (strcmp(cm_json_str_or(body, "request", ""), intake->ulid) == 0)
        return 1; /* answered already */
    if (intake->action == ACTION_LIFE)
        return eng_life_answer(intake->engine, intake->credential, intake->request, body,
                               &intake->outcome);
    if (intake->action == ACTION_DRY_RUN)
        return answer_dry_run(intake, body, err);
    if (intake->action == ACTION_HANDED)
        return answer_handed(intake, body);
    if (intake->action != ACTION_ISSUE && intake->action != ACTION_IMPORT)
        return answer_again(intake, body, err);
    return answer_issue(intake, body, cm_json_obj(intake->request, "fields"));
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

/* The answer is then this fault, with nothing of what was asked for. */
static int edit_unwritable(void *arg, json_t *body, struct cm_err *err)
{
    struct intake *intake = arg;
    struct cm_err why = CM_ERR_INIT;
    (void)err;
    if (intake->engine->dead)
        return 1;
    eng_refusal_unwritable(&intake->unwritable, &why);
    refuse(intake, body, &why);
    cm_err_fini(&why);
    return 0;
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
    eng_edit(intake->engine, id, "credential", edit_unwritable, on_answered, intake);
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

static void start(struct engine *engine, const char *ulid)
{
    char id[CS_ID_MAX + 1];
    snprintf(id, sizeof(id), "request:%s", ulid);
    json_t *request = cs_get_body(engine->env.store, id);
    const char *action = cm_json_str_or(request, "action", "");
    const char *credential = cm_json_str(request, "credential");
    int wanted = 0;
    while (wanted < ACTION_LIFE && strcmp(actions[wanted].name, action) != 0)
        wanted++;
    if (wanted == ACTION_LIFE && !eng_life_is(action))
        wanted = ACTION_COUNT;
    if (!request || !cm_ulid_ok(credential) || wanted == ACTION_COUNT ||
        is_old(engine, credential, request) ||
        (wanted == ACTION_IMPORT && !eng_import_ours(engine, request))) {
        if (request)
            remember(engine, ulid, "not answered");
        json_decref(request);
        return;
    }
    struct intake *intake = cm_calloc(1, sizeof(*intake));
    intake->engine = engine;
    intake->request = request;
    intake->action = (enum intake_action)wanted;
    (void)cm_strcpy(intake->ulid, sizeof(intake->ulid), ulid);
    (void)cm_strcpy(intake->credential, sizeof(intake->credential), credential);
    json_object_set_new(engine->busy_requests, ulid, json_true());
    snprintf(id, sizeof(id), "credential:%s", credential);
    eng_edit(engine, id, "credential", edit, on_edited, intake);
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
