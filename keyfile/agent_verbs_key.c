/* key.create: a credential's key, sealed for its servers, and the request for its certificate. */
#include <string.h>

#include "base/core/bytes.h"
#include "keyfile/agent_impl.h"
#include "keyfile/agent_work.h"
#include "keyfile/csr.h"
#include "keyfile/ossl.h"

/* On the worker. */
static void make(struct kfa_job *job)
{
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    uint8_t *csr = NULL;
    size_t len = 0;
    char spki[KF_SPKI_HEX];
    job->rc = kfa_job_make_key(job, &key);
    if (job->rc == 0)
        job->rc = kf_csr(key, job->names, &csr, &len, &job->err);
    if (job->rc == 0)
        job->rc = kf_spki_hex(key, spki, &job->err);
    if (job->rc == 0) {
        CM_AUTO_STR text = cm_b64url(csr, len);
        cm_json_set_str(job->reply, "public_key_sha256", spki);
        cm_json_set_str(job->reply, "csr", text);
    }
    cm_free(csr);
}

int kfa_job_servers(struct kfa *a, const json_t *servers, struct kfa_job *job, struct cm_err *err)
{
    if (json_array_size(servers) < 1 || json_array_size(servers) > KF_RECIPIENTS_MAX)
        return cm_fail(err, CM_EINVAL, "a key is for 1 to %d servers", KF_RECIPIENTS_MAX);
    for (size_t i = 0; i < json_array_size(servers); i++) {
        const char *name = json_string_value(json_array_get(servers, i));
        const struct kf_server *server = name ? kf_trust_server(a->trust, name) : NULL;
        if (!server)
            return cm_fail(err, CM_EINVAL, "server \"%.63s\" is not in the trust root",
                           name ? name : "?");
        if (server->state != KF_ACTIVE)
            return cm_fail(err, CM_EINVAL, "server %s is not active in the trust root", name);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(name, json_string_value(json_array_get(servers, k))) == 0)
                return cm_fail(err, CM_EINVAL, "server %s is listed twice", name);
        }
        X509 *recipient;
        int rc = kfa_recipient(a, server, &recipient, err);
        if (rc == 0)
            rc = kfa_job_seal_for(job, recipient, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int key_create(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                      struct cm_err *err)
{
    struct kfa_job *job = kfa_job_new();
    const json_t *names = cm_json_arr(request, "names");
    (void)reply;
    int rc = kf_key_type_parse(cm_json_str(request, "key_type"), &job->type, err);
    if (rc == 0)
        rc = kf_bind_credential(&job->binding, cm_json_str(request, "credential"),
                                cm_json_int(request, "generation", 0), err);
    if (rc == 0)
        rc = kf_csr_names_check(names, err);
    if (rc == 0)
        rc = kfa_job_servers(a, cm_json_arr(request, "servers"), job, err);
    if (rc < 0) {
        kfa_job_free(job);
        return rc;
    }
    job->binding.exportable = cm_json_bool(request, "exportable", false);
    job->id = id;
    job->channel = a->channel;
    job->now_ms = cm_now_ms();
    job->names = json_deep_copy(names); /* the worker's own: reference counts are not shared */
    job->run = make;
    rc = kfa_work_push(a->work, job, err);
    return rc < 0 ? rc : KFA_LATER;
}

const struct kfa_verb kfa_verbs_key[] = {
    {"key.create",
     KFA_MANAGER,
     {"s:credential", "i:generation", "s:key_type", "a:names", "a:servers", "B:exportable"},
     key_create},
    {0},
};
