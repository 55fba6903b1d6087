/*
 * The key and CSR of an order.  The key is made for the first request only; a renewal keeps it and
 * sends the stored CSR again, as long as names, key type and servers are the ones it was made for
 * (reference/acme.md B4).  Otherwise the agent makes a new generation.
 */
#include "certmgr/engine/manual.h"

#include "certmgr/engine/job.h"
#include "certmgr/engine/recipients.h"

#include <inttypes.h>
#include <string.h>

/* The names a key stands for, in the order or in the credential. */
static bool same(const struct job *job, const char *in_order, const char *in_credential)
{
    return json_equal(json_object_get(job->order, in_order),
                      json_object_get(job->credential, in_credential));
}

static bool is_at_ca(const struct job *job)
{
    const json_t *acme = cm_json_obj(job->order, "acme");
    return cm_json_str(acme, "order_url") || cm_json_str(acme, "ordering_at");
}

/* People asked for a CSR with a new key. */
static bool wants_new_key(const struct job *job)
{
    return cm_json_bool(cm_json_obj(job->credential, "csr_out"), "new_key", false);
}

/* With key and CSR: on to the CA, or to the people who go there. */
static void go_on(struct job *job)
{
    if (eng_is_manual(job->credential))
        job_manual(job);
    else
        job_choose(job);
}

/* The server of the list for whose sake the key cannot stay, or NULL. */
static const struct kf_server *wrong_recipient(const struct job *job, const json_t *holder)
{
    return eng_recipient_wrong(job->engine, cm_json_arr(job->credential, "servers"),
                               cm_json_str(holder, "sealed_key"));
}

/* An order that the CA has is finished with the key that it has. */
static bool is_staged(const struct job *job)
{
    if ((job_has_old_key(job, job->credential) || wrong_recipient(job, job->order)) &&
        !is_at_ca(job))
        return false;
    if (wants_new_key(job) && same(job, "public_key_sha256", "public_key_sha256"))
        return false;
    return cm_json_str(job->order, "csr") && cm_json_str(job->order, "sealed_key") &&
           cm_json_str(job->order, "public_key_sha256") && same(job, "names", "host_names_ascii") &&
           same(job, "key_type", "key_type") && same(job, "servers", "servers") &&
           cm_json_bool(job->order, "exportable", false) ==
               cm_json_bool(job->credential, "exportable", false);
}

static bool may_keep(const struct job *job)
{
    const json_t *credential = job->credential;
    return !job->trial && !wrong_recipient(job, credential) && !wants_new_key(job) &&
           cm_json_str(credential, "csr") && cm_json_str(credential, "sealed_key") &&
           cm_json_str(credential, "public_key_sha256") &&
           strcmp(cm_json_str_or(credential, "key_rollover", "keep"), "keep") == 0;
}

/* What the key was made for stands beside it, so that a change is noticed. */
static void stage(struct job *job, const json_t *key, int64_t generation)
{
    static const char *const parts[] = {"sealed_key", "public_key_sha256", "csr"};
    json_decref(job->order);
    job->order = json_object();
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        json_object_set(job->order, parts[i], json_object_get(key, parts[i]));
    cm_json_set_int(job->order, "key_generation", generation);
    json_object_set(job->order, "names", json_object_get(job->credential, "host_names_ascii"));
    json_object_set(job->order, "key_type", json_object_get(job->credential, "key_type"));
    json_object_set(job->order, "servers", json_object_get(job->credential, "servers"));
    json_object_set(job->order, "exportable", json_object_get(job->credential, "exportable"));
}

static void on_saved(void *arg, int code, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    job_call_free(call);
    if (!job)
        return;
    if (code != 0)
        job_fail(job, err);
    else
        go_on(job);
}

/* The key must be durable before anything outside hears of it. */
static void save_staged(struct job *job)
{
    struct cm_err err = CM_ERR_INIT;
    if (job_save(job, &err) == 0)
        cs_after_commit(job->engine->env.store, on_saved, job_call_new(job));
    else
        job_fail(job, &err);
    cm_err_fini(&err);
}

static void on_created(void *arg, const json_t *reply, const struct cm_err *err)
{
    struct job_call *call = arg;
    struct job *job = call->job;
    job_call_free(call);
    if (!job)
        return;
    struct cm_err wrapped = CM_ERR_INIT;
    if (err) {
        if (job_wait_for_agent(job, err))
            return;
        cm_err_copy(&wrapped, err);
        cm_wrap(&wrapped, CM_EIO, "The private key could not be made");
    } else if (!cm_json_str(reply, "sealed_key") || !cm_json_str(reply, "csr") ||
               !cm_json_str(reply, "public_key_sha256")) {
        cm_fail(&wrapped, CM_EMALF, "The key agent's answer to key.create is not complete");
    }
    if (wrapped.code != 0) {
        job_fail(job, &wrapped);
        cm_err_fini(&wrapped);
        return;
    }
    int64_t generation = cm_json_int(job->credential, "key_generation", 0) + 1;
    stage(job, reply, generation);
    CM_AUTO_JSON present = eng_recipients(job->engine, cm_json_arr(job->credential, "servers"));
    size_t servers = json_array_size(present);
    eng_step(job->engine, job->ulid, CM_LOG_INFO,
             "Key made (%s, generation %" PRId64 "), sealed to %zu server%s",
             cm_json_str_or(job->credential, "key_type", ""), generation, servers,
             servers == 1 ? "" : "s");
    save_staged(job);
}

void job_key(struct job *job)
{
    if (is_staged(job)) {
        go_on(job);
        return;
    }
    if (may_keep(job)) {
        eng_step(job->engine, job->ulid, CM_LOG_INFO, "The key is kept");
        stage(job, job->credential, cm_json_int(job->credential, "key_generation", 1));
        save_staged(job);
        return;
    }
    const struct kf_server *wrong = wrong_recipient(job, job->credential);
    if (wrong)
        eng_step(job->engine, job->ulid, CM_LOG_INFO,
                 wrong->state == KF_REMOVED
                     ? "The key is made anew: server %s can open it, and was removed"
                     : "The key is made anew: server %s cannot open it with the keys it has now",
                 wrong->name);
    json_t *request = json_object();
    cm_json_set_str(request, "op", "key.create");
    cm_json_set_str(request, "credential", job->ulid);
    cm_json_set_int(request, "generation", cm_json_int(job->credential, "key_generation", 0) + 1);
    json_object_set(request, "key_type", json_object_get(job->credential, "key_type"));
    json_object_set(request, "names", json_object_get(job->credential, "host_names_ascii"));
    cm_json_set(request, "servers",
                eng_recipients(job->engine, cm_json_arr(job->credential, "servers")));
    json_object_set(request, "exportable", json_object_get(job->credential, "exportable"));
    struct kf_agent agent = job->engine->env.agent;
    agent.call(agent.arg, request, on_created, job_call_new(job));
}
