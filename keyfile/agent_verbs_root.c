/* Verbs that hand power on: roles, promotion, threshold, second signatures; and the managers'
 * secrets sealed for those who are managers or standbys now. */
#include <string.h>

#include "base/core/bytes.h"
#include "keyfile/agent_impl.h"
#include "keyfile/binding.h"
#include "keyfile/ossl.h"
#include "keyfile/seal.h"
#include "keyfile/trust_change.h"

static int answer_pinned(const struct kfa *a, json_t *reply)
{
    cm_json_set(reply, "document", json_deep_copy(kf_trust_document(a->trust)));
    return 0;
}

static bool same_or_unsaid(const char *said, const char *present)
{
    return !said || (present && strcmp(said, present) == 0);
}

static int trust_role(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                      struct cm_err *err)
{
    const char *name = cm_json_str(request, "name"), *role = cm_json_str(request, "role");
    const char *url = cm_json_str(request, "url"), *ui_url = cm_json_str(request, "ui_url");
    bool standby = strcmp(role, "standby") == 0;
    json_t *made = NULL;
    (void)id;
    if (!standby && strcmp(role, "server") != 0)
        return cm_fail(err, CM_EINVAL, "a role is \"standby\" or \"server\"");
    const struct kf_server *server = kf_trust_server(a->trust, name);
    if (server && server->state == KF_ACTIVE && !server->manager && server->standby == standby &&
        same_or_unsaid(url, server->url) && same_or_unsaid(ui_url, server->ui_url))
        return answer_pinned(a, reply); /* asked again */
    int rc = kfa_check_signer(a, err);
    if (rc == 0)
        rc = kf_trust_set_role(&a->identity, a->trust, name, standby, url, ui_url, cm_now_ms(),
                               &made, err);
    return kfa_publish(a, rc, made, reply, err);
}

static int trust_promote(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                         struct cm_err *err)
{
    json_t *made = NULL;
    (void)id;
    const struct kf_server *self = kfa_self(a);
    if (self && self->manager && self->state == KF_ACTIVE)
        return answer_pinned(a, reply); /* asked again */
    int rc = kf_trust_promote(&a->identity, a->trust, cm_json_bool(request, "lost", false),
                              cm_json_str(request, "url"), cm_json_str(request, "ui_url"),
                              cm_now_ms(), &made, err);
    return kfa_publish(a, rc, made, reply, err);
}

static int trust_threshold(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                           struct cm_err *err)
{
    json_t *made = NULL;
    (void)id;
    int rc = kfa_check_signer(a, err);
    if (rc == 0)
        rc = kf_trust_set_threshold(&a->identity, a->trust, cm_json_int(request, "threshold", 0),
                                    cm_json_arr(request, "signers"), cm_now_ms(), &made, err);
    return kfa_publish(a, rc, made, reply, err);
}

static int refuse_expired(struct cm_err *err)
{
    cm_fail(err, CM_EDENIED, "the proposal has expired");
    cm_err_hint(err, "It is a month old, or the clock of one of the two servers stands wrong "
                     "(timedatectl status). Ask for the same change again, and sign that.");
    return CM_EDENIED;
}

/* A proposal that is complete already is pinned: so it comes back to whom it was made by. */
static int trust_sign(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                      struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    struct kf_trust *next = NULL;
    json_t *made = NULL;
    (void)id;
    if (json_equal(document, kf_trust_document(a->trust)))
        return answer_pinned(a, reply);
    if (cm_json_bool(request, "renewal", false) && !kf_trust_only_renews(a->trust, document))
        return cm_fail(err, CM_EDENIED, "the proposal is no renewal: a person has to agree");
    int rc = kf_trust_parse(document, &next, err);
    if (rc < 0)
        return rc;
    bool complete = kf_trust_accept(a->trust, next, NULL) == 0;
    bool expired = kf_trust_expires_ms(next) <= cm_now_ms();
    kf_trust_free(next);
    if (expired)
        return refuse_expired(err);
    if (complete)
        return kfa_publish(a, 0, json_deep_copy(document), reply, err);
    rc = kf_trust_cosign(&a->identity, a->trust, document, &made, err);
    return kfa_publish(a, rc, made, reply, err);
}

/* Exactly these recipients already? */
static bool sealed_so(const uint8_t *der, size_t len, X509 *const *recipient, size_t count)
{
    struct kf_envelope envelope;
    if (kf_envelope_check(der, len, &envelope, NULL) < 0 || envelope.recipient_count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(recipient[i]);
        if (!ski || !kf_envelope_lists(&envelope, ASN1_STRING_get0_data(ski)))
            return false;
    }
    return true;
}

static int reseal(struct kfa *a, const uint8_t *der, size_t len, X509 *const *recipient,
                  size_t count, char **ret, struct cm_err *err)
{
    KF_AUTO_SECRET text = {0};
    uint8_t *out = NULL;
    size_t out_len = 0;
    int rc = kf_identity_open(&a->identity, der, len, &text, err);
    if (rc == 0)
        rc = kf_bound_to_managers(&text, err);
    if (rc == 0)
        rc = kf_seal(text.data, text.len, recipient, count, &out, &out_len, err);
    if (rc == 0)
        *ret = cm_b64(out, out_len);
    cm_free(out);
    return rc;
}

static int secret_reseal(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                         struct cm_err *err)
{
    const char *sealed = cm_json_str(request, "sealed");
    X509 *recipient[KF_RECIPIENTS_MAX];
    size_t count = 0, len = 0;
    uint8_t *der = NULL;
    CM_AUTO_STR made = NULL;
    (void)id;
    if (strlen(sealed) > 2 * KF_ENVELOPE_MAX ||
        cm_b64_decode(sealed, strlen(sealed), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "sealed secret is not base64");
    int rc = kfa_manager_recipients(a, recipient, &count, err);
    bool same = rc == 0 && sealed_so(der, len, recipient, count);
    if (rc == 0 && !same)
        rc = reseal(a, der, len, recipient, count, &made, err);
    cm_free(der);
    if (rc == 0) {
        cm_json_set_str(reply, "sealed", same ? sealed : made);
        cm_json_set_bool(reply, "changed", !same);
    }
    return rc;
}

const struct kfa_verb kfa_verbs_root[] = {
    {"trust.role", KFA_MANAGER, {"s:name", "s:role", "S:url", "S:ui_url"}, trust_role},
    {"trust.promote", KFA_MEMBER, {"b:lost", "S:url", "S:ui_url"}, trust_promote},
    {"trust.threshold", KFA_MANAGER, {"i:threshold", "a:signers"}, trust_threshold},
    {"trust.sign", KFA_MEMBER, {"o:document", "B:renewal"}, trust_sign},
    {"secret.reseal", KFA_MANAGER, {"s:sealed"}, secret_reseal},
    {0},
};
