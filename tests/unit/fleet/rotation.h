/* What a server says when it replaces its keys: rotation:<server>, as rotate.c makes it. */
#pragma once

#include "support.h"

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
