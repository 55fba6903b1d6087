/* Verbs by which this server's keys, or those of another one, are replaced
 * (docs/agent-protocol.md).
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/log.h"
#include "base/core/step.h"
#include "keyfile/agent_impl.h"
#include "keyfile/identity_next.h"
#include "keyfile/rewrap.h"
#include "keyfile/seal.h"
#include "keyfile/trust_rotate.h"

/* The new keys (made at the first time), each proved by its signature over all three. */
static int rotate_begin(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                        struct cm_err *err)
{
    CM_AUTO_STR proof_seal = NULL;
    CM_AUTO_STR proof_sign = NULL;
    (void)id;
    int rc = kf_identity_prepare(a->config->dir, &a->identity, err);
    if (rc < 0)
        return rc;
    const struct kf_identity *next = a->identity.pending;
    struct kf_new_keys keys = {.name = next->name,
                               .seal = next->seal_b64,
                               .sign = next->sign_b64,
                               .tls = cm_json_str(request, "tls")};
    rc = kf_rotation_prove(next->seal, &keys, &proof_seal, err);
    if (rc == 0)
        rc = kf_rotation_prove(next->sign, &keys, &proof_sign, err);
    cm_json_set_str(reply, "seal", keys.seal);
    cm_json_set_str(reply, "sign", keys.sign);
    cm_json_set_str(reply, "proof_seal", proof_seal);
    cm_json_set_str(reply, "proof_sign", proof_sign);
    return rc;
}

/* Keys that the trust root does not list, and is not going to. */
static int rotate_cancel(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                         struct cm_err *err)
{
    (void)id;
    (void)request;
    (void)reply;
    return a->identity.pending ? kf_identity_drop_pending(a->config->dir, &a->identity, err) : 0;
}

static int rewrap(const struct kfa *a, const uint8_t *der, size_t len, char **ret,
                  struct cm_err *err)
{
    const struct kf_identity *former = a->identity.former;
    KF_AUTO_SECRET text = {0};
    uint8_t *made = NULL;
    size_t made_len = 0;
    int rc = kf_rewrap(der, len, former->seal, former->seal_cert, a->identity.seal_cert, &made,
                       &made_len, err);
    /* The last proof that nothing is lost when the former key goes. */
    if (rc == 0)
        rc = kf_open(made, made_len, a->identity.seal, a->identity.seal_cert, &text, err);
    if (rc == 0)
        *ret = cm_b64(made, made_len);
    cm_free(made);
    return rc;
}

static int rotate_rewrap(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                         struct cm_err *err)
{
    const char *sealed = cm_json_str(request, "sealed");
    CM_AUTO_STR made = NULL;
    uint8_t *der = NULL, ski[KF_SKI_SIZE];
    size_t len = 0;
    struct kf_envelope envelope;
    (void)id;
    if (strlen(sealed) > 2 * KF_ENVELOPE_MAX ||
        cm_b64_decode(sealed, strlen(sealed), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "the sealed text is not base64");
    int rc = kf_envelope_check(der, len, &envelope, err);
    if (rc == 0)
        rc = kf_seal_ski(a->identity.seal_b64, ski, err);
    bool same = rc == 0 && (kf_envelope_lists(&envelope, ski) || !a->identity.former);
    if (rc == 0 && !same)
        rc = rewrap(a, der, len, &made, err);
    cm_free(der);
    if (rc == 0) {
        cm_json_set_str(reply, "sealed", same ? sealed : made);
        cm_json_set_bool(reply, "changed", !same);
    }
    return rc;
}

static int answer_pinned(const struct kfa *a, json_t *reply)
{
    cm_json_set(reply, "document", json_deep_copy(kf_trust_document(a->trust)));
    return 0;
}

static int trust_rotate(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                        struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    json_t *made = NULL;
    (void)id;
    if (kf_trust_has_keys(a->trust, document))
        return answer_pinned(a, reply); /* asked again */
    int rc = kfa_check_signer(a, err);
    if (rc == 0)
        rc = kf_trust_rotate(&a->identity, a->trust, document, cm_now_ms(), &made, err);
    return kfa_publish(a, rc, made, reply, err);
}

static int trust_retire(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                        struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    const struct kf_server *server =
        kf_trust_server(a->trust, cm_json_str_or(document, "server", ""));
    json_t *made = NULL;
    (void)id;
    if (server && !server->old_sign_b64 && kf_trust_has_keys(a->trust, document))
        return answer_pinned(a, reply);
    int rc = kfa_check_signer(a, err);
    if (rc == 0)
        rc = kf_trust_retire(&a->identity, a->trust, document, cm_now_ms(), &made, err);
    return kfa_publish(a, rc, made, reply, err);
}

static bool is_listed(const struct kf_server *self, const struct kf_identity *keys)
{
    return strcmp(self->sign_b64, keys->sign_b64) == 0 &&
           strcmp(self->seal_b64, keys->seal_b64) == 0;
}

static const struct kf_server *listed_self(const struct kfa *a)
{
    return a->trust && a->has_identity ? kf_trust_server(a->trust, a->identity.name) : NULL;
}

static bool pending_is_listed(const struct kfa *a)
{
    const struct kf_server *self = listed_self(a);
    return self && a->identity.pending && is_listed(self, a->identity.pending);
}

static bool former_is_forgotten(const struct kfa *a)
{
    const struct kf_server *self = listed_self(a);
    return self && a->identity.former && !self->old_sign_b64 && is_listed(self, &a->identity);
}

bool kfa_keys_wait(const struct kfa *a)
{
    return pending_is_listed(a) || former_is_forgotten(a);
}

int kfa_follow_rotation(struct kfa *a, struct cm_err *err)
{
    int rc = 0;
    if (pending_is_listed(a)) {
        rc = kf_identity_exchange(a->config->dir, &a->identity, err);
        if (rc == 0)
            cm_log(CM_LOG_INFO, "agent", NULL, "the keys of trust root version %lld are in use",
                   (long long)kf_trust_version(a->trust));
    }
    if (rc == 0 && former_is_forgotten(a)) {
        cm_step("agent.dropping");
        rc = kf_identity_drop_former(a->config->dir, &a->identity, err);
        if (rc == 0)
            cm_log(CM_LOG_INFO, "agent", NULL, "the former keys of this server are destroyed");
    }
    return rc;
}

const struct kfa_verb kfa_verbs_rotate[] = {
    {"rotate.begin", KFA_MEMBER, {"s:tls"}, rotate_begin},
    {"rotate.cancel", KFA_MEMBER, {NULL}, rotate_cancel},
    {"rotate.rewrap", KFA_MEMBER, {"s:sealed"}, rotate_rewrap},
    {"trust.rotate", KFA_MANAGER, {"o:document"}, trust_rotate},
    {"trust.retire", KFA_MANAGER, {"o:document"}, trust_retire},
    {0},
};
