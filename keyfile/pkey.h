/* Keys through EVP: the table of key types, generation, PKCS#8 PEM, and SubjectPublicKeyInfo. */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

#include "base/core/err.h"
#include "keyfile/secret.h"

#define KF_P256_SPKI_SIZE  91   /* DER of a P-256 SubjectPublicKeyInfo (RFC 5480), always */
#define KF_P256_POINT_SIZE 65   /* its uncompressed point */
#define KF_SPKI_MAX        2048 /* DER of any public key we take from outside */

enum kf_key_type {
    KF_KEY_P256,
    KF_KEY_P384,
    KF_KEY_RSA2048,
    KF_KEY_RSA3072,
    KF_KEY_RSA4096,
};

/* "P-256", "RSA-2048", …; CM_EINVAL for another text. */
int kf_key_type_parse(const char *text, enum kf_key_type *ret, struct cm_err *err);
const char *kf_key_type_name(enum kf_key_type type);
/* Which of them a key is; CM_EINVAL for a key of any other kind. */
int kf_pkey_type(const EVP_PKEY *key, enum kf_key_type *ret, struct cm_err *err);
/* The caller frees *ret (EVP_PKEY_free).  RSA-4096 may take seconds. */
int kf_pkey_generate(enum kf_key_type type, EVP_PKEY **ret, struct cm_err *err);

/* PKCS#8 PEM, unencrypted, in secure memory. */
int kf_pkey_to_pem(const EVP_PKEY *key, struct kf_secret *ret, struct cm_err *err);
int kf_pkey_from_pem(const char *pem, size_t len, EVP_PKEY **ret, struct cm_err *err);

/* The uncompressed public point of a P-256 key; false for every other key. */
bool kf_p256_point(const EVP_PKEY *key, uint8_t out[KF_P256_POINT_SIZE]);
/* Its DER SubjectPublicKeyInfo; false for every other key. */
bool kf_p256_spki(const EVP_PKEY *key, uint8_t out[KF_P256_SPKI_SIZE]);
/* DER SubjectPublicKeyInfo (cm_free). */
int kf_spki(const EVP_PKEY *key, uint8_t **ret, size_t *ret_len, struct cm_err *err);
/* Lower-case hex SHA-256 of it. */
int kf_spki_hex(const EVP_PKEY *key, char out[65], struct cm_err *err);
/* Its base64 (cm_free). */
int kf_spki_b64(const EVP_PKEY *key, char **ret, struct cm_err *err);
/* First 32 hex digits of its SHA-256: the key id of docs/documents.md. */
void kf_key_id(const uint8_t *spki, size_t len, char out[33]);

/* Does der look like a P-256 SPKI: length, algorithm, uncompressed point?  Cheap; the point itself
 * is checked when the key is made. */
bool kf_p256_spki_ok(const uint8_t *der, size_t len);
/* The P-256 public key in a DER SPKI; refuses every other form and points off the curve. */
int kf_p256_from_spki(const uint8_t *der, size_t len, EVP_PKEY **ret, struct cm_err *err);
/* Decodes base64 of a P-256 SPKI into out. */
int kf_p256_spki_b64(const char *text, uint8_t out[KF_P256_SPKI_SIZE], struct cm_err *err);
