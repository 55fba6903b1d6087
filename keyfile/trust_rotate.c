/* The trust root while a server's keys are replaced.  See trust_rotate.h. */
#include "keyfile/trust_rotate.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "keyfile/ossl.h"
#include "keyfile/pkey.h"
#include "keyfile/sig.h"

/* What each of the three signs; the first line keeps it from being anything else. */
static char *proof_text(const struct kf_new_keys *keys)
{
    return cm_asprintf("certmgr-rotation-v1\n%s\n%s\n%s\n%s", keys->name, keys->seal, keys->sign,
                       keys->tls);
}

int kf_rotation_prove(EVP_PKEY *key, const struct kf_new_keys *keys, char **ret, struct cm_err *err)
{
    CM_AUTO_STR text = proof_text(keys);
    uint8_t sig[KF_SIG_MAX];
    size_t len = 0;
    int rc = kf_sig_sign(key, text, strlen(text), sig, &len, err);
    if (rc == 0)
        *ret = cm_b64url(sig, len);
    return rc;
}

static int check_proof(const char *spki_b64, const char *proof, const char *text, const char *which,
                       struct cm_err *err)
{
    uint8_t spki[KF_P256_SPKI_SIZE];
    uint8_t *sig = NULL;
    size_t len = 0;
    KF_AUTO(pkey) EVP_PKEY *key = NULL;
    int rc = kf_p256_spki_b64(spki_b64, spki, err);
    if (rc == 0)
        rc = kf_p256_from_spki(spki, sizeof(spki), &key, err);
    if (rc == 0 && (strlen(proof) > 2 * KF_SIG_ES256 ||
                    cm_b64url_decode(proof, strlen(proof), &sig, &len) < 0))
        rc = cm_fail(err, CM_EMALF, "it is not base64url");
    if (rc == 0)
        rc = kf_sig_verify(key, text, strlen(text), sig, len, err);
    cm_free(sig);
    return rc < 0 ? cm_wrap(err, CM_EDENIED, "the new %s key is not proved", which) : 0;
}

static int read_keys(const json_t *document, struct kf_new_keys *ret, struct cm_err *err)
{
    ret->name = cm_json_str(document, "server");
    ret->seal = cm_json_str(document, "seal");
    ret->sign = cm_json_str(document, "sign");
    ret->tls = cm_json_str(document, "tls");
    if (!ret->name || !ret->seal || !ret->sign || !ret->tls || !kf_name_ok(ret->name) ||
        strlen(ret->tls) > KF_SPKI_MAX)
        return cm_fail(err, CM_EMALF, "a rotation names a server and its three keys");
    CM_AUTO_STR id = cm_asprintf("rotation:%s", ret->name);
    if (strcmp(cm_json_str_or(document, "_id", ""), id) != 0)
        return cm_fail(err, CM_EMALF, "%.160s is not about server %s",
                       cm_json_str_or(document, "_id", ""), ret->name);
    return 0;
}

static int check_proofs(const json_t *document, struct cm_err *err)
{
    struct kf_new_keys keys;
    int rc = read_keys(document, &keys, err);
    if (rc < 0)
        return rc;
    CM_AUTO_STR text = proof_text(&keys);
    rc = check_proof(keys.seal, cm_json_str_or(document, "proof_seal", ""), text, "seal", err);
    if (rc == 0)
        rc = check_proof(keys.sign, cm_json_str_or(document, "proof_sign", ""), text, "sign", err);
    if (rc == 0)
        rc = check_proof(keys.tls, cm_json_str_or(document, "proof_tls", ""), text, "TLS", err);
    return rc;
}

bool kf_trust_has_keys(const struct kf_trust *trust, const json_t *document)
{
    struct kf_new_keys keys;
    if (read_keys(document, &keys, NULL) < 0)
        return false;
    const struct kf_server *server = kf_trust_server(trust, keys.name);
    return server && server->state != KF_REMOVED && strcmp(server->seal_b64, keys.seal) == 0 &&
           strcmp(server->sign_b64, keys.sign) == 0 && strcmp(server->tls_b64, keys.tls) == 0;
}

/* Its server, when the document is validly signed with this key of it. */
static int check_document(const struct kf_trust *current, const json_t *document, bool new_key,
                          const char *state, const struct kf_server **ret, struct cm_err *err)
{
    struct kf_new_keys keys;
    int rc = kf_doc_verify(current, document, false, err);
    if (rc == 0)
        rc = read_keys(document, &keys, err);
    if (rc < 0)
        return rc;
    const struct kf_server *server = kf_trust_server(current, keys.name);
    CM_BUG_ON(!server); /* it has signed */
    const char *key = cm_json_str_or(cm_json_obj(document, "signature"), "key", "");
    if (server->state != KF_ACTIVE)
        return cm_fail(err, CM_EDENIED, "server %s is not active in the trust root", server->name);
    if (strcmp(cm_json_str_or(document, "state", ""), state) != 0)
        return cm_fail(err, CM_EINVAL, "the rotation of server %s is not in state \"%s\"",
                       server->name, state);
    if (strcmp(key, server->sign_id) != 0)
        return cm_fail(err, CM_EDENIED, "the rotation of server %s is not signed with its %s key",
                       server->name, new_key ? "new" : "present");
    *ret = server;
    return 0;
}

/* Who signs trust roots goes on signing them. */
static void replace_signer(json_t *body, const char *from, const char *to_spki_b64)
{
    json_t *signers = cm_json_arr(body, "root_signers");
    uint8_t spki[KF_P256_SPKI_SIZE];
    char id[KF_KEY_ID_TEXT];
    if (kf_p256_spki_b64(to_spki_b64, spki, NULL) < 0)
        return; /* the parser refuses the result */
    kf_key_id(spki, sizeof(spki), id);
    for (size_t i = 0; i < json_array_size(signers); i++)
        if (strcmp(json_string_value(json_array_get(signers, i)), from) == 0)
            json_array_set_new(signers, i, json_string(id));
}

int kf_trust_rotate(const struct kf_identity *identity, const struct kf_trust *current,
                    const json_t *document, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    static const char *const keys[] = {"seal", "sign", "tls"};
    const struct kf_server *server = NULL;
    *ret = NULL;
    int rc = check_document(current, document, false, "keys", &server, err);
    if (rc == 0)
        rc = check_proofs(document, err);
    if (rc < 0)
        return rc;
    if (server->old_sign_b64)
        return cm_fail(err, CM_EBUSY, "the former keys of server %s still count", server->name);
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    json_t *entry = kf_trust_entry(body, server->name);
    json_t *old = json_object();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        cm_json_set_str(old, keys[i], cm_json_str(entry, keys[i]));
        cm_json_set_str(entry, keys[i], cm_json_str(document, keys[i]));
    }
    cm_json_set(entry, "old", old);
    replace_signer(body, server->sign_id, cm_json_str(document, "sign"));
    return kf_trust_finish(identity, current, body, ret, err);
}

static int tls_hash(const char *spki_b64, char out[CM_SHA256_HEX], struct cm_err *err)
{
    uint8_t *der = NULL;
    size_t len = 0;
    if (cm_b64_decode(spki_b64, strlen(spki_b64), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "a former TLS key is not base64");
    cm_sha256_hex(der, len, out);
    cm_free(der);
    return 0;
}

int kf_trust_forget_old(json_t *entry, const char *at, struct cm_err *err)
{
    const json_t *old = cm_json_obj(entry, "old");
    uint8_t spki[KF_P256_SPKI_SIZE];
    char sign[KF_KEY_ID_TEXT], tls[CM_SHA256_HEX];
    int rc = kf_p256_spki_b64(cm_json_str_or(old, "sign", ""), spki, err);
    if (rc == 0)
        rc = tls_hash(cm_json_str_or(old, "tls", ""), tls, err);
    if (rc < 0)
        return rc;
    kf_key_id(spki, sizeof(spki), sign);
    json_t *list = cm_json_arr(entry, "replaced");
    if (!list) {
        list = json_array();
        cm_json_set(entry, "replaced", list);
    }
    json_t *gone = json_object();
    cm_json_set_str(gone, "sign", sign);
    cm_json_set_str(gone, "tls", tls);
    cm_json_set_str(gone, "at", at);
    json_array_append_new(list, gone);
    while (json_array_size(list) > KF_REPLACED_MAX)
        json_array_remove(list, 0);
    json_object_del(entry, "old");
    return 0;
}

int kf_trust_retire(const struct kf_identity *identity, const struct kf_trust *current,
                    const json_t *document, int64_t now_ms, json_t **ret, struct cm_err *err)
{
    const struct kf_server *server = NULL;
    char at[CM_TIME_TEXT];
    *ret = NULL;
    int rc = check_document(current, document, true, "resealed", &server, err);
    if (rc < 0)
        return rc;
    if (!kf_trust_has_keys(current, document) || !server->old_sign_b64)
        return cm_fail(err, CM_ECONFLICT, "server %s has no former keys to be forgotten",
                       server->name);
    CM_AUTO_JSON body = kf_trust_next_body(current, now_ms);
    cm_time_format(now_ms, at);
    rc = kf_trust_forget_old(kf_trust_entry(body, server->name), at, err);
    return rc < 0 ? rc : kf_trust_finish(identity, current, body, ret, err);
}
