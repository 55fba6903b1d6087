/*
 * The backup file: a header that anybody can read, then a stream that the recovery key opens
 * (docs/backup.md).
 *
 * The content key is sealed to the recovery key by the profile of docs/sealing.md; the stream is
 * AES-256-GCM in frames with a counter and a mark on the last one, bound to the header: nothing can
 * be cut off, changed or put in another order.  A SHA-256 at the end finds damage without any key.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/err.h"
#include "keyfile/secret.h"

#define KF_BACKUP_VERSION    1
#define KF_BACKUP_HEADER_MAX (64u << 10)
#define KF_BACKUP_FRAME      (64u << 10) /* bytes of plaintext in a frame */

struct evp_pkey_st; /* libcrypto's EVP_PKEY */

/* ---- the recovery key ---- */

/* Makes one: PKCS#8 PEM and its public key (SPKI, base64; cm_free). */
int kf_recovery_make(struct kf_secret *ret_pem, char **ret_spki_b64, struct cm_err *err);
/* Reads one from a regular file of our own with mode 0600 or 0400; another mode is refused. */
int kf_recovery_load(const char *path, struct evp_pkey_st **ret, struct cm_err *err);
void kf_recovery_free(struct evp_pkey_st *key); /* NULL allowed */
/* Its public key (SPKI, base64; cm_free). */
int kf_recovery_public(const struct evp_pkey_st *key, char **ret_spki_b64, struct cm_err *err);
/* Opens what kf_seal() made for it. */
int kf_recovery_open(struct evp_pkey_st *key, const uint8_t *der, size_t len, struct kf_secret *ret,
                     struct cm_err *err);

/* ---- writing ---- */

struct kf_backup_out;
/* Writes the header with the members of `about`, version and sealed key to fd (borrowed). */
int kf_backup_create(int fd, const char *recovery_b64, const json_t *about,
                     struct kf_backup_out **ret, struct cm_err *err);
int kf_backup_write(struct kf_backup_out *out, const void *data, size_t len, struct cm_err *err);
/* The last frame and the checksum; the caller syncs fd. */
int kf_backup_end(struct kf_backup_out *out, struct cm_err *err);
void kf_backup_out_free(struct kf_backup_out *out); /* NULL allowed */

/* ---- reading ---- */

/* Header and checksum of the whole file, without a key. */
int kf_backup_verify(int fd, json_t **ret_header, struct cm_err *err);

struct kf_backup_in;
/* key NULL: only the header can be read. */
int kf_backup_open(int fd, struct evp_pkey_st *key, struct kf_backup_in **ret, struct cm_err *err);
const json_t *kf_backup_about(const struct kf_backup_in *in);
/* Exactly len bytes that were authenticated; CM_EMALF when the stream ends before. */
int kf_backup_read(struct kf_backup_in *in, void *data, size_t len, struct cm_err *err);
/* 0 when nothing is left, and the checksum fits. */
int kf_backup_done(struct kf_backup_in *in, struct cm_err *err);
void kf_backup_in_free(struct kf_backup_in *in);
