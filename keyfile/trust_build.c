/* Making trust roots. */
#include "keyfile/trust_build.h"

#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/docsig.h"
#include "keyfile/pkey.h"

#define DAY_MS (24 * 3600 * (int64_t)1000)

static json_t *server_json(const struct kf_new_server *server)
{
    json_t *obj = json_object();
    json_t *roles = json_array();
    if (server->manager)
        json_array_append_new(roles, json_string("manager"));
    if (server->standby)
        json_array_append_new(roles, json_string("standby"));
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

/* Appends our signature in place of an older one of ours. */
static int add_signature(const struct kf_identity *identity, json_t *body, struct cm_err *err)
{
    json_t *signature;
    json_t *list = cm_json_arr(body, "signatures");
    if (!list) {
        list = json_array();
        cm_json_set(body, "signatures", list);
    }
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *id = cm_json_str(json_array_get(list, i), "key");
        if (id && strcmp(id, identity->key_id) == 0)
            json_array_remove(list, i);
    }
    int rc = kf_doc_signature(identity, body, false, &signature, err);
    if (rc == 0)
        json_array_append_new(list, signature);
    return rc;
}

/* Several signers: is it only that the others have not signed yet? */
static bool is_open(const struct kf_trust *current, const struct kf_trust *next)
{
    return current && kf_trust_version(next) > kf_trust_version(current) &&
           (kf_trust_signed_by(current, next) < kf_trust_threshold(current) ||
            kf_trust_signed_by(next, next) < kf_trust_threshold(next)) &&
           (kf_trust_threshold(current) > 1 || kf_trust_threshold(next) > 1);
}

int kf_trust_finish(const struct kf_identity *identity, const struct kf_trust *current,
                    json_t *body, json_t **ret, struct cm_err *err)
{
    struct kf_trust *next = NULL;
    int rc = add_signature(identity, body, err);
    /* Our own keys are being replaced: it is to satisfy the root that lists the new one, too. */
    if (rc == 0 && identity->pending &&
        cm_json_has_str(cm_json_arr(body, "root_signers"), identity->pending->key_id))
        rc = add_signature(identity->pending, body, err);
    if (rc == 0)
        rc = kf_trust_parse(body, &next, err);
    if (rc == 0)
        rc = is_open(current, next) ? KF_TRUST_OPEN : kf_trust_accept(current, next, err);
    kf_trust_free(next);
    if (rc >= 0)
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
    return kf_trust_finish(identity, NULL, body, ret, err);
}

/* A copy of the current root under the next version and serial; without the store's members. */
json_t *kf_trust_next_body(const struct kf_trust *current, int64_t now_ms)
{
    json_t *body = json_deep_copy(kf_trust_document(current));
    int64_t serial = cm_json_int(body, "serial", 0) + 1;
    json_object_del(body, "_rev");
    json_object_del(body, "_revisions");
    json_object_del(body, "signatures");
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

json_t *kf_trust_entry(json_t *body, const char *name)
{
    json_t *servers = cm_json_arr(body, "servers");
    return json_array_get(servers, index_of(servers, name));
}

int kf_trust_drop_signer(json_t *body, const char *sign_id, struct cm_err *err)
{
    json_t *signers = cm_json_arr(body, "root_signers");
    for (size_t i = json_array_size(signers); i-- > 0;) {
        const char *id = json_string_value(json_array_get(signers, i));
        if (id && strcmp(id, sign_id) == 0)
            json_array_remove(signers, i);
    }
    if ((int64_t)json_array_size(signers) >= cm_json_int(body, "threshold", 1))
        return 0;
    cm_fail(err, CM_ECONFLICT, "then %zu root signers would be left, and %lld have to sign",
            json_array_size(signers), (long long)cm_json_int(body, "threshold", 1));
    cm_err_hint(err, "Name another signer or lower the threshold first: certmgr trust threshold.");
    return CM_ECONFLICT;
}

void kf_trust_add_signer(json_t *body, const char *sign_id)
{
    json_t *signers = cm_json_arr(body, "root_signers");
    if (!cm_json_has_str(signers, sign_id))
        json_array_append_new(signers, json_string(sign_id));
}

int kf_trust_add(const struct kf_identity *identity, const struct kf_trust *current,
                 const struct kf_new_server *server, int64_t now_ms, json_t **ret,
                 struct cm_err *err)
{
    *ret = NULL;
    const struct kf_server *old = kf_trust_server(current, server->name);
    if (old && old->state != KF_REMOVED)
        return cm_fail(err, CM_ECONFLICT, "server %s is already in the trust root", server->name);
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    json_t *servers = cm_json_arr(body, "servers");
    if (old)
        json_array_remove(servers, index_of(servers, server->name));
    json_array_append_new(servers, server_json(server));
    if (server->standby) {
        uint8_t spki[KF_P256_SPKI_SIZE];
        char id[KF_KEY_ID_TEXT];
        int rc = kf_p256_spki_b64(server->sign, spki, err);
        if (rc < 0)
            return rc;
        kf_key_id(spki, sizeof(spki), id);
        kf_trust_add_signer(body, id);
    }
    return kf_trust_finish(identity, current, body, ret, err);
}

int kf_trust_mark_removed(const struct kf_identity *identity, const struct kf_trust *current,
                          const char *name, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    const struct kf_server *server = kf_trust_server(current, name);
    if (!server)
        return cm_fail(err, CM_ENOENT, "server \"%.63s\" is not in the trust root", name);
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    cm_json_set_str(kf_trust_entry(body, name), "state", "removed");
    int rc = kf_trust_drop_signer(body, server->sign_id, err);
    if (rc < 0)
        return rc;
    return kf_trust_finish(identity, current, body, ret, err);
}

int kf_trust_renew(const struct kf_identity *identity, const struct kf_trust *current,
                   int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    return kf_trust_finish(identity, current, body, ret, err);
}

int kf_trust_set_recovery(const struct kf_identity *identity, const struct kf_trust *current,
                          const char *recovery, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    *ret = NULL;
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    cm_json_set_str(body, "recovery", recovery);
    return kf_trust_finish(identity, current, body, ret, err);
}

bool kf_trust_is_signer(const struct kf_identity *identity, const struct kf_trust *current)
{
    return kf_trust_is_root_signer(current, identity->key_id);
}
