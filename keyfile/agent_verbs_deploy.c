/* Verbs about deployments: thin over deploy.h. */
#include "keyfile/agent_impl.h"

static struct kf_deploy_env env_of(const struct kfa *a)
{
    return (struct kf_deploy_env){.config = a->config, .identity = &a->identity, .trust = a->trust};
}

static int stage(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                 struct cm_err *err)
{
    struct kf_deploy_env env = env_of(a);
    (void)id;
    return kf_deploy_stage(a->deployer, &env, cm_json_obj(request, "document"),
                           cm_json_str(request, "target"), reply, err);
}

static int swap(struct kfa *a, int64_t id, const json_t *request, json_t *reply, struct cm_err *err)
{
    struct kf_deploy_env env = env_of(a);
    (void)id;
    return kf_deploy_swap(a->deployer, &env, cm_json_str(request, "stage"), reply, err);
}

static int rollback(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                    struct cm_err *err)
{
    struct kf_deploy_env env = env_of(a);
    (void)id;
    (void)reply;
    return kf_deploy_rollback(a->deployer, &env, cm_json_str(request, "stage"), err);
}

static int commit(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                  struct cm_err *err)
{
    struct kf_deploy_env env = env_of(a);
    (void)id;
    (void)reply;
    return kf_deploy_commit(a->deployer, &env, cm_json_str(request, "stage"), err);
}

const struct kfa_verb kfa_verbs_deploy[] = {
    {"deploy.stage", KFA_TRUST, {"o:document", "s:target"}, stage},
    {"deploy.swap", KFA_TRUST, {"s:stage"}, swap},
    {"deploy.rollback", KFA_TRUST, {"s:stage"}, rollback},
    {"deploy.commit", KFA_TRUST, {"s:stage"}, commit},
    {0},
};
