/*
 * This server's own keys: seal (opens envelopes) and sign (signs documents), P-256, PKCS#8 PEM in
 * the agent's directory beside identity.json (docs/agent-protocol.md).
 *
 * seal.crt is a self-signed certificate with the subject key identifier by which envelopes name us:
 * people open an envelope by hand with `openssl cms -decrypt -inkey seal.key -recip seal.crt`.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/core/err.h"
#include "keyfile/secret.h"
#include "keyfile/trust.h"

struct kf_identity {
    char name[KF_NAME_MAX];
    EVP_PKEY *seal, *sign;
    X509 *seal_cert;
    char *seal_b64, *sign_b64;   /* SPKI DER, base64 */
    char key_id[KF_KEY_ID_TEXT]; /* of sign */
    /* While the keys are being replaced (identity_next.h), or NULL: those that are to follow, and
     * those from before, which still open what was sealed for them. */
    struct kf_identity *pending, *former;
};

/* 1-63 characters of a-z 0-9 . - */
bool kf_name_ok(const char *name);

/* Generates the keys and writes them durably; identity.json comes last, so that a directory without
 * it is no identity.  CM_ECONFLICT when one exists. */
int kf_identity_create(const char *dir, const char *name, struct kf_identity *ret,
                       struct cm_err *err);
/* Loads it; CM_ENOENT when there is none.  Refuses key files that others can read or that another
 * user owns (trust-and-tests A5.6 tier 0). */
int kf_identity_load(const char *dir, struct kf_identity *ret, struct cm_err *err);
void kf_identity_fini(struct kf_identity *identity);

/* kf_open() with the present seal key, or with the former one where the envelope names that. */
int kf_identity_open(const struct kf_identity *identity, const uint8_t *der, size_t len,
                     struct kf_secret *ret, struct cm_err *err);
