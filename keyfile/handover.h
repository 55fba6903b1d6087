/*
 * What a person's command gives to the key agent past the front: the bytes of a file with a private
 * key, or the password that an exported key is to be under.  The command seals it for the agent's
 * seal key (docs/sealing.md), the front carries an envelope that it cannot open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/err.h"
#include "keyfile/secret.h"

#define KF_HANDOVER_PASSWORD_MAX 1024               /* bytes */
#define KF_HANDOVER_DATA_MAX     (48u << 10)        /* bytes of the file */
#define KF_HANDOVER_AGE_MS       (10 * 60 * 1000LL) /* older (or as much newer) ones are refused */
#define KF_HANDOVER_WORD_MAX     64

enum kf_handover_kind { KF_HANDOVER_IMPORT, KF_HANDOVER_EXPORT };

struct kf_handover {
    enum kf_handover_kind kind;
    /* Export: the credential's ULID.  Import: the credential that gets the key, "-" = a new one. */
    const char *credential;
    bool exportable;      /* import: may the key ever leave again? */
    const char *password; /* of the file; export: of the file that is made; "" = none */
    const void *data;     /* import: the file */
    size_t len;
};

/* Sealed for one seal key (SPKI, base64); *ret is base64 (cm_free).  CM_ELIMIT: too long;
 * CM_EINVAL: control characters in the password or the credential's name. */
int kf_handover_seal(const struct kf_handover *handover, const char *seal_spki_b64, int64_t now_ms,
                     char **ret, struct cm_err *err);
/* Reads an opened envelope; *ret points into text, which is changed.  CM_EDENIED: it is another
 * thing (a key, a secret, the other kind), for another credential, or too old. */
int kf_handover_read(struct kf_secret *text, enum kf_handover_kind kind, const char *credential,
                     int64_t now_ms, struct kf_handover *ret, struct cm_err *err);
