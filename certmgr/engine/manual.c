/* CSR out, certificate in, by hand.  See manual.h. */
#include "certmgr/engine/manual.h"

#include <string.h>

#include "certmgr/engine/activation.h"
#include "certmgr/engine/import.h"
#include "certmgr/engine/issued.h"
#include "certmgr/engine/job.h"
#include "keyfile/csr.h"
#include "keyfile/handed.h"

static const char *const key_parts[] = {"sealed_key", "public_key_sha256", "csr", "key_generation"};
#define KEY_PARTS (sizeof(key_parts) / sizeof(key_parts[0]))

bool eng_is_manual(const json_t *credential)
{
    return strcmp(cm_json_str_or(credential, "provider", ""), "manual") == 0;
}

bool eng_is_brought(const json_t *credential)
{
    return eng_is_manual(credential) || eng_is_import(credential);
}

bool eng_csr_waits(const json_t *credential)
{
    return cm_json_str(cm_json_obj(credential, "csr_out"), "csr") != NULL;
}

json_t *eng_csr_out_view(const json_t *credential)
{
    const json_t *out = cm_json_obj(credential, "csr_out");
    char *pem = kf_csr_pem(cm_json_str(out, "csr"));
    if (!pem)
        return NULL;
    json_t *view = json_object();
    cm_json_set_str(view, "csr", pem);
    cm_free(pem);
    static const char *const shown[] = {"public_key_sha256", "key_generation", "at"};
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        json_object_set(view, shown[i], json_object_get(out, shown[i]));
    return view;
}

/* ---- the job ----------------------------------------------------------------------------------
 */

static int edit_out(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    const struct job *job = call->job;
    (void)err;
    if (!job || job_is_outdated(job, body) || !eng_is_manual(body))
        return 1; /* what was asked for in the meantime is looked at next */
    json_t *out = json_object();
    for (size_t i = 0; i < KEY_PARTS; i++)
        json_object_set(out, key_parts[i], json_object_get(job->order, key_parts[i]));
    cm_json_set_time(out, "at", cm_now_ms());
    cm_json_set(body, "csr_out", out);
    cm_json_set_str(body, "status", cm_json_str(body, "chain") ? "renew" : "waiting");
    cm_json_set_int(body, "attempts", 0);
    json_object_del(body, "error");
    json_object_del(body, "waits_for");
    json_object_del(body, "next_action_at");
    return 0;
}

static void on_out(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    job_call_free(call);
    if (!job)
        return;
    if (err && !job_wait_for_agent(job, err)) {
        job_fail(job, err);
        return;
    }
    if (err)
        return;
    if (doc)
        eng_step(job->engine, job->ulid, CM_LOG_INFO,
                 "The CSR is ready: send it to the CA and hand in the certificate that comes back");
    struct cm_err gone = CM_ERR_INIT;
    if (cs_kv_del(job->engine->env.store, "order", job->ulid, &gone) != 0)
        cm_log_err(CM_LOG_WARN, "engine", &gone); /* found again by the next CSR */
    cm_err_fini(&gone);
    job_over(job);
}

void job_manual(struct job *job)
{
    job->ending = true;
    eng_edit(job->engine, job->id, "credential", edit_out, on_out, job_call_new(job));
}

/* ---- what is handed in ------------------------------------------------------------------------
 */

static int check_state(const json_t *credential, struct cm_err *err)
{
    const char *status = cm_json_str_or(credential, "status", "");
    if (!eng_is_manual(credential))
        return cm_fail(err, CM_ECONFLICT,
                       "The certificates of this credential come from an ACME CA: choose the "
                       "certificate provider \"manual\" first");
    if (strcmp(status, "archived") == 0 || strcmp(status, "revoke_pending") == 0)
        return cm_fail(err, CM_ECONFLICT, "The credential takes no certificate any more (%s)",
                       status);
    if (!eng_csr_waits(credential) && !cm_json_str(credential, "sealed_key"))
        return cm_fail(err, CM_ECONFLICT, "There is no CSR yet: wait a moment");
    return 0;
}

/* Of the request that is out, or of the certificate that serves (the CA made it anew). */
static json_t *key_of(const json_t *credential, const char *spki)
{
    const json_t *out = cm_json_obj(credential, "csr_out");
    bool is_out = strcmp(cm_json_str_or(out, "public_key_sha256", ""), spki) == 0;
    const json_t *from = is_out ? out : credential;
    json_t *key = json_object();
    for (size_t i = 0; i < KEY_PARTS; i++)
        if (json_object_get(from, key_parts[i]))
            json_object_set(key, key_parts[i], json_object_get(from, key_parts[i]));
    return key;
}

int eng_manual_check(struct engine *engine, const json_t *credential, const char *text, size_t len,
                     struct kf_chain *ret, json_t **ret_key, json_t **ret_notes, struct cm_err *err)
{
    const json_t *out = cm_json_obj(credential, "csr_out");
    struct kf_handed handed = {.text = text,
                               .len = len,
                               .names = cm_json_arr(credential, "host_names_ascii"),
                               .spki = {cm_json_str(out, "public_key_sha256"),
                                        cm_json_str(credential, "public_key_sha256")},
                               .known = {cm_json_str(credential, "chain")},
                               .roots = eng_roots(engine),
                               .now_ms = cm_now_ms()};
    *ret = (struct kf_chain){0};
    *ret_key = NULL;
    *ret_notes = NULL;
    int rc = check_state(credential, err);
    if (rc == 0)
        rc = kf_handed_check(&handed, ret, ret_notes, err);
    if (rc == CM_EMALF) /* a certificate of a kind that is not served */
        rc = err ? (err->code = CM_EINVAL) : CM_EINVAL;
    if (rc == 0 &&
        strcmp(ret->info.fingerprint, cm_json_str_or(credential, "fingerprint", "")) == 0)
        rc = cm_fail(err, CM_EINVAL, "This is the certificate that the credential has already");
    if (rc == 0 && strlen(ret->leaf) + strlen(ret->intermediates) > ENG_HANDED_MAX)
        rc = cm_fail(err, CM_EINVAL, "The chain is longer than %u bytes", ENG_HANDED_MAX);
    if (rc == 0)
        *ret_key = key_of(credential, ret->info.public_key_sha256);
    if (rc != 0) {
        kf_chain_fini(ret);
        json_decref(*ret_notes);
        *ret_notes = NULL;
    }
    return rc;
}

int eng_manual_take(struct engine *engine, const char *text, json_t *body, json_t *notes,
                    struct cm_err *err)
{
    struct kf_chain chain;
    json_t *key, *said;
    int rc = eng_manual_check(engine, body, text, strlen(text), &chain, &key, &said, err);
    if (rc != 0)
        return rc;
    int64_t now = cm_now_ms();
    CM_AUTO_JSON activation = eng_activation_of(NULL, body, &chain, now);
    CM_AUTO_JSON members = eng_issued(key, &chain, activation, now);
    eng_issued_clear(body);
    json_object_del(body, "issued_by");
    json_object_update(body, members);
    cm_json_set_time(body, "next_action_at",
                     cm_json_bool(body, "paused", false) ? chain.info.not_after_ms
                                                         : eng_plan_renewal(body));
    json_array_append_new(notes, json_sprintf("Certificate issued by %s, valid until %s",
                                              chain.info.issuer,
                                              cm_json_str_or(members, "not_after", "")));
    json_array_extend(notes, said);
    json_decref(key);
    json_decref(said);
    kf_chain_fini(&chain);
    return 0;
}

int eng_manual_keyfile(const char *ulid, const json_t *credential, json_t *keyfile)
{
    static const char end[] = "-----END CERTIFICATE-----\n";
    const char *pem = cm_json_str_or(credential, "chain", "");
    const char *tail = strstr(pem, end);
    const char *fingerprint = cm_json_str_or(credential, "fingerprint", "");
    if (!eng_is_brought(credential) || !tail ||
        strcmp(cm_json_str_or(keyfile, "fingerprint", ""), fingerprint) == 0)
        return 1;
    size_t first = (size_t)(tail - pem) + sizeof(end) - 1;
    CM_AUTO_STR leaf = cm_strndup(pem, first);
    struct kf_chain chain = {.leaf = leaf,
                             .intermediates = (char *)(uintptr_t)(pem + first),
                             .root = (char *)(uintptr_t)cm_json_str(credential, "root"),
                             .info = {.not_after_ms = cm_json_time(credential, "not_after", 0)}};
    (void)cm_strcpy(chain.info.fingerprint, sizeof(chain.info.fingerprint), fingerprint);
    CM_AUTO_JSON members =
        eng_issued_keyfile(ulid, credential, cm_json_arr(credential, "host_names_ascii"), &chain,
                           cm_json_obj(credential, "activation"));
    json_object_del(keyfile, "root");
    json_object_del(keyfile, "serve_from");
    json_object_update(keyfile, members);
    eng_place_take(keyfile, credential);
    return 0;
}
