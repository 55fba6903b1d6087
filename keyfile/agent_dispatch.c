/* From a request frame to a verb: strict members, needs, one reply shape. */
#include <string.h>

#include "keyfile/agent_impl.h"

static const struct kfa_verb *const groups[] = {
    kfa_verbs_identity, kfa_verbs_trust,  kfa_verbs_root,   kfa_verbs_doc,
    kfa_verbs_key,      kfa_verbs_acme,   kfa_verbs_deploy, kfa_verbs_backup,
    kfa_verbs_secret,   kfa_verbs_revoke, kfa_verbs_rotate, kfa_verbs_move,
};

static const struct kfa_verb *find(const char *name)
{
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        for (const struct kfa_verb *v = groups[g]; v->name; v++) {
            if (strcmp(v->name, name) == 0)
                return v;
        }
    }
    return NULL;
}

static bool type_fits(char type, const json_t *value)
{
    switch (type) {
    case 's':
        return json_is_string(value);
    case 'S':
        return !value || json_is_null(value) || json_is_string(value);
    case 'i':
        return json_is_integer(value);
    case 'b':
        return json_is_boolean(value);
    case 'B':
        return !value || json_is_null(value) || json_is_boolean(value);
    case 'o':
        return json_is_object(value);
    case 'a':
        return json_is_array(value);
    default:
        return false;
    }
}

static bool is_known(const struct kfa_verb *verb, const char *member)
{
    if (strcmp(member, "id") == 0 || strcmp(member, "op") == 0)
        return true;
    for (size_t i = 0; verb->members[i]; i++) {
        if (strcmp(verb->members[i] + 2, member) == 0)
            return true;
    }
    return false;
}

static int check_members(const struct kfa_verb *verb, const json_t *request, struct cm_err *err)
{
    const char *member;
    json_t *value;
    for (size_t i = 0; verb->members[i]; i++) {
        const char *name = verb->members[i] + 2;
        if (!type_fits(verb->members[i][0], json_object_get(request, name)))
            return cm_fail(err, CM_EMALF, "%s: member \"%s\" is missing or of the wrong type",
                           verb->name, name);
    }
    json_object_foreach((json_t *)(uintptr_t)request, member, value)
    {
        if (!is_known(verb, member))
            return cm_fail(err, CM_EMALF, "%s: unknown member \"%.40s\"", verb->name, member);
    }
    return 0;
}

static int refuse_stranger(const struct kfa *a, struct cm_err *err)
{
    const struct kf_server *other = kf_trust_server(a->trust, a->identity.name);
    cm_fail(err, CM_EDENIED, "the trust root does not list this server (%s) with its keys",
            a->identity.name);
    if (other && other->state != KF_REMOVED)
        cm_err_hint(err,
                    "They were replaced: this is a copy of the server from before. Stop it, or "
                    "remove the server and let it join again.");
    return CM_EDENIED;
}

static int check_need(const struct kfa *a, enum kfa_need need, struct cm_err *err)
{
    if (a->locked.code != 0) {
        if (err)
            cm_err_copy(err, &a->locked);
        return a->locked.code;
    }
    if (need >= KFA_IDENTITY && !a->has_identity)
        return cm_fail(err, CM_EDENIED,
                       "this server has no identity yet; run certmgr init or join");
    if (need >= KFA_TRUST && !a->trust)
        return cm_fail(err, CM_ENOENT, "no trust root is pinned; run certmgr init or join");
    const struct kf_server *self = need >= KFA_MEMBER ? kfa_self(a) : NULL;
    if (need >= KFA_MEMBER && !self)
        return refuse_stranger(a, err);
    if (need >= KFA_MANAGER && (!self->manager || self->state != KF_ACTIVE))
        return cm_fail(err, CM_EDENIED, "server %s is not a manager", a->identity.name);
    return 0;
}

static int run(struct kfa *a, int64_t id, const json_t *request, json_t *reply, struct cm_err *err)
{
    const char *op = cm_json_str(request, "op");
    const struct kfa_verb *verb = op ? find(op) : NULL;
    if (!verb)
        return cm_fail(err, CM_EMALF, "unknown verb \"%.40s\"", op ? op : "");
    int rc = check_members(verb, request, err);
    if (rc == 0)
        rc = check_need(a, verb->need, err);
    return rc < 0 ? rc : verb->run(a, id, request, reply, err);
}

json_t *kfa_reply(int64_t id, json_t *take_members, int rc, const struct cm_err *err)
{
    json_t *reply = rc < 0 ? json_object() : json_incref(take_members);
    json_decref(take_members);
    cm_json_set_int(reply, "id", id);
    cm_json_set_bool(reply, "ok", rc == 0);
    if (rc < 0)
        cm_json_set(reply, "error", cm_err_to_json(err));
    return reply;
}

int kfa_dispatch(struct kfa *a, const json_t *request, json_t **ret_reply, struct cm_err *err)
{
    *ret_reply = NULL;
    const json_t *id = json_object_get(request, "id");
    if (!json_is_integer(id) || json_integer_value(id) < 0)
        return cm_fail(err, CM_EMALF, "a request is a JSON object with an id of 0 or more");
    struct cm_err why = CM_ERR_INIT;
    json_t *reply = json_object();
    int rc = run(a, json_integer_value(id), request, reply, &why);
    if (rc == KFA_LATER)
        json_decref(reply);
    else
        *ret_reply = kfa_reply(json_integer_value(id), reply, rc, &why);
    cm_err_fini(&why);
    return rc == KFA_LATER ? 0 : 1;
}
