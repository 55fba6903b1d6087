/*
 * Files with a private key and its certificates as other programs keep them: PEM blocks in any
 * order (our .kyr is one), keys in PKCS #8, PKCS #1 or SEC 1, encrypted or not; PKCS #12.
 * For the key agent alone.
 */
#pragma once

#include <openssl/x509.h>

#include "base/core/err.h"
#include "keyfile/pkey.h"

#define KF_PILE_BLOCKS 64       /* PEM blocks, or bags of a PKCS #12 file */
#define KF_PILE_CERTS  32       /* certificates */
#define KF_PILE_ROUNDS 10000000 /* of key derivation, all that a file asks for together */

struct kf_pile {
    EVP_PKEY *key;
    enum kf_key_type type;
    STACK_OF(X509) * certs; /* as they come, 1..KF_PILE_CERTS */
    X509 *leaf;             /* the one of the key that begins last (borrowed from certs) */
};
void kf_pile_fini(struct kf_pile *pile);

/* password: "" = none.  CM_EINVAL in words for people, which never hold any of the file: what is
 * missing, which key fits nothing, what cannot be opened and why. */
int kf_pile_read(const void *data, size_t len, const char *password, struct kf_pile *ret,
                 struct cm_err *err);
