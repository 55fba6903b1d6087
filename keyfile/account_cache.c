/* Opened ACME account keys. */
#include "keyfile/account_cache.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "keyfile/envelope.h"

struct account {
    struct kf_binding binding;
    uint8_t sealed[CM_SHA256_SIZE];
    EVP_PKEY *key;
    uint64_t used;
};

struct kfa_accounts {
    struct account account[KFA_ACCOUNTS_MAX];
    uint64_t clock;
};

struct kfa_accounts *kfa_accounts_new(void)
{
    return cm_calloc(1, sizeof(struct kfa_accounts));
}

void kfa_accounts_free(struct kfa_accounts *cache)
{
    for (size_t i = 0; cache && i < KFA_ACCOUNTS_MAX; i++)
        EVP_PKEY_free(cache->account[i].key);
    cm_free(cache);
}

static int open_key(const struct kf_identity *identity, const struct kf_binding *binding,
                    const char *sealed_b64, EVP_PKEY **ret, struct cm_err *err)
{
    uint8_t *der = NULL;
    size_t len = 0;
    KF_AUTO_SECRET text = {0};
    char spki[KF_SPKI_HEX];
    if (strlen(sealed_b64) > 2 * KF_ENVELOPE_MAX ||
        cm_b64_decode(sealed_b64, strlen(sealed_b64), &der, &len) < 0)
        return cm_fail(err, CM_EMALF, "sealed key is not base64");
    int rc = kf_identity_open(identity, der, len, &text, err);
    cm_free(der);
    return rc < 0 ? rc : kf_bound_read(&text, binding, ret, spki, err);
}

int kfa_account_key(struct kfa_accounts *cache, const struct kf_identity *identity,
                    const struct kf_binding *binding, const char *sealed_b64, EVP_PKEY **ret,
                    struct cm_err *err)
{
    uint8_t hash[CM_SHA256_SIZE];
    struct account *oldest = &cache->account[0];
    *ret = NULL;
    cm_sha256(sealed_b64, strlen(sealed_b64), hash);
    for (size_t i = 0; i < KFA_ACCOUNTS_MAX; i++) {
        struct account *one = &cache->account[i];
        if (one->key && memcmp(one->sealed, hash, sizeof(hash)) == 0 &&
            strcmp(one->binding.document, binding->document) == 0 &&
            strcmp(one->binding.value, binding->value) == 0) {
            one->used = ++cache->clock;
            *ret = one->key;
            return 0;
        }
        if (one->used < oldest->used)
            oldest = one;
    }
    EVP_PKEY *key;
    int rc = open_key(identity, binding, sealed_b64, &key, err);
    if (rc < 0)
        return cm_wrap(err, rc, "key of %.160s cannot be used", binding->document);
    EVP_PKEY_free(oldest->key);
    *oldest = (struct account){.binding = *binding, .key = key, .used = ++cache->clock};
    memcpy(oldest->sealed, hash, sizeof(hash));
    *ret = key;
    return 0;
}
