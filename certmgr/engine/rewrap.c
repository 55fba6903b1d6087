/*
 * Other servers for an imported key: the agent seals the same key for those that the signed
 * credential lists now.  The keyfile: document is written first, then the credential leaves
 * update_servers; killed in between, the next job writes both again.
 */
#include "certmgr/engine/import.h"
#include "certmgr/engine/job.h"

#include <string.h>

static bool changed_meanwhile(const struct job *job, const json_t *body)
{
    return !json_equal(json_object_get(body, "servers"),
                       json_object_get(job->credential, "servers"));
}

static struct job_call *call_with(struct job *job, json_t *take_value)
{
    struct job_call *call = job_call_new(job);
    call->value = take_value;
    return call;
}

static void on_written(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    (void)doc;
    job_call_free(call);
    if (!job || (err && job_wait_for_agent(job, err)))
        return;
    if (err)
        cm_log_err(CM_LOG_ERROR, "engine", err); /* still update_servers: begun again */
    job_over(job);
}

/* ---- it could not be done: the servers that have the key keep it ------------------------------
 */

static int edit_failed(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    if (!call->job || !eng_import_moves(body) || changed_meanwhile(call->job, body))
        return 1;
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", call->job->ulid);
    CM_AUTO_JSON keyfile = cs_get_body(call->job->engine->env.store, id);
    if (cm_json_arr(keyfile, "servers"))
        json_object_set(body, "servers", json_object_get(keyfile, "servers"));
    cm_json_set_str(body, "status", eng_import_status(body));
    cm_json_set_time(body, "next_action_at", cm_json_time(body, "not_after", 0));
    json_object_set(body, "error", call->value);
    return 0;
}

static void fail(struct job *job, const struct cm_err *err)
{
    struct cm_err why = CM_ERR_INIT;
    cm_err_copy(&why, err);
    cm_wrap(&why, err->code, "The key could not be given to other servers");
    if (!why.hint[0])
        cm_err_hint(&why, "Import the key and its certificate again, for all of the servers");
    eng_step(job->engine, job->ulid, CM_LOG_ERROR, "%s", why.what);
    eng_edit(job->engine, job->id, "credential", edit_failed, on_written,
             call_with(job, cm_err_to_json(&why)));
    cm_err_fini(&why);
}

/* ---- the good end -----------------------------------------------------------------------------
 */

static int edit_credential(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    if (!call->job || !eng_import_moves(body) || changed_meanwhile(call->job, body))
        return 1; /* what was asked for in the meantime is looked at next */
    json_object_set(body, "sealed_key", call->value);
    cm_json_set_str(body, "status", eng_import_status(body));
    cm_json_set_time(body, "next_action_at", cm_json_time(body, "not_after", 0));
    json_object_del(body, "error");
    return 0;
}

static int edit_keyfile(void *arg, json_t *body, struct cm_err *err)
{
    const struct job_call *call = arg;
    (void)err;
    if (!call->job || !cm_json_str(body, "leaf"))
        return 1;
    json_object_set(body, "sealed_key", call->value);
    json_object_set(body, "servers", json_object_get(call->job->credential, "servers"));
    return 0;
}

static void on_keyfile(void *arg, const struct cs_doc *doc, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    CM_AUTO_JSON sealed = json_incref(call->value);
    (void)doc;
    job_call_free(call);
    if (!job || (err && job_wait_for_agent(job, err)))
        return;
    if (err)
        fail(job, err);
    else
        eng_edit(job->engine, job->id, "credential", edit_credential, on_written,
                 call_with(job, json_incref(sealed)));
}

static void on_rewrapped(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    job_call_free(call);
    if (!job || (err && job_wait_for_agent(job, err)))
        return;
    if (err) {
        fail(job, err);
        return;
    }
    size_t servers = json_array_size(cm_json_arr(job->credential, "servers"));
    CM_AUTO_STR id = cm_asprintf("keyfile:%s", job->ulid);
    eng_step(job->engine, job->ulid, CM_LOG_INFO, "The key is sealed to %zu server%s now", servers,
             servers == 1 ? "" : "s");
    eng_edit(job->engine, id, "keyfile", edit_keyfile, on_keyfile,
             call_with(job, json_incref(json_object_get(reply, "sealed_key"))));
}

void job_rewrap(struct job *job)
{
    struct kf_agent agent = job->engine->env.agent;
    json_t *request = json_object();
    job->ending = true;
    cm_json_set_str(request, "op", "key.rewrap");
    json_object_set(request, "document", job->credential);
    agent.call(agent.arg, request, on_rewrapped, job_call_new(job));
}
