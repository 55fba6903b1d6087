/* Making trust roots. */
#include "keyfile/trust_build.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/docsig.h"

#define DAY_MS (24 * 3600 * (int64_t)1000)

static json_t *server_json(const struct kf_new_server *server)
{
    json_t *obj = json_object();
    json_t *roles = json_array();
    if (server->manager)
        json_array_append_new(roles, json_string("manager"));
    json_array_append_new(roles, json_string("server"));
    cm_json_set_str(obj, "name", server->name);
    cm_json_set(obj, "roles", roles);
    cm_json_set_str(obj, "state", "active");
    cm_json_set_str(obj, "seal", server->seal);
    cm_json_set_str(obj, "sign", server->sign);
    cm_json_set_str(obj, "tls", server->tls);
    cm_json_set_str(obj, "url", server->url);
    cm_json_set_str(obj, "ui_url", server->ui_url);
    return obj;
}

/* Signs, and proves the result by parsing it as everybody else will. */
static int finish(const struct kf_identity *identity, const struct kf_trust *current, json_t *body,
                  json_t **ret, struct cm_err *err)
{
    json_t *signature;
    struct kf_trust *next = NULL;
    json_object_del(body, "signatures");
    int rc = kf_doc_signature(identity, body, false, &signature, err);
    if (rc < 0)
        return rc;
    json_t *list = json_array();
    json_array_append_new(list, signature);
    cm_json_set(body, "signatures", list);
    rc = kf_trust_parse(body, &next, err);
    if (rc == 0)
        rc = kf_trust_accept(current, next, err);
    kf_trust_free(next);
    if (rc == 0)
        *ret = json_incref(body);
    return rc;
}

int kf_trust_found(const struct kf_identity *identity, const struct kf_new_server *self,
                   const char *recovery, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    CM_AUTO_JSON body = json_object();
    json_t *signers = json_array();
    json_t *servers = json_array();
    json_array_append_new(signers, json_string(identity->key_id));
    json_array_append_new(servers, server_json(self));
    cm_json_set_str(body, "_id", "trust:root");
    cm_json_set_str(body, "type", "trust");
    cm_json_set_int(body, "serial", now_ms);
    cm_json_set_int(body, "version", 1);
    cm_json_set_time(body, "expires_at", now_ms + KF_TRUST_DAYS * DAY_MS);
    cm_json_set(body, "root_signers", signers);
    cm_json_set_int(body, "threshold", 1);
    cm_json_set(body, "servers", servers);
    cm_json_set_str(body, "recovery", recovery);
    return finish(identity, NULL, body, ret, err);
}

/* A copy of the current root under the next version and serial; without the store's members. */
static json_t *next_body(const struct kf_trust *current, int64_t now_ms)
{
    json_t *body = json_deep_copy(kf_trust_document(current));
    int64_t serial = cm_json_int(body, "serial", 0) + 1;
    json_object_del(body, "_rev");
    json_object_del(body, "_revisions");
    cm_json_set_int(body, "serial", serial > now_ms ? serial : now_ms);
    cm_json_set_int(body, "version", kf_trust_version(current) + 1);
    cm_json_set_time(body, "expires_at", now_ms + KF_TRUST_DAYS * DAY_MS);
    return body;
}

static size_t index_of(const json_t *servers, const char *name)
{
    size_t i = 0;
    while (i < json_array_size(servers) &&
           strcmp(cm_json_str_or(json_array_get(servers, i), "name", ""), name) != 0)
        i++;
    return i;
}

int kf_trust_add(const struct kf_identity *identity, const struct kf_trust *current,
                 const struct kf_new_server *server, int64_t now_ms, json_t **ret,
                 struct cm_err *err)
{
    *ret = NULL;
    const struct kf_server *old = kf_trust_server(current, server->name);
    if (old && old->state != KF_REMOVED)
        return cm_fail(err, CM_ECONFLICT, "server %s is already in the trust root", server->name);
    CM_AUTO_JSON body = next_body(current, now_ms);
    json_t *servers = cm_json_arr(body, "servers");
    if (old)
        json_array_remove(servers, index_of(servers, server->name));
    json_array_append_new(servers, server_json(server));
    return finish(identity, current, body, ret, err);
}

int kf_trust_mark_removed(const struct kf_identity *identity, const struct kf_trust *current,
                          const char *name, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    if (!kf_trust_server(current, name))
        return cm_fail(err, CM_ENOENT, "server \"%.63s\" is not in the trust root", name);
    CM_AUTO_JSON body = next_body(current, now_ms);
    json_t *servers = cm_json_arr(body, "servers");
    cm_json_set_str(json_array_get(servers, index_of(servers, name)), "state", "removed");
    return finish(identity, current, body, ret, err);
}

int kf_trust_renew(const struct kf_identity *identity, const struct kf_trust *current,
                   int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    CM_AUTO_JSON body = next_body(current, now_ms);
    return finish(identity, current, body, ret, err);
}

int kf_trust_set_recovery(const struct kf_identity *identity, const struct kf_trust *current,
                          const char *recovery, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    CM_AUTO_JSON body = next_body(current, now_ms);
    cm_json_set_str(body, "recovery", recovery);
    return finish(identity, current, body, ret, err);
}

bool kf_trust_is_signer(const struct kf_identity *identity, const struct kf_trust *current)
{
    const json_t *signers = cm_json_arr(kf_trust_document(current), "root_signers");
    return cm_json_has_str(signers, identity->key_id);
}
