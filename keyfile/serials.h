/*
 * The memory against rollback: the highest serial of a keyfile document deployed per credential,
 * and the hash of its signed bytes.  One small file per credential in serials/ of the agent's
 * directory, so that a commit costs the same with ten credentials and with ten thousand.
 */
#pragma once

#include "base/core/bytes.h"
#include "base/core/err.h"

struct kf_serial {
    int64_t serial;             /* 0 = nothing was deployed */
    char digest[CM_SHA256_HEX]; /* of kf_doc_bytes() */
};

int kf_serial_get(const char *dir, const char *credential, struct kf_serial *ret,
                  struct cm_err *err);
/* Durable when it returns 0.  A lower serial than the stored one is left out. */
int kf_serial_put(const char *dir, const char *credential, const struct kf_serial *serial,
                  struct cm_err *err);
