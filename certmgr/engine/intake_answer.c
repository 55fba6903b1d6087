/* The outcome of a request, applied to its credential; see intake_answer.h. */
#include "certmgr/engine/intake_answer.h"

#include <string.h>

#include "certmgr/engine/former.h"
#include "certmgr/engine/import.h"
#include "certmgr/engine/life.h"
#include "certmgr/engine/manual.h"
#include "certmgr/engine/refusal.h"

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

enum intake_action intake_action_of(const char *name)
{
    int action = 0;
    while (action < ACTION_LIFE && strcmp(actions[action].name, name) != 0)
        action++;
    if (action == ACTION_LIFE && !eng_life_is(name))
        return ACTION_COUNT;
    return (enum intake_action)action;
}

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
        eng_is_stale(body, cm_json_int(intake->request, "base_serial", 0))) {
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

int intake_answer(void *arg, json_t *body, struct cm_err *err)
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

int intake_answer_unwritable(void *arg, json_t *body, struct cm_err *err)
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
