/*
 * Memory for private keys in the clear: taken from libcrypto's secure heap (locked, guard pages,
 * left out of core dumps) and wiped when freed.
 */
#pragma once

#include <stddef.h>

#include "base/core/err.h"

#define KF_SECURE_HEAP_SIZE (1u << 20) /* a power of two (OPENSSL_secure_malloc_init) */
#define KF_SECRET_MAX       (64u << 10)

struct kf_secret {
    char *data; /* NUL-terminated; NULL when empty */
    size_t len;
};

/* Makes the secure heap once per process; later calls do nothing.  Where memory cannot be locked
 * (RLIMIT_MEMLOCK) the heap still wipes and guards, and one line in the log says so. */
void kf_secret_heap_init(void);
/* len bytes, zeroed, and a NUL.  CM_ELIMIT when the heap has no room or len > KF_SECRET_MAX. */
int kf_secret_new(size_t len, struct kf_secret *ret, struct cm_err *err);
void kf_secret_fini(struct kf_secret *secret);
#define KF_AUTO_SECRET __attribute__((cleanup(kf_secret_fini))) struct kf_secret
