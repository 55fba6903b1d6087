/* Verbs about this server itself. */
#include <string.h>

#include "keyfile/agent_impl.h"
#include "keyfile/agent_work.h"

static int hello(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                 struct cm_err *err)
{
    const struct kf_server *self = kfa_self(a);
    json_t *roles = json_array();
    (void)id;
    (void)request;
    (void)err;
    if (self && self->manager)
        json_array_append_new(roles, json_string("manager"));
    if (self && self->standby)
        json_array_append_new(roles, json_string("standby"));
    if (self)
        json_array_append_new(roles, json_string("server"));
    cm_json_set(reply, "roles", roles);
    cm_json_set_int(reply, "working_ms", kfa_work_running_ms(a->work));
    cm_json_set_int(reply, "trust_version", a->trust ? kf_trust_version(a->trust) : 0);
    if (a->has_identity) {
        cm_json_set_str(reply, "name", a->identity.name);
        cm_json_set_str(reply, "seal", a->identity.seal_b64);
        cm_json_set_str(reply, "sign", a->identity.sign_b64);
        cm_json_set_str(reply, "key_id", a->identity.key_id);
    }
    return 0;
}

static int create(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                  struct cm_err *err)
{
    const char *name = cm_json_str(request, "name");
    (void)id;
    if (a->has_identity && strcmp(a->identity.name, name) != 0)
        return cm_fail(err, CM_ECONFLICT, "this server has the identity \"%s\" already",
                       a->identity.name);
    if (!a->has_identity) {
        int rc = kf_identity_create(a->config->dir, name, &a->identity, err);
        if (rc < 0)
            return rc;
        a->has_identity = true;
    }
    cm_json_set_str(reply, "seal", a->identity.seal_b64);
    cm_json_set_str(reply, "sign", a->identity.sign_b64);
    return 0;
}

const struct kfa_verb kfa_verbs_identity[] = {
    {"hello", KFA_NOTHING, {NULL}, hello},
    {"identity.create", KFA_NOTHING, {"s:name"}, create},
    {0},
};
