/*
 * revoke.sign: the revocation of a certificate, signed by its own key (RFC 8555 7.6).
 *
 * The signed credential document is the order: only what the manager wants revoked now is signed
 * for, the payload is made here from the document, and the URL is at a configured CA.
 */
#include <string.h>

#include "keyfile/agent_impl.h"
#include "keyfile/binding.h"
#include "keyfile/cert.h"
#include "keyfile/certid.h"
#include "keyfile/jws.h"
#include "keyfile/ossl.h"
#include "keyfile/seal.h"

/* An order to revoke, of a manager, under the pinned root. */
static int check_order(const struct kfa *a, const json_t *document, struct cm_err *err)
{
    const char *id = cm_json_str_or(document, "_id", "");
    const json_t *revocation = cm_json_obj(document, "revocation");
    int rc = kf_doc_verify(a->trust, document, false, err);
    if (rc < 0)
        return rc;
    if (strncmp(id, "credential:", 11) != 0 || !cm_ulid_ok(id + 11))
        return cm_fail(err, CM_EDENIED, "%.160s is not a credential", id);
    if (strcmp(cm_json_str_or(document, "status", ""), "revoke_pending") != 0 ||
        strcmp(cm_json_str_or(revocation, "signer", ""), "key") != 0)
        return cm_fail(err, CM_EDENIED, "%.160s is not to be revoked by its key", id);
    if (kf_trust_expires_ms(a->trust) <= cm_now_ms())
        return cm_fail(err, CM_EDENIED, "the trust root has expired; no order counts");
    return 0;
}

static int open_key(const struct kfa *a, const json_t *document, EVP_PKEY **ret, struct cm_err *err)
{
    const char *sealed = cm_json_str_or(document, "sealed_key", "");
    struct kf_binding binding;
    uint8_t *der = NULL;
    size_t len = 0;
    char spki[KF_SPKI_HEX];
    KF_AUTO_SECRET text = {0};
    int rc = kf_bind_credential(&binding, cm_json_str(document, "_id") + 11,
                                cm_json_int(document, "key_generation", 0), err);
    if (rc < 0)
        return rc;
    if (strlen(sealed) > 2 * KF_ENVELOPE_MAX ||
        cm_b64_decode(sealed, strlen(sealed), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "the sealed key is not base64");
    rc = kf_identity_open(&a->identity, der, len, &text, err);
    cm_free(der);
    if (rc == 0)
        rc = kf_bound_read(&text, &binding, ret, spki, err);
    if (rc == 0 && strcmp(spki, cm_json_str_or(document, "public_key_sha256", "")) != 0)
        rc = cm_fail(err, CM_EDENIED, "the sealed key is not the one of the document");
    return rc;
}

/* {"certificate", "reason"} of the document; the certificate must be this key's. */
static int make_payload(const json_t *document, char **ret, struct cm_err *err)
{
    const json_t *revocation = cm_json_obj(document, "revocation");
    const char *chain = cm_json_str_or(document, "chain", "");
    int64_t reason = cm_json_int(revocation, "reason", 0);
    struct kf_cert_info info = {0};
    CM_AUTO_STR leaf = kf_leaf_b64url(chain, strlen(chain));
    int rc = leaf ? kf_cert_info(chain, &info, err)
                  : cm_fail(err, CM_EMALF, "the document has no certificate");
    if (rc == 0 &&
        strcmp(info.public_key_sha256, cm_json_str_or(document, "public_key_sha256", "")) != 0)
        rc = cm_fail(err, CM_EDENIED, "the certificate is for another key");
    if (rc == 0 && strcmp(info.fingerprint, cm_json_str_or(revocation, "fingerprint", "")) != 0)
        rc = cm_fail(err, CM_EDENIED, "another certificate was to be revoked");
    kf_cert_info_fini(&info);
    if (rc < 0)
        return rc;
    CM_AUTO_JSON payload = json_object();
    cm_json_set_str(payload, "certificate", leaf);
    if (reason != 0)
        cm_json_set_int(payload, "reason", reason);
    *ret = cm_json_dump(payload, NULL);
    return 0;
}

static int revoke_sign(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                       struct cm_err *err)
{
    const json_t *document = cm_json_obj(request, "document");
    char origin[KFA_ORIGIN_TEXT];
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    CM_AUTO_STR payload = NULL;
    CM_AUTO_JSON head = NULL;
    json_t *jws;
    (void)id;
    int rc = kfa_check_ca(a, cm_json_str(request, "url"), origin, err);
    if (rc == 0)
        rc = check_order(a, document, err);
    if (rc == 0)
        rc = make_payload(document, &payload, err);
    if (rc == 0)
        rc = open_key(a, document, &key, err);
    if (rc == 0)
        rc = kfa_jws_head(cm_json_str(request, "nonce"), cm_json_str(request, "url"), NULL, key,
                          &head, err);
    if (rc == 0)
        rc = kf_jws_sign(key, head, payload, strlen(payload), &jws, err);
    if (rc == 0)
        cm_json_set(reply, "jws", jws);
    return rc;
}

const struct kfa_verb kfa_verbs_revoke[] = {
    {"revoke.sign", KFA_MEMBER, {"o:document", "s:url", "s:nonce"}, revoke_sign},
    {0},
};
