/* Opened ACME account keys, so that a signature does not open its envelope again each time. */
#pragma once

#include <openssl/evp.h>

#include "base/core/err.h"
#include "keyfile/binding.h"
#include "keyfile/identity.h"

#define KFA_ACCOUNTS_MAX 32 /* the one used longest ago gives way */

struct kfa_accounts;
struct kfa_accounts *kfa_accounts_new(void);
void kfa_accounts_free(struct kfa_accounts *cache);
/* The key (borrowed until the next call) of an envelope bound as said; opens it when it is not yet
 * there.  The same text bound otherwise is another entry, so every binding is checked once. */
int kfa_account_key(struct kfa_accounts *cache, const struct kf_identity *identity,
                    const struct kf_binding *binding, const char *sealed_b64, EVP_PKEY **ret,
                    struct cm_err *err);
