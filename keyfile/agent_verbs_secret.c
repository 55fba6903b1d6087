/*
 * Secrets that the front has to use itself: passwords and tokens of DNS providers, proxies, mail
 * relays.  At rest they lie in envelopes as keys do; secret.open gives them back in the clear, by
 * purpose and name, and never a key: a key's envelope is bound to another head (binding.h).
 */
#include <string.h>

#include "base/core/bytes.h"
#include "keyfile/agent_impl.h"
#include "keyfile/binding.h"
#include "keyfile/ossl.h"
#include "keyfile/seal.h"

static int check_manager(const struct kfa *a, struct cm_err *err)
{
    const struct kf_server *self = kfa_self(a);
    if (!self || !self->manager || self->state != KF_ACTIVE)
        return cm_fail(err, CM_EDENIED, "server %s is not a manager", a->identity.name);
    return 0;
}

static int recipients(struct kfa *a, bool managers, X509 **out, size_t *ret_count,
                      struct cm_err *err)
{
    if (!managers) {
        out[0] = a->identity.seal_cert;
        *ret_count = 1;
        return 0;
    }
    int rc = check_manager(a, err);
    return rc < 0 ? rc : kfa_manager_recipients(a, out, ret_count, err);
}

static int seal(struct kfa *a, const json_t *request, const char *value, char **ret,
                struct cm_err *err)
{
    const char *whom = cm_json_str(request, "for");
    bool managers = strcmp(whom, "managers") == 0;
    struct kf_text head;
    KF_AUTO_SECRET text = {0};
    X509 *recipient[KF_RECIPIENTS_MAX];
    size_t count = 0, len = 0;
    uint8_t *der = NULL;
    if (!managers && strcmp(whom, "self") != 0)
        return cm_fail(err, CM_EINVAL, "a secret is for \"managers\" or \"self\"");
    int rc = kf_bind_text(&head, cm_json_str(request, "purpose"), cm_json_str(request, "name"),
                          managers, err);
    if (rc == 0)
        rc = recipients(a, managers, recipient, &count, err);
    if (rc == 0)
        rc = kf_text_write(&head, value, cm_now_ms(), &text, err);
    if (rc == 0)
        rc = kf_seal(text.data, text.len, recipient, count, &der, &len, err);
    if (rc == 0)
        *ret = cm_b64(der, len);
    cm_free(der);
    return rc;
}

static int secret_seal(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                       struct cm_err *err)
{
    const char *value = cm_json_str(request, "value");
    CM_AUTO_STR sealed = NULL;
    (void)id;
    int rc = seal(a, request, value, &sealed, err);
    if (rc == 0)
        cm_json_set_str(reply, "sealed", sealed);
    cm_wipe((void *)(uintptr_t)value, strlen(value)); /* the request is freed soon, not wiped */
    return rc;
}

static int secret_open(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                       struct cm_err *err)
{
    const char *sealed = cm_json_str(request, "sealed"), *value = NULL;
    struct kf_text head;
    KF_AUTO_SECRET text = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    (void)id;
    int rc = kf_bind_text(&head, cm_json_str(request, "purpose"), cm_json_str(request, "name"),
                          false, err);
    if (rc < 0)
        return rc;
    if (strlen(sealed) > 2 * KF_ENVELOPE_MAX ||
        cm_b64_decode(sealed, strlen(sealed), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "sealed secret is not base64");
    rc = kf_identity_open(&a->identity, der, len, &text, err);
    cm_free(der);
    if (rc == 0)
        rc = kf_text_read(&text, &head, &value, err);
    /* A standby is a recipient for the day when it becomes the manager. */
    if (rc == 0 && head.managers)
        rc = check_manager(a, err);
    json_t *text_json = rc == 0 ? json_string(value) : NULL;
    if (rc == 0 && !text_json)
        rc = cm_fail(err, CM_EMALF, "sealed secret is not UTF-8 text");
    if (rc == 0)
        cm_json_set(reply, "value", text_json);
    return rc;
}

const struct kfa_verb kfa_verbs_secret[] = {
    {"secret.seal", KFA_IDENTITY, {"s:purpose", "s:name", "s:value", "s:for"}, secret_seal},
    {"secret.open", KFA_IDENTITY, {"s:purpose", "s:name", "s:sealed"}, secret_open},
    {0},
};
