/* Roles, promotion, threshold, second signatures. */
#include "keyfile/trust_change.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/trust_rotate.h"

static void set_roles(json_t *entry, const char *first)
{
    json_t *roles = json_array();
    if (first)
        json_array_append_new(roles, json_string(first));
    json_array_append_new(roles, json_string("server"));
    cm_json_set(entry, "roles", roles);
}

static void set_urls(json_t *entry, const char *url, const char *ui_url)
{
    if (url)
        cm_json_set_str(entry, "url", url);
    if (ui_url)
        cm_json_set_str(entry, "ui_url", ui_url);
}

int kf_trust_set_role(const struct kf_identity *identity, const struct kf_trust *current,
                      const char *name, bool standby, const char *url, const char *ui_url,
                      int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    const struct kf_server *server = kf_trust_server(current, name);
    if (!server || server->state != KF_ACTIVE)
        return cm_fail(err, CM_ENOENT, "server \"%.63s\" is not active in the trust root", name);
    if (server->manager)
        return cm_fail(err, CM_EDENIED,
                       "server %s is the manager; promote a standby in its place instead", name);
    if (standby && !url && !server->url)
        return cm_fail(err, CM_EINVAL, "a standby needs the URL at which servers will reach it");
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    json_t *entry = kf_trust_entry(body, name);
    int rc = 0;
    set_roles(entry, standby ? "standby" : NULL);
    set_urls(entry, url, ui_url);
    if (standby)
        kf_trust_add_signer(body, server->sign_id);
    else
        rc = kf_trust_drop_signer(body, server->sign_id, err);
    return rc < 0 ? rc : kf_trust_finish(identity, current, body, ret, err);
}

/* Takes the manager's power from everybody who has it. */
static void demote_all(json_t *body, const struct kf_trust *current, bool lost)
{
    for (size_t i = 0; i < kf_trust_count(current); i++) {
        const struct kf_server *server = kf_trust_at(current, i);
        if (!server->manager || server->state == KF_REMOVED)
            continue;
        json_t *entry = kf_trust_entry(body, server->name);
        set_roles(entry, NULL);
        if (lost)
            cm_json_set_str(entry, "state", "removed");
        (void)kf_trust_drop_signer(body, server->sign_id, NULL); /* counted at the end */
    }
}

int kf_trust_promote(const struct kf_identity *identity, const struct kf_trust *current, bool lost,
                     const char *url, const char *ui_url, int64_t now_ms, json_t **ret,
                     struct cm_err *err)
{
    *ret = NULL;
    const struct kf_server *self = kf_trust_server(current, identity->name);
    if (!self || self->state != KF_ACTIVE || !self->standby) {
        cm_fail(err, CM_EDENIED,
                "server %s is no standby: the manager makes one with \"certmgr server role %s "
                "standby\"",
                identity->name, identity->name);
        cm_err_hint(err, "Is the manager lost? \"certmgr server list\" names its standbys; where "
                         "there is none, restore the manager's backup (man certmgr, WHEN A SERVER "
                         "IS LOST).");
        return CM_EDENIED;
    }
    if (!kf_trust_is_signer(identity, current))
        return cm_fail(err, CM_EDENIED, "server %s is not a root signer", identity->name);
    if (!url && !self->url)
        return cm_fail(err, CM_EINVAL, "a manager needs the URL at which servers reach it");
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    cm_json_set_int(body, "version", kf_trust_version(current) + KF_PROMOTE_STEP);
    demote_all(body, current, lost);
    json_t *entry = kf_trust_entry(body, identity->name);
    set_roles(entry, "manager");
    set_urls(entry, url, ui_url);
    size_t left = json_array_size(cm_json_arr(body, "root_signers"));
    if ((int64_t)left < cm_json_int(body, "threshold", 1))
        cm_json_set_int(body, "threshold", (int64_t)left);
    return kf_trust_finish(identity, current, body, ret, err);
}

static int add_named(json_t *body, const struct kf_trust *current, const json_t *names,
                     struct cm_err *err)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const struct kf_server *server = name ? kf_trust_server(current, name) : NULL;
        if (!server || server->state != KF_ACTIVE)
            return cm_fail(err, CM_ENOENT, "server \"%.63s\" is not active in the trust root",
                           name ? name : "");
        kf_trust_add_signer(body, server->sign_id);
    }
    return 0;
}

int kf_trust_set_threshold(const struct kf_identity *identity, const struct kf_trust *current,
                           int64_t threshold, const json_t *signers, int64_t now_ms, json_t **ret,
                           struct cm_err *err)
{
    *ret = NULL;
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    cm_json_set(body, "root_signers", json_array());
    for (size_t i = 0; i < kf_trust_count(current); i++) {
        const struct kf_server *server = kf_trust_at(current, i);
        if (server->state == KF_ACTIVE && (server->manager || server->standby))
            kf_trust_add_signer(body, server->sign_id);
    }
    int rc = add_named(body, current, signers, err);
    if (rc < 0)
        return rc;
    size_t count = json_array_size(cm_json_arr(body, "root_signers"));
    if (threshold < 1 || (size_t)threshold > count) {
        cm_fail(err, CM_EINVAL, "the threshold is 1 to %zu: so many root signers there are", count);
        cm_err_hint(err, "Root signers are the manager, the standbys and each --signer NAME.");
        return CM_EINVAL;
    }
    cm_json_set_int(body, "threshold", threshold);
    return kf_trust_finish(identity, current, body, ret, err);
}

int kf_trust_cosign(const struct kf_identity *identity, const struct kf_trust *current,
                    const json_t *proposal, json_t **ret, struct cm_err *err)
{
    struct kf_trust *next = NULL;
    *ret = NULL;
    CM_AUTO_JSON body = json_deep_copy(proposal);
    int rc = kf_trust_parse(body, &next, err);
    if (rc == 0 && kf_trust_version(next) <= kf_trust_version(current))
        rc = cm_fail(err, CM_ECONFLICT, "the proposal (version %lld) is not above version %lld",
                     (long long)kf_trust_version(next), (long long)kf_trust_version(current));
    if (rc == 0 && kf_trust_signed_by(current, next) == 0)
        rc = cm_fail(err, CM_EDENIED, "no root signer of this fleet has signed the proposal");
    if (rc == 0 && !kf_trust_is_signer(identity, current) && !kf_trust_is_signer(identity, next))
        rc = cm_fail(err, CM_EDENIED, "server %s is not a root signer", identity->name);
    kf_trust_free(next);
    return rc < 0 ? rc : kf_trust_finish(identity, current, body, ret, err);
}

static json_t *without_times(const json_t *document)
{
    static const char *const names[] = {"version", "serial", "expires_at", "signatures",
                                        "_rev",    "_id",    "_revisions"};
    json_t *copy = json_copy((json_t *)(uintptr_t)document); /* shallow: members are only deleted */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        json_object_del(copy, names[i]);
    return copy;
}

/* Former keys whose server does not need them any more may go without a person: the change that
 * brought the new ones was agreed to. */
static bool only_forgets(json_t *before, const json_t *after)
{
    if (json_equal(before, after))
        return true;
    const json_t *list = cm_json_arr(after, "replaced");
    const json_t *last = json_array_get(list, json_array_size(list) - 1);
    return cm_json_obj(before, "old") && !cm_json_obj(after, "old") && cm_json_str(last, "at") &&
           kf_trust_forget_old(before, cm_json_str(last, "at"), NULL) == 0 &&
           json_equal(before, after);
}

bool kf_trust_only_renews(const struct kf_trust *current, const json_t *proposal)
{
    CM_AUTO_JSON before = without_times(kf_trust_document(current));
    CM_AUTO_JSON after = without_times(proposal);
    CM_AUTO_JSON servers = json_deep_copy(cm_json_arr(before, "servers"));
    const json_t *others = cm_json_arr(after, "servers");
    bool same = json_array_size(servers) == json_array_size(others);
    for (size_t i = 0; same && i < json_array_size(servers); i++)
        same = only_forgets(json_array_get(servers, i), json_array_get(others, i));
    json_object_del(before, "servers");
    json_object_del(after, "servers");
    return same && json_equal(before, after);
}
