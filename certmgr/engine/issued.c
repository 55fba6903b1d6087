/* Documents of a certificate that has just been issued.  See issued.h. */
#include "certmgr/engine/issued.h"

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/hostname.h"
#include "certmgr/engine/activation.h"

static json_t *unicode_names(const json_t *san)
{
    json_t *out = json_array();
    size_t i;
    json_t *name;
    json_array_foreach(san, i, name)
    {
        char text[1024];
        hostname_to_unicode(json_string_value(name), text, sizeof(text));
        json_array_append_new(out, json_string(text));
    }
    return out;
}

static json_t *health_of(const struct kf_chain *chain)
{
    json_t *health = json_object(), *causes = json_array();
    cm_json_set_str(health, "color", chain->root ? "green" : "yellow");
    if (!chain->root)
        json_array_append_new(causes,
                              json_string("the root certificate of the chain was not found: the "
                                          "keyring file is written without it; add the CA's root "
                                          "to the trusted roots"));
    cm_json_set(health, "causes", causes);
    return health;
}

static void take(json_t *out, const json_t *from, const char *const *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_object_set(out, members[i], json_object_get(from, members[i]));
}

json_t *eng_issued(const json_t *key, const struct kf_chain *chain, json_t *activation,
                   int64_t now_ms)
{
    static const char *const parts[] = {"sealed_key", "public_key_sha256", "csr", "key_generation"};
    json_t *out = json_object();
    CM_AUTO_STR pem = cm_asprintf("%s%s", chain->leaf, chain->intermediates);
    take(out, key, parts, sizeof(parts) / sizeof(parts[0]));
    cm_json_set_str(out, "status", "issued");
    cm_json_set_str(out, "chain", pem);
    cm_json_set_str(out, "root", chain->root);
    cm_json_set_str(out, "fingerprint", chain->info.fingerprint);
    json_object_set(out, "san", chain->info.san);
    cm_json_set(out, "san_unicode", unicode_names(chain->info.san));
    cm_json_set_str(out, "issuer", chain->info.issuer);
    cm_json_set_time(out, "not_before", chain->info.not_before_ms);
    cm_json_set_time(out, "not_after", chain->info.not_after_ms);
    cm_json_set_time(out, "issued_at", now_ms);
    if (activation)
        json_object_set(out, "activation", activation);
    cm_json_set(out, "health", health_of(chain));
    cm_json_set_int(out, "attempts", 0);
    return out;
}

json_t *eng_issued_keyfile(const char *ulid, const json_t *key, const json_t *names,
                           const struct kf_chain *chain, const json_t *activation)
{
    static const char *const parts[] = {"sealed_key", "public_key_sha256", "key_generation",
                                        "servers"};
    json_t *out = json_object();
    take(out, key, parts, sizeof(parts) / sizeof(parts[0]));
    cm_json_set_str(out, "credential", ulid);
    json_object_set(out, "names", (json_t *)(uintptr_t)names);
    cm_json_set_str(out, "leaf", chain->leaf);
    cm_json_set_str(out, "intermediates", chain->intermediates);
    cm_json_set_str(out, "root", chain->root);
    cm_json_set_str(out, "fingerprint", chain->info.fingerprint);
    cm_json_set_time(out, "not_after", chain->info.not_after_ms);
    eng_activation_place(out, activation);
    return out;
}

void eng_issued_clear(json_t *body)
{
    static const char *const gone[] = {"root",       "error",     "ari",      "activation",
                                       "revocation", "waits_for", "fallback", "csr_out"};
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        json_object_del(body, gone[i]);
}
