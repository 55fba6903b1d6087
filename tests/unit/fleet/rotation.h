/* What a server says when it replaces its keys: rotation:<server>, as rotate.c makes it. */
#pragma once

#include "support.h"

#include "keyfile/ossl.h"
#include "keyfile/seal.h"
#include "keyfile/trust_rotate.h"

/* With new keys that its agent makes (or has made), each proved; signed with its present key. */
static inline json_t *rotation_word(struct server *s)
{
    static const char *const names[] = {"seal", "sign", "proof_seal", "proof_sign"};
    struct cm_err err = CM_ERR_INIT;
    EVP_PKEY *tls = NULL;
    char *tls_b64 = NULL;
    OK(kf_pkey_generate(KF_KEY_P256, &tls, &err), err);
    OK(kf_spki_b64(tls, &tls_b64, &err), err);
    CM_AUTO_JSON made =
        must(agent_now(s, json_pack("{s:s, s:s}", "op", "rotate.begin", "tls", tls_b64)));
    CM_AUTO_STR id = cm_asprintf("rotation:%s", s->name);
    CM_AUTO_STR proof = NULL;
    const struct kf_new_keys keys = {.name = s->name,
                                     .seal = cm_json_str(made, "seal"),
                                     .sign = cm_json_str(made, "sign"),
                                     .tls = tls_b64};
    OK(kf_rotation_prove(tls, &keys, &proof, &err), err);
    json_t *word =
        json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "_id", id, "type", "rotation", "server",
                  s->name, "serial", 1, "state", "keys", "tls", tls_b64, "proof_tls", proof);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cm_json_set_str(word, names[i], cm_json_str(made, names[i]));
    cm_json_set_time(word, "at", cm_now_ms());
    EVP_PKEY_free(tls);
    cm_free(tls_b64);
    return signed_doc(s, word);
}

/* The same later: signed with the key that is in use by then. */
static inline json_t *rotation_says(struct server *s, const json_t *word, const char *state,
                                    int serial)
{
    json_t *next = json_deep_copy(word);
    json_object_del(next, "signature");
    cm_json_set_str(next, "state", state);
    cm_json_set_int(next, "serial", serial);
    return signed_doc(s, next);
}

/* Something sealed for one seal key, or for two (NULL = one); base64 (cm_free). */
static inline char *sealed_text(const char *seal, const char *other)
{
    struct cm_err err = CM_ERR_INIT;
    const char *const keys[] = {seal, other};
    X509 *recipient[2] = {NULL};
    uint8_t spki[KF_P256_SPKI_SIZE], *der = NULL;
    size_t len = 0, count = other != NULL ? 2 : 1;
    for (size_t i = 0; i < count; i++) {
        OK(kf_p256_spki_b64(keys[i], spki, &err), err);
        OK(kf_recipient(spki, sizeof(spki), &recipient[i], &err), err);
    }
    OK(kf_seal("the key", 7, recipient, count, &der, &len, &err), err);
    char *text = cm_b64(der, len);
    cm_free(der);
    for (size_t i = 0; i < count; i++)
        X509_free(recipient[i]);
    return text;
}

/* A document of the manager's, signed by it, in its store. */
static inline void manager_puts(struct server *manager, json_t *take_body)
{
    struct cm_err err = CM_ERR_INIT;
    struct cs_result result;
    CM_AUTO_JSON doc = signed_doc(manager, take_body);
    OK(cs_put(manager->store, doc, &result, &err), err);
    assert_int_equal(result.code, 0);
}

/* Credential number n with access for one server. */
static inline json_t *credential_of(const char *server, int n, const char *sealed)
{
    CM_AUTO_STR id = cm_asprintf("credential:01ARZ3NDEKTSV4RRFFQ69G%04d", n);
    json_t *body = json_pack("{s:s, s:s, s:s, s:[s], s:s}", "_id", id, "type", "credential",
                             "status", "issued", "servers", server, "provider", "acme");
    cm_json_set_int(body, "serial", cm_now_ms());
    cm_json_set_str(body, "sealed_key", sealed);
    return body;
}
