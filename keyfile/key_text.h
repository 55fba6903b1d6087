/*
 * Account keys as other programs keep them: PKCS#8, SEC 1 or PKCS#1 PEM, encrypted or not (lego,
 * acme.sh), private JWK (certbot); and the one form in which an account key leaves the agent.
 */
#pragma once

#include "keyfile/pkey.h"

#define KF_KEY_TEXT_MAX      (16u << 10) /* bytes of a key's text */
#define KF_PASSPHRASE_MIN    12          /* characters that protect an exported key */
#define KF_PASSPHRASE_MAX    1024
#define KF_PASSPHRASE_ROUNDS 600000 /* of PBKDF2 with HMAC-SHA-256 */
#define KF_ACCOUNT_RSA_MIN   2048
#define KF_ACCOUNT_RSA_MAX   4096

/* The private key in text; passphrase: of an encrypted PEM, "" = none.  P-256, P-384, or RSA of
 * 2048 to 4096 bits, whose two halves belong together; else CM_EINVAL in words for people, which
 * never hold any of the text. */
int kf_key_from_text(const char *text, const char *passphrase, EVP_PKEY **ret, struct cm_err *err);
/* "ENCRYPTED PRIVATE KEY" (RFC 5958; PBES2, PBKDF2, AES-256-CBC), cm_free.  CM_EINVAL: passphrase
 * too short. */
int kf_key_to_encrypted_pem(const EVP_PKEY *key, const char *passphrase, char **ret,
                            struct cm_err *err);
