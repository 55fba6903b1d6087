/* The secure heap. */
#include "keyfile/secret.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/core/log.h"

#define SECURE_MIN 16 /* smallest block of the buddy allocator */

void kf_secret_heap_init(void)
{
    if (CRYPTO_secure_malloc_initialized())
        return;
    int got = CRYPTO_secure_malloc_init(KF_SECURE_HEAP_SIZE, SECURE_MIN);
    if (got == 0)
        cm_log(CM_LOG_WARN, "secret", NULL,
               "no secure heap: private keys lie in ordinary memory (wiped after use)");
    else if (got == 2)
        cm_log(CM_LOG_WARN, "secret", NULL,
               "private keys in memory cannot be locked against swapping; raise LimitMEMLOCK to "
               "2 MiB or more");
}

int kf_secret_new(size_t len, struct kf_secret *ret, struct cm_err *err)
{
    *ret = (struct kf_secret){0};
    if (len > KF_SECRET_MAX)
        return cm_fail(err, CM_ELIMIT, "secret of %zu bytes, limit is %u", len, KF_SECRET_MAX);
    ret->data = OPENSSL_secure_zalloc(len + 1);
    if (!ret->data)
        return cm_fail(err, CM_ELIMIT, "the secure heap of %u bytes is used up; try again",
                       KF_SECURE_HEAP_SIZE);
    ret->len = len;
    return 0;
}

void kf_secret_fini(struct kf_secret *secret)
{
    OPENSSL_secure_clear_free(secret->data, secret->len + 1);
    *secret = (struct kf_secret){0};
}
