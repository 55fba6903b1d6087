/* Verbs for backups: this server's own keys, readable by the recovery key alone. */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/file.h"
#include "keyfile/agent_impl.h"
#include "keyfile/seal.h"
#include "keyfile/secret.h"
#include "keyfile/trust_build.h"

#define FILE_MAX 16384

/* What makes the identity; the trust root and the serials are no secrets and lie in the store. */
static const char *const files[] = {"identity.json", "seal.key", "sign.key", "seal.crt"};

static int add_file(const struct kfa *a, const char *sub, const char *name, struct cm_buf *out,
                    struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/%s%s", a->config->dir, sub, name);
    char *text = NULL;
    size_t len = 0;
    int rc = cm_file_read(path, FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    cm_buf_printf(out, "file: %s%s %zu\n", sub, name, len);
    rc = cm_buf_add(out, text, len);
    cm_free_secret(text, len);
    return rc < 0 ? cm_fail(err, rc, "the identity is too large for a backup") : 0;
}

/* The keys in this directory beside the present ones; "" = those. */
static int add_keys(const struct kfa *a, const char *sub, struct cm_buf *out, struct cm_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(files) / sizeof(files[0]); i++)
        rc = add_file(a, sub, files[i], out, err);
    return rc;
}

static int backup_seal(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                       struct cm_err *err)
{
    X509 *recipient = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    struct cm_buf plain;
    (void)id;
    (void)request;
    if (!kf_trust_recovery(a->trust)) {
        cm_fail(err, CM_ENOENT, "this fleet has no recovery key, so nothing can be sealed to it");
        cm_err_hint(err, "On the manager: certmgr recovery-key new FILE.");
        return CM_ENOENT;
    }
    cm_buf_init(&plain, KF_SECRET_MAX);
    cm_buf_printf(&plain, "identity: %s\n", a->identity.name);
    int rc = kfa_recovery_recipient(a, &recipient, err);
    if (rc == 0)
        rc = add_keys(a, "", &plain, err);
    /* In the middle of a rotation: what the fleet may trust tomorrow, and what still opens
     * envelopes in the store. */
    if (rc == 0 && a->identity.pending)
        rc = add_keys(a, "next/", &plain, err);
    if (rc == 0 && a->identity.former)
        rc = add_keys(a, "old/", &plain, err);
    if (rc == 0)
        rc = kf_seal(plain.data, plain.len, &recipient, 1, &der, &len, err);
    cm_wipe(plain.data, plain.len);
    cm_buf_fini(&plain);
    if (rc < 0)
        return rc;
    CM_AUTO_STR sealed = cm_b64(der, len);
    cm_free(der);
    cm_json_set_str(reply, "sealed", sealed);
    cm_json_set_str(reply, "recovery", kf_trust_recovery(a->trust));
    return 0;
}

/* A new recovery key for the fleet: from then on backups and managers' secrets are sealed to it. */
static int trust_recovery(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                          struct cm_err *err)
{
    const char *recovery = cm_json_str(request, "recovery");
    const char *present = kf_trust_recovery(a->trust);
    json_t *made = NULL;
    (void)id;
    if (present && strcmp(present, recovery) == 0) {
        cm_json_set(reply, "document", json_deep_copy(kf_trust_document(a->trust)));
        return 0;
    }
    int rc = kfa_check_signer(a, err);
    if (rc == 0)
        rc = kf_trust_set_recovery(&a->identity, a->trust, recovery, cm_now_ms(), &made, err);
    return kfa_publish(a, rc, made, reply, err);
}

const struct kfa_verb kfa_verbs_backup[] = {
    {"backup.seal", KFA_MEMBER, {NULL}, backup_seal},
    {"trust.recovery", KFA_MANAGER, {"s:recovery"}, trust_recovery},
    {0},
};
