/* A keyfile document before it is deployed: signature, serial, recipients, key and certificate. */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/binding.h"
#include "keyfile/certinfo.h"
#include "keyfile/deploy.h"
#include "keyfile/envelope.h"
#include "keyfile/ossl.h"
#include "keyfile/pem.h"
#include "keyfile/pkey.h"

void kf_keyfile_fini(struct kf_keyfile *keyfile)
{
    kf_secret_fini(&keyfile->key);
    *keyfile = (struct kf_keyfile){0};
}

static const char *need(const json_t *document, const char *member, struct cm_err *err)
{
    const char *text = cm_json_str(document, member);
    if (!text)
        cm_fail(err, CM_EMALF, "keyfile document has no text member \"%s\"", member);
    return text;
}

/* The members that say what is deployed; sealed_key and the certificates follow later. */
static int read_members(const json_t *document, struct kf_keyfile *ret, struct cm_err *err)
{
    const char *id = cm_json_str_or(document, "_id", "");
    const char *credential = need(document, "credential", err);
    ret->keyring_file = need(document, "keyring_file", err);
    ret->fingerprint = need(document, "fingerprint", err);
    ret->public_key = need(document, "public_key_sha256", err);
    ret->leaf = need(document, "leaf", err);
    if (!credential || !ret->keyring_file || !ret->fingerprint || !ret->public_key || !ret->leaf)
        return CM_EMALF;
    if (strncmp(id, "keyfile:", 8) != 0)
        return cm_fail(err, CM_EDENIED, "%.160s is not a keyfile document", id);
    if (!cm_ulid_ok(credential) || strcmp(id + 8, credential) != 0)
        return cm_fail(err, CM_EMALF, "%.160s is not about credential %.40s", id, credential);
    if (!kf_keyring_name_ok(ret->keyring_file))
        return cm_fail(err, CM_EDENIED,
                       "keyring file name \"%.80s\" is not 1 to %d of a-z 0-9 . _ - ending in .kyr",
                       ret->keyring_file, KF_KEYRING_NAME_MAX);
    cm_strcpy(ret->credential, sizeof(ret->credential), credential);
    ret->intermediates = cm_json_str_or(document, "intermediates", "");
    ret->root = cm_json_str(document, "root");
    ret->serial.serial = cm_json_int(document, "serial", 0);
    return 0;
}

/* Not older than what was deployed; the same serial only with the same content.  An expired trust
 * root lets nothing new in, but what is deployed may be deployed again (silence never undeploys).
 */
static int check_serial(const struct kf_deploy_env *env, const json_t *document, int64_t now_ms,
                        struct kf_keyfile *k, struct cm_err *err)
{
    struct kf_serial before;
    char *bytes;
    size_t len;
    int rc = kf_doc_bytes(document, false, &bytes, &len, err);
    if (rc < 0)
        return rc;
    cm_sha256_hex(bytes, len, k->serial.digest);
    cm_free(bytes);
    rc = kf_serial_get(env->config->dir, k->credential, &before, err);
    if (rc < 0)
        return rc;
    bool same = before.serial == k->serial.serial && strcmp(before.digest, k->serial.digest) == 0;
    if (before.serial > k->serial.serial)
        return cm_fail(err, CM_EDENIED,
                       "keyfile:%s with serial %lld is older than the deployed %lld", k->credential,
                       (long long)k->serial.serial, (long long)before.serial);
    if (before.serial == k->serial.serial && !same)
        return cm_fail(err, CM_EDENIED,
                       "keyfile:%s has the deployed serial %lld but other content: two managers, "
                       "or a restored one",
                       k->credential, (long long)before.serial);
    if (!same && kf_trust_expires_ms(env->trust) <= now_ms) {
        cm_fail(err, CM_EDENIED, "the trust root has expired; nothing new is deployed");
        cm_err_hint(err, "See why this server hears nothing from its manager.");
        return CM_EDENIED;
    }
    return 0;
}

static int check_listed(const struct kf_deploy_env *env, const json_t *document, const char *target,
                        struct cm_err *err)
{
    const char *name = env->identity->name;
    const struct kf_server *self = kf_trust_server(env->trust, name);
    if (!self || self->state == KF_REMOVED)
        return cm_fail(err, CM_EDENIED, "this server (%s) is not in the trust root", name);
    if (!cm_json_has_str(cm_json_arr(document, "servers"), name))
        return cm_fail(err, CM_EDENIED, "this server (%s) is not listed in the document", name);
    if (strcmp(cm_json_str_or(document, "target", ""), target) != 0)
        return cm_fail(err, CM_EDENIED, "the document is for target \"%.63s\", not for \"%.63s\"",
                       cm_json_str_or(document, "target", ""), target);
    return 0;
}

/* Certificates only, each once: nothing else gets into the files of a service. */
static int check_certificates(const struct kf_keyfile *k, struct cm_err *err)
{
    KF_AUTO(x509_stack) STACK_OF(X509) *leaf = NULL;
    KF_AUTO(x509_stack) STACK_OF(X509) *rest = NULL;
    KF_AUTO(x509_stack) STACK_OF(X509) *root = NULL;
    struct kf_cert_info info;
    int rc = kf_pem_certs(k->leaf, strlen(k->leaf), 1, &leaf, err);
    if (rc == 0 && k->intermediates[0])
        rc = kf_pem_certs(k->intermediates, strlen(k->intermediates), KF_CHAIN_MAX, &rest, err);
    if (rc == 0 && k->root)
        rc = kf_pem_certs(k->root, strlen(k->root), 1, &root, err);
    if (rc == 0)
        rc = kf_x509_info(sk_X509_value(leaf, 0), &info, err);
    if (rc < 0)
        return cm_wrap(err, rc, "certificates of keyfile:%s cannot be used", k->credential);
    if (strcmp(info.fingerprint, k->fingerprint) != 0)
        rc = cm_fail(err, CM_EDENIED, "the leaf certificate is not the one of the fingerprint");
    else if (strcmp(info.public_key_sha256, k->public_key) != 0)
        rc = cm_fail(err, CM_EDENIED, "the certificate is for another key than the document names");
    kf_cert_info_fini(&info);
    return rc;
}

static int open_key(const struct kf_deploy_env *env, const json_t *document, struct kf_keyfile *k,
                    struct cm_err *err)
{
    const char *sealed = need(document, "sealed_key", err);
    struct kf_binding binding;
    if (!sealed)
        return CM_EMALF;
    int rc = kf_bind_credential(&binding, k->credential, cm_json_int(document, "key_generation", 0),
                                err);
    if (rc < 0)
        return rc;
    uint8_t *der = NULL;
    size_t len = 0;
    if (strlen(sealed) > 2 * KF_ENVELOPE_MAX ||
        cm_b64_decode(sealed, strlen(sealed), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "sealed key of keyfile:%s is not base64", k->credential);
    KF_AUTO_SECRET text = {0};
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    char spki[KF_SPKI_HEX];
    rc = kf_identity_open(env->identity, der, len, &text, err);
    cm_free(der);
    if (rc == 0)
        rc = kf_bound_read(&text, &binding, &key, spki, err);
    if (rc == 0 && strcmp(spki, k->public_key) != 0)
        rc = cm_fail(err, CM_EDENIED, "the sealed key does not belong to the certificate");
    /* Written from the parsed key: the files hold exactly one key in one form. */
    return rc < 0 ? rc : kf_pkey_to_pem(key, &k->key, err);
}

int kf_keyfile_verify(const struct kf_deploy_env *env, const json_t *document, const char *target,
                      int64_t now_ms, struct kf_keyfile *ret, struct cm_err *err)
{
    *ret = (struct kf_keyfile){0};
    int rc = kf_doc_verify(env->trust, document, false, err);
    if (rc == 0)
        rc = read_members(document, ret, err);
    if (rc == 0)
        rc = check_serial(env, document, now_ms, ret, err);
    if (rc == 0)
        rc = check_listed(env, document, target, err);
    if (rc == 0)
        rc = check_certificates(ret, err);
    if (rc == 0)
        rc = open_key(env, document, ret, err);
    if (rc < 0) {
        kf_keyfile_fini(ret);
        cm_err_object(err, "%.150s", cm_json_str_or(document, "_id", "keyfile document"));
    }
    return rc;
}
