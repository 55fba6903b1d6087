/* Document signatures, the signing side and what it shares with trust.h's verification. */
#pragma once

#include <openssl/evp.h>

#include "keyfile/identity.h"
#include "keyfile/trust.h"

#define KF_DOC_ID_MAX 512

/* Sets `signature` on the body (replacing one that is there).  Judges nothing but the shape: the
 * caller asked kf_doc_may_write(). */
int kf_doc_sign(const struct kf_identity *identity, json_t *body, bool deleted, struct cm_err *err);
/* One entry {"by","key","value"} over the body (owned by the caller). */
int kf_doc_signature(const struct kf_identity *identity, const json_t *body, bool deleted,
                     json_t **ret, struct cm_err *err);
/* Is `_id` "type:name" with `type` and a positive `serial`? */
int kf_doc_shape(const json_t *body, struct cm_err *err);
/* May this server write this document: docs/documents.md's table.  CM_EDENIED with the reason. */
int kf_doc_may_write(const struct kf_server *server, const json_t *body, struct cm_err *err);
/* Checks one signature entry against bytes with a key. */
int kf_doc_check_value(EVP_PKEY *key, const json_t *entry, const char *bytes, size_t len,
                       struct cm_err *err);
/* The signature key of a server of the trust root with this id, the present one or the former one
 * while it counts; parsed at first use, owned by the root.  NULL when there is none, or its point
 * is not on the curve. */
EVP_PKEY *kf_trust_sign_key(const struct kf_trust *trust, const struct kf_server *server,
                            const char *key_id);

/* kf_doc_verify() with a verifier that serves many documents; on any thread, while nobody changes
 * the document and the root is held. */
struct kf_verifier;
struct cm_buf;
int kf_doc_check(const struct kf_trust *trust, const json_t *body, bool deleted,
                 struct kf_verifier *v, struct cm_err *err);
/* Of the document that v just found good: appends its text (`_id` and the members without "_") out
 * of the bytes that were signed, which costs less than writing it once more.  False: that does not
 * go with this one, or out is full. */
bool kf_doc_checked_text(const struct kf_verifier *v, const json_t *body, struct cm_buf *out);
