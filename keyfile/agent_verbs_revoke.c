/*
 * revoke.sign: the revocation of a certificate, signed by its own key (RFC 8555 7.6).
 *
 * The signed credential document is the order: only what the manager wants revoked now is signed
 * for, the payload is made here from the document, and the URL is at a configured CA.
 */
#include <string.h>

#include "keyfile/agent_impl.h"
#include "keyfile/cert.h"
#include "keyfile/certid.h"
#include "keyfile/jws.h"
#include "keyfile/ossl.h"

/* An order to revoke, of a manager, under the pinned root. */
static int check_order(const struct kfa *a, const json_t *document, struct cm_err *err)
{
    const char *id = cm_json_str_or(document, "_id", "");
    const json_t *revocation = cm_json_obj(document, "revocation");
    int rc = kfa_credential_check(a, document, err);
    if (rc < 0)
        return rc;
    if (strcmp(cm_json_str_or(document, "status", ""), "revoke_pending") != 0 ||
        strcmp(cm_json_str_or(revocation, "signer", ""), "key") != 0)
        return cm_fail(err, CM_EDENIED, "%.160s is not to be revoked by its key", id);
    return 0;
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
        rc = kfa_credential_key(a, document, &key, NULL, err);
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
