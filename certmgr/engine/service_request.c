/*
 * Submit Request, changes, Retry and Renew: a signed request: document, made on whichever server
 * the person is on. The manager's intake answers it (intake.c).
 */
#include "certmgr/engine/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "certmgr/acme/presets.h"
#include "certmgr/engine/advice.h"
#include "certmgr/engine/former.h"
#include "certmgr/engine/import.h"
#include "certmgr/engine/manual.h"
#include "keyfile/maker.h"

struct submit {
    char credential[CM_ULID_TEXT];
    json_t *errors, *notes;
    struct cm_err err;
    eng_submit_fn done;
    void *arg;
};

static void submit_end(struct submit *submit, const struct cm_err *err)
{
    CM_BUG_ON(!submit);
    bool failed = err && err->code != 0;
    submit->done(submit->arg, failed ? NULL : submit->credential, submit->errors, submit->notes,
                 failed ? err : NULL);
    json_decref(submit->errors);
    json_decref(submit->notes);
    cm_err_fini(&submit->err);
    cm_free(submit);
}

static void on_refused(void *arg)
{
    struct submit *submit = arg;
    submit_end(submit, &submit->err);
}

static void on_submitted(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    submit_end(arg, err);
}

json_t *eng_request_new(const struct engine *engine, const char *action, const char *credential,
                        int64_t base_serial, const struct eng_actor *actor)
{
    char ulid[CM_ULID_TEXT], id[CS_ID_MAX + 1];
    kf_maker_ulid(engine->env.self, ulid);
    snprintf(id, sizeof(id), "request:%s", ulid);
    json_t *request = json_object();
    cm_json_set_str(request, "_id", id);
    cm_json_set_str(request, "type", "request");
    cm_json_set_str(request, "action", action);
    cm_json_set_str(request, "credential", credential);
    cm_json_set_int(request, "base_serial", base_serial);
    json_t *by = json_object();
    cm_json_set_str(by, "who", actor->who);
    cm_json_set_str(by, "via", actor->via);
    cm_json_set_str(by, "server", engine->env.self);
    cm_json_set(request, "by", by);
    cm_json_set_time(request, "at", cm_now_ms());
    return request;
}

/* What a person should have read is said with the answer; `credential` as for eng_advice(). */
static void note_advice(struct engine *engine, const char *credential, const json_t *checked,
                        json_t *notes)
{
    CM_AUTO_JSON rows = eng_advice(engine, credential, checked);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *fix = cm_json_str(row, "fix");
        bool ok = strcmp(cm_json_str_or(row, "result", ""), "ok") == 0;
        if (!ok || strcmp(cm_json_str_or(row, "id", ""), "billing_class") == 0)
            json_array_append_new(notes, json_sprintf("%s%s%s", cm_json_str_or(row, "text", ""),
                                                      fix ? ". " : "", fix ? fix : ""));
    }
}

static void refuse_later(struct engine *engine, struct submit *submit)
{
    const json_t *first = json_array_get(submit->errors, 0);
    if (submit->err.code == 0)
        cm_fail(&submit->err, CM_EINVAL, "%s", cm_json_str_or(first, "message", "bad request"));
    cm_loop_defer(engine->env.loop, on_refused, submit);
}

static int check_staging(struct engine *engine, const char *account, struct cm_err *err)
{
    char name[ENG_ACCOUNT_TEXT];
    const struct acme_preset *make;
    return eng_staging_find(engine, account, name, &make, err);
}

void eng_submit(struct engine *engine, const json_t *fields, const struct eng_actor *actor,
                eng_submit_fn done, void *arg)
{
    struct submit *submit = cm_calloc(1, sizeof(*submit));
    submit->done = done;
    submit->arg = arg;
    json_t *checked = NULL;
    eng_check(engine, fields, &checked, &submit->errors, &submit->notes);
    if (json_array_size(submit->errors) > 0) {
        json_decref(checked);
        refuse_later(engine, submit);
        return;
    }
    note_advice(engine, NULL, checked, submit->notes);
    bool dry = cm_json_bool(fields, "dry_run", false);
    if (dry && check_staging(engine, cm_json_str_or(checked, "account", ""), &submit->err) != 0) {
        json_decref(checked);
        refuse_later(engine, submit);
        return;
    }
    /* The manager converts the names itself; a file name nobody asked for is its choice, too, since
     * it alone knows what other requests are under way. */
    json_object_del(checked, "host_names_ascii");
    const char *file = cm_json_str(fields, "keyring_file");
    if (!file || !*file)
        json_object_del(checked, "keyring_file");
    kf_maker_ulid(engine->env.self, submit->credential);
    json_t *request =
        eng_request_new(engine, dry ? "dry_run" : "issue", submit->credential, 0, actor);
    cm_json_set(request, "fields", checked);
    cs_publish(engine->env.store, request, 0, on_submitted, submit);
}

/* ---- change -----------------------------------------------------------------------------------
 */

static int read_credential(struct engine *engine, const char *credential, struct cs_doc *ret,
                           struct cm_err *err)
{
    char id[CS_ID_MAX + 1];
    if (!cm_ulid_ok(credential))
        return cm_fail(err, CM_EINVAL, "that is not the number of a credential");
    snprintf(id, sizeof(id), "credential:%s", credential);
    int rc = cs_get(engine->env.store, id, ret, err);
    if (rc == CM_ENOENT)
        rc = cm_fail(err, CM_ENOENT, "there is no credential %s", credential);
    return rc;
}

void eng_change(struct engine *engine, const char *credential, const json_t *fields,
                int64_t base_serial, const struct eng_actor *actor, eng_submit_fn done, void *arg)
{
    struct submit *submit = cm_calloc(1, sizeof(*submit));
    submit->done = done;
    submit->arg = arg;
    struct cs_doc doc = {0};
    json_t *checked = NULL;
    int rc = read_credential(engine, credential, &doc, &submit->err);
    if (rc == 0 && base_serial != 0 && eng_is_stale(doc.body, base_serial))
        rc = cm_fail(&submit->err, CM_ECONFLICT,
                     "The credential was changed in the meantime: look at it again");
    if (rc == 0) {
        CM_AUTO_JSON wanted = json_object();
        eng_fields_take(wanted, doc.body);
        json_object_update(wanted, (json_t *)(uintptr_t)fields);
        eng_check_for(engine, credential, wanted, &checked, &submit->errors, &submit->notes);
    }
    if (submit->err.code != 0 || json_array_size(submit->errors) > 0) {
        json_decref(checked);
        cs_doc_fini(&doc);
        refuse_later(engine, submit);
        return;
    }
    note_advice(engine, credential, checked, submit->notes);
    json_object_del(checked, "host_names_ascii"); /* the manager converts them itself */
    (void)cm_strcpy(submit->credential, sizeof(submit->credential), credential);
    json_t *request =
        eng_request_new(engine, "issue", credential, base_serial ? base_serial : doc.serial, actor);
    cm_json_set(request, "fields", checked);
    cs_doc_fini(&doc);
    cs_publish(engine->env.store, request, 0, on_submitted, submit);
}

/* ---- a certificate by hand --------------------------------------------------------------------
 */

static void field_error(struct submit *submit, const char *field)
{
    submit->errors = json_array();
    json_array_append_new(submit->errors,
                          json_pack("{s:s,s:s}", "field", field, "message", submit->err.what));
}

void eng_certificate_put(struct engine *engine, const char *credential, const char *text,
                         size_t len, const struct eng_actor *actor, eng_submit_fn done, void *arg)
{
    struct submit *submit = cm_calloc(1, sizeof(*submit));
    submit->done = done;
    submit->arg = arg;
    struct cs_doc doc = {0};
    struct kf_chain chain = {0};
    CM_AUTO_JSON key = NULL;
    int rc = read_credential(engine, credential, &doc, &submit->err);
    if (rc == 0)
        rc = eng_manual_check(engine, doc.body, text, len, &chain, &key, &submit->notes,
                              &submit->err);
    if (rc != 0) {
        if (submit->err.code == CM_EINVAL)
            field_error(submit, "certificate");
        cs_doc_fini(&doc);
        refuse_later(engine, submit);
        return;
    }
    (void)cm_strcpy(submit->credential, sizeof(submit->credential), credential);
    json_t *request = eng_request_new(engine, "certificate", credential, doc.serial, actor);
    CM_AUTO_STR pem =
        cm_asprintf("%s%s%s", chain.leaf, chain.intermediates, chain.root ? chain.root : "");
    cm_json_set_str(request, "certificate", pem);
    kf_chain_fini(&chain);
    cs_doc_fini(&doc);
    cs_publish(engine->env.store, request, 0, on_submitted, submit);
}

/* ---- retry ------------------------------------------------------------------------------------
 */

/* What the manager would refuse is told at once. */
static int check_revocation(struct engine *engine, const json_t *body, json_t *revoke,
                            struct cm_err *err)
{
    CM_AUTO_STR id = cm_asprintf("account:%s", eng_issuer_account(body));
    CM_AUTO_JSON account = cs_peek_body(engine->env.store, id);
    const char *status = cm_json_str_or(body, "status", "");
    int64_t reason = cm_json_int(revoke, "reason", 0);
    if (!cm_json_str(body, "chain"))
        return cm_fail(err, CM_ECONFLICT, "there is no certificate to revoke");
    if (!*eng_issuer_account(body))
        return cm_fail(err, CM_ECONFLICT,
                       "a person brought this certificate: have it revoked where it was issued, "
                       "then archive the credential or hand in another certificate");
    if (strcmp(status, "revoked") == 0 || strcmp(status, "archived") == 0)
        return cm_fail(err, CM_ECONFLICT, "the certificate is %s already", status);
    if (reason < 0 || reason > 10 ||
        !(acme_reasons(cm_json_str(account, "directory")) & 1u << reason))
        return cm_fail(err, CM_EINVAL, "reason: the CA does not accept the reason %" PRId64,
                       reason);
    json_object_set(revoke, "fingerprint", json_object_get(body, "fingerprint"));
    return 0;
}

/* An attempt or a renewal that the manager would let rest (intake_answer.c) is refused where it is
 * asked for: "asked for" would be believed. */
static int check_again(const json_t *body, struct cm_err *err)
{
    const char *status = cm_json_str_or(body, "status", "");
    if (strcmp(status, "revoke_pending") == 0)
        return 0; /* a revocation is tried again, whatever the credential is */
    if (eng_is_import(body)) {
        cm_fail(err, CM_ECONFLICT, "nothing renews an imported certificate: import the next one");
        cm_err_hint(err, "Run certmgr import --credential ID FILE with the next one.");
    } else if (strcmp(status, "archived") == 0) {
        cm_fail(err, CM_ECONFLICT, "the credential is archived: nothing is requested for it");
        cm_err_hint(err, "Submit a new request with its names.");
    } else if (cm_json_bool(body, "paused", false)) {
        cm_fail(err, CM_ECONFLICT,
                "the credential is paused: nothing is requested until it goes on");
        cm_err_hint(err, "Take \"paused\" away first (certmgr change --resume).");
    } else {
        return 0;
    }
    return CM_ECONFLICT;
}

static bool is_again(const char *action)
{
    return strcmp(action, "retry") == 0 || strcmp(action, "renew") == 0 ||
           strcmp(action, "roll_over") == 0;
}

struct retry {
    struct cm_err err;
    eng_done_fn done;
    void *arg;
};

static void retry_end(struct retry *retry, const struct cm_err *err)
{
    if (retry->done)
        retry->done(retry->arg, err && err->code != 0 ? err : NULL);
    cm_err_fini(&retry->err);
    cm_free(retry);
}

static void on_retry_refused(void *arg)
{
    struct retry *retry = arg;
    retry_end(retry, &retry->err);
}

static void on_retry_submitted(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    (void)doc;
    retry_end(arg, err);
}

/* revoke: member of the request, or NULL; stolen. */
static void ask(struct engine *engine, const char *action, const char *credential,
                json_t *take_revoke, const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    struct retry *retry = cm_calloc(1, sizeof(*retry));
    retry->done = done;
    retry->arg = arg;
    struct cs_doc doc = {0};
    int rc = read_credential(engine, credential, &doc, &retry->err);
    if (rc == 0 && strcmp(action, "dry_run") == 0)
        rc = check_staging(engine, eng_turn_account(doc.body), &retry->err);
    if (rc == 0 && take_revoke && strcmp(action, "roll_over") == 0 &&
        !eng_former_reason(cm_json_int(take_revoke, "reason", -1)))
        rc = cm_fail(&retry->err, CM_EINVAL,
                     "revoke: what a new key replaces is revoked as superseded (4) or as "
                     "compromised (1)");
    if (rc == 0 && is_again(action))
        rc = check_again(doc.body, &retry->err);
    if (rc == 0 && take_revoke)
        rc = check_revocation(engine, doc.body, take_revoke, &retry->err);
    if (rc != 0) {
        cs_doc_fini(&doc);
        json_decref(take_revoke);
        cm_loop_defer(engine->env.loop, on_retry_refused, retry);
        return;
    }
    json_t *request = eng_request_new(engine, action, credential, doc.serial, actor);
    cm_json_set(request, "revoke", take_revoke);
    cs_doc_fini(&doc);
    cs_publish(engine->env.store, request, 0, on_retry_submitted, retry);
}

static void ask_again(struct engine *engine, const char *action, const char *credential,
                      const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    ask(engine, action, credential, NULL, actor, done, arg);
}

void eng_retry(struct engine *engine, const char *credential, const struct eng_actor *actor,
               eng_done_fn done, void *arg)
{
    ask_again(engine, "retry", credential, actor, done, arg);
}

void eng_renew(struct engine *engine, const char *credential, bool new_key,
               const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    ask_again(engine, new_key ? "roll_over" : "renew", credential, actor, done, arg);
}

void eng_roll_over(struct engine *engine, const char *credential, int reason,
                   const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    ask(engine, "roll_over", credential, json_pack("{s:i}", "reason", reason), actor, done, arg);
}

void eng_dry_run(struct engine *engine, const char *credential, const struct eng_actor *actor,
                 eng_done_fn done, void *arg)
{
    ask_again(engine, "dry_run", credential, actor, done, arg);
}

/* ---- the end ------------------------------------------------------------------------------------
 */

void eng_revoke(struct engine *engine, const char *credential, const struct eng_revocation *wish,
                const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    json_t *revoke = json_object();
    cm_json_set_int(revoke, "reason", wish->reason);
    cm_json_set_bool(revoke, "key", wish->key);
    cm_json_set_str(revoke, "after", wish->after);
    ask(engine, "revoke", credential, revoke, actor, done, arg);
}

void eng_put_away(struct engine *engine, const char *credential, bool remove,
                  const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    ask(engine, remove ? "delete" : "archive", credential, NULL, actor, done, arg);
}
