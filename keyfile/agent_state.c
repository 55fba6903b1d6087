/* The key agent's state: identity and pinned trust root on disk, recipients in memory. */
#include <string.h>

#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/step.h"
#include "keyfile/account_cache.h"
#include "keyfile/agent_impl.h"
#include "keyfile/agent_work.h"
#include "keyfile/identity_next.h"
#include "keyfile/pkey.h"
#include "keyfile/seal.h"

#define TRUST_FILE_MAX (4u << 20)

static void drop_trust(struct kfa *a)
{
    for (size_t i = 0; a->trust && i < kf_trust_count(a->trust); i++)
        X509_free(a->recipient[i]);
    cm_free(a->recipient);
    X509_free(a->recovery_recipient);
    kf_trust_free(a->trust);
    a->recipient = NULL;
    a->recovery_recipient = NULL;
    a->trust = NULL;
}

static void set_trust(struct kfa *a, struct kf_trust *take)
{
    drop_trust(a);
    a->trust = take;
    a->recipient = cm_calloc(kf_trust_count(take), sizeof(X509 *));
}

/* What lies on our own disk was accepted once; here only damage is found. */
static int load_trust(struct kfa *a, struct cm_err *err)
{
    CM_AUTO_STR path = cm_asprintf("%s/trust.json", a->config->dir);
    CM_AUTO_JSON document = NULL;
    struct kf_trust *trust = NULL;
    char *text;
    size_t len;
    if (!cm_path_exists(path))
        return 0;
    int rc = cm_file_read(path, TRUST_FILE_MAX, &text, &len, err);
    if (rc == 0) {
        rc = cm_json_parse(text, len, &document, err);
        cm_free(text);
    }
    if (rc == 0)
        rc = kf_trust_parse(document, &trust, err);
    if (rc == 0)
        rc = kf_trust_accept(NULL, trust, err);
    if (rc < 0) {
        kf_trust_free(trust);
        return cm_wrap(err, rc, "pinned trust root %s cannot be used", path);
    }
    set_trust(a, trust);
    return 0;
}

void kfa_init(struct kfa *a, const struct kf_agent_config *config)
{
    *a = (struct kfa){.config = config};
    a->deployer = kf_deployer_new();
    a->accounts = kfa_accounts_new();
    cm_dir_tidy(config->dir); /* a temporary of a killed agent may hold a key */
    int rc = kf_identity_load_all(config->dir, &a->identity, &a->locked);
    a->has_identity = rc == 0;
    if (rc == CM_ENOENT)
        cm_err_fini(&a->locked); /* a new server */
    else if (rc == 0)
        load_trust(a, &a->locked);
    if (a->locked.code != 0)
        cm_log_err(CM_LOG_ERROR, "agent", &a->locked);
}

void kfa_fini(struct kfa *a)
{
    drop_trust(a);
    kf_identity_fini(&a->identity);
    kf_deployer_free(a->deployer);
    kfa_accounts_free(a->accounts);
    cm_err_fini(&a->locked);
}

const struct kf_server *kfa_self(const struct kfa *a)
{
    const struct kf_server *self =
        a->trust && a->has_identity ? kf_trust_server(a->trust, a->identity.name) : NULL;
    return self && self->state != KF_REMOVED && kf_server_signs_with(self, a->identity.key_id)
               ? self
               : NULL;
}

int kfa_pin(struct kfa *a, const json_t *document, struct cm_err *err)
{
    struct kf_trust *next;
    int rc = kf_trust_parse(document, &next, err);
    if (rc < 0)
        return rc;
    CM_AUTO_STR path = cm_asprintf("%s/trust.json", a->config->dir);
    size_t len;
    CM_AUTO_STR text = cm_json_dump(document, &len);
    rc = cm_file_write(path, text, len, 0600, err);
    if (rc < 0) {
        kf_trust_free(next);
        return rc;
    }
    set_trust(a, next);
    cm_step("agent.pinned");
    return 0;
}

static int make_recipient(const char *spki_b64, X509 **ret, struct cm_err *err)
{
    uint8_t spki[KF_P256_SPKI_SIZE];
    int rc = kf_p256_spki_b64(spki_b64, spki, err);
    return rc < 0 ? rc : kf_recipient(spki, sizeof(spki), ret, err);
}

int kfa_recipient(struct kfa *a, const struct kf_server *server, X509 **ret, struct cm_err *err)
{
    size_t i = 0;
    while (kf_trust_at(a->trust, i) != server)
        i++;
    int rc = a->recipient[i] ? 0 : make_recipient(server->seal_b64, &a->recipient[i], err);
    *ret = a->recipient[i];
    return rc < 0 ? cm_wrap(err, rc, "cannot seal for server %s", server->name) : 0;
}

int kfa_recovery_recipient(struct kfa *a, X509 **ret, struct cm_err *err)
{
    int rc = a->recovery_recipient
                 ? 0
                 : make_recipient(kf_trust_recovery(a->trust), &a->recovery_recipient, err);
    *ret = a->recovery_recipient;
    return rc < 0 ? cm_wrap(err, rc, "cannot seal for the recovery key") : 0;
}

int kfa_manager_recipients(struct kfa *a, X509 **out, size_t *ret_count, struct cm_err *err)
{
    size_t count = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < kf_trust_count(a->trust); i++) {
        const struct kf_server *server = kf_trust_at(a->trust, i);
        if (server->state != KF_ACTIVE || (!server->manager && !server->standby))
            continue;
        if (count == KF_RECIPIENTS_MAX - 1)
            return cm_fail(err, CM_ELIMIT, "more than %d managers and standbys",
                           KF_RECIPIENTS_MAX - 1);
        rc = kfa_recipient(a, server, &out[count++], err);
    }
    if (rc == 0 && kf_trust_recovery(a->trust))
        rc = kfa_recovery_recipient(a, &out[count++], err);
    *ret_count = count;
    return rc;
}
